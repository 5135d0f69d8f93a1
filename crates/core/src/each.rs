//! `for_each`: a step runs once for each item of a list, inside the run, and commits item by item.
//!
//! ```text
//! begin ─▶ fill ─▶ items under way ──Item(Built)──▶ the request committed, sent
//!            ▲            │ Item(Sent)                  an item has ended: the next begins
//!            └────────────┤ Item(Failed), may pass      it waits, and is begun again when due
//!                         └ Item(Failed), for good      skipped, or the step fails once no item is under way
//! ```
//!
//! While items come and go the run's own row stays as it is, with all that later steps read of earlier
//! ones in it: what changes is written beside it ([`ItemWrites`]), so that an item costs no more where
//! the list is long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, Root, Segment};
use velodrome_spec::plan::{EachPlan, IfUnknown, Step};
use velodrome_types::{Code, Event, Json, JsonMap, Level, StepId, Timestamp, format_duration};

use crate::eval::{Scope, Statics, evaluate};
use crate::fail;
use crate::input::{Action, Exit, FailureKind, ItemCall, ItemReport, StepFailure, TimerChange};
use crate::machine::Moving;
use crate::paging::Pages;
use crate::run::{Run, State, StepError};
use crate::{exits, steps};

/// How far a step has come with its items.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Each {
    /// Items in all.
    pub count: u64,
    /// When the first was begun.
    pub began: Timestamp,
    /// The first item that has not been begun yet.
    pub next: u64,
    /// Items that failed, and are begun again where the run is resumed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub again: Vec<u64>,
    /// Items under way, or waiting for their next attempt, by their index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub open: BTreeMap<u64, OpenItem>,
    /// Items that ended well.
    pub succeeded: u64,
    /// Items that failed and were skipped.
    pub failed: u64,
    /// How many a condition let pass, or brought a record; `None` where nothing asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passed: Option<u64>,
    /// What ends the step once no item is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<StepError>,
    /// What each item gave, where something reads it. Stored one by one, not with the rest.
    #[serde(skip)]
    pub results: BTreeMap<u64, Json>,
}

/// An item that has begun and not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenItem {
    /// Which attempt is under way, or comes next.
    pub attempt: u32,
    /// When the next attempt begins; `None` while one is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// The request as it was built, where it had to be committed before it was sent (I6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Json>,
}

/// What is written of a step's items, or of a list's pages, beside the run's row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemWrites {
    /// How far the step is now with its items, without results.
    pub progress: Option<Each>,
    /// How far the list is now with its pages, without records.
    pub pages: Option<Pages>,
    /// Results that are new, by index: what items gave, or the records of pages.
    pub results: Vec<(u64, Json)>,
    /// The step has ended: all of it goes.
    pub clear: bool,
}

impl Each {
    /// Whether every item that is open waits for its next attempt.
    pub(crate) fn waits(&self) -> bool {
        !self.open.is_empty() && self.open.values().all(|item| item.due.is_some())
    }

    /// When the next attempt of some item begins.
    pub(crate) fn due(&self) -> Option<Timestamp> {
        self.open.values().filter_map(|item| item.due).min()
    }

    /// The next item to begin, if one is left and the step goes on.
    fn take_next(&mut self) -> Option<u64> {
        if self.error.is_some() {
            return None;
        }
        if !self.again.is_empty() {
            return Some(self.again.remove(0));
        }
        (self.next < self.count).then(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

/// One item of the list that a step goes through; null where there is none.
pub fn item_of(plan: &Plan, run: &Run, list: &Expr, index: u64, statics: &dyn Statics) -> Json {
    let at = |items: &Json| {
        let items = items.as_array();
        let item = items.and_then(|items| items.get(usize::try_from(index).ok()?));
        item.cloned().unwrap_or(Json::Null)
    };
    match borrowed(plan, run, list) {
        Some(items) => at(items),
        None => {
            let scope = Scope::new(plan, run, statics);
            evaluate(list, scope)
                .ok()
                .flatten()
                .map_or(Json::Null, |items| at(&items))
        }
    }
}

/// The list itself, where the expression names one as it is kept: nothing of it is copied.
fn borrowed<'a>(plan: &Plan, run: &'a Run, list: &Expr) -> Option<&'a Json> {
    let Expr::Ref(reference) = list else {
        return None;
    };
    let Root::Step(ix) = reference.root else {
        return None;
    };
    let (Segment::Key(name), rest) = reference.path.split_first()? else {
        return None;
    };
    let mut value = run.data.get(&plan.step(ix).id)?.get(name)?;
    for segment in rest {
        value = match segment {
            Segment::Key(name) => value.get(name)?,
            Segment::Index(at) => value.get(usize::try_from(*at).ok()?)?,
            Segment::Each => return None,
        };
    }
    value.is_array().then_some(value)
}

/// How many items the step's list has.
fn count(moving: &Moving<'_>, each: &EachPlan) -> Result<u64, StepFailure> {
    if let Some(items) = borrowed(moving.plan, &moving.run, &each.list) {
        return Ok(items.as_array().map_or(0, Vec::len) as u64);
    }
    let scope = Scope::new(moving.plan, &moving.run, moving.facts.statics);
    let value = evaluate(&each.list, scope)
        .map_err(|error| StepFailure::permanent(error.code(), error.to_string()))?;
    match value {
        Some(Json::Array(items)) => Ok(items.len() as u64),
        other => {
            let kind = match other {
                None | Some(Json::Null) => "null",
                Some(Json::Object(_)) => "an object",
                Some(Json::String(_)) => "text",
                Some(_) => "a single value",
            };
            Err(StepFailure::permanent(
                Code::new("for_each.no_list"),
                format!(
                    "`for_each` is {kind}, not a list: `?? []` gives an empty one where it may be missing"
                ),
            ))
        }
    }
}

/// The step begins with its first items.
pub(crate) fn begin(moving: &mut Moving<'_>, step: &Step, plan: &EachPlan) {
    let count = match count(moving, plan) {
        Ok(count) => count,
        Err(failure) => return fail::failed(moving, step.id.clone(), 1, None, failure),
    };
    moving.run.fence += 1;
    let each = Each {
        count,
        began: moving.facts.now,
        ..Each::default()
    };
    go_on(moving, step, plan, each);
}

/// The step goes on where it failed, with the items that failed and those that are left.
pub(crate) fn resume(moving: &mut Moving<'_>, step: &Step, plan: &EachPlan, each: Each) {
    moving.run.fence += 1;
    go_on(moving, step, plan, each);
}

/// Begins items while there are places for them; ends the step where none is open.
fn go_on(moving: &mut Moving<'_>, step: &Step, plan: &EachPlan, mut each: Each) {
    let mut calls = Vec::new();
    while (each.open.len() as u64) < u64::from(plan.parallel)
        && let Some(index) = each.take_next()
    {
        each.open.insert(
            index,
            OpenItem {
                attempt: 1,
                due: None,
                built: None,
            },
        );
        calls.push(ItemCall {
            index,
            attempt: 1,
            built: None,
        });
    }
    if each.open.is_empty() {
        return end(moving, step, each);
    }
    keep(moving, step, each, calls);
}

/// The step stays where it is, with these items to be performed.
fn keep(moving: &mut Moving<'_>, step: &Step, each: Each, calls: Vec<ItemCall>) {
    let due = each.due();
    if due != moving.run.due() {
        moving.timer = due.map_or(TimerChange::Clear, TimerChange::Set);
    }
    moving.items.progress = Some(each.clone());
    moving.run.state = State::Each {
        step: step.id.clone(),
        each: Box::new(each),
    };
    if !calls.is_empty() {
        moving.action = Some(Action::Items {
            step: step.id.clone(),
            fence: moving.run.fence,
            items: calls,
        });
    }
}

/// No item is under way and none is left, or one failed for good.
fn end(moving: &mut Moving<'_>, step: &Step, mut each: Each) {
    if moving.run.due().is_some() {
        moving.timer = TimerChange::Clear;
    }
    if let Some(error) = each.error.clone() {
        moving.items.progress = Some(each.clone());
        let attempts = error.attempts;
        let failure = StepFailure {
            status: error.status,
            headers: error.headers,
            body: error.body,
            ..StepFailure::permanent(error.code, error.message)
        };
        moving.failed_items = Some(Box::new(each));
        fail::failed(moving, step.id.clone(), attempts, None, failure);
        if moving.failed_items.take().is_some() {
            // It was caught: nothing of the items is needed again.
            moving.items = ItemWrites {
                clear: true,
                ..ItemWrites::default()
            };
        }
        return;
    }
    moving.items = ItemWrites {
        clear: true,
        ..ItemWrites::default()
    };
    let elapsed = moving.facts.now.since(each.began);
    let failed = match each.failed {
        0 => String::new(),
        failed => format!(", {failed} failed"),
    };
    let items = if each.count == 1 { "item" } else { "items" };
    let message = format!(
        "{} of {} {items}{failed} · {}",
        each.succeeded,
        each.count,
        format_duration(elapsed)
    );
    let level = if each.failed > 0 {
        Level::Warn
    } else {
        Level::Info
    };
    let line = moving
        .lines
        .at(&step.id, level, Event::ResponseReceived, message);
    line.ms = Some(elapsed.as_millis() as u64);
    line.data = Some(serde_json::json!({
        "count": each.count, "succeeded": each.succeeded, "failed": each.failed
    }));
    let mut data = JsonMap::new();
    for name in &step.live.names {
        let value = match name.as_str() {
            "count" => Json::from(each.count),
            "succeeded" => Json::from(each.succeeded),
            "failed" => Json::from(each.failed),
            "results" => {
                let mut results = std::mem::take(&mut each.results);
                let all = (0..each.count).map(|at| results.remove(&at).unwrap_or(Json::Null));
                Json::Array(all.collect())
            }
            _ => continue,
        };
        data.insert(name.clone(), value);
    }
    exits::store(moving, &step.id, data);
    // As for one request: the false exit where nothing passed.
    let exit = match each.passed {
        Some(0) => Exit::Else,
        Some(_) | None => Exit::Then,
    };
    match moving.plan.find(step.id.as_str()) {
        Some(ix) => steps::leave(moving, ix, exit),
        None => steps::go(moving, step.then),
    }
}

/// What became of one item. `None` when it is no longer awaited.
pub(crate) fn reported(
    moving: &mut Moving<'_>,
    step: &Step,
    plan: &EachPlan,
    mut each: Each,
    call: (u64, u32),
    report: ItemReport,
) {
    let (index, attempt) = call;
    let open = each.open.get(&index).cloned();
    let Some(open) = open.filter(|open| open.attempt == attempt && open.due.is_none()) else {
        return keep(moving, step, each, Vec::new());
    };
    match report {
        ItemReport::Built { request, logs } => {
            item_logs(moving, step, index, logs);
            if let Some(open) = each.open.get_mut(&index) {
                open.built = Some(request.clone());
            }
            let call = ItemCall {
                index,
                attempt,
                built: Some(request),
            };
            keep(moving, step, each, vec![call]);
        }
        ItemReport::Sent(mut answer) => {
            item_logs(moving, step, index, std::mem::take(&mut answer.logs));
            each.open.remove(&index);
            each.succeeded += 1;
            if let Some(passed) = answer.passed {
                *each.passed.get_or_insert(0) += u64::from(passed);
            }
            let warning = answer.warning.take();
            exits::told_warning(moving, &step.id, answer.status, warning);
            exits::told_sent(moving, &step.id, attempt, &mut answer, Some(index));
            if step.live.has("results") {
                moving.items.results.push((index, answer.body.clone()));
                each.results.insert(index, answer.body);
            }
            go_on(moving, step, plan, each);
        }
        ItemReport::Failed(mut failure) => {
            item_logs(moving, step, index, std::mem::take(&mut failure.logs));
            if let Some(gap) = fail::gap(moving, &failure, attempt, step) {
                let due = moving.facts.now.plus(gap);
                fail::told_retry(moving, step, attempt, &failure, (gap, due), Some(index));
                let next = OpenItem {
                    attempt: fail::next_attempt(&failure, attempt),
                    due: Some(due),
                    built: open.built,
                };
                each.open.insert(index, next);
                // Its place stays taken: the others are not hurried past a server that asks to wait.
                return go_on(moving, step, plan, each);
            }
            each.open.remove(&index);
            told_failed(moving, step, plan, (index, attempt), &failure);
            if plan.skip_failures {
                each.failed += 1;
            } else {
                each.again.push(index);
                each.again.sort_unstable();
                each.error.get_or_insert_with(|| {
                    let mut error = failure.to_error(attempt);
                    error.message = format!("item {index}: {}", error.message);
                    error
                });
                // Those that wait are not tried again: the step has failed.
                let waiting: Vec<u64> = each
                    .open
                    .iter()
                    .filter(|(_, item)| item.due.is_some())
                    .map(|(index, _)| *index)
                    .collect();
                for index in waiting {
                    each.open.remove(&index);
                    each.again.push(index);
                    each.again.sort_unstable();
                }
            }
            go_on(moving, step, plan, each);
        }
    }
}

/// Attempts that are due begin.
pub(crate) fn due(moving: &mut Moving<'_>, step: &Step, mut each: Each) {
    let now = moving.facts.now;
    let mut calls = Vec::new();
    for (index, item) in &mut each.open {
        if item.due.is_some_and(|due| due <= now) {
            item.due = None;
            calls.push(ItemCall {
                index: *index,
                attempt: item.attempt,
                built: item.built.clone(),
            });
        }
    }
    keep(moving, step, each, calls);
}

/// After a crash the items that were under way are sent again as they were built, or not, as the step says.
pub(crate) fn recover(moving: &mut Moving<'_>, step: &Step, plan: &EachPlan, each: Each) {
    let under_way = |each: &Each| -> Vec<(u64, OpenItem)> {
        let open = each.open.iter().filter(|(_, item)| item.due.is_none());
        open.map(|(index, item)| (*index, item.clone())).collect()
    };
    let (lost, again): (Vec<_>, Vec<_>) = under_way(&each)
        .into_iter()
        .partition(|(_, item)| item.built.is_some() && step.if_unknown == IfUnknown::Fail);
    let calls = again
        .into_iter()
        .map(|(index, item)| ItemCall {
            index,
            attempt: item.attempt,
            built: item.built,
        })
        .collect();
    moving.run.state = State::Each {
        step: step.id.clone(),
        each: Box::new(each.clone()),
    };
    keep(moving, step, each, calls);
    for (index, item) in lost {
        let State::Each { each, .. } = moving.run.state.clone() else {
            return;
        };
        let mut failure = StepFailure::permanent(
            Code::new("request.outcome_unknown"),
            "the process ended while the request was under way, and `if_unknown: fail` forbids sending it again",
        );
        failure.kind = FailureKind::Unknown;
        let before = moving.action.take();
        reported(
            moving,
            step,
            plan,
            *each,
            (index, item.attempt),
            ItemReport::Failed(failure),
        );
        moving.action = joined(before, moving.action.take());
    }
}

/// Items of both actions, which are of one step.
fn joined(first: Option<Action>, second: Option<Action>) -> Option<Action> {
    match (first, second) {
        (Some(Action::Items { step, fence, items }), Some(Action::Items { items: more, .. })) => {
            let items = items.into_iter().chain(more).collect();
            Some(Action::Items { step, fence, items })
        }
        (first, second) => second.or(first),
    }
}

fn item_logs(moving: &mut Moving<'_>, step: &Step, index: u64, logs: Vec<String>) {
    for text in logs {
        moving
            .lines
            .at(&step.id, Level::Info, Event::ScriptLogged, text)
            .item = Some(index);
    }
}

fn told_failed(
    moving: &mut Moving<'_>,
    step: &Step,
    plan: &EachPlan,
    (index, attempt): (u64, u32),
    failure: &StepFailure,
) {
    let level = if plan.skip_failures {
        Level::Warn
    } else {
        Level::Error
    };
    let message = format!("✗ item {index}: {}", failure.message);
    let policy = &moving.plan.log;
    let line = moving.lines.at(&step.id, level, Event::ItemFailed, message);
    line.item = Some(index);
    line.attempt = Some(attempt);
    line.code = Some(failure.code.clone());
    line.status = failure.status;
    fail::add_answer(line, failure, policy);
}

/// The step and its `for_each`, as the plan has them.
pub(crate) fn plan_of<'p>(plan: &'p Plan, id: &StepId) -> Option<(&'p Step, &'p EachPlan)> {
    let step = plan.step(plan.find(id.as_str())?);
    Some((step, step.each.as_ref()?))
}
