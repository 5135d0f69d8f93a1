//! The tables in memory, and what a unit does to them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use velodrome_types::{CycleId, CycleState, LogLine, LoopId, RunId, StepId, Timestamp};

use crate::batch::{
    Committed, Expect, OutboxWrite, PartWrite, ScheduleWrite, StorageWrite, TimerWrite, Unit,
    WaitWrite, WatermarkWrite,
};
use crate::error::CommitError;
use crate::rows::{
    IdempotencyRow, LoopRow, Namespace, OutboxRow, PlanRow, RunRow, ScheduleRow, StoredValue,
    TimerRow, WaitRow,
};
use crate::storage_op::{StorageLimits, StorageRefusal, apply};

type Items = BTreeMap<String, StoredValue>;

/// Everything a store holds. Rows of runs and loops are kept by their place in the order of
/// acceptance, which the two share.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub(super) commits: u64,
    places: u64,
    run_places: HashMap<RunId, u64>,
    pub(super) runs: BTreeMap<u64, RunRow>,
    pub(super) unfinished: BTreeSet<u64>,
    loop_places: HashMap<LoopId, u64>,
    pub(super) loops: BTreeMap<u64, LoopRow>,
    pub(super) parts: BTreeMap<(RunId, u64), Vec<u8>>,
    pub(super) loop_parts: BTreeMap<(LoopId, u64), Vec<u8>>,
    timers: HashMap<RunId, Timestamp>,
    pub(super) due: BTreeSet<TimerRow>,
    pub(super) storage: BTreeMap<Namespace, Items>,
    /// In the order in which they began, with whether they are open.
    pub(super) waits: BTreeMap<u64, (WaitRow, bool)>,
    pub(super) watermarks: BTreeMap<(CycleId, StepId), Timestamp>,
    pub(super) answers: BTreeMap<(String, String), IdempotencyRow>,
    /// In the order in which they were put.
    pub(super) outbox: Vec<OutboxRow>,
    pub(super) plans: BTreeMap<String, PlanRow>,
    pub(super) cycles: BTreeMap<CycleId, CycleState>,
    pub(super) schedules: BTreeMap<CycleId, ScheduleRow>,
    pub(super) secrets: BTreeMap<String, Vec<u8>>,
    pub(super) lines: Vec<LogLine>,
    last_seq: u64,
}

/// How a storage write is taken back.
enum Undo {
    Item(Namespace, String, Option<StoredValue>),
    All(Namespace, Items),
}

impl Data {
    pub(super) fn run(&self, id: RunId) -> Option<&RunRow> {
        self.runs.get(self.run_places.get(&id)?)
    }

    pub(super) fn loop_row(&self, id: LoopId) -> Option<&LoopRow> {
        self.loops.get(self.loop_places.get(&id)?)
    }

    pub(super) fn answer(&self, hook: &str, key: &str, now: Timestamp) -> Option<&IdempotencyRow> {
        self.answers
            .get(&(hook.to_owned(), key.to_owned()))
            .filter(|row| row.expires > now)
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.last_seq
    }

    /// Applies the unit, or changes nothing.
    pub(super) fn commit(
        &mut self,
        unit: Unit,
        limits: &StorageLimits,
    ) -> Result<Committed, CommitError> {
        for expect in &unit.expect {
            self.check(expect)?;
        }
        // Storage is the only part that can still be refused.
        self.write_storage(unit.storage, limits)?;
        for row in unit.runs {
            self.write_run(row);
        }
        for write in unit.parts {
            self.write_part(write);
        }
        for row in unit.loops {
            self.write_loop(row);
        }
        for write in unit.timers {
            self.write_timer(write);
        }
        for write in unit.waits {
            self.write_wait(write);
        }
        for write in unit.watermarks {
            self.write_watermark(write);
        }
        for row in unit.idempotency {
            self.answers
                .insert((row.hook.clone(), row.key.clone()), row);
        }
        for write in unit.outbox {
            self.write_outbox(write);
        }
        for row in unit.plans {
            self.plans.entry(row.hash.clone()).or_insert(row);
        }
        for row in unit.cycles {
            self.cycles.insert(row.cycle, row.state);
        }
        for cycle in unit.cycles_deleted {
            self.cycles.remove(&cycle);
            let of_step = format!("{cycle}/");
            self.answers
                .retain(|(hook, _), _| hook != cycle.as_str() && !hook.starts_with(&of_step));
        }
        for write in unit.schedules {
            match write {
                ScheduleWrite::Put(row) => self.schedules.insert(row.cycle.clone(), row),
                ScheduleWrite::Remove(cycle) => self.schedules.remove(&cycle),
            };
        }
        for row in unit.secrets {
            self.secrets.insert(row.name, row.sealed);
        }
        for name in unit.secrets_deleted {
            self.secrets.remove(&name);
        }
        for mut line in unit.lines {
            line.seq = self.last_seq() + 1;
            self.last_seq = line.seq;
            self.lines.push(line);
        }
        for forget in unit.forget {
            self.forget(forget);
        }
        self.commits += 1;
        Ok(Committed {
            order: self.commits,
            last_seq: self.last_seq(),
        })
    }

    fn check(&self, expect: &Expect) -> Result<(), CommitError> {
        let refused = |why| Err(CommitError::Conflict(why));
        match expect {
            Expect::RunFence(id, fence) => match self.run(*id) {
                Some(row) if row.fence == *fence => Ok(()),
                Some(row) => refused(format!("`{id}` is at fence {}, not {fence}", row.fence)),
                None => refused(format!("`{id}` is not stored")),
            },
            Expect::NoRun(id) => match self.run(*id) {
                None => Ok(()),
                Some(_) => refused(format!("`{id}` is stored already")),
            },
            Expect::LoopOpen(id) => match self.loop_row(*id) {
                Some(row) if !row.status.is_final() => Ok(()),
                Some(row) => refused(format!("`{id}` is {}", row.status)),
                None => refused(format!("`{id}` is not stored")),
            },
            Expect::NoAnswer(hook, key, now) => match self.answer(hook, key, *now) {
                None => Ok(()),
                Some(_) => refused(format!("`{hook}` has answered `{key}` already")),
            },
        }
    }

    fn write_run(&mut self, row: RunRow) {
        let next = self.places + 1;
        let place = *self.run_places.entry(row.id).or_insert(next);
        self.places = self.places.max(place);
        if row.status.is_final() {
            self.unfinished.remove(&place);
        } else {
            self.unfinished.insert(place);
        }
        self.runs.insert(place, row);
    }

    pub(super) fn remove_run(&mut self, place: u64) {
        let Some(row) = self.runs.remove(&place) else {
            return;
        };
        self.run_places.remove(&row.id);
        self.write_part(PartWrite::Clear(row.id, 0));
        self.write_timer(TimerWrite::Clear(row.id));
        self.waits.retain(|_, (wait, _)| wait.run != row.id);
    }

    pub(super) fn remove_loop(&mut self, id: LoopId) {
        if let Some(place) = self.loop_places.remove(&id) {
            self.loops.remove(&place);
        }
        self.loop_parts.retain(|(of, _), _| *of != id);
    }

    fn write_part(&mut self, write: PartWrite) {
        match write {
            PartWrite::Put(run, number, body) => {
                self.parts.insert((run, number), body);
            }
            PartWrite::Clear(run, from) => {
                self.parts
                    .retain(|(of, number), _| *of != run || *number < from);
            }
            PartWrite::PutOfLoop(id, number, body) => {
                self.loop_parts.insert((id, number), body);
            }
            PartWrite::ForgetOfLoop(id, below) => {
                self.loop_parts
                    .retain(|(of, number), _| *of != id || *number >= below);
            }
        }
    }

    fn write_loop(&mut self, row: LoopRow) {
        let next = self.places + 1;
        let place = *self.loop_places.entry(row.id).or_insert(next);
        self.places = self.places.max(place);
        self.loops.insert(place, row);
    }

    fn write_timer(&mut self, write: TimerWrite) {
        let (run, due) = match write {
            TimerWrite::Set(run, due) => (run, Some(due)),
            TimerWrite::Clear(run) => (run, None),
        };
        let before = match due {
            Some(due) => {
                self.due.insert(TimerRow { due, run });
                self.timers.insert(run, due)
            }
            None => self.timers.remove(&run),
        };
        if let Some(before) = before.filter(|before| Some(*before) != due) {
            self.due.remove(&TimerRow { due: before, run });
        }
    }

    fn write_wait(&mut self, write: WaitWrite) {
        match write {
            WaitWrite::Begin(row) => {
                let same = |known: &WaitRow| known.run == row.run && known.hook == row.hook;
                self.waits.retain(|_, (known, _)| !same(known));
                let last = self.waits.last_key_value().map_or(0, |(place, _)| *place);
                self.waits.insert(last + 1, (row, true));
            }
            WaitWrite::End(run, hook) => {
                for (known, open) in self.waits.values_mut() {
                    *open &= known.run != run || known.hook != hook;
                }
            }
        }
    }

    fn write_outbox(&mut self, write: OutboxWrite) {
        match write {
            OutboxWrite::Put(row) => {
                let same =
                    |known: &&mut OutboxRow| (known.run, known.number) == (row.run, row.number);
                match self.outbox.iter_mut().find(same) {
                    Some(known) => *known = row,
                    None => self.outbox.push(row),
                }
            }
            OutboxWrite::Remove(run, number) => {
                self.outbox
                    .retain(|known| (known.run, known.number) != (run, number));
            }
        }
    }

    fn write_watermark(&mut self, write: WatermarkWrite) {
        match write {
            WatermarkWrite::Raise(cycle, step, date) => {
                let stored = self.watermarks.entry((cycle, step)).or_insert(date);
                *stored = date.max(*stored);
            }
            WatermarkWrite::Set(cycle, step, date) => {
                self.watermarks.insert((cycle, step), date);
            }
            WatermarkWrite::Unset(cycle, step) => {
                self.watermarks.remove(&(cycle, step));
            }
        }
    }

    fn write_storage(
        &mut self,
        writes: Vec<StorageWrite>,
        limits: &StorageLimits,
    ) -> Result<(), CommitError> {
        let mut undo = Vec::new();
        for write in writes {
            match self.write_item(write, limits) {
                Ok(step) => undo.push(step),
                Err(refusal) => {
                    for step in undo.into_iter().rev() {
                        self.take_back(step);
                    }
                    return Err(refusal.into());
                }
            }
        }
        Ok(())
    }

    fn write_item(
        &mut self,
        write: StorageWrite,
        limits: &StorageLimits,
    ) -> Result<Undo, StorageRefusal> {
        let StorageWrite { namespace, by, op } = write;
        let Some(key) = op.key() else {
            let items = self.storage.remove(&namespace).unwrap_or_default();
            return Ok(Undo::All(namespace, items));
        };
        let items = self.storage.get(&namespace);
        let current = items.and_then(|items| items.get(key));
        let value = apply(&op, current.map(|stored| &stored.value), limits)?;
        if value.is_some() && current.is_none() {
            let count = items.map_or(0, BTreeMap::len) as u64;
            limits.check_items(count + 1, key)?;
        }
        let stored = value.map(|value| StoredValue {
            value,
            written_by: by,
        });
        let key = key.to_owned();
        let before = self.put(&namespace, &key, stored);
        Ok(Undo::Item(namespace, key, before))
    }

    fn put(
        &mut self,
        namespace: &Namespace,
        key: &str,
        stored: Option<StoredValue>,
    ) -> Option<StoredValue> {
        match stored {
            Some(stored) => self
                .storage
                .entry(namespace.clone())
                .or_default()
                .insert(key.to_owned(), stored),
            None => {
                let items = self.storage.get_mut(namespace)?;
                let before = items.remove(key);
                if items.is_empty() {
                    self.storage.remove(namespace);
                }
                before
            }
        }
    }

    fn take_back(&mut self, step: Undo) {
        match step {
            Undo::Item(namespace, key, before) => {
                self.put(&namespace, &key, before);
            }
            Undo::All(namespace, items) => {
                if !items.is_empty() {
                    self.storage.insert(namespace, items);
                }
            }
        }
    }
}
