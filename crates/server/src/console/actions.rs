//! What a page's buttons do: each is answered by sending the browser back to a page that shows what came of it.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use velodrome_runtime::api::{BodyFormat, HookAnswer, HookRequest, Problem, Version};
use velodrome_types::{Code, CycleId, Json, JsonMap, Role};

use super::form::Fields;
use super::layout::Wrong;
use super::shown::segment;
use crate::access::{Caller, Guarded};
use crate::api::{Segments, command_of};
use crate::app::App;
use crate::blocking::blocking;

pub(super) fn routes() -> Guarded {
    Guarded::new()
        .post(Role::Operate, "/cycles/{id}/trigger", trigger)
        .post(Role::Operate, "/cycles/{id}/{command}", command)
        .post(Role::Operate, "/loops/{id}/stop", stop_loop)
        .post(Role::Operate, "/loops/{id}/retry", retry_loop)
        .post(Role::Operate, "/runs/{id}/retry", retry_run)
        .post(Role::Operate, "/runs/{id}/replay", replay_run)
        .post(Role::Operate, "/runs/{id}/stop", stop_run)
}

/// 303 to a page of the console.
pub(super) fn back_to(page: &str) -> Response {
    let page = HeaderValue::from_str(page).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, page)]).into_response()
}

/// Calls the cycle's trigger as the operator, and shows the loop that came of it.
async fn trigger(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
    body: Bytes,
) -> Result<Response, Wrong> {
    let fields = Fields::read(&body)?;
    let text = fields.text("body").trim();
    let text = if text.is_empty() { "{}" } else { text };
    if let Err(error) = serde_json::from_str::<Json>(text) {
        let what = format!("what the trigger is to get is no JSON: {error}");
        return Err(Problem::new(400, "api.bad_body", what).into());
    }
    let page = format!("/cycles/{}", segment(&id));
    let request = HookRequest {
        cycle: id,
        step: None,
        resume: None,
        format: BodyFormat::Json,
        body: Bytes::copy_from_slice(text.as_bytes()),
        headers: JsonMap::new(),
        query: JsonMap::new(),
        idempotency_key: None,
        by_operator: true,
    };
    begun(app.engine.receive(request).await?, &page)
}

/// To the loop that an answer names, or else to this page.
fn begun(answer: HookAnswer, page: &str) -> Result<Response, Wrong> {
    let text = |name: &str| answer.body.get(name).and_then(Json::as_str);
    if answer.status >= 400 {
        let mut problem = Problem::new(answer.status, "engine.fault", text("detail").unwrap_or(""));
        problem.code = Code::from_text(text("code").unwrap_or("webhook.refused"));
        return Err(problem.into());
    }
    Ok(match text("loop").filter(|id| id.starts_with("loop_")) {
        Some(id) => back_to(&format!("/loops/{}", segment(id))),
        None => back_to(page),
    })
}

async fn command(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments((id, command)): Segments<(String, String)>,
) -> Result<Response, Wrong> {
    let command = command_of(&command)?;
    let engine = app.engine.by(&caller.name);
    engine.command(&CycleId::from(id.as_str()), command).await?;
    Ok(back_to(&format!("/cycles/{}", segment(&id))))
}

async fn stop_loop(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response, Wrong> {
    let id = blocking(&app, move |engine| engine.find_loop(&id)).await?;
    app.engine.by(&caller.name).stop_loop(id).await?;
    Ok(back_to(&format!("/loops/{id}")))
}

async fn retry_loop(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    body: Bytes,
) -> Result<Response, Wrong> {
    let version = version(&Fields::read(&body)?)?;
    let id = blocking(&app, move |engine| engine.find_loop(&id)).await?;
    app.engine.by(&caller.name).retry_loop(id, version).await?;
    Ok(back_to(&format!("/loops/{id}")))
}

async fn retry_run(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    body: Bytes,
) -> Result<Response, Wrong> {
    let version = version(&Fields::read(&body)?)?;
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    app.engine.by(&caller.name).retry_run(id, version).await?;
    Ok(back_to(&format!("/runs/{id}")))
}

async fn replay_run(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<Response, Wrong> {
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    begun(app.engine.replay_run(id).await?, &format!("/runs/{id}"))
}

async fn stop_run(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<Response, Wrong> {
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    app.engine.by(&caller.name).stop_run(id).await?;
    Ok(back_to(&format!("/runs/{id}")))
}

/// The version that a button names. Where it names none the engine takes the present one if that is the one the run began
/// with, and else refuses.
fn version(fields: &Fields) -> Result<Option<Version>, Problem> {
    match fields.text("version") {
        "" => Ok(None),
        "original" => Ok(Some(Version::Original)),
        "latest" => Ok(Some(Version::Latest)),
        other => {
            let what = format!("`{other}` is neither `original` nor `latest`");
            Err(Problem::new(400, "api.bad_body", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use velodrome_runtime::api::Written;

    use super::*;

    fn location(status: u16, body: Json) -> Result<String, u16> {
        let answer = HookAnswer {
            status,
            headers: Vec::new(),
            body,
            written: Written::Json,
        };
        match begun(answer, "/cycles/pages") {
            Ok(response) => Ok(response.headers()[LOCATION].to_str().unwrap().to_owned()),
            Err(Wrong(problem)) => Err(problem.status),
        }
    }

    #[test]
    fn a_start_leads_to_its_loop_and_nowhere_else() {
        let body = json!({"run": "run_1", "loop": "loop_2"});
        assert_eq!(location(202, body), Ok("/loops/loop_2".to_owned()));
        let here = Ok("/cycles/pages".to_owned());
        assert_eq!(location(200, json!("done")), here);
        assert_eq!(location(200, json!({"loop": "//elsewhere"})), here);
        let refused = json!({"code": "webhook.fields", "detail": "`page` is missing"});
        assert_eq!(location(422, refused), Err(422));
    }
}
