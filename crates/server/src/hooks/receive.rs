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
use crate::origin::from_web_page;
use crate::problem::{Refusal, only_methods};

/// `/hooks/{cycle}` and `/hooks/{cycle}/{step}`.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/hooks/{cycle}", only_post(post(trigger)))
        .route("/hooks/{cycle}/{step}", only_post(post(step)))
}

fn only_post(taken: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
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
    let (head, body) = request.into_parts();
    let limit = app.options.body_limit;
    let body = read_body(&head.headers, body, limit)
        .await
        .map_err(|why| not_read(&why, limit))?;
    let format = body_format(&head.headers, &body)?;
    if from_web_page(&head.headers) {
        let what = "web pages may not call this webhook: send it from a server, without `Origin`";
        return Err(Problem::new(403, "webhook.origin_refused", what).into());
    }
    if !app.hosts.accept(&head.headers, &head.uri) {
        let what = "`Host` names another server: use this one's address, or set `service_url`";
        return Err(Problem::new(403, "webhook.host_refused", what).into());
    }
    let request = HookRequest {
        cycle,
        step,
        format,
        body,
        idempotency_key: idempotency_key(&head.headers),
        headers: header_map(&head.headers),
        query: query_map(head.uri.query()),
    };
    let answer = app.engine.receive(request).await?;
    Ok(hook_response(&answer))
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
