//! Runs that a run begins inside its lap: the branches of a fork, and one for each item of a split.
//!
//! A child is a run of the same loop and lap. What it begins with is decided here, in the transition of the run
//! that begins it, and both are one commit. How many of its children have not ended stands with the loop
//! ([`Kin`](crate::Kin)), so that the end of one among thousands rewrites no other run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use velodrome_spec::Plan;
use velodrome_spec::plan::{StepIx, StepKind};
use velodrome_types::{Code, Event, Json, JsonMap, Level, LoopStatus, RunId, StepId, Timestamp};

use crate::gather;
use crate::input::{Exit, Facts, Input, StepFailure, Transition};
use crate::looped::Loop;
use crate::machine::{Moving, advance};
use crate::run::{Branch, Finish, Held, Run, SplitItem, Start, State, WaitingOn};
use crate::{fail, steps};

/// The code of a run that failed because one of its children did.
pub(crate) const CHILD_FAILED: &str = "run.child_failed";

/// Children of one move that begin in its own commit: as many as a fork has, and the first of a long list. The
/// others are stored as begun and take their first step when the loop has room for it.
const AT_ONCE: usize = 64;

/// A child to be begun.
#[derive(Debug)]
pub(crate) struct Child {
    start: Start,
    data: BTreeMap<StepId, Arc<JsonMap>>,
    item: Option<SplitItem>,
    held: Option<Held>,
}

/// A request has come to a webhook that repeats: a child goes on with it, and the run goes on waiting.
pub(crate) fn repeat(moving: &mut Moving<'_>, at: StepIx, given: JsonMap, held: Option<Held>) {
    let step = moving.plan.step(at);
    let mut data = read_from(moving.plan, step.then_all(), &moving.run.data);
    if !given.is_empty() {
        data.insert(step.id.clone(), Arc::new(given));
    }
    let branch = moving.run.branch.as_ref();
    let child = Child {
        start: Start::Behind(step.id.clone()),
        data,
        item: branch.and_then(|branch| branch.item.clone()),
        held,
    };
    bear(moving, child);
}

/// The run goes on by the first step of an exit; each other is a branch of its own.
pub(crate) fn fork(moving: &mut Moving<'_>, others: &[StepIx]) {
    for to in others {
        let start = Start::At(moving.plan.step(*to).id.clone());
        let data = read_from(moving.plan, [*to], &moving.run.data);
        let item = moving
            .run
            .branch
            .as_ref()
            .and_then(|branch| branch.item.clone());
        let held = None;
        bear(
            moving,
            Child {
                start,
                data,
                item,
                held,
            },
        );
    }
}

/// Each item of the list that a step gives goes on by itself; the run itself has come to its end.
pub(crate) fn split(moving: &mut Moving<'_>, from: StepIx) {
    let step = moving.plan.step(from);
    let mut data = moving
        .run
        .data
        .remove(&step.id)
        .map_or_else(JsonMap::new, Arc::unwrap_or_clone);
    let items = match data.remove(step.split_name()) {
        Some(Json::Array(items)) => items,
        // Cyclr's first step: one object is not split.
        _ if matches!(step.kind, StepKind::Webhook(_)) => {
            keep(moving, &step.id, data);
            return steps::leave_whole(moving, from);
        }
        None => Vec::new(),
        Some(other) => {
            let message = format!(
                "`{}` splits a list, and what it gives is {}",
                step.id,
                kind_of(&other)
            );
            let failure = StepFailure::permanent(Code::new("split.no_list"), message);
            return fail::for_good(moving, from, 1, None, failure);
        }
    };
    keep(moving, &step.id, data);
    moving.exits.push((from, Exit::Split));
    if step.then.is_none() {
        return ended_well(moving);
    }
    let count = items.len() as u64;
    let data = read_from(moving.plan, step.then_all(), &moving.run.data);
    let keeps_items = step.live.has("item");
    for (index, value) in items.into_iter().enumerate() {
        let item = SplitItem {
            value: if keeps_items { value } else { Json::Null },
            index: index as u64,
            count,
        };
        let child = Child {
            start: Start::Behind(step.id.clone()),
            data: data.clone(),
            item: Some(item),
            held: None,
        };
        bear(moving, child);
    }
    let message = format!("split: {count} runs go on, one for each item");
    let line = moving
        .lines
        .at(&step.id, Level::Info, Event::RunWaiting, message);
    line.data = Some(serde_json::json!({ "runs": count }));
    ended_well(moving);
}

fn keep(moving: &mut Moving<'_>, id: &StepId, data: JsonMap) {
    if !data.is_empty() {
        moving.run.data.insert(id.clone(), Arc::new(data));
    }
}

fn kind_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

fn bear(moving: &mut Moving<'_>, child: Child) {
    let kin = moving.looped.kin.entry(moving.run.id).or_default();
    kin.lap = moving.run.lap;
    kin.open += 1;
    moving.children.push(child);
}

/// Of what a run has, what some steps and all behind them read.
fn read_from(
    plan: &Plan,
    from: impl IntoIterator<Item = StepIx>,
    data: &BTreeMap<StepId, Arc<JsonMap>>,
) -> BTreeMap<StepId, Arc<JsonMap>> {
    let mut ahead = BTreeSet::new();
    let mut open: Vec<StepIx> = from.into_iter().collect();
    let mut read = BTreeSet::new();
    while let Some(at) = open.pop() {
        if ahead.insert(at) {
            open.extend(plan.step(at).leads_to());
            read.extend(plan.reads(at).into_iter().map(|(step, _)| step));
        }
    }
    let is_read = |id: &StepId| plan.find(id.as_str()).is_some_and(|ix| read.contains(&ix));
    data.iter()
        .filter(|(id, _)| is_read(id))
        .map(|(id, data)| (id.clone(), Arc::clone(data)))
        .collect()
}

/// Whether no child of the run is to be waited for or has failed.
pub(crate) fn stands_alone(moving: &Moving<'_>) -> bool {
    let kin = moving.looped.kin.get(&moving.run.id);
    kin.is_none_or(|kin| kin.open == 0 && kin.failed == 0)
}

/// The run has come to its end, and has ended well when its children have too.
pub(crate) fn ended_well(moving: &mut Moving<'_>) {
    let kin = moving
        .looped
        .kin
        .get(&moving.run.id)
        .cloned()
        .unwrap_or_default();
    if kin.open == 0 {
        return all_over(moving);
    }
    let step = last_step(moving);
    moving.run.fence += 1;
    moving.run.data.clear();
    moving.action = None;
    moving.run.state = State::Waiting {
        step: step.clone(),
        on: WaitingOn::Children,
    };
    let runs = if kin.open == 1 {
        "1 run".to_owned()
    } else {
        format!("{} runs", kin.open)
    };
    let message = format!("waits for {runs} that it began");
    moving
        .lines
        .at(&step, Level::Debug, Event::RunWaiting, message);
}

/// The step that the run has left last.
fn last_step(moving: &Moving<'_>) -> StepId {
    let last = moving
        .exits
        .last()
        .map_or(moving.plan.trigger, |(step, _)| *step);
    moving.plan.step(last).id.clone()
}

/// Neither the run nor a child of it is on its way any more.
pub(crate) fn all_over(moving: &mut Moving<'_>) {
    let kin = moving
        .looped
        .kin
        .get(&moving.run.id)
        .cloned()
        .unwrap_or_default();
    if kin.failed == 0 {
        moving
            .lines
            .push(Level::Debug, Event::RunSucceeded, "run succeeded");
        return moving.end(Finish::Succeeded);
    }
    let step = moving
        .run
        .step()
        .cloned()
        .unwrap_or_else(|| last_step(moving));
    let runs = match kin.failed {
        1 => "a run".to_owned(),
        many => format!("{many} runs"),
    };
    let which = kin.one_failed.map_or_else(String::new, |failed| {
        format!(
            ", {} among them: `velodrome run retry {failed}` goes on there",
            failed.tail()
        )
    });
    let message = format!("{runs} that it began did not end well{which}");
    let failure = StepFailure::permanent(Code::new(CHILD_FAILED), message);
    fail::fail_run(moving, step, &failure, 1, None);
    // Whoever is told of failures has been told of the child's.
    moving.notice = None;
}

/// A child that has ended is taken up again: the run waits for it again.
pub(crate) fn again(moving: &mut Moving<'_>, step: StepId) {
    let id = moving.run.id;
    moving.looped.forget_failure(id);
    moving.run.fence += 1;
    moving.lines.at(
        &step,
        Level::Info,
        Event::RunResumed,
        "waits again: a run that it began goes on",
    );
    moving.run.state = State::Waiting {
        step,
        on: WaitingOn::Children,
    };
}

/// A child takes its first step.
pub(crate) fn begin(moving: &mut Moving<'_>, start: Start) {
    let (step, item) = match &start {
        Start::At(step) | Start::Behind(step) => (
            step.clone(),
            moving
                .run
                .branch
                .as_ref()
                .and_then(|branch| branch.item.as_ref()),
        ),
    };
    let message = match (&start, item) {
        (Start::Behind(_), Some(item)) => {
            format!("run started: item {} of {}", item.index + 1, item.count)
        }
        _ => "run started: a branch".to_owned(),
    };
    moving
        .lines
        .at(&step, Level::Debug, Event::RunStarted, message);
    let Some(ix) = moving.plan.find(step.as_str()) else {
        let failure = StepFailure::permanent(
            Code::new("engine.fault"),
            format!("the plan of this run has no step `{step}`"),
        );
        return fail::fail_run(moving, step, &failure, 1, None);
    };
    match start {
        Start::At(_) => steps::go(moving, Some(ix)),
        Start::Behind(_) => steps::leave_whole(moving, ix),
    }
}

/// Begins the children of a move, as part of it: each takes its first step, and what follows from that is
/// decided too.
pub(crate) fn grow(
    plan: &Plan,
    transition: &mut Transition,
    children: Vec<Child>,
    facts: &Facts<'_>,
) {
    let parent = (transition.run.id, transition.run.clone());
    let mut looped = transition.looped.clone();
    for (at, child) in children.into_iter().enumerate() {
        let born = born(&parent.1, child, facts.ids.run_id(facts.now), facts.now);
        if at >= AT_ONCE {
            transition
                .others
                .push(Transition::begun(born, looped.clone()));
            continue;
        }
        let mut moved = advance(plan, born, looped, Input::Branch, facts)
            .expect("a run that has just begun has no late reports");
        // It was nowhere before: it is new.
        moved.was = None;
        looped = moved.last_loop().clone();
        transition.others.push(moved);
    }
    let run = &transition.run;
    let next = if gather::is_alone(run, &looped) {
        Some(Input::AllHere)
    } else {
        family_over(run, &looped).then_some(Input::ChildrenOver)
    };
    if let Some(input) = next
        && let Some(moved) = advance(plan, run.clone(), looped, input, facts)
    {
        transition.others.push(moved);
    }
}

/// Of a loop's unfinished runs this one and those that it began, and that those began: what ends with it where a
/// person stops it. Whoever began comes before whom it began, so that nobody goes on because others have ended.
pub fn with_descendants<'r>(of: RunId, runs: impl Iterator<Item = &'r Run>) -> Vec<RunId> {
    let mut begun_by: BTreeMap<RunId, Vec<RunId>> = BTreeMap::new();
    let mut here = false;
    for run in runs {
        here |= run.id == of;
        if let Some(parent) = run.begun_by() {
            begun_by.entry(parent).or_default().push(run.id);
        }
    }
    let mut family: Vec<RunId> = here.then_some(of).into_iter().collect();
    let mut next = 0;
    while let Some(run) = family.get(next) {
        family.extend(begun_by.remove(run).unwrap_or_default());
        next += 1;
    }
    family
}

/// Whether a run waits for its children and all have ended.
fn family_over(run: &Run, looped: &Loop) -> bool {
    run.waits_for_children() && looped.kin.get(&run.id).is_none_or(|kin| kin.open == 0)
}

/// The run that waits for this one and no other: it goes on with [`Input::ChildrenOver`] in the same commit.
pub fn over_for(run: &Run, looped: &Loop) -> Option<RunId> {
    let over = matches!(run.state, State::Finished { .. });
    let parent = run.begun_by().filter(|_| over)?;
    looped
        .kin
        .get(&parent)
        .is_none_or(|kin| kin.open == 0)
        .then_some(parent)
}

fn born(parent: &Run, child: Child, id: RunId, now: Timestamp) -> Run {
    Run {
        id,
        cycle: parent.cycle.clone(),
        plan: parent.plan.clone(),
        loop_id: parent.loop_id,
        lap: parent.lap,
        parent: Some(parent.id),
        root: parent.root,
        hops: parent.hops,
        created: now,
        updated: now,
        fence: 1,
        handed_off: false,
        of_notice: parent.of_notice,
        held: child.held,
        branch: Some(Branch { item: child.item }),
        state: State::Begun { start: child.start },
        data: child.data,
    }
}

/// What a loop's status is while some of its runs are children: it waits where all of them do.
pub(crate) fn status(looped: &Loop) -> LoopStatus {
    let children_wait = looped.kin.values().all(|kin| kin.waiting >= kin.open);
    if children_wait && looped.open.values().all(|waits| *waits) {
        LoopStatus::Waiting
    } else {
        LoopStatus::Running
    }
}
