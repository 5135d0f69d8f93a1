//! Watermarks: the last successful run date of each list step.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::get;
use serde::Serialize;
use velodrome_runtime::api::Listing;
use velodrome_types::{CycleId, StepId, Timestamp};

use super::listing::part;
use super::parameters::Parameters;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::{blocking, unreadable};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "limit", "cursor"];

/// `/watermarks`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/watermarks", get(list))
}

/// A watermark as the API shows it.
#[derive(Debug, Serialize)]
struct Item {
    cycle: CycleId,
    step: StepId,
    last_successful_run_date: Timestamp,
}

async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<Item>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let cycle: Option<CycleId> = parameters.name("cycle")?;
    let set = blocking(&app, |engine| {
        engine.store().watermarks().map_err(unreadable)
    })
    .await?;
    let items = set
        .into_iter()
        .filter(|(of, _, _)| cycle.as_ref().is_none_or(|cycle| of == cycle))
        .map(|(cycle, step, last_successful_run_date)| Item {
            cycle,
            step,
            last_successful_run_date,
        })
        .collect();
    Ok(JsonAnswer(part(items, &parameters, |item| {
        format!("{}/{}", item.cycle, item.step)
    })?))
}
