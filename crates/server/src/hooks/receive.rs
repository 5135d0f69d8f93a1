//! The way of a webhook request from the router to the engine.

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::{MethodRouter, post};
use velodrome_runtime::api::{HookRequest, Problem};

use super::answer::hook_response;
use super::format::body_format;
use super::request::{header_map, idempotency_key, query_map};
use crate::app::App;
use crate::body::{BodyFault, read_body};
use crate::origin::{KnownHosts, from_web_page};
use crate::problem::{Refusal, only_methods};

/// `/hooks/{cycle}` and `/hooks/{cycle}/{step}`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/hooks/{cycle}", only_post(post(trigger)))
        .route("/hooks/{cycle}/{step}", only_post(post(step)))
}

fn only_post<S: Clone + Send + Sync + 'static>(taken: MethodRouter<S>) -> MethodRouter<S> {
    taken.fallback(async || {
        only_methods(
            "POST",
            "webhook.method_refused",
            "a webhook is called by POST",
        )
    })
}

async fn trigger(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(cycle) = path.map_err(|_| unreadable_path())?;
    receive(&app, cycle, None, request).await
}

async fn step(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((cycle, step)) = path.map_err(|_| unreadable_path())?;
    receive(&app, cycle, Some(step), request).await
}

async fn receive(
    app: &App,
    cycle: String,
    step: Option<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let target = Target { cycle, step };
    let request = admit(&app.hosts, app.options.body_limit, target, request).await?;
    let answer = app.engine.receive(request).await?;
    Ok(hook_response(&answer))
}

/// The webhook that the path names.
struct Target {
    cycle: String,
    step: Option<String>,
}

/// Size, type, address and origin; what passes is the engine's to judge.
async fn admit(
    hosts: &KnownHosts,
    limit: u64,
    target: Target,
    request: Request,
) -> Result<HookRequest, Problem> {
    let (head, body) = request.into_parts();
    let body = read_body(&head.headers, body, limit)
        .await
        .map_err(|why| not_read(&why, limit))?;
    let format = body_format(&head.headers, &body)?;
    if from_web_page(&head.headers) {
        let what = "web pages may not call this webhook: send it from a server, without `Origin`";
        return Err(Problem::new(403, "webhook.origin_refused", what));
    }
    if !hosts.accept(&head.headers, &head.uri) {
        let what = "`Host` names another server: use this one's address, or set `service_url`";
        return Err(Problem::new(403, "webhook.host_refused", what));
    }
    Ok(HookRequest {
        cycle: target.cycle,
        step: target.step,
        format,
        body,
        idempotency_key: idempotency_key(&head.headers),
        headers: header_map(&head.headers),
        query: query_map(head.uri.query()),
    })
}

fn unreadable_path() -> Problem {
    Problem::new(
        404,
        "webhook.unknown",
        "no cycle has this webhook: its path is not UTF-8",
    )
}

fn not_read(why: &BodyFault, limit: u64) -> Problem {
    match why {
        BodyFault::TooLarge => {
            let what = format!("the body is over {limit} bytes: send less, or raise `body_limit`");
            Problem::new(413, "webhook.too_large", what)
        }
        BodyFault::Broken => {
            Problem::new(400, "webhook.bad_body", "the body broke off before its end")
        }
        BodyFault::Slow => Problem::new(408, "webhook.body_slow", "the body took too long to come"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::json;
    use velodrome_runtime::api::BodyFormat;
    use velodrome_types::Json;

    use super::*;

    const LIMIT: u64 = 20;

    async fn admitted(pairs: &[(&str, &str)], body: &'static str) -> Result<HookRequest, Problem> {
        let hosts = KnownHosts::new("http://127.0.0.1:7300", &[]);
        let mut request = Request::builder()
            .method("POST")
            .uri("/hooks/zoho/webhook?q=1");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let target = Target {
            cycle: "zoho".to_owned(),
            step: Some("webhook".to_owned()),
        };
        admit(
            &hosts,
            LIMIT,
            target,
            request.body(Body::from(body)).unwrap(),
        )
        .await
    }

    #[tokio::test]
    async fn a_good_request_reaches_the_engine_as_it_is() {
        let pairs = [
            ("host", "localhost:7300"),
            ("content-type", "application/json"),
            ("authorization", "Bearer a"),
            ("idempotency-key", "k"),
        ];
        let request = admitted(&pairs, r#"{"page": 1}"#).await.unwrap();
        assert_eq!(
            (request.cycle.as_str(), request.step.as_deref()),
            ("zoho", Some("webhook"))
        );
        assert_eq!(request.format, BodyFormat::Json);
        assert_eq!(request.body, r#"{"page": 1}"#);
        assert_eq!(request.idempotency_key.as_deref(), Some("k"));
        assert_eq!(Json::Object(request.query), json!({"q": "1"}));
        assert!(!request.headers.contains_key("authorization"));
        assert_eq!(request.headers["host"], "localhost:7300");
    }

    #[tokio::test]
    async fn the_first_check_that_fails_is_the_one_that_answers() {
        let mut faults = vec![
            ("content-type", "text/plain"),
            ("origin", "https://evil.example"),
            ("host", "evil.example"),
        ];
        let check = async |pairs: &[(&str, &str)], body, status, code: &str| {
            let problem = admitted(pairs, body).await.unwrap_err();
            assert_eq!((problem.status, problem.code.as_str()), (status, code));
        };
        check(
            &faults,
            "a body of many bytes and more",
            413,
            "webhook.too_large",
        )
        .await;
        check(&faults, "{}", 415, "webhook.type_refused").await;
        faults[0] = ("content-type", "application/json");
        check(&faults, "{}", 403, "webhook.origin_refused").await;
        faults.remove(1);
        check(&faults, "{}", 403, "webhook.host_refused").await;
    }

    #[tokio::test]
    async fn other_methods_are_told_to_post() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let routes = only_post(post(async || "taken"));
            let router = Router::new().route("/hooks/{cycle}", routes);
            let request = Request::builder().method(method).uri("/hooks/a");
            let request = request.body(Body::empty()).unwrap();
            let response = TowerToHyperService::new(router)
                .call(request)
                .await
                .unwrap();
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(response.headers()["allow"], "POST", "{method}");
        }
    }
}
