//! Answers with JSON, and the headers that every answer carries.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use velodrome_runtime::api::Problem;

use crate::page::OwnPage;
use crate::problem::Refusal;

/// The media type of JSON.
pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
/// What a browser may do with an answer that user code may have written: show it, nothing else.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");
const NO_SNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_REFERRER: HeaderValue = HeaderValue::from_static("no-referrer");

/// Marks an answer that says itself how long a browser may keep it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeptByBrowsers;

/// 200 with this as JSON.
#[derive(Debug)]
pub(crate) struct JsonAnswer<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for JsonAnswer<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => json_response(StatusCode::OK, body),
            Err(error) => {
                tracing::error!(%error, "an answer could not be written as JSON");
                let what = "the answer could not be written: please report this";
                Refusal(Problem::new(500, "engine.fault", what)).into_response()
            }
        }
    }
}

/// An answer with a body that is JSON already.
pub(crate) fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, APPLICATION_JSON);
    response
}

/// Adds what every answer carries: no type is guessed from its bytes, nothing is kept in a cache, no
/// address is passed on; an answer of a webhook cannot act as a page of this server.
pub(crate) async fn with_common_headers(request: Request, next: Next) -> Response {
    let hook = is_hook(request.uri().path());
    let mut response = next.run(request).await;
    // Nothing that a cycle says is one.
    let own_page = response.extensions().get::<OwnPage>().is_some();
    let kept = response.extensions().get::<KeptByBrowsers>().is_some();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, NO_SNIFF);
    if hook && !own_page {
        headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
    } else {
        if !kept && (!own_page || !headers.contains_key(CACHE_CONTROL)) {
            headers.insert(CACHE_CONTROL, NO_STORE);
        }
        if !own_page || !headers.contains_key(REFERRER_POLICY) {
            headers.insert(REFERRER_POLICY, NO_REFERRER);
        }
    }
    response
}

/// Whether the path is a webhook's, known or not.
pub(crate) fn is_hook(path: &str) -> bool {
    path.strip_prefix("/hooks")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_under_hooks_is_a_hook() {
        for path in ["/hooks", "/hooks/", "/hooks/a", "/hooks/a/b/c"] {
            assert!(is_hook(path), "{path}");
        }
        for path in ["/", "/hook", "/hooksmith", "/api/hooks"] {
            assert!(!is_hook(path), "{path}");
        }
    }
}
