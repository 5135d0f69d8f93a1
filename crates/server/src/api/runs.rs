//! Runs.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::{Listing, Problem, RunView, Version};
use velodrome_store::RunFilter;
use velodrome_types::Role;

use super::json_body::json_body_if_any;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::openapi::{
    AnyJson, BadRequest, Conflict, Limit, NoAnswer, NotFound, OfBody, OfCycle, OfLoop, Place,
    QueueFull, RunInPath, RunStates, Since, Unacceptable,
};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "loop", "status", "since", "limit", "cursor"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, show, stop, retry, replay))]
pub(super) struct Operations;

/// `/runs`, `/runs/{id}`, `/runs/{id}/stop`, `/runs/{id}/retry`, `/runs/{id}/replay`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/runs", list)
        .get(Role::Read, "/runs/{id}", show)
        .post(Role::Operate, "/runs/{id}/stop", stop)
        .post(Role::Operate, "/runs/{id}/retry", retry)
        .post(Role::Operate, "/runs/{id}/replay", replay)
}

#[utoipa::path(
    get,
    path = "/runs",
    operation_id = "list_runs",
    tag = "runs",
    summary = "Runs, newest first",
    params(OfCycle, OfLoop, RunStates, Since, Limit, Place),
    responses((status = 200, description = "As asked.", body = Listing<RunView>), BadRequest, NotFound, Conflict)
)]
async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<RunView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let page = parameters.page()?;
    let looped = parameters.text("loop")?.map(str::to_owned);
    let mut filter = RunFilter {
        cycle: parameters.name("cycle")?,
        loop_id: None,
        status: parameters.each("status")?,
        since: parameters.since(app.options.now.read())?,
    };
    let listing = blocking(&app, move |engine| {
        filter.loop_id = looped.map(|id| engine.find_loop(&id)).transpose()?;
        engine.runs(&filter, page)
    });
    Ok(JsonAnswer(listing.await?))
}

#[utoipa::path(
    get,
    path = "/runs/{id}",
    operation_id = "show_run",
    tag = "runs",
    summary = "One run",
    params(RunInPath),
    responses((status = 200, description = "As asked.", body = RunView), BadRequest, NotFound, Conflict)
)]
async fn show(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<RunView>, Refusal> {
    let view = blocking(&app, move |engine| engine.run(engine.find_run(&id)?));
    Ok(JsonAnswer(view.await?))
}

#[utoipa::path(
    post,
    path = "/runs/{id}/stop",
    operation_id = "stop_run",
    tag = "runs",
    summary = "Ends a run at once, with those that it began",
    params(RunInPath),
    responses((status = 200, description = "The run as it is now.", body = RunView), BadRequest, NotFound, Conflict)
)]
async fn stop(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<RunView>, Refusal> {
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    Ok(JsonAnswer(app.engine.by(&caller.name).stop_run(id).await?))
}

#[utoipa::path(
    post,
    path = "/runs/{id}/retry",
    operation_id = "retry_run",
    tag = "runs",
    summary = "Goes on where a run failed, its loop with it",
    params(RunInPath),
    request_body(content = Option<Asked>, description = "Which version it goes on with; one must be said where the cycle has changed."),
    responses((status = 200, description = "The run as it is now.", body = RunView), OfBody, NotFound, Conflict)
)]
async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<JsonAnswer<RunView>, Refusal> {
    let version = version(&app, request).await?;
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    Ok(JsonAnswer(
        app.engine.by(&caller.name).retry_run(id, version).await?,
    ))
}

#[utoipa::path(
    post,
    path = "/runs/{id}/replay",
    operation_id = "replay_run",
    tag = "runs",
    summary = "Begins a new loop with what a run was given, on the present version",
    params(RunInPath),
    responses((status = 200, description = "What the webhook answers: an `Accepted`, or what the cycle says itself.", body = AnyJson), BadRequest, NotFound, Conflict, Unacceptable, QueueFull, NoAnswer)
)]
async fn replay(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<serde_json::Value>, Refusal> {
    let id = blocking(&app, move |engine| engine.find_run(&id)).await?;
    Ok(JsonAnswer(app.engine.replay_run(id).await?.body))
}

/// What is said of a retry.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Retry)]
pub(super) struct Asked {
    #[serde(default)]
    version: Option<Word>,
}

/// The version that a run goes on with: the one it began on, or the present one.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RetryVersion)]
enum Word {
    Original,
    Latest,
}

/// `{"version": "original" | "latest"}`; nothing is allowed.
pub(super) async fn version(app: &App, request: Request) -> Result<Option<Version>, Problem> {
    let form = r#"`{"version": "original"}`, `{"version": "latest"}`, or nothing"#;
    let asked: Option<Asked> = json_body_if_any(app, request, form).await?;
    Ok(asked
        .and_then(|asked| asked.version)
        .map(|word| match word {
            Word::Original => Version::Original,
            Word::Latest => Version::Latest,
        }))
}
