//! The birth of runs: the first lap of a loop, and each lap after it.

use serde::{Deserialize, Serialize};
use velodrome_spec::Plan;
use velodrome_types::{Event, Json, JsonMap, Level, LogLine, LoopId, LoopStatus, RunId, Timestamp};

use crate::lines::Lines;
use crate::looped::Loop;
use crate::payload;
use crate::preview::preview;
use crate::run::{Run, State};

/// What a webhook received, after its body was read and its fields were converted.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Delivery {
    /// The body.
    pub body: Json,
    /// Header names in lower case; credentials are not among them.
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    pub headers: JsonMap,
    /// The query's parameters.
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    pub query: JsonMap,
}

/// Who hands off, where a run does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Origin {
    /// The run that posted.
    pub run: RunId,
    /// Its loop.
    pub loop_id: LoopId,
    /// The run at the very beginning.
    pub root: RunId,
    /// Hand-offs to another cycle so far.
    pub hops: u64,
    /// Whether it goes back to the notice of a failed run.
    pub of_notice: bool,
}

impl Origin {
    /// The origin that this run is to the runs it hands off to.
    pub fn of(run: &Run) -> Self {
        Self {
            run: run.id,
            loop_id: run.loop_id,
            root: run.root,
            hops: run.hops,
            of_notice: run.of_notice,
        }
    }
}

/// A run that has been accepted, to be committed with its loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Acceptance {
    /// The run, queued.
    pub run: Run,
    /// Its loop.
    pub looped: Loop,
    /// What the log says of it.
    pub lines: Vec<LogLine>,
}

/// Accepts the first lap of a new loop. `placed` tells whether the loop has a place at once.
pub fn accept_first_lap(
    plan: &Plan,
    ids: (RunId, LoopId),
    delivery: Delivery,
    origin: Option<Origin>,
    placed: bool,
    now: Timestamp,
) -> Acceptance {
    let (id, loop_id) = ids;
    let status = if placed {
        LoopStatus::Running
    } else {
        LoopStatus::Queued
    };
    let looped = Loop {
        id: loop_id,
        cycle: plan.cycle.clone(),
        status,
        placed,
        started: now,
        updated: now,
        first: id,
        parent: origin.map(|origin| origin.loop_id),
        laps: 1,
        records: 0,
        open: [(id, false)].into(),
        lists: Default::default(),
        kin: Default::default(),
        gathered: Vec::new(),
        failed: None,
        trace: None,
    };
    let run = new_run(plan, id, &looped, delivery, origin, now);
    let mut lines = Lines::new(plan, &run, now);
    accepted(&mut lines, plan, &run);
    if placed {
        lines.push(Level::Debug, Event::LoopStarted, "loop started");
    }
    Acceptance {
        lines: lines.done(),
        run,
        looped,
    }
}

/// Accepts the next lap of a loop; the caller has asked [`crate::may_begin_lap`].
pub fn accept_next_lap(
    plan: &Plan,
    id: RunId,
    mut looped: Loop,
    delivery: Delivery,
    origin: Origin,
    now: Timestamp,
) -> Acceptance {
    looped.laps += 1;
    looped.updated = now;
    looped.open.insert(id, false);
    looped.status = LoopStatus::Running;
    let run = new_run(
        plan,
        id,
        &looped,
        delivery,
        Some(Origin {
            hops: origin.hops,
            ..origin
        }),
        now,
    );
    let mut lines = Lines::new(plan, &run, now);
    accepted(&mut lines, plan, &run);
    Acceptance {
        lines: lines.done(),
        run,
        looped,
    }
}

fn accepted(lines: &mut Lines<'_>, plan: &Plan, run: &Run) {
    let State::Queued { delivery } = &run.state else {
        return;
    };
    if plan.webhook(plan.trigger).is_none() {
        lines.push(Level::Info, Event::RunStarted, "started");
        return;
    }
    let shown = preview(&delivery.body, &plan.log);
    let message = if shown.is_empty() {
        "accepted".to_owned()
    } else {
        format!("accepted  {shown}")
    };
    let line = lines.push(Level::Info, Event::WebhookAccepted, message);
    line.step = Some(plan.step(plan.trigger).id.clone());
    payload::add(line, payload::received(&plan.log, delivery));
}

fn new_run(
    plan: &Plan,
    id: RunId,
    looped: &Loop,
    delivery: Delivery,
    origin: Option<Origin>,
    now: Timestamp,
) -> Run {
    let same_loop = origin.is_some_and(|origin| origin.loop_id == looped.id);
    Run {
        id,
        cycle: plan.cycle.clone(),
        plan: plan.hash.clone(),
        loop_id: looped.id,
        lap: looped.laps,
        parent: origin.map(|origin| origin.run),
        root: origin.map_or(id, |origin| origin.root),
        hops: origin.map_or(0, |origin| origin.hops + u64::from(!same_loop)),
        created: now,
        updated: now,
        fence: 1,
        handed_off: false,
        of_notice: origin.is_some_and(|origin| origin.of_notice),
        held: None,
        branch: None,
        state: State::Queued { delivery },
        data: Default::default(),
    }
}
