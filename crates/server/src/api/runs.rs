//! Runs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use velodrome_runtime::api::{Listing, RunView};
use velodrome_store::RunFilter;

use super::parameters::Parameters;
use super::segments::Segments;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "loop", "status", "since", "limit", "cursor"];

/// `/runs`, `/runs/{id}`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/runs", get(list))
        .route("/runs/{id}", get(show))
}

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

async fn show(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<RunView>, Refusal> {
    let view = blocking(&app, move |engine| engine.run(engine.find_run(&id)?));
    Ok(JsonAnswer(view.await?))
}
