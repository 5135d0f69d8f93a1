//! Cycles: what there is, and what a person does to one.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use utoipa::OpenApi;
use velodrome_runtime::api::{CycleCommand, CycleDeleted, CycleView, Listing, Problem};
use velodrome_types::{CycleId, CycleState, Role};

use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::hooks::by_operator;
use crate::openapi::{
    Accepted, AnyJson, BadRequest, CommandInPath, Conflict, CycleInPath, CycleStates,
    IdempotencyKey, Limit, MediaType, NoAnswer, NotFound, OfBody, OfCycle, PlaceByName, QueueFull,
    StepInPath, Unacceptable,
};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "status", "limit", "cursor"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, show, delete, delete_by_post, trigger, trigger_step, command))]
pub(super) struct Operations;

/// `/cycles`, `/cycles/{id}`, `/cycles/{id}/delete`, `/cycles/{id}/trigger`, `/cycles/{id}/{command}`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/cycles", list)
        .get(Role::Read, "/cycles/{id}", show)
        .delete(Role::Operate, "/cycles/{id}", delete)
        .post(Role::Operate, "/cycles/{id}/delete", delete_by_post)
        .post(Role::Operate, "/cycles/{id}/trigger", trigger)
        .post(Role::Operate, "/cycles/{id}/trigger/{step}", trigger_step)
        .post(Role::Operate, "/cycles/{id}/{command}", command)
}

#[utoipa::path(
    get,
    path = "/cycles",
    operation_id = "list_cycles",
    tag = "cycles",
    summary = "Cycles that have a file, by id",
    params(OfCycle, CycleStates, Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<CycleView>), BadRequest)
)]
async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<CycleView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let cycle: Option<CycleId> = parameters.name("cycle")?;
    let states: Vec<CycleState> = parameters.each("status")?;
    let mut cycles = blocking(&app, |engine| Ok(engine.cycles())).await?;
    cycles.retain(|view| {
        cycle.as_ref().is_none_or(|cycle| view.id == *cycle)
            && (states.is_empty() || states.contains(&view.state))
    });
    Ok(JsonAnswer(part(cycles, &parameters, |view| {
        view.id.to_string()
    })?))
}

#[utoipa::path(
    get,
    path = "/cycles/{id}",
    operation_id = "show_cycle",
    tag = "cycles",
    summary = "One cycle",
    params(CycleInPath),
    responses((status = 200, description = "As asked.", body = CycleView), BadRequest, NotFound)
)]
async fn show(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<CycleView>, Refusal> {
    let view = blocking(&app, move |engine| {
        engine.cycle(&CycleId::from(id.as_str())).ok_or_else(|| {
            let what = format!("there is no cycle `{id}`: `velodrome cycle list` shows them");
            Problem::new(404, "cycle.unknown", what)
        })
    });
    Ok(JsonAnswer(view.await?))
}

/// Calls the webhook as the operator: what it asks of other callers is not asked of this one.
#[utoipa::path(
    post,
    path = "/cycles/{id}/trigger",
    operation_id = "trigger_cycle",
    tag = "cycles",
    params(CycleInPath, IdempotencyKey),
    request_body(content((AnyJson = "application/json"), (AnyJson = "application/x-www-form-urlencoded")), description = "What the webhook is given: JSON, or a form."),
    responses((status = 200, description = "`ignored`, or what `before_webhook` or `respond` say.", body = AnyJson), (status = 202, description = "Accepted: on disk, durably.", body = Accepted), (status = "default", description = "What the cycle answers itself: status, headers and body are what `before_webhook` or `respond` say."), OfBody, NotFound, Conflict, MediaType, Unacceptable, QueueFull, NoAnswer)
)]
async fn trigger(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, Refusal> {
    by_operator(&app, id, None, request).await
}

#[utoipa::path(
    post,
    path = "/cycles/{id}/trigger/{step}",
    operation_id = "trigger_step",
    tag = "cycles",
    summary = "Calls one of the cycle's webhook steps as the operator",
    params(CycleInPath, StepInPath, IdempotencyKey),
    request_body(content((AnyJson = "application/json"), (AnyJson = "application/x-www-form-urlencoded")), description = "What the webhook is given: JSON, or a form."),
    responses((status = 200, description = "`ignored`, or what `before_webhook` or `respond` say.", body = AnyJson), (status = 202, description = "Accepted: on disk, durably.", body = Accepted), (status = "default", description = "What the cycle answers itself: status, headers and body are what `before_webhook` or `respond` say."), OfBody, NotFound, Conflict, MediaType, Unacceptable, QueueFull, NoAnswer)
)]
async fn trigger_step(
    State(app): State<Arc<App>>,
    Segments((id, step)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    by_operator(&app, id, Some(step), request).await
}

/// Deletes what is kept of a cycle whose file is gone.
#[utoipa::path(
    delete,
    path = "/cycles/{id}",
    operation_id = "delete_cycle",
    tag = "cycles",
    params(CycleInPath),
    responses((status = 200, description = "What went with it.", body = CycleDeleted), BadRequest, NotFound, Conflict)
)]
async fn delete(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<CycleDeleted>, Refusal> {
    let id = CycleId::from(id.as_str());
    Ok(JsonAnswer(
        app.engine.by(&caller.name).delete_cycle(&id).await?,
    ))
}

/// The same, where `DELETE` does not come through.
#[utoipa::path(
    post,
    path = "/cycles/{id}/delete",
    operation_id = "delete_cycle_by_post",
    tag = "cycles",
    params(CycleInPath),
    responses((status = 200, description = "What went with it.", body = CycleDeleted), BadRequest, NotFound, Conflict)
)]
async fn delete_by_post(
    app: State<Arc<App>>,
    caller: Caller,
    id: Segments<String>,
) -> Result<JsonAnswer<CycleDeleted>, Refusal> {
    delete(app, caller, id).await
}

#[utoipa::path(
    post,
    path = "/cycles/{id}/{command}",
    operation_id = "command_cycle",
    tag = "cycles",
    summary = "Starts, pauses, stops, finishes or purges a cycle",
    params(CycleInPath, CommandInPath),
    responses((status = 200, description = "The cycle as it is now.", body = CycleView), BadRequest, NotFound)
)]
async fn command(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments((id, command)): Segments<(String, String)>,
) -> Result<JsonAnswer<CycleView>, Refusal> {
    let command = command_of(&command)?;
    Ok(JsonAnswer(
        app.engine
            .by(&caller.name)
            .command(&CycleId::from(id.as_str()), command)
            .await?,
    ))
}

/// The command of this name.
pub(crate) fn command_of(name: &str) -> Result<CycleCommand, Problem> {
    Ok(match name {
        "start" => CycleCommand::Start,
        "pause" => CycleCommand::Pause,
        "stop" => CycleCommand::Stop,
        "finish" => CycleCommand::Finish,
        "purge" => CycleCommand::Purge,
        _ => {
            let what =
                format!("`{name}` is none of start, pause, stop, finish, purge, delete, trigger");
            return Err(Problem::new(404, "api.unknown_path", what));
        }
    })
}
