//! A request as it leaves, for people: what signs it in is named and not shown.

use reqwest::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, PROXY_AUTHORIZATION};
use velodrome_types::Json;

use super::credentials::Signer;
use super::{SendOptions, wire};
use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::RequestError;
use crate::request::HttpRequest;

/// What stands in place of a credential.
const HIDDEN: &str = "•••";
/// Never shown, whoever set them.
const NEVER: &[HeaderName] = &[AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];

/// A request as it leaves. Other secrets than credentials are for the caller to hide.
#[derive(Clone, Debug, PartialEq)]
pub struct AsSent {
    /// `GET`, `POST` …
    pub verb: String,
    /// The whole URL, with its query.
    pub url: String,
    /// Header names in lower case with their values.
    pub headers: Vec<(String, String)>,
    /// The body, before it is written as the headers say.
    pub body: Option<Json>,
}

impl Connect {
    /// What [`Connect::send`] would let leave; nothing does. Tokens are those that memory holds: where
    /// nobody has signed in, nothing signs the request in.
    ///
    /// # Errors
    ///
    /// The request cannot be sent as it is.
    pub fn as_sent(
        &self,
        connection: &Connection,
        request: &HttpRequest,
        how: &SendOptions,
    ) -> Result<AsSent, RequestError> {
        let tokens = self.token_state(&connection.id).known();
        let wire =
            wire::write(request, how.idempotency_key.as_deref())?.traced(how.trace.as_ref())?;
        let (mut url, mut headers) = (wire.url, wire.headers);
        let mut body = request.body.clone();
        if let Ok(signer) = Signer::new(connection, tokens.as_ref()) {
            let named = signer.names(&url);
            let signs = named.query.iter().map(|name| (*name, HIDDEN));
            if !named.query.is_empty() {
                url.query_pairs_mut().extend_pairs(signs);
            }
            hide(&mut headers, named.headers);
            body = signer.with_body(request).body.clone();
            if let Some(Json::Object(fields)) = &mut body {
                for (name, value) in fields {
                    if named.body.contains(&name.as_str()) {
                        *value = Json::from(HIDDEN);
                    }
                }
            }
        }
        let set: Vec<&HeaderName> = NEVER
            .iter()
            .filter(|name| headers.contains_key(*name))
            .collect();
        hide(&mut headers, set);
        let headers = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        });
        Ok(AsSent {
            verb: wire.verb.to_string(),
            url: readable(&url),
            headers: headers.collect(),
            body,
        })
    }
}

fn hide<'n>(headers: &mut HeaderMap, names: impl IntoIterator<Item = &'n HeaderName>) {
    for name in names {
        if let Ok(hidden) = reqwest::header::HeaderValue::from_bytes(HIDDEN.as_bytes()) {
            headers.insert(name, hidden);
        }
    }
}

/// The mark would stand in the URL percent-encoded.
fn readable(url: &url::Url) -> String {
    url.as_str().replace("%E2%80%A2", "•")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_in_a_url_is_readable() {
        let mut url = url::Url::parse("https://a.test/x?page=1").unwrap();
        url.query_pairs_mut().append_pair("key", HIDDEN);
        assert_eq!(readable(&url), "https://a.test/x?page=1&key=•••");
    }
}
