//! From the first URL to the last answer: redirects by hand, each one guarded again.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{
    ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap, HeaderName, IF_MODIFIED_SINCE, LOCATION,
    USER_AGENT,
};
use url::Url;
use velodrome_types::Timestamp;

use super::body::Body;
use super::credentials::Signer;
use super::fault::classify;
use super::wire::Wire;
use super::{Response, Verdict};
use crate::connect::Connect;
use crate::error::RequestError;
use crate::request::{parse_target, shown};
use crate::stopwatch::Stopwatch;
use crate::transport::{Asker, Errand, Outgoing};
use crate::ways::Way;

/// The most redirects of one request.
const REDIRECTS: usize = 5;
/// What another origin is told. Whatever else a request carries could be a credential.
const HARMLESS: &[HeaderName] = &[
    ACCEPT,
    ACCEPT_LANGUAGE,
    CONTENT_TYPE,
    IF_MODIFIED_SINCE,
    USER_AGENT,
];

/// A request about to leave.
pub(super) struct Leaving<'a> {
    pub(super) wire: Wire,
    pub(super) signer: Signer<'a>,
    pub(super) timeout: Duration,
    pub(super) watch: Stopwatch<'a>,
    pub(super) asker: Option<&'a Asker>,
}

/// What came back, unjudged.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) shown: String,
    pub(super) millis: u64,
}

impl Answer {
    pub(super) fn reason(&self) -> &'static str {
        reqwest::StatusCode::from_u16(self.status)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn date(&self) -> Option<Timestamp> {
        self.header("date").and_then(Timestamp::parse_http_date)
    }

    pub(super) fn header_list(&self) -> Vec<(String, String)> {
        self.headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect()
    }

    pub(super) fn into_response(self, verdict: Verdict) -> Response {
        Response {
            status: self.status,
            reason: self.reason().to_owned(),
            headers: self.header_list(),
            date: self.date(),
            body: match verdict {
                Verdict::Empty => Bytes::new(),
                Verdict::Ok | Verdict::RestartPaging => self.body,
            },
            url_shown: self.shown,
            millis: self.millis,
            verdict,
        }
    }
}

impl Connect {
    pub(super) async fn follow(&self, leaving: Leaving<'_>) -> Result<Answer, RequestError> {
        let Leaving {
            mut wire,
            signer,
            timeout,
            watch,
            asker,
        } = leaving;
        let mut own = true;
        for hop in 0..=REDIRECTS {
            let shown = shown(wire.url.as_str());
            let left = watch.left(timeout);
            let answer = self
                .leave(&wire, own.then_some(&signer), left, asker)
                .await
                .map_err(|error| match hop {
                    0 => error,
                    _ => error.having_left(),
                })?;
            let next = next_url(&wire, &answer).map_err(RequestError::having_left)?;
            let Some(next) = next else {
                return self.read(&wire, answer, shown, watch).await;
            };
            if next.origin() != wire.url.origin() {
                own = false;
                wire.headers = harmless(&wire.headers);
                wire.body = None;
            }
            wire.url = next;
        }
        Err(RequestError::permanent(
            "request.redirects",
            format!(
                "`{}` redirects more than {REDIRECTS} times",
                shown(wire.url.as_str())
            ),
        )
        .having_left())
    }

    async fn leave(
        &self,
        wire: &Wire,
        signer: Option<&Signer<'_>>,
        left: Duration,
        asker: Option<&Asker>,
    ) -> Result<reqwest::Response, RequestError> {
        let mut url = wire.url.clone();
        let mut headers = wire.headers.clone();
        if let Some(signer) = signer {
            signer.sign(&mut url, &mut headers);
        }
        let way = self.ways().to(&url).await?;
        let departing = Departing {
            wire,
            url,
            headers,
            left,
            asker,
            errand: Errand::Ask,
        };
        departing.by(way).await
    }

    /// One request to this process's own server; a redirect is its answer.
    pub(super) async fn leave_for_home(
        &self,
        wire: Wire,
        timeout: Duration,
    ) -> Result<Answer, RequestError> {
        let watch = Stopwatch::start(self);
        let way = self.ways().home(&wire.url)?;
        let shown = shown(wire.url.as_str());
        let departing = Departing {
            wire: &wire,
            url: wire.url.clone(),
            headers: wire.headers.clone(),
            left: timeout,
            asker: None,
            errand: Errand::Home,
        };
        let answer = departing.by(way).await?;
        self.read(&wire, answer, shown, watch).await
    }

    /// One request without credentials that tells of something; a redirect is its answer.
    pub(super) async fn leave_with_notice(
        &self,
        wire: &Wire,
        timeout: Duration,
    ) -> Result<reqwest::Response, RequestError> {
        let way = self.ways().to(&wire.url).await?;
        let departing = Departing {
            wire,
            url: wire.url.clone(),
            headers: wire.headers.clone(),
            left: timeout,
            asker: None,
            errand: Errand::Notice,
        };
        departing.by(way).await
    }

    /// Reads the body: all of a good answer, the beginning of any other.
    async fn read(
        &self,
        wire: &Wire,
        mut answer: reqwest::Response,
        shown: String,
        watch: Stopwatch<'_>,
    ) -> Result<Answer, RequestError> {
        let status = answer.status();
        let good = wire.is_good(status);
        let limit = if good {
            self.response_limit()
        } else {
            self.response_limit().min(RequestError::BODY_LIMIT as u64)
        };
        let too_large = || RequestError {
            status: Some(status.as_u16()),
            ..RequestError::permanent(
                "request.too_large",
                format!("the answer of `{shown}` is larger than {limit} bytes"),
            )
        };
        if good && answer.content_length().is_some_and(|length| length > limit) {
            return Err(too_large());
        }
        let headers = std::mem::take(answer.headers_mut());
        let mut body = Body::default();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => match body.push(chunk, limit) {
                    true => {}
                    false if good => return Err(too_large()),
                    false => break,
                },
                Ok(None) => break,
                // The status of a bad answer says enough.
                Err(_) if !good => break,
                Err(error) => {
                    return Err(RequestError {
                        status: Some(status.as_u16()),
                        ..classify(error, wire.is_safe(), &shown)
                    });
                }
            }
        }
        Ok(Answer {
            status: status.as_u16(),
            headers,
            body: body.into_bytes(),
            shown,
            millis: watch.elapsed().as_millis() as u64,
        })
    }
}

/// One hop, ready to go.
struct Departing<'a> {
    wire: &'a Wire,
    url: Url,
    headers: HeaderMap,
    left: Duration,
    asker: Option<&'a Asker>,
    errand: Errand,
}

impl Departing<'_> {
    async fn by(self, way: Way<'_>) -> Result<reqwest::Response, RequestError> {
        let Self {
            wire,
            url,
            headers,
            left,
            asker,
            errand,
        } = self;
        let shown = shown(url.as_str());
        match way {
            Way::Socket(client) => {
                let mut request = client
                    .request(wire.verb.clone(), url)
                    .headers(headers)
                    .timeout(left);
                if let Some(body) = &wire.body {
                    request = request.body(body.clone());
                }
                request
                    .send()
                    .await
                    .map_err(|error| classify(error, wire.is_safe(), &shown))
            }
            Way::Carried(transport) => {
                let request = Outgoing {
                    asker: asker.cloned(),
                    verb: wire.verb.to_string(),
                    url,
                    headers: Outgoing::headers_of(&headers),
                    body: wire.body.clone(),
                    timeout: left,
                    errand,
                };
                match transport.carry(request).await {
                    Ok(answer) => Ok(answer.into_response()),
                    Err(fault) => Err(fault.told(wire.is_safe(), &shown)),
                }
            }
        }
    }
}

/// Where a redirect leads, if it is one to follow: for GET and HEAD every kind, for other verbs only
/// 307 and 308 within the origin.
fn next_url(wire: &Wire, answer: &reqwest::Response) -> Result<Option<Url>, RequestError> {
    let status = answer.status().as_u16();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = answer.headers().get(LOCATION) else {
        return Ok(None);
    };
    let bad = || {
        RequestError::permanent(
            "request.bad_url",
            format!("`{}` redirects to no URL", shown(wire.url.as_str())),
        )
    };
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| bad())?;
    let mut next = wire.url.join(location).map_err(|_| bad())?;
    next.set_fragment(None);
    let same_origin = next.origin() == wire.url.origin();
    let follow = wire.is_safe() || (matches!(status, 307 | 308) && same_origin);
    if !follow {
        return Ok(None);
    }
    parse_target(next.as_str()).map(Some)
}

fn harmless(headers: &HeaderMap) -> HeaderMap {
    HARMLESS
        .iter()
        .filter_map(|name| Some((name.clone(), headers.get(name)?.clone())))
        .collect()
}
