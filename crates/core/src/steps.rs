//! Going on: pure steps are folded until an action, a wait or the end.

use velodrome_spec::Plan;
use velodrome_spec::connector::{Advance, IncrementalDef, PagingDef};
use velodrome_spec::plan::{DatePlan, FirstRun, ListStep, Step, StepIx, StepKind, SwitchStep};
use velodrome_types::{Code, Event, Json, Level, LogLine, StepId, Timestamp, format_duration};

use crate::branches;
use crate::compare::holds;
use crate::each;
use crate::eval::{EvalError, Scope, evaluate, text_of};
use crate::fail;
use crate::gather;
use crate::input::{Action, Exit, FailureKind, StepFailure, TimerChange};
use crate::machine::Moving;
use crate::midway;
use crate::paging;
use crate::respond;
use crate::run::{Finish, State, WaitingOn};

/// Leaves a step by one of its exits; one that splits its list leaves with each item apart.
pub(crate) fn leave(moving: &mut Moving<'_>, from: StepIx, exit: Exit) {
    if exit == Exit::Then && moving.plan.step(from).split {
        return branches::split(moving, from);
    }
    let to = out(moving, from, exit);
    go(moving, to);
}

/// Leaves a step that splits with what is not split, or not any more.
pub(crate) fn leave_whole(moving: &mut Moving<'_>, from: StepIx) {
    let to = out(moving, from, Exit::Then);
    go(moving, to);
}

/// Where an exit leads; notes that it was taken, and begins the other branches of a fork.
fn out(moving: &mut Moving<'_>, from: StepIx, exit: Exit) -> Option<StepIx> {
    moving.exits.push((from, exit));
    let step = moving.plan.step(from);
    let others = match exit {
        Exit::Then => step.forks.then.as_slice(),
        Exit::Else => &step.forks.otherwise,
        Exit::Catch => &step.forks.catch,
        Exit::Split | Exit::Case(_) | Exit::End => &[],
    };
    branches::fork(moving, others);
    match exit {
        Exit::Then => step.then,
        Exit::Else => step.otherwise,
        Exit::Catch => step.catch,
        Exit::Case(at) => match &step.kind {
            StepKind::Switch(switch) => switch.cases.get(usize::from(at)).map(|(_, to)| *to),
            _ => None,
        },
        Exit::Split | Exit::End => None,
    }
}

/// Goes to a step, or ends the run well where an exit names none.
///
/// The graph has no back edges (the checker refuses them), so this ends.
pub(crate) fn go(moving: &mut Moving<'_>, to: Option<StepIx>) {
    let mut to = to;
    while let Some(ix) = to {
        let step = moving.plan.step(ix);
        if decides_here(&step.kind)
            && moving.inline.as_ref().is_none_or(|(of, _)| *of != ix)
            && !step.inlines().is_empty()
        {
            return evaluate_first(moving, &step.id);
        }
        match &step.kind {
            StepKind::Decision(condition) => {
                let scope = moving.scope(ix);
                let truth = match holds(condition, scope) {
                    Ok(truth) => truth,
                    Err(error) => {
                        let failure = StepFailure::permanent(error.code(), error.to_string());
                        return fail::failed(moving, step.id.clone(), 1, None, failure);
                    }
                };
                to = out(moving, ix, if truth { Exit::Then } else { Exit::Else });
                told_taken(moving, step, &truth.to_string(), to);
            }
            StepKind::Respond(respond) => {
                if let Err(failure) = respond::answer(moving, ix, respond) {
                    return fail::failed(moving, step.id.clone(), 1, None, failure);
                }
                to = out(moving, ix, Exit::Then);
            }
            StepKind::Switch(switch) => {
                let scope = moving.scope(ix);
                let (exit, shown) = match chosen(switch, scope) {
                    Ok(chosen) => chosen,
                    Err(error) => {
                        let failure = StepFailure::permanent(error.code(), error.to_string());
                        return fail::failed(moving, step.id.clone(), 1, None, failure);
                    }
                };
                to = out(moving, ix, exit);
                told_taken(moving, step, &shown, to);
            }
            StepKind::WaitUntil(date) => {
                let due = match until(moving, ix, date) {
                    Ok(due) => due,
                    Err(failure) => {
                        return fail::failed(moving, step.id.clone(), 1, None, failure);
                    }
                };
                if due <= moving.facts.now {
                    let passed = format!("{due} has passed");
                    moving
                        .lines
                        .at(&step.id, Level::Info, Event::WaitEnded, passed);
                    to = out(moving, ix, Exit::Then);
                    continue;
                }
                let line = wait_for(moving, &step.id, due, Event::WaitStarted);
                line.message = format!("until {due}");
                return;
            }
            StepKind::WaitAll(scope) => {
                if !gather::arrive(moving, ix, *scope) {
                    return;
                }
                to = out(moving, ix, Exit::Then);
            }
            StepKind::Delay(length) if length.is_zero() => to = out(moving, ix, Exit::Then),
            StepKind::Delay(length) => {
                let due = moving.facts.now.plus(*length);
                let line = wait_for(moving, &step.id, due, Event::DelayStarted);
                line.message = format!("{}, until {}", format_duration(*length), due.time_of_day());
                return;
            }
            StepKind::Watermark { of } => {
                let list = &moving.plan.step(*of).id;
                if let Err(failure) = commit_watermark(moving, &step.id, list) {
                    return fail::failed(moving, step.id.clone(), 1, None, failure);
                }
                to = out(moving, ix, Exit::Then);
            }
            StepKind::Stop { message, failed } => {
                let text = message.as_ref().and_then(|expr| {
                    let scope = moving.scope(ix);
                    evaluate(expr, scope)
                        .ok()
                        .flatten()
                        .as_ref()
                        .and_then(text_of)
                });
                let text = text.unwrap_or_else(|| "stopped by its step".to_owned());
                out(moving, ix, Exit::End);
                if *failed {
                    let failure = StepFailure::permanent(Code::new("run.stop_step"), text);
                    return fail::fail_run(moving, step.id.clone(), &failure, 1, None);
                }
                moving
                    .lines
                    .at(&step.id, Level::Info, Event::RunSucceeded, text);
                return match branches::stands_alone(moving) {
                    // It has said so in its own words.
                    true => moving.end(Finish::Succeeded),
                    false => branches::ended_well(moving),
                };
            }
            StepKind::List(_)
            | StepKind::Send(_)
            | StepKind::Storage(_)
            | StepKind::Script { .. } => {
                return match &step.each {
                    Some(each) => each::begin(moving, step, each),
                    None => act(moving, &step.id, 1),
                };
            }
            StepKind::Webhook(webhook) if ix != moving.plan.trigger => {
                if let Err(failure) = midway::park(moving, ix, webhook) {
                    return fail::failed(moving, step.id.clone(), 1, None, failure);
                }
                return;
            }
            StepKind::Webhook(_) => {
                let failure = StepFailure::permanent(
                    Code::new("engine.fault"),
                    format!(
                        "an exit leads to the trigger `{}`, which the checker should have refused",
                        step.id
                    ),
                );
                return fail::fail_run(moving, step.id.clone(), &failure, 1, None);
            }
        }
    }
    branches::ended_well(moving);
}

/// Whether a step is decided in the machine, so that its inline scripts must have run before.
fn decides_here(kind: &StepKind) -> bool {
    matches!(
        kind,
        StepKind::Decision(_)
            | StepKind::Switch(_)
            | StepKind::WaitUntil(_)
            | StepKind::Respond(_)
            | StepKind::Webhook(_)
            | StepKind::Stop { .. }
    )
}

/// Whether the step of this id is one.
pub(crate) fn is_decided_here(plan: &Plan, id: &StepId) -> bool {
    let ix = plan.find(id.as_str());
    ix.is_some_and(|ix| decides_here(&plan.step(ix).kind))
}

/// Has a step's inline scripts run; it goes on with [`crate::Input::Evaluated`].
fn evaluate_first(moving: &mut Moving<'_>, id: &StepId) {
    moving.run.fence += 1;
    moving.run.state = State::Running {
        step: id.clone(),
        attempt: 1,
        built: None,
    };
    moving.action = Some(Action::Evaluate {
        step: id.clone(),
        fence: moving.run.fence,
    });
}

/// Says which way was taken.
fn told_taken(moving: &mut Moving<'_>, step: &Step, chosen: &str, to: Option<StepIx>) {
    let target = to.map(|ix| moving.plan.step(ix).id.to_string());
    let shown = target.as_deref().unwrap_or("end");
    let message = format!("{chosen} → {shown}");
    let line = moving
        .lines
        .at(&step.id, Level::Info, Event::DecisionTaken, message);
    line.to = target;
}

/// The way out of a switch, and what the log calls it. Upper and lower case are one, as are a value and
/// its text; a null fits no case.
fn chosen(switch: &SwitchStep, scope: Scope<'_>) -> Result<(Exit, String), EvalError> {
    let value = evaluate(&switch.value, scope)?;
    let text = value
        .as_ref()
        .and_then(text_of)
        .map(|text| text.to_lowercase());
    let fits = |(case, _): &(String, StepIx)| Some(case) == text.as_ref();
    let at = switch.cases.iter().position(fits);
    Ok(
        match at.and_then(|at| Some((at, u16::try_from(at).ok()?))) {
            Some((at, place)) => (Exit::Case(place), switch.cases[at].0.clone()),
            None => (Exit::Else, "else".to_owned()),
        },
    )
}

/// The moment that a run waits for.
fn until(moving: &Moving<'_>, ix: StepIx, date: &DatePlan) -> Result<Timestamp, StepFailure> {
    let scope = moving.scope(ix);
    let value = evaluate(&date.at, scope)
        .map_err(|error| StepFailure::permanent(error.code(), error.to_string()))?;
    let no_date = |what: String| {
        StepFailure::permanent(
            Code::new("wait.no_date"),
            format!("`at` is {what}, not a date such as `2026-11-23T12:00:00Z`"),
        )
    };
    match value {
        Some(Json::String(text)) => date
            .zone
            .parse(&text)
            .map_err(|_| no_date(format!("`{}`", shortened(&text)))),
        None | Some(Json::Null) => Err(no_date("null".to_owned())),
        Some(other) => Err(no_date(format!("`{}`", shortened(&other.to_string())))),
    }
}

/// As much of a text as a message needs.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The run waits until then; its log line, to be worded.
fn wait_for<'m>(
    moving: &'m mut Moving<'_>,
    step: &StepId,
    due: Timestamp,
    event: Event,
) -> &'m mut LogLine {
    moving.run.fence += 1;
    moving.run.state = State::Waiting {
        step: step.clone(),
        on: WaitingOn::Timer { due },
    };
    moving.timer = TimerChange::Set(due);
    let line = moving.lines.at(step, Level::Info, event, String::new());
    line.data = Some(serde_json::json!({ "until": due }));
    line
}

/// A timer of this step is over.
pub(crate) fn waited(moving: &mut Moving<'_>, id: &StepId) {
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return go(moving, None);
    };
    let (event, message) = match &moving.plan.step(ix).kind {
        StepKind::WaitUntil(_) => (Event::WaitEnded, "wait ended"),
        _ => (Event::DelayEnded, "delay ended"),
    };
    moving.lines.at(id, Level::Debug, event, message);
    leave(moving, ix, Exit::Then);
}

/// Issues a step's action.
pub(crate) fn act(moving: &mut Moving<'_>, id: &StepId, attempt: u32) {
    let Some(ix) = moving.plan.find(id.as_str()) else {
        let failure = StepFailure::permanent(
            Code::new("engine.fault"),
            format!("the plan of this run has no step `{id}`"),
        );
        return fail::fail_run(moving, id.clone(), &failure, attempt, None);
    };
    let step = moving.plan.step(ix);
    if decides_here(&step.kind) {
        return go(moving, Some(ix));
    }
    if let StepKind::List(list) = &step.kind {
        if let Err(failure) = fix_filter(moving, step, list) {
            return fail::failed(moving, id.clone(), attempt, None, failure);
        }
        if list.method.def().paging.pager().is_some() {
            return paging::begin(moving, id.clone(), attempt);
        }
    }
    moving.run.fence += 1;
    let fence = moving.run.fence;
    moving.run.state = State::Running {
        step: id.clone(),
        attempt,
        built: None,
    };
    moving.action = match &step.kind {
        StepKind::List(_) => Some(Action::List {
            step: id.clone(),
            attempt,
            fence,
        }),
        StepKind::Storage(_) | StepKind::Script { .. } => Some(Action::Compute {
            step: id.clone(),
            attempt,
            fence,
        }),
        _ => Some(Action::Send {
            step: id.clone(),
            attempt,
            fence,
            built: None,
        }),
    };
}

/// The first list request of a loop fixes the filter date for the loop (SPEC §8).
fn fix_filter(moving: &mut Moving<'_>, step: &Step, list: &ListStep) -> Result<(), StepFailure> {
    let Some(incremental) = &list.method.def().incremental else {
        return Ok(());
    };
    if moving.looped.lists.contains_key(&step.id) {
        return Ok(());
    }
    let stored = moving.facts.watermarks.get(&step.id).map_err(|why| {
        let mut failure = unreadable(&step.id, &why);
        failure.kind = FailureKind::Transient;
        failure
    })?;
    let filter = first_filter(list, incremental, stored, moving.facts.now);
    let state = moving.looped.lists.entry(step.id.clone()).or_default();
    state.filter = filter;
    Ok(())
}

/// The filter date of a loop's first request for a list, given the date that is stored.
pub fn first_filter(
    list: &ListStep,
    incremental: &IncrementalDef,
    stored: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    stored.or(match list.first_run {
        FirstRun::All => None,
        // Our clock may be before the API's: the overlap bridges that as it does later.
        FirstRun::Now => Some(now.minus(incremental.overlap)),
        FirstRun::From(date) => Some(date),
    })
}

/// A date that cannot be read is an error of the step: taken for none, everything would come again.
fn unreadable(list: &StepId, why: &str) -> StepFailure {
    StepFailure::permanent(
        Code::new("watermark.unreadable"),
        format!("the last successful run date of `{list}` cannot be read: {why}"),
    )
}

/// Commits the greater of pending and stored, else changes nothing and says why; `at` is the step that
/// does so.
fn commit_watermark(
    moving: &mut Moving<'_>,
    at: &StepId,
    list: &StepId,
) -> Result<(), StepFailure> {
    let list = list.clone();
    let stored = moving
        .facts
        .watermarks
        .get(&list)
        .map_err(|why| unreadable(&list, &why))?;
    let asked = moving.looped.lists.contains_key(&list);
    let state = moving.looped.lists.get(&list).cloned().unwrap_or_default();
    let kept = |why: String| (Event::WatermarkKept, why, None);
    let (event, message, date) = match (state.pending, stored) {
        _ if state.void => kept(format!(
            "kept: a request of `{list}` failed for good in this loop"
        )),
        _ if state.cut => kept(format!(
            "kept: `{list}` stopped at its `max_records`, and what came after was not read"
        )),
        (None, _) if asked => kept(format!(
            "kept: the API's answers to `{list}` had no `Date`, and no other clock is trusted"
        )),
        (None, _) => kept(format!("kept: `{list}` has answered nothing in this loop")),
        (Some(pending), Some(stored)) if stored >= pending => {
            kept(format!("kept at {stored}: it is later than {pending}"))
        }
        (Some(pending), _) => (
            Event::WatermarkMoved,
            format!("`{list}` moved to {}", pending.to_iso8601_utc_seconds()),
            Some(pending),
        ),
    };
    let level = if state.void || state.cut {
        Level::Warn
    } else {
        Level::Info
    };
    let line = moving.lines.at(at, level, event, message);
    line.to = Some(list.to_string());
    line.data = Some(serde_json::json!({ "from": stored, "to": date }));
    if let Some(date) = date {
        moving.watermarks.push((list, date));
    }
    Ok(())
}

/// Lists whose watermark moves by itself do so when the run that read them whole has succeeded; one that is
/// paged by hand is read whole by the loop, so its moves when that has (`by_loop`).
pub(crate) fn move_own_watermarks(moving: &mut Moving<'_>, by_loop: bool) {
    for step in &moving.plan.steps {
        let StepKind::List(list) = &step.kind else {
            continue;
        };
        let def = list.method.def();
        let by_itself = def
            .incremental
            .as_ref()
            .is_some_and(|found| found.advance == Advance::OnSuccess);
        let by_hand = matches!(def.paging, PagingDef::ByHand { .. });
        let asked = moving.looped.lists.contains_key(&step.id);
        if !by_itself || by_hand != by_loop || !asked {
            continue;
        }
        if let Err(failure) = commit_watermark(moving, &step.id, &step.id) {
            // The run is over and well: the next one reads again what this one has.
            let line =
                moving
                    .lines
                    .at(&step.id, Level::Warn, Event::WatermarkKept, failure.message);
            line.code = Some(failure.code);
        }
    }
}
