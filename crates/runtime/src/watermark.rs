//! What a person says of a list step's last successful run date (SPEC §8).
//!
//! Loops that are under way keep the filter they began with: what is said holds from the next loop on.

use std::sync::Arc;

use velodrome_spec::plan::StepKind;
use velodrome_store::{Unit, WatermarkWrite};
use velodrome_types::{CycleId, Event, Level, LogLine, StepId, Timestamp};

use crate::accept::uncommitted;
use crate::api::Problem;
use crate::command::By;
use crate::shared::Shared;

/// Sets the date, whatever it was, or forgets it where `date` is `None`. Gives what it was.
pub(crate) async fn say(
    shared: &Arc<Shared>,
    cycle: CycleId,
    step: StepId,
    date: Option<Timestamp>,
    by: Option<&By>,
) -> Result<Option<Timestamp>, Problem> {
    let before = shared
        .store
        .watermark(&cycle, &step)
        .map_err(|error| Problem::new(503, "store.unavailable", error.to_string()))?;
    // A date whose cycle or step is gone can be forgotten, and not be set.
    if date.is_some() || before.is_none() {
        has_one(shared, &cycle, &step)?;
    }
    let (write, message) = match date {
        Some(date) => (
            WatermarkWrite::Set(cycle.clone(), step.clone(), date),
            format!("`{step}` set to {date} by hand"),
        ),
        None => (
            WatermarkWrite::Unset(cycle.clone(), step.clone()),
            format!("`{step}` unset by hand: the next loop's first request has no date"),
        ),
    };
    let mut line = LogLine::new(
        shared.clock.now(),
        Level::Info,
        Event::WatermarkMoved,
        message,
    );
    line.to = Some(step.to_string());
    line.data = Some(match by {
        Some(by) => serde_json::json!({ "from": before, "to": date, "by": &**by }),
        None => serde_json::json!({ "from": before, "to": date }),
    });
    (line.cycle, line.step) = (Some(cycle), Some(step));
    let unit = Unit {
        watermarks: vec![write],
        lines: vec![line],
        ..Unit::default()
    };
    shared.commit_unit(unit, None).await.map_err(uncommitted)?;
    Ok(before)
}

fn has_one(shared: &Shared, cycle: &CycleId, step: &StepId) -> Result<(), Problem> {
    let Some(plan) = shared.plans.current(cycle) else {
        if shared.plans.is_known(cycle) {
            return Ok(());
        }
        let what = format!("there is no cycle `{cycle}`: `velodrome cycle list` shows them");
        return Err(Problem::new(404, "cycle.unknown", what));
    };
    let lists = || {
        plan.steps.iter().filter(|step| match &step.kind {
            StepKind::List(list) => list.method.def().incremental.is_some(),
            _ => false,
        })
    };
    if lists().any(|list| list.id == *step) {
        return Ok(());
    }
    let known: Vec<String> = lists().map(|list| format!("`{}`", list.id)).collect();
    let known = match known.is_empty() {
        true => "none of its steps has one".to_owned(),
        false => format!("these have one: {}", known.join(", ")),
    };
    let what = format!("`{step}` of `{cycle}` has no last successful run date: {known}");
    Err(Problem::new(404, "watermark.unknown_step", what))
}
