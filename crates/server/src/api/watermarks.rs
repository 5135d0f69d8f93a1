//! Watermarks: the last successful run date of each list step.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::{Listing, Problem};
use velodrome_types::{CycleId, Role, StepId, Timestamp};

use super::json_body::json_body;
use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::{blocking, unreadable};
use crate::openapi::{
    BadRequest, CycleOfPath, Limit, NotFound, OfBody, OfCycle, PlaceByName, StepInPath,
};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["cycle", "limit", "cursor"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, set, unset))]
pub(super) struct Operations;

/// `/watermarks`, `/watermarks/{cycle}/{step}`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/watermarks", list)
        .put(Role::Operate, "/watermarks/{cycle}/{step}", set)
        .delete(Role::Operate, "/watermarks/{cycle}/{step}", unset)
}

/// A watermark as the API shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Watermark)]
struct Item {
    cycle: CycleId,
    step: StepId,
    last_successful_run_date: Timestamp,
}

/// What a watermark is set to.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WatermarkDate)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[schema(value_type = Timestamp)]
    last_successful_run_date: String,
}

#[utoipa::path(
    put,
    path = "/watermarks/{cycle}/{step}",
    operation_id = "set_watermark",
    tag = "watermarks",
    summary = "Sets the date that the next loop's list begins at",
    params(CycleOfPath, StepInPath),
    request_body(content = Wanted),
    responses((status = 204, description = "Done."), OfBody, NotFound)
)]
async fn set(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments((cycle, step)): Segments<(String, String)>,
    request: Request,
) -> Result<StatusCode, Refusal> {
    let bad = |what: String| Problem::new(400, "api.bad_body", what);
    let form = r#"`{"last_successful_run_date": "2026-11-23T12:00:00Z"}`"#;
    let wanted: Wanted = json_body(&app, request, form).await?;
    let date = Timestamp::parse(&wanted.last_successful_run_date)
        .map_err(|error| bad(error.to_string()))?;
    let (cycle, step) = (CycleId::from(cycle.as_str()), StepId::from(step.as_str()));
    app.engine
        .by(&caller.name)
        .watermark_say(cycle, step, Some(date))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    delete,
    path = "/watermarks/{cycle}/{step}",
    operation_id = "unset_watermark",
    tag = "watermarks",
    summary = "Forgets the date: the next loop begins as the first one did",
    params(CycleOfPath, StepInPath),
    responses((status = 204, description = "Done."), BadRequest, NotFound)
)]
async fn unset(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments((cycle, step)): Segments<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let (cycle, step) = (CycleId::from(cycle.as_str()), StepId::from(step.as_str()));
    app.engine
        .by(&caller.name)
        .watermark_say(cycle, step, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    get,
    path = "/watermarks",
    operation_id = "list_watermarks",
    tag = "watermarks",
    summary = "All dates that are set, by cycle and step",
    params(OfCycle, Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<Item>), BadRequest)
)]
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
