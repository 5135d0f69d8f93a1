//! Cycles: what there is, and what a person does to one.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use velodrome_runtime::api::{CycleCommand, CycleView, Listing, Problem};
use velodrome_types::{CycleId, CycleState, Role};

use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::hooks::by_operator;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "status", "limit", "cursor"];

/// `/cycles`, `/cycles/{id}`, `/cycles/{id}/trigger`, `/cycles/{id}/{command}`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/cycles", list)
        .get(Role::Read, "/cycles/{id}", show)
        .post(Role::Operate, "/cycles/{id}/trigger", trigger)
        .post(Role::Operate, "/cycles/{id}/trigger/{step}", trigger_step)
        .post(Role::Operate, "/cycles/{id}/{command}", command)
}

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
async fn trigger(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<Response, Refusal> {
    by_operator(&app, id, None, request).await
}

async fn trigger_step(
    State(app): State<Arc<App>>,
    Segments((id, step)): Segments<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    by_operator(&app, id, Some(step), request).await
}

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
            let what = format!("`{name}` is none of start, pause, stop, finish, purge, trigger");
            return Err(Problem::new(404, "api.unknown_path", what));
        }
    })
}
