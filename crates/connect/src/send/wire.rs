//! A built request as it goes over the wire: URL with query, checked headers, body bytes.

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use url::Url;
use velodrome_spec::connector::StatusMatch;
use velodrome_types::{Json, TraceContext};

use crate::error::RequestError;
use crate::eval::text_of;
use crate::request::{HttpRequest, add_query, checked_header, parse_target};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// A request, ready to leave but for credentials.
#[derive(Clone)]
pub(super) struct Wire {
    pub(super) verb: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
    /// Statuses beside 2xx whose bodies are read whole.
    ok: Vec<StatusMatch>,
}

impl Wire {
    /// The same, with statuses that are no error.
    pub(super) fn taking(self, ok: &[StatusMatch]) -> Self {
        Self {
            ok: ok.to_vec(),
            ..self
        }
    }

    /// The same, told of its trace unless it says one itself.
    pub(super) fn traced(mut self, trace: Option<&TraceContext>) -> Result<Self, RequestError> {
        let Some(trace) = trace.filter(|_| !self.headers.contains_key(TRACEPARENT)) else {
            return Ok(self);
        };
        let parent = Json::from(trace.parent.to_string());
        let state = trace.state.as_deref().map(Json::from);
        for (name, value) in [(TRACEPARENT, Some(parent)), (TRACESTATE, state)] {
            if let Some((name, value)) =
                checked_header(name.as_str(), &value.unwrap_or(Json::Null))?
            {
                self.headers.insert(name, value);
            }
        }
        Ok(self)
    }

    /// Whether an answer with this status is no error.
    pub(super) fn is_good(&self, status: StatusCode) -> bool {
        status.is_success() || self.ok.iter().any(|ok| ok.matches(status.as_u16()))
    }

    /// Whether asking twice is as good as once.
    pub(super) fn is_safe(&self) -> bool {
        is_safe(&self.verb)
    }
}

pub(super) fn is_safe(verb: &Method) -> bool {
    matches!(*verb, Method::GET | Method::HEAD)
}

/// Checks a request and writes it. It may come from a store or have passed a script, so everything is
/// looked at again.
pub(super) fn write(
    request: &HttpRequest,
    idempotency_key: Option<&str>,
) -> Result<Wire, RequestError> {
    let verb = Method::from_bytes(request.verb.to_ascii_uppercase().as_bytes())
        .ok()
        .filter(|verb| !matches!(*verb, Method::CONNECT | Method::TRACE))
        .ok_or_else(|| {
            RequestError::permanent("request.bad_verb", "the request's verb is none of HTTP's")
        })?;
    let mut url = parse_target(&request.url)?;
    add_query(&mut url, &request.query)?;
    url.set_fragment(None);
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        if let Some((name, value)) = checked_header(name, value)? {
            headers.insert(name, value);
        }
    }
    let body = request
        .body
        .as_ref()
        .map(|body| body_bytes(body, &mut headers))
        .transpose()?;
    if let Some(key) = idempotency_key
        && !is_safe(&verb)
        && !headers.contains_key(IDEMPOTENCY_KEY)
        && let Some((name, value)) = checked_header(IDEMPOTENCY_KEY.as_str(), &Json::from(key))?
    {
        headers.insert(name, value);
    }
    Ok(Wire {
        ok: Vec::new(),
        verb,
        url,
        headers,
        body,
    })
}

/// JSON; a form if the headers say so; a text as it stands under any other type.
fn body_bytes(body: &Json, headers: &mut HeaderMap) -> Result<Bytes, RequestError> {
    let bad = |why: String| RequestError::permanent("request.bad_body", why);
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|kind| {
            kind.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .to_ascii_lowercase()
        });
    match (kind.as_deref(), body) {
        (None, _) => {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        (Some(kind), _) if kind == "application/json" || kind.ends_with("+json") => {}
        (Some("application/x-www-form-urlencoded"), Json::Object(fields)) => {
            let mut pairs = Vec::with_capacity(fields.len());
            for (name, value) in fields {
                form_pairs(name.clone(), value, &mut pairs);
            }
            return serde_urlencoded::to_string(pairs)
                .map(Bytes::from)
                .map_err(|error| bad(format!("the body is no form: {error}")));
        }
        (Some(_), Json::String(text)) => return Ok(Bytes::from(text.clone())),
        (Some(kind), _) => {
            return Err(bad(format!("a body of the type `{kind}` must be a text")));
        }
    }
    serde_json::to_vec(body)
        .map(Bytes::from)
        .map_err(|error| bad(format!("the body cannot be written: {error}")))
}

/// The pairs of a form: what stands inside another is `a[b]`, items of lists are `a[0]`, a null is left out.
fn form_pairs(name: String, value: &Json, into: &mut Vec<(String, String)>) {
    match value {
        Json::Object(fields) => {
            for (key, inner) in fields {
                form_pairs(format!("{name}[{key}]"), inner, into);
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                form_pairs(format!("{name}[{at}]"), item, into);
            }
        }
        other => into.extend(text_of(other).map(|text| (name, text))),
    }
}
