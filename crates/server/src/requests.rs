//! What the server's own log tells of requests: a number for each, and what could not be answered.
//!
//! The path is told as the route that it matched: a link to a waiting run is a secret, and so may be what stands in a
//! query.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use tokio::time::Instant;
use tracing::Instrument as _;

/// The header with a request's number: a proxy's own if it sends one.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest number of a proxy that is taken.
const LONGEST: usize = 64;

/// Numbers the requests of one process.
#[derive(Debug)]
pub(crate) struct Numbering {
    /// Tells this process from others, and from itself after a restart.
    process: String,
    next: AtomicU64,
}

impl Numbering {
    /// From 1. Without randomness all processes number alike, which no answer depends on.
    pub(crate) fn new() -> Arc<Self> {
        let mut process = [0; 4];
        if let Err(error) = getrandom::fill(&mut process) {
            tracing::debug!(%error, "requests are numbered as by any other process");
        }
        Arc::new(Self {
            process: format!("{:08x}", u32::from_ne_bytes(process)),
            next: AtomicU64::new(1),
        })
    }

    fn of(&self, headers: &HeaderMap) -> HeaderValue {
        if let Some(given) = headers.get(REQUEST_ID).filter(|given| is_plain(given)) {
            return given.clone();
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        HeaderValue::try_from(format!("{}-{number}", self.process))
            .expect("letters, digits and a hyphen")
    }
}

/// Whether it is a number and nothing that a reader of the log could take for something else.
fn is_plain(given: &HeaderValue) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=LONGEST).contains(&given.len()) && given.as_bytes().iter().all(plain)
}

/// Numbers a request, tells of it, and sends its number with the answer.
pub(crate) async fn told(
    State(numbering): State<Arc<Numbering>>,
    request: Request,
    next: Next,
) -> Response {
    let id = numbering.of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let begun = Instant::now();
    // What is said while it is answered says of which request it is.
    let span = tracing::error_span!("request", id = id.to_str().unwrap_or_default());
    let mut response = next.run(request).instrument(span).await;
    let (id_text, status) = (id.to_str().unwrap_or_default(), response.status().as_u16());
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let ms = begun.elapsed().as_millis() as u64;
    match status {
        // It says no: shutting down, or a limit. A line each would be a flood.
        503 => tracing::debug!(id = id_text, %method, route, status, ms, "answered"),
        500.. => tracing::warn!(id = id_text, %method, route, status, ms, "a request failed"),
        _ => tracing::debug!(id = id_text, %method, route, status, ms, "answered"),
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_number_is_taken_where_it_is_one() {
        let numbering = Numbering::new();
        let of = |given: Option<&str>| {
            let mut headers = HeaderMap::new();
            let given = given.map(|given| HeaderValue::from_bytes(given.as_bytes()).unwrap());
            headers.extend(given.map(|given| (REQUEST_ID, given)));
            numbering.of(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(of(Some("7f3a-00.b:1")), "7f3a-00.b:1");
        let long = "x".repeat(65);
        let own = [
            None,
            Some(""),
            Some("a b"),
            Some("a\"b"),
            Some(long.as_str()),
        ]
        .map(of);
        for (at, own) in own.iter().enumerate() {
            let end = format!("-{}", at + 1);
            assert!(own.ends_with(&end) && own.len() == 8 + end.len(), "{own}");
        }
    }
}
