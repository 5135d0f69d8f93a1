//! What the engine says to a webhook, as HTTP.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use velodrome_runtime::api::HookAnswer;
use velodrome_types::Json;

use crate::answer::APPLICATION_JSON;
use crate::problem::PROBLEM_JSON;

/// The answer with its status, headers and body.
pub(super) fn hook_response(answer: &HookAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status)
        .ok()
        .filter(|status| !status.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let bare = matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let mut response = Response::new(match serde_json::to_vec(&answer.body) {
        Ok(body) if !bare => Body::from(body),
        _ => Body::empty(),
    });
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if !bare {
        let problem = (status.is_client_error() || status.is_server_error())
            && ["code", "title"]
                .iter()
                .all(|name| matches!(answer.body.get(name), Some(Json::String(_))));
        headers.insert(
            CONTENT_TYPE,
            if problem {
                PROBLEM_JSON
            } else {
                APPLICATION_JSON
            },
        );
    }
    for (name, value) in &answer.headers {
        // A script may have written the value; one that is no header's is left out.
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
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
        }
    }

    #[tokio::test]
    async fn carries_status_headers_and_body() {
        let mut accepted = answer(202, json!({"status": "accepted"}));
        accepted.headers.push((
            "location",
            "http://127.0.0.1:7300/api/v1/runs/run_1".to_owned(),
        ));
        accepted
            .headers
            .push(("x-bad", "a\r\nset-cookie: b".to_owned()));
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
