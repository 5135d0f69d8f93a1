//! What the engine says to a webhook, as HTTP.

use axum::body::Body;
use axum::http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, SET_COOKIE, TRANSFER_ENCODING};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use velodrome_runtime::api::{HookAnswer, Written};
use velodrome_types::Json;

use crate::answer::APPLICATION_JSON;
use crate::problem::PROBLEM_JSON;

/// Text that is nothing else.
const TEXT_PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Headers that say how an answer is carried: whoever writes an answer does not write them.
const CARRIED: [HeaderName; 3] = [CONTENT_LENGTH, TRANSFER_ENCODING, CONNECTION];

/// Whether it would set a cookie of this server's own, such as a session.
fn is_own_cookie(name: &HeaderName, value: &HeaderValue) -> bool {
    *name == SET_COOKIE
        && value
            .as_bytes()
            .trim_ascii_start()
            .starts_with(b"velodrome_")
}

/// The answer with its status, headers and body.
pub(super) fn hook_response(answer: &HookAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let (body, kind) = match (answer.written, &answer.body) {
        _ if bare => (Body::empty(), None),
        (Written::Plain, Json::Null) => (Body::empty(), None),
        (Written::Plain, Json::String(text)) => (Body::from(text.clone()), Some(TEXT_PLAIN)),
        (_, body) => match serde_json::to_vec(body) {
            Ok(body) => (Body::from(body), Some(APPLICATION_JSON)),
            Err(_) => (Body::empty(), None),
        },
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(kind) = kind {
        let problem = answer.written == Written::Json
            && (status.is_client_error() || status.is_server_error())
            && ["code", "title"]
                .iter()
                .all(|name| matches!(answer.body.get(name), Some(Json::String(_))));
        headers.insert(CONTENT_TYPE, if problem { PROBLEM_JSON } else { kind });
    }
    for (name, value) in &answer.headers {
        // A script may have written the value; one that is no header's is left out.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) && !CARRIED.contains(&name)
            && !is_own_cookie(&name, &value)
        {
            headers.insert(name, value);
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(status: u16, body: Json) -> HookAnswer {
        HookAnswer {
            status,
            headers: Vec::new(),
            body,
            written: Written::Json,
        }
    }

    #[tokio::test]
    async fn carries_status_headers_and_body() {
        let mut accepted = answer(202, json!({"status": "accepted"}));
        accepted.headers.push((
            "location".to_owned(),
            "http://127.0.0.1:7300/api/v1/runs/run_1".to_owned(),
        ));
        accepted
            .headers
            .push(("x-bad".to_owned(), "a\r\nset-cookie: b".to_owned()));
        accepted
            .headers
            .push(("content-length".to_owned(), "1".to_owned()));
        accepted.headers.push((
            "set-cookie".to_owned(),
            "velodrome_session=of_somebody_else".to_owned(),
        ));
        let response = hook_response(&accepted);
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(
            response.headers()["location"],
            "http://127.0.0.1:7300/api/v1/runs/run_1"
        );
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(response.headers().len(), 2);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        assert_eq!(body, r#"{"status":"accepted"}"#);
    }

    #[test]
    fn only_problem_details_are_called_so() {
        let type_of = |status, body| {
            let response = hook_response(&answer(status, body));
            response
                .headers()
                .get(CONTENT_TYPE)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        let problem = json!({"title": "Bad request", "code": "webhook.bad_body"});
        assert_eq!(
            type_of(400, problem.clone()).as_deref(),
            Some("application/problem+json")
        );
        assert_eq!(type_of(200, problem).as_deref(), Some("application/json"));
        assert_eq!(
            type_of(400, json!({"no": "luck"})).as_deref(),
            Some("application/json")
        );
        assert_eq!(type_of(204, Json::Null), None);
    }

    #[tokio::test]
    async fn what_a_cycle_says_is_written_as_it_says_it() {
        let check = async |body: Json, expect: (Option<&str>, &str)| {
            let answer = HookAnswer {
                written: Written::Plain,
                ..answer(418, body)
            };
            let response = hook_response(&answer);
            let kind = response.headers().get(CONTENT_TYPE);
            let kind = kind.map(|kind| kind.to_str().unwrap().to_owned());
            let body = axum::body::to_bytes(response.into_body(), usize::MAX);
            assert_eq!(kind.as_deref(), expect.0, "{answer:?}");
            assert_eq!(body.await.unwrap(), expect.1, "{answer:?}");
        };
        check(Json::Null, (None, "")).await;
        check(
            json!("<b>plain</b>"),
            (Some("text/plain; charset=utf-8"), "<b>plain</b>"),
        )
        .await;
        // Its own `code` and `title` make no problem details of it.
        let own = json!({"code": "x", "title": "y"});
        let text = r#"{"code":"x","title":"y"}"#;
        check(own, (Some("application/json"), text)).await;
    }

    #[test]
    fn a_status_that_no_answer_can_have_is_a_fault() {
        for status in [0, 100, 101, 1000] {
            assert_eq!(
                hook_response(&answer(status, Json::Null)).status(),
                500,
                "{status}"
            );
        }
    }
}
