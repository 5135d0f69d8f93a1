//! A problem as an answer: RFC 9457 problem details with a stable `code`.

use std::any::Any;

use axum::body::Body;
use axum::extract::OriginalUri;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use velodrome_runtime::api::Problem;
use velodrome_types::{Json, JsonMap};

use crate::answer::is_hook;

/// The media type of problem details.
pub(crate) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");
/// What `Retry-After` says, in seconds, where a 503 knows nothing better: a restart takes about so long.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("2");
/// Members of problem details that a problem's own further ones cannot replace.
const MEMBERS: &[&str] = &["type", "title", "status", "detail", "code"];

/// A problem on its way to the caller.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// The wire form.
#[derive(Serialize)]
struct Details<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    #[serde(flatten)]
    more: &'a JsonMap,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(mut problem) = self;
        problem
            .more
            .retain(|name, _| !MEMBERS.contains(&name.as_str()));
        let status = StatusCode::from_u16(problem.status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let details = Details {
            r#type: "about:blank",
            title: &problem.title,
            status: status.as_u16(),
            detail: &problem.detail,
            code: problem.code.as_str(),
            more: &problem.more,
        };
        let body = serde_json::to_vec(&details).expect("problem details have only text keys");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, PROBLEM_JSON);
        match problem.more.get("retry_after").and_then(seconds) {
            Some(wait) => drop(headers.insert(RETRY_AFTER, wait)),
            None if status == StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, RETRY_SECONDS);
            }
            None => {}
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"velodrome\""),
            );
        }
        response
    }
}

fn seconds(value: &Json) -> Option<HeaderValue> {
    match value {
        Json::String(text) => HeaderValue::from_str(text).ok(),
        Json::Number(number) => number.as_u64().map(HeaderValue::from),
        _ => None,
    }
}

/// The answer where no route fits.
pub(crate) async fn unknown_path(OriginalUri(uri): OriginalUri) -> Refusal {
    let path = uri.path();
    let code = if is_hook(path) {
        "webhook.unknown"
    } else {
        "api.unknown_path"
    };
    Problem::new(404, code, format!("there is nothing at `{path}`")).into()
}

/// The answer where the route knows other methods; axum adds `Allow`.
pub(crate) async fn method_refused(OriginalUri(uri): OriginalUri) -> Refusal {
    let detail = format!(
        "`{}` does not take this method: `Allow` names those it takes",
        uri.path()
    );
    Problem::new(405, "api.method_refused", detail).into()
}

/// A 405 that names the methods taken.
pub(crate) fn only_methods(
    allow: &'static str,
    code: &'static str,
    detail: &'static str,
) -> Response {
    let mut response = Refusal(Problem::new(405, code, detail)).into_response();
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}

/// The answer where a handler panicked, which is a fault of ours.
pub(crate) fn panicked(cause: Box<dyn Any + Send + 'static>) -> Response {
    let text = cause.downcast_ref::<String>().map(String::as_str);
    let text = text
        .or_else(|| cause.downcast_ref::<&str>().copied())
        .unwrap_or("no text");
    tracing::error!(panic = text, "a request handler panicked");
    let what = "the request could not be handled: please report this with the server's log";
    Refusal(Problem::new(500, "engine.fault", what)).into_response()
}

#[cfg(test)]
mod tests {
    use velodrome_types::JsonMap;

    use super::*;

    async fn rendered(problem: Problem) -> (StatusCode, axum::http::HeaderMap, String) {
        let (head, body) = Refusal(problem).into_response().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (
            head.status,
            head.headers,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn members_stand_in_a_fixed_order_and_further_ones_follow() {
        let mut problem = Problem::new(422, "webhook.field_invalid", "`page` is no integer");
        problem
            .more
            .insert("errors".into(), serde_json::json!([{"field": "page"}]));
        problem.more.insert("status".into(), Json::from(200));
        let (status, headers, body) = rendered(problem).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert!(!headers.contains_key(RETRY_AFTER));
        assert_eq!(
            body,
            r#"{"type":"about:blank","title":"Not acceptable as it is","status":422,"detail":"`page` is no integer","code":"webhook.field_invalid","errors":[{"field":"page"}]}"#
        );
    }

    #[tokio::test]
    async fn retry_after_is_what_the_problem_says_or_a_restart() {
        let check = async |status: u16, more: Option<Json>, expect: Option<&str>| {
            let mut problem = Problem::new(status, "api.test", "");
            problem.more = more
                .map(|m| JsonMap::from_iter([("retry_after".into(), m)]))
                .unwrap_or_default();
            let (_, headers, _) = rendered(problem).await;
            assert_eq!(
                headers.get(RETRY_AFTER).map(|v| v.to_str().unwrap()),
                expect
            );
        };
        check(429, Some(Json::from("5")), Some("5")).await;
        check(429, Some(Json::from(7)), Some("7")).await;
        check(503, Some(Json::from("1\n2")), Some("2")).await;
        check(503, None, Some("2")).await;
        check(429, None, None).await;
        check(409, None, None).await;
    }

    #[tokio::test]
    async fn who_is_not_known_is_told_how_to_be() {
        let (_, headers, _) = rendered(Problem::new(401, "api.unauthenticated", "")).await;
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer realm=\"velodrome\"");
    }

    #[tokio::test]
    async fn a_status_that_is_no_error_becomes_a_fault() {
        for status in [0, 99, 200, 302, 1000] {
            assert_eq!(rendered(Problem::new(status, "api.test", "")).await.0, 500);
        }
    }

    #[tokio::test]
    async fn a_panic_says_nothing_of_its_cause() {
        let response = panicked(Box::new("secret".to_owned()));
        assert_eq!(response.status(), 500);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains("engine.fault") && !body.contains("secret"),
            "{body}"
        );
    }
}
