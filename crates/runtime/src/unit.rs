//! One commit in the making: transitions of one or more runs, gathered until they are written whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use velodrome_core::{Acceptance, Loop, Rows, Run, State, TimerChange, Transition, payload};
use velodrome_spec::Plan;
use velodrome_store::{
    Expect, Forget, IdempotencyRow, OutboxWrite, PartWrite, ScheduleWrite, StorageWrite,
    TimerWrite, Unit, WaitWrite, WatermarkWrite,
};
use velodrome_types::{Event, Level, LogLine, LoopId, LoopStatus, RunId, StepId, Timestamp};

use crate::flows::{LoopMove, Move};
use crate::held::{self, Told};
use crate::overlay::Overlay;
use crate::records::{delivery_part, item_parts, loop_row, outbox_row, run_row, wait_write};
use crate::simulated::HandedOff;

/// A commit in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Making {
    expect: Vec<Expect>,
    runs: BTreeMap<RunId, Run>,
    loops: BTreeMap<LoopId, Loop>,
    parts: Vec<PartWrite>,
    timers: BTreeMap<RunId, TimerWrite>,
    waits: Vec<WaitWrite>,
    watermarks: Vec<WatermarkWrite>,
    lines: Vec<LogLine>,
    idempotency: Vec<IdempotencyRow>,
    /// Notices of failed runs.
    pub(crate) outbox: Vec<OutboxWrite>,
    plans: Vec<Arc<Plan>>,
    schedules: Vec<ScheduleWrite>,
    /// Storage writes so far, read through by the handlers that follow.
    pub(crate) overlay: Overlay,
    /// Timers to keep in memory once the commit is done.
    pub(crate) set: Vec<(Timestamp, RunId, LoopId)>,
    /// Whether the cycle is to stop, because an error said so.
    pub(crate) stop_cycle: bool,
    /// What runs have done, to be counted once the commit is done.
    pub(crate) moves: Vec<Move>,
    /// A loop that is stored already, and the state it has there.
    pub(crate) loop_was: Option<(LoopId, LoopStatus)>,
    /// Laps that are no longer kept.
    pub(crate) forget: Vec<Forget>,
    /// What callers who are held are answered once the commit is done.
    pub(crate) replies: Vec<(RunId, Told)>,
    /// Runs that others of their lap have begun, or that went on with them: to be driven once the commit is done.
    pub(crate) grown: Vec<Grown>,
    /// Bodies handed off, where there is a witness.
    pub(crate) handed_off: Vec<HandedOff>,
}

/// A run that has moved with another one, and what it is to do.
#[derive(Clone, Debug)]
pub(crate) struct Grown {
    pub(crate) run: Run,
    pub(crate) action: Option<velodrome_core::Action>,
}

impl Making {
    /// A commit that begins with these storage writes.
    pub(crate) fn with_overlay(overlay: Overlay) -> Self {
        Self {
            overlay,
            ..Self::default()
        }
    }

    /// Adds a run that has just been accepted, with its loop.
    pub(crate) fn accepted(&mut self, acceptance: &Acceptance, plan: &Arc<Plan>) {
        self.expect.push(Expect::NoRun(acceptance.run.id));
        if let State::Queued { delivery } = &acceptance.run.state {
            self.parts.push(delivery_part(acceptance.run.id, delivery));
        }
        self.moves.push(Move::accepted(&acceptance.run));
        self.lines.extend(acceptance.lines.iter().cloned());
        self.plans.push(Arc::clone(plan));
        self.runs.insert(acceptance.run.id, acceptance.run.clone());
        self.loops
            .insert(acceptance.looped.id, acceptance.looped.clone());
    }

    /// Adds a move with all that belongs to it; gives back what is to be performed for its run.
    pub(crate) fn moved(
        &mut self,
        transition: Transition,
    ) -> (Run, Loop, Option<velodrome_core::Action>) {
        let Transition {
            mut run,
            looped,
            lines,
            timer,
            awaited,
            watermarks,
            action,
            stop_cycle,
            notice,
            exits,
            was,
            items,
            keys: _,
            reply,
            rows,
            others,
        } = transition;
        if let Some(reply) = reply {
            let (row, answer) = held::answered(&run, reply);
            self.idempotency.extend(row);
            self.replies.push((run.id, Told::Answer(answer)));
        }
        if let Some((row, told)) = held::ended(&mut run) {
            self.idempotency.extend(row);
            self.replies.push((run.id, told));
        }
        self.moves.push(Move::of(&run, was, exits));
        self.lines.extend(lines);
        match timer {
            TimerChange::Keep => {}
            TimerChange::Set(due) => {
                self.timers.insert(run.id, TimerWrite::Set(run.id, due));
                self.set.push((due, run.id, run.loop_id));
            }
            TimerChange::Clear => {
                self.timers.insert(run.id, TimerWrite::Clear(run.id));
                self.set.retain(|(_, id, _)| *id != run.id);
            }
        }
        let awaited = awaited.into_iter();
        self.waits
            .extend(awaited.map(|awaited| wait_write(&run, awaited)));
        for (step, date) in watermarks {
            self.watermarks
                .push(WatermarkWrite::Raise(run.cycle.clone(), step, date));
        }
        self.stop_cycle |= stop_cycle;
        let notice = notice.as_deref().map(outbox_row);
        self.outbox.extend(notice.map(OutboxWrite::Put));
        self.parts.extend(item_parts(run.id, items));
        if rows == Rows::Both {
            self.runs.insert(run.id, run.clone());
        }
        if rows != Rows::Neither {
            self.loops.insert(looped.id, looped.clone());
        }
        let mut moved = (run, looped, action);
        for other in others {
            self.begun(&other.run, moved.0.id);
            let (run, looped, action) = self.moved(other);
            moved.1 = looped;
            if run.id == moved.0.id {
                (moved.0, moved.2) = (run, action);
            } else {
                self.grown.push(Grown { run, action });
            }
        }
        moved
    }

    /// A run that another one begins is new.
    fn begun(&mut self, run: &Run, by: RunId) {
        let new = run.id != by && !self.runs.contains_key(&run.id);
        if new {
            self.expect.push(Expect::NoRun(run.id));
        }
    }

    /// The runs that it writes.
    pub(crate) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values()
    }

    /// What becomes of the states of the loops that it writes.
    pub(crate) fn loop_moves(&self) -> Vec<LoopMove> {
        let was = |id: LoopId| self.loop_was.filter(|(known, _)| *known == id);
        let loops = self.loops.values();
        loops
            .map(|looped| {
                let was = was(looped.id).map(|(_, status)| status);
                (looped.cycle.clone(), was, looped.status)
            })
            .collect()
    }

    /// The state in which it leaves a loop, if it writes it.
    pub(crate) fn loop_status(&self, id: LoopId) -> Option<LoopStatus> {
        self.loops.get(&id).map(|looped| looped.status)
    }

    /// Adds what is kept beside rows.
    pub(crate) fn write_parts(&mut self, parts: Vec<PartWrite>) {
        self.parts.extend(parts);
    }

    /// The committed run must still have this fence.
    pub(crate) fn expect_fence(&mut self, run: RunId, fence: u64) {
        if !self.expect.contains(&Expect::NoRun(run)) {
            self.expect.push(Expect::RunFence(run, fence));
        }
    }

    /// Remembers an answer; refused where one is remembered already.
    pub(crate) fn remember(&mut self, row: IdempotencyRow, now: Timestamp) {
        self.expect
            .push(Expect::NoAnswer(row.hook.clone(), row.key.clone(), now));
        self.idempotency.push(row);
    }

    /// Remembers what a caller who is held hears first, unless the commit holds what the run answers: that
    /// takes its place, and both are refused where an answer is remembered already.
    pub(crate) fn remember_unless_answered(&mut self, row: IdempotencyRow, now: Timestamp) {
        self.expect
            .push(Expect::NoAnswer(row.hook.clone(), row.key.clone(), now));
        let same = |other: &IdempotencyRow| other.hook == row.hook && other.key == row.key;
        if !self.idempotency.iter().any(same) {
            self.idempotency.push(row);
        }
    }

    /// Notes values that a handler read and another loop wrote (SPEC §4).
    pub(crate) fn foreign_reads(
        &mut self,
        plan: &Plan,
        run: &Run,
        step: &StepId,
        foreign: Vec<(String, LoopId)>,
        now: Timestamp,
    ) {
        for (key, writer) in foreign {
            let mut lines = velodrome_core::Lines::new(plan, run, now);
            lines.at(
                step,
                Level::Warn,
                Event::StorageForeignRead,
                format!("`{key}` was last written by another loop that has not ended, {}: use loop_storage_*", writer.tail()),
            );
            self.lines.extend(lines.done());
        }
    }

    /// Says how far a schedule has come, and what became of the moment that was due.
    pub(crate) fn by_clock(&mut self, write: ScheduleWrite, line: LogLine) {
        self.schedules.push(write);
        self.lines.push(line);
    }

    /// Adds a line about a run.
    pub(crate) fn note(
        &mut self,
        plan: &Plan,
        run: &Run,
        now: Timestamp,
        level: Level,
        event: Event,
        message: &str,
    ) {
        let mut lines = velodrome_core::Lines::new(plan, run, now);
        lines.push(level, event, message);
        self.lines.extend(lines.done());
    }

    /// Adds what was gathered apart, behind what is here; its overlay has been taken over already.
    pub(crate) fn append(&mut self, other: Self) {
        self.expect.extend(other.expect);
        self.runs.extend(other.runs);
        for (id, looped) in other.loops {
            // What moved last knows the loop best.
            self.loops.entry(id).or_insert(looped);
        }
        self.parts.extend(other.parts);
        self.timers.extend(other.timers);
        self.waits.extend(other.waits);
        self.watermarks.extend(other.watermarks);
        // What ends the loop is told last, also where the next lap was over at once.
        let end = self.lines.pop_if(|line| {
            matches!(
                line.event,
                Event::LoopSucceeded | Event::LoopFailed | Event::LoopStopped
            )
        });
        self.lines.extend(other.lines);
        self.lines.extend(end);
        self.outbox.extend(other.outbox);
        self.plans.extend(other.plans);
        self.schedules.extend(other.schedules);
        self.set.extend(other.set);
        self.stop_cycle |= other.stop_cycle;
        self.moves.extend(other.moves);
        self.handed_off.extend(other.handed_off);
        self.replies.extend(other.replies);
        self.grown.extend(other.grown);
        self.forget.extend(other.forget);
    }

    /// Writes of scripts so far, taken out to be read through and put back by the next handler.
    pub(crate) fn take_overlay(&mut self) -> Overlay {
        std::mem::take(&mut self.overlay)
    }

    /// Has the log tell what handlers wrote to storage since it last did, on the line that says what became of the
    /// step.
    pub(crate) fn tell_storage(&mut self, plan: &Plan, step: &StepId) {
        let Some(kept) = crate::payloads::written(plan, &mut self.overlay) else {
            return;
        };
        if let Some(line) = crate::payloads::line_of(&mut self.lines, step) {
            payload::add(line, Some(kept));
        }
    }

    /// The unit to commit. `plan_row` gives the row of a plan that is not stored yet.
    pub(crate) fn into_unit(
        self,
        plan_row: impl Fn(&Plan) -> Option<velodrome_store::PlanRow>,
    ) -> (Unit, Vec<String>) {
        let mut plans = Vec::new();
        let mut hashes = Vec::new();
        for plan in &self.plans {
            if !hashes.contains(&plan.hash) {
                hashes.push(plan.hash.clone());
                plans.extend(plan_row(plan));
            }
        }
        let storage: Vec<StorageWrite> = self.overlay.into_writes();
        let unit = Unit {
            expect: self.expect,
            runs: self.runs.values().map(run_row).collect(),
            parts: self.parts,
            loops: self.loops.values().map(loop_row).collect(),
            timers: self.timers.into_values().collect(),
            waits: self.waits,
            storage,
            watermarks: self.watermarks,
            idempotency: self.idempotency,
            outbox: self.outbox,
            plans,
            schedules: self.schedules,
            lines: self.lines,
            forget: self.forget,
            ..Unit::default()
        };
        (unit, hashes)
    }
}
