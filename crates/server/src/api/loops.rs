//! Loops.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use utoipa::OpenApi;
use velodrome_runtime::Engine;
use velodrome_runtime::api::{Listing, LoopView, Problem};
use velodrome_store::LoopFilter;

use velodrome_types::Role;

use super::parameters::Parameters;
use super::runs::{Asked, version};
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::openapi::{
    BadRequest, Conflict, Limit, LoopInPath, LoopStates, NotFound, OfBody, OfCycle, OfLoop, Place,
    Since,
};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "loop", "status", "since", "limit", "cursor"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, show, stop, retry))]
pub(super) struct Operations;

/// `/loops`, `/loops/{id}`, `/loops/{id}/stop`, `/loops/{id}/retry`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/loops", list)
        .get(Role::Read, "/loops/{id}", show)
        .post(Role::Operate, "/loops/{id}/stop", stop)
        .post(Role::Operate, "/loops/{id}/retry", retry)
}

#[utoipa::path(
    get,
    path = "/loops",
    operation_id = "list_loops",
    tag = "loops",
    summary = "Loops, newest first",
    params(OfCycle, OfLoop, LoopStates, Since, Limit, Place),
    responses((status = 200, description = "As asked.", body = Listing<LoopView>), BadRequest, NotFound, Conflict)
)]
async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<LoopView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let page = parameters.page()?;
    let only = parameters.text("loop")?.map(str::to_owned);
    let filter = LoopFilter {
        cycle: parameters.name("cycle")?,
        status: parameters.each("status")?,
        since: parameters.since(app.options.now.read())?,
    };
    let listing = blocking(&app, move |engine| match only {
        Some(id) => one(engine, &id, &filter),
        None => engine.loops(&filter, page),
    });
    Ok(JsonAnswer(listing.await?))
}

/// The one loop, if the rest of the filter fits it too.
fn one(engine: &Engine, id: &str, filter: &LoopFilter) -> Result<Listing<LoopView>, Problem> {
    let view = engine.loop_view(engine.find_loop(id)?)?;
    let fits = filter
        .cycle
        .as_ref()
        .is_none_or(|cycle| view.cycle == *cycle)
        && (filter.status.is_empty() || filter.status.contains(&view.status))
        && filter.since.is_none_or(|since| view.started >= since);
    Ok(Listing {
        items: fits.then_some(view).into_iter().collect(),
        next: None,
    })
}

#[utoipa::path(
    get,
    path = "/loops/{id}",
    operation_id = "show_loop",
    tag = "loops",
    summary = "One loop",
    params(LoopInPath),
    responses((status = 200, description = "As asked.", body = LoopView), BadRequest, NotFound, Conflict)
)]
async fn show(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<LoopView>, Refusal> {
    let view = blocking(&app, move |engine| engine.loop_view(engine.find_loop(&id)?));
    Ok(JsonAnswer(view.await?))
}

#[utoipa::path(
    post,
    path = "/loops/{id}/stop",
    operation_id = "stop_loop",
    tag = "loops",
    summary = "Ends a loop at once, timers and children included",
    params(LoopInPath),
    responses((status = 200, description = "The loop as it is now.", body = LoopView), BadRequest, NotFound, Conflict)
)]
async fn stop(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<LoopView>, Refusal> {
    let id = blocking(&app, move |engine| engine.find_loop(&id)).await?;
    Ok(JsonAnswer(app.engine.by(&caller.name).stop_loop(id).await?))
}

#[utoipa::path(
    post,
    path = "/loops/{id}/retry",
    operation_id = "retry_loop",
    tag = "loops",
    summary = "Goes on where a loop failed",
    params(LoopInPath),
    request_body(content = Option<Asked>, description = "Which version it goes on with; one must be said where the cycle has changed."),
    responses((status = 200, description = "The loop as it is now.", body = LoopView), OfBody, NotFound, Conflict)
)]
async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<JsonAnswer<LoopView>, Refusal> {
    let version = version(&app, request).await?;
    let id = blocking(&app, move |engine| engine.find_loop(&id)).await?;
    Ok(JsonAnswer(
        app.engine.by(&caller.name).retry_loop(id, version).await?,
    ))
}
