//! Outcomes that went wrong: retry, `catch`, `on_error`, in that order (SPEC §6).

use std::sync::Arc;
use std::time::Duration;

use velodrome_spec::plan::{LogPolicy, Step, StepIx, StepKind};
use velodrome_types::{
    Event, Json, JsonMap, Level, LogLine, OnError, StepId, Timestamp, format_duration,
};

use crate::input::{Exit, FailureKind, StepFailure, TimerChange};
use crate::machine::Moving;
use crate::notice;
use crate::payload;
use crate::run::{Failure, Finish, State, WaitingOn};
use crate::steps;

/// An action failed: tried again, caught, or answered as `on_error` says.
pub(crate) fn failed(
    moving: &mut Moving<'_>,
    id: StepId,
    attempt: u32,
    built: Option<Json>,
    failure: StepFailure,
) {
    let mut failure = failure;
    moving.script_logs(&id, std::mem::take(&mut failure.logs));
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return fail_run(moving, id, &failure, attempt, built);
    };
    let step = moving.plan.step(ix);

    if let Some(gap) = gap(moving, &failure, attempt, step).filter(|_| step.each.is_none()) {
        let due = moving.facts.now.plus(gap);
        moving.run.fence += 1;
        moving.run.state = State::Waiting {
            step: id.clone(),
            on: WaitingOn::Retry {
                due,
                attempt: next_attempt(&failure, attempt),
                built,
            },
        };
        moving.timer = TimerChange::Set(due);
        told_retry(moving, step, attempt, &failure, (gap, due), None);
        return;
    }

    for_good(moving, ix, attempt, built, failure);
}

/// No attempt is left, or none would help: `catch`, then `on_error`.
pub(crate) fn for_good(
    moving: &mut Moving<'_>,
    ix: StepIx,
    attempt: u32,
    built: Option<Json>,
    failure: StepFailure,
) {
    let step = moving.plan.step(ix);
    let id = step.id.clone();
    // Failed for good: the date held for this list is void in this loop (SPEC §8).
    if matches!(step.kind, StepKind::List(_)) {
        moving.looped.lists.entry(id.clone()).or_default().void = true;
    }
    if step.catch.is_some() {
        report(moving, &id, Level::Warn, &failure, attempt);
        if step.live.has("error") {
            let error = serde_json::to_value(failure.to_error(attempt)).unwrap_or(Json::Null);
            let data = JsonMap::from_iter([("error".to_owned(), error)]);
            moving.run.data.insert(id, Arc::new(data));
        }
        return steps::leave(moving, ix, Exit::Catch);
    }
    match step.on_error {
        OnError::Ignore => {
            report(moving, &id, Level::Warn, &failure, attempt);
            moving.run.data.remove(&id);
            steps::leave(moving, ix, Exit::Then);
        }
        OnError::StopRun => fail_run(moving, id, &failure, attempt, built),
        OnError::StopCycle => {
            moving.stop_cycle = true;
            fail_run(moving, id, &failure, attempt, built);
        }
    }
}

/// Says that there will be another attempt.
pub(crate) fn told_retry(
    moving: &mut Moving<'_>,
    step: &Step,
    attempt: u32,
    failure: &StepFailure,
    (gap, due): (Duration, Timestamp),
    item: Option<u64>,
) {
    if failure.kind == FailureKind::Held {
        return told_held(moving, step, failure, (gap, due), item);
    }
    let of = match &failure.gaps {
        Some(_) => String::new(),
        None => format!(" of {}", step.retry.limit()),
    };
    let which = item.map_or_else(String::new, |index| format!("item {index}: "));
    let message = format!(
        "✗ {which}{} · retry {attempt}{of} in {}",
        short(failure),
        format_duration(gap)
    );
    let line = moving
        .lines
        .at(&step.id, Level::Warn, Event::RetryScheduled, message);
    line.code = Some(failure.code.clone());
    line.status = failure.status;
    line.attempt = Some(attempt);
    line.item = item;
    line.data = Some(serde_json::json!({ "error": failure.message, "until": due }));
    payload::add(line, failure.kept.clone());
}

/// Says that nothing was sent, and until when it waits.
fn told_held(
    moving: &mut Moving<'_>,
    step: &Step,
    failure: &StepFailure,
    (gap, due): (Duration, Timestamp),
    item: Option<u64>,
) {
    let which = item.map_or_else(String::new, |index| format!("item {index}: "));
    let message = format!(
        "{which}{} · waits {}",
        failure.message,
        format_duration(gap)
    );
    let line = moving
        .lines
        .at(&step.id, Level::Info, Event::RetryScheduled, message);
    line.code = Some(failure.code.clone());
    line.item = item;
    line.data = Some(serde_json::json!({ "until": due }));
}

/// The number of the attempt that comes after this failure: what was not sent was none.
pub(crate) fn next_attempt(failure: &StepFailure, attempt: u32) -> u32 {
    match failure.kind {
        FailureKind::Held => attempt,
        _ => attempt + 1,
    }
}

/// The gap before the next attempt, if there is to be one.
pub(crate) fn gap(
    moving: &Moving<'_>,
    failure: &StepFailure,
    attempt: u32,
    step: &Step,
) -> Option<Duration> {
    match failure.kind {
        FailureKind::Held => return Some(failure.retry_after.unwrap_or_default()),
        FailureKind::Permanent => return None,
        FailureKind::Unknown if step.if_unknown == velodrome_spec::plan::IfUnknown::Fail => {
            return None;
        }
        FailureKind::Unknown | FailureKind::Transient => {}
    }
    let own = match &failure.gaps {
        Some(gaps) => gaps.get(attempt as usize - 1).or(gaps.last()).copied(),
        None => step.retry.gap(attempt, moving.facts.jitter),
    }?;
    // `Retry-After` is obeyed: never sooner than the server asks.
    Some(failure.retry_after.map_or(own, |asked| {
        if failure.gaps.is_some() {
            asked
        } else {
            asked.max(own)
        }
    }))
}

/// The run fails and can be resumed; its inputs stay.
pub(crate) fn fail_run(
    moving: &mut Moving<'_>,
    id: StepId,
    failure: &StepFailure,
    attempt: u32,
    built: Option<Json>,
) {
    report(moving, &id, Level::Error, failure, attempt);
    let error = failure.to_error(attempt);
    let message = format!("run failed at `{id}`: {}", error.message);
    let line = moving
        .lines
        .at(&id, Level::Error, Event::RunFailed, message);
    line.code = Some(failure.code.clone());
    if moving.looped.failed.is_none() {
        moving.looped.failed = Some((moving.run.id, failure.code.clone()));
    }
    let each = moving.failed_items.take();
    let pages = moving.failed_pages.take();
    let data = std::mem::take(&mut moving.run.data);
    moving.end(Finish::Failed(Failure {
        step: id,
        error,
        built,
        each,
        pages,
    }));
    moving.run.data = data;
    moving.notice = notice::of(moving, failure, attempt).map(Box::new);
}

fn report(moving: &mut Moving<'_>, id: &StepId, level: Level, failure: &StepFailure, attempt: u32) {
    let event = match failure.code.as_str() {
        code if code.starts_with("script.") => Event::ScriptFailed,
        code if ["request.", "auth.", "response.", "paging.", "watermark."]
            .iter()
            .any(|area| code.starts_with(area)) =>
        {
            Event::RequestFailed
        }
        code if code.starts_with("handoff.") || code.starts_with("loop.") => Event::HandoffFailed,
        _ => Event::ScriptFailed,
    };
    let event = if failure.code.as_str().starts_with("engine.") {
        Event::RunFailed
    } else {
        event
    };
    let at = failure
        .at
        .as_ref()
        .map(|at| format!("  {at}"))
        .unwrap_or_default();
    let policy = &moving.plan.log;
    let line = moving
        .lines
        .at(id, level, event, format!("✗ {}{at}", failure.message));
    line.code = Some(failure.code.clone());
    line.status = failure.status;
    line.attempt = (attempt > 1).then_some(attempt);
    add_answer(line, failure, policy);
}

/// Adds what was answered, as far as the cycle's `log:` lets it be shown.
pub(crate) fn add_answer(line: &mut LogLine, failure: &StepFailure, policy: &LogPolicy) {
    if let Some(body) = failure
        .body
        .as_ref()
        .and_then(|body| payload::shown(body, policy))
    {
        line.data = Some(serde_json::json!({ "body": body }));
    }
    payload::add(line, failure.kept.clone());
}

fn short(failure: &StepFailure) -> String {
    match failure.status {
        Some(status) => status.to_string(),
        None => failure.message.clone(),
    }
}
