//! Loops.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use velodrome_runtime::Engine;
use velodrome_runtime::api::{Listing, LoopView, Problem};
use velodrome_store::LoopFilter;

use velodrome_types::Role;

use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "loop", "status", "since", "limit", "cursor"];

/// `/loops`, `/loops/{id}`, `/loops/{id}/stop`, `/loops/{id}/retry`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/loops", list)
        .get(Role::Read, "/loops/{id}", show)
        .post(Role::Operate, "/loops/{id}/stop", stop)
        .post(Role::Operate, "/loops/{id}/retry", retry)
}

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

async fn show(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<LoopView>, Refusal> {
    let view = blocking(&app, move |engine| engine.loop_view(engine.find_loop(&id)?));
    Ok(JsonAnswer(view.await?))
}

async fn stop(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<LoopView>, Refusal> {
    let id = blocking(&app, move |engine| engine.find_loop(&id)).await?;
    Ok(JsonAnswer(app.engine.by(&caller.name).stop_loop(id).await?))
}

async fn retry(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
    body: Bytes,
) -> Result<JsonAnswer<LoopView>, Refusal> {
    let version = super::runs::version(&body)?;
    let id = blocking(&app, move |engine| engine.find_loop(&id)).await?;
    Ok(JsonAnswer(
        app.engine.by(&caller.name).retry_loop(id, version).await?,
    ))
}
