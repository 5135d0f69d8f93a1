//! The store's traits over the tables in memory, behind one mutex.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::future::{Future, ready};
use std::ops::Bound;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use velodrome_types::{CycleId, LogLine, LoopId, LoopStatus, RunId, RunStatus, StepId, Timestamp};

use super::data::Data;
use crate::batch::Unit;
use crate::error::{CommitError, StoreError};
use crate::read::{
    Commit, Cursor, Cycles, Inbox, LogFilter, LogRead, LoopFilter, Loops, Outbox, Page,
    PageRequest, Plans, Retention, RunFilter, Runs, ScriptStorage, Secrets, Standing, Store, Waits,
    Watermarks,
};
use crate::rows::{
    CycleRow, IdempotencyRow, LoopRow, Namespace, OutboxRow, PlanRow, RunRow, ScheduleRow,
    StoredValue, TimerRow, WaitFound, WaitRow,
};
use crate::storage_op::StorageLimits;
use crate::suffix::IdSuffix;

/// A store whose data live as long as it does. Commits complete at once.
#[derive(Debug, Default)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    limits: StorageLimits,
}

#[derive(Debug, Default)]
struct Inner {
    data: Data,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store that takes so much script storage.
    pub fn with_limits(limits: StorageLimits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// What the next process finds after this one died now: a store of its own with all that was
    /// committed.
    #[must_use]
    pub fn reopened(&self) -> Self {
        let data = self.lock().data.clone();
        Self {
            inner: Mutex::new(Inner {
                data,
                closed: false,
            }),
            limits: self.limits,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic in the middle of a commit is a bug that a test shows; the data stay readable.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Data) -> T) -> T {
        read(&self.lock().data)
    }
}

/// One part of a listing, newest first.
fn page<T: Clone>(
    rows: &BTreeMap<u64, T>,
    request: PageRequest,
    matches: impl Fn(&T) -> bool,
) -> Page<T> {
    let end = match request.after {
        Some(Cursor(place)) => Bound::Excluded(place),
        None => Bound::Unbounded,
    };
    let limit = request.limit.clamp(1, 1000);
    let mut found: Vec<(u64, T)> = rows
        .range((Bound::Unbounded, end))
        .rev()
        .filter(|(_, row)| matches(row))
        .take(limit + 1)
        .map(|(place, row)| (*place, row.clone()))
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    Page {
        next: found
            .last()
            .filter(|_| more)
            .map(|(place, _)| Cursor(*place)),
        items: found.into_iter().map(|(_, row)| row).collect(),
    }
}

impl Runs for MemoryStore {
    fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        Ok(self.read(|data| data.run(id).cloned()))
    }

    fn runs(&self, filter: &RunFilter, request: PageRequest) -> Result<Page<RunRow>, StoreError> {
        Ok(self.read(|data| page(&data.runs, request, |row| filter.matches(row))))
    }

    fn runs_ending(&self, suffix: &str) -> Result<Vec<RunId>, StoreError> {
        let Some(suffix) = IdSuffix::parse(RunId::PREFIX, suffix) else {
            return Ok(Vec::new());
        };
        Ok(self.read(|data| {
            let newest_first = data.runs.values().rev().map(|row| row.id);
            newest_first
                .filter(|id| suffix.matches(id.as_bytes()))
                .take(2)
                .collect()
        }))
    }

    fn unfinished(&self, after: u64, limit: usize) -> Result<Vec<(u64, RunRow)>, StoreError> {
        Ok(self.read(|data| {
            data.unfinished
                .range((Bound::Excluded(after), Bound::Unbounded))
                .take(limit)
                .filter_map(|place| Some((*place, data.runs.get(place)?.clone())))
                .collect()
        }))
    }

    fn standing(&self) -> Result<Standing, StoreError> {
        Ok(self.read(|data| {
            let mut counts: BTreeMap<(CycleId, StepId, bool), u64> = BTreeMap::new();
            for place in &data.unfinished {
                let Some(row) = data.runs.get(place) else {
                    continue;
                };
                let waits = row.status == RunStatus::Waiting;
                if let Some(step) = &row.step
                    && (waits || row.status == RunStatus::Running)
                {
                    let at = (row.cycle.clone(), step.clone(), waits);
                    *counts.entry(at).or_default() += 1;
                }
            }
            let status = |waits| match waits {
                true => RunStatus::Waiting,
                false => RunStatus::Running,
            };
            let mut loops: BTreeMap<(CycleId, LoopStatus), u64> = BTreeMap::new();
            for row in data.loops.values().filter(|row| !row.status.is_final()) {
                *loops.entry((row.cycle.clone(), row.status)).or_default() += 1;
            }
            let runs = counts.into_iter();
            Standing {
                order: data.commits,
                runs: runs
                    .map(|((cycle, step, waits), count)| (cycle, step, status(waits), count))
                    .collect(),
                loops: loops
                    .into_iter()
                    .map(|((cycle, status), count)| (cycle, status, count))
                    .collect(),
                notices: data.outbox.len() as u64,
            }
        }))
    }

    fn parts(&self, run: RunId) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        Ok(self.read(|data| {
            let parts = data.parts.range((run, 0)..=(run, u64::MAX));
            parts
                .map(|((_, number), body)| (*number, body.clone()))
                .collect()
        }))
    }

    fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<TimerRow>, StoreError> {
        Ok(self.read(|data| {
            let due = data.due.iter().take_while(|timer| timer.due <= until);
            due.take(limit).copied().collect()
        }))
    }
}

impl Loops for MemoryStore {
    fn loop_row(&self, id: LoopId) -> Result<Option<LoopRow>, StoreError> {
        Ok(self.read(|data| data.loop_row(id).cloned()))
    }

    fn loops(
        &self,
        filter: &LoopFilter,
        request: PageRequest,
    ) -> Result<Page<LoopRow>, StoreError> {
        Ok(self.read(|data| page(&data.loops, request, |row| filter.matches(row))))
    }

    fn loop_parts(&self, id: LoopId) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        Ok(self.read(|data| {
            let parts = data.loop_parts.range((id, 0)..=(id, u64::MAX));
            parts
                .map(|((_, number), body)| (*number, body.clone()))
                .collect()
        }))
    }

    fn loops_ending(&self, suffix: &str) -> Result<Vec<LoopId>, StoreError> {
        let Some(suffix) = IdSuffix::parse(LoopId::PREFIX, suffix) else {
            return Ok(Vec::new());
        };
        Ok(self.read(|data| {
            let newest_first = data.loops.values().rev().map(|row| row.id);
            newest_first
                .filter(|id| suffix.matches(id.as_bytes()))
                .take(2)
                .collect()
        }))
    }

    fn first_queued(&self, cycle: &CycleId) -> Result<Option<LoopRow>, StoreError> {
        Ok(self.read(|data| {
            let queued = |row: &&LoopRow| row.status == LoopStatus::Queued && row.cycle == *cycle;
            data.loops.values().find(queued).cloned()
        }))
    }

    fn open_loops(&self, cycle: &CycleId) -> Result<Vec<(LoopStatus, u64)>, StoreError> {
        Ok(self.read(|data| {
            let of_cycle = || data.loops.values().filter(|row| row.cycle == *cycle);
            let count = |status| of_cycle().filter(|row| row.status == status).count() as u64;
            let open = LoopStatus::ALL.iter().filter(|status| !status.is_final());
            open.map(|status| (*status, count(*status)))
                .filter(|(_, count)| *count > 0)
                .collect()
        }))
    }
}

impl LogRead for MemoryStore {
    fn log_after(
        &self,
        after: u64,
        filter: &LogFilter,
        limit: usize,
    ) -> Result<(Vec<LogLine>, u64), StoreError> {
        Ok(self.read(|data| {
            let start = data.lines.partition_point(|line| line.seq <= after);
            let matching = data.lines[start..].iter().filter(|l| filter.matches(l));
            let lines: Vec<LogLine> = matching.take(limit).cloned().collect();
            let searched = match lines.last() {
                Some(last) if lines.len() == limit => last.seq,
                _ if limit == 0 => after,
                _ => data.last_seq().max(after),
            };
            (lines, searched)
        }))
    }

    fn log_tail(&self, count: usize, filter: &LogFilter) -> Result<Vec<LogLine>, StoreError> {
        Ok(self.read(|data| {
            let matching = data.lines.iter().rev().filter(|l| filter.matches(l));
            let mut lines: Vec<LogLine> = matching.take(count).cloned().collect();
            lines.reverse();
            lines
        }))
    }

    fn last_seq(&self) -> u64 {
        self.read(Data::last_seq)
    }
}

impl ScriptStorage for MemoryStore {
    fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<StoredValue>, StoreError> {
        Ok(self.read(|data| data.storage.get(namespace)?.get(key).cloned()))
    }

    fn list(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, StoredValue)>, StoreError> {
        let start = match after {
            Some(key) => Bound::Excluded(key),
            None => Bound::Unbounded,
        };
        Ok(self.read(|data| {
            let items = data.storage.get(namespace).into_iter();
            items
                .flat_map(|items| items.range::<str, _>((start, Bound::Unbounded)))
                .take(limit)
                .map(|(key, stored)| (key.clone(), stored.clone()))
                .collect()
        }))
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, StoreError> {
        Ok(self.read(|data| data.storage.keys().cloned().collect()))
    }

    fn namespaces_after(
        &self,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<Namespace>, StoreError> {
        Ok(self.read(|data| {
            let keys = data.storage.keys();
            let behind = keys.filter(|key| after.is_none_or(|after| *key > after));
            behind.take(limit).cloned().collect()
        }))
    }
}

impl Watermarks for MemoryStore {
    fn watermark(&self, cycle: &CycleId, step: &StepId) -> Result<Option<Timestamp>, StoreError> {
        let key = (cycle.clone(), step.clone());
        Ok(self.read(|data| data.watermarks.get(&key).copied()))
    }

    fn watermarks(&self) -> Result<Vec<(CycleId, StepId, Timestamp)>, StoreError> {
        Ok(self.read(|data| {
            let all = data.watermarks.iter();
            all.map(|((cycle, step), date)| (cycle.clone(), step.clone(), *date))
                .collect()
        }))
    }
}

impl Inbox for MemoryStore {
    fn answer(
        &self,
        hook: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        Ok(self.read(|data| data.answer(hook, key, now).cloned()))
    }
}

impl Waits for MemoryStore {
    fn waiting(
        &self,
        hook: &str,
        fields: &str,
        key: &[u8; 16],
    ) -> Result<Option<WaitFound>, StoreError> {
        Ok(self.read(|data| {
            let of = |row: &WaitRow| row.hook == hook && row.fields == fields && row.key == *key;
            let found = data.waits.iter().filter(|(_, (row, _))| of(row));
            found
                .map(|(place, (row, open))| WaitFound {
                    place: *place,
                    run: row.run,
                    loop_id: row.loop_id,
                    open: *open,
                })
                .max_by_key(|found| (found.open, found.place))
        }))
    }

    fn waited_fields(&self, hook: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.read(|data| {
            let here = data.waits.values().filter(|(row, _)| row.hook == hook);
            let fields: BTreeSet<_> = here.map(|(row, _)| row.fields.clone()).collect();
            fields.into_iter().collect()
        }))
    }
}

impl Outbox for MemoryStore {
    fn outbox_heads(&self, until: Timestamp) -> Result<Vec<OutboxRow>, StoreError> {
        Ok(self.read(|data| {
            let mut seen = BTreeSet::new();
            let due = data.outbox.iter().filter(|row| row.due <= until);
            due.filter(|row| seen.insert(row.cycle.clone()))
                .cloned()
                .collect()
        }))
    }

    fn outbox_next(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|data| {
            let later = data.outbox.iter().map(|row| row.due);
            later.filter(|due| *due > after).min()
        }))
    }
}

impl Plans for MemoryStore {
    fn plan(&self, hash: &str) -> Result<Option<PlanRow>, StoreError> {
        Ok(self.read(|data| data.plans.get(hash).cloned()))
    }
}

impl Cycles for MemoryStore {
    fn cycle_rows(&self) -> Result<Vec<CycleRow>, StoreError> {
        Ok(self.read(|data| {
            let rows = data.cycles.iter();
            rows.map(|(cycle, state)| CycleRow {
                cycle: cycle.clone(),
                state: *state,
            })
            .collect()
        }))
    }

    fn schedule_rows(&self) -> Result<Vec<ScheduleRow>, StoreError> {
        Ok(self.read(|data| data.schedules.values().cloned().collect()))
    }
}

impl Secrets for MemoryStore {
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.read(|data| data.secrets.get(name).cloned()))
    }

    fn secret_names(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.read(|data| {
            let names = data.secrets.keys();
            names
                .filter(|name| name.starts_with(prefix))
                .cloned()
                .collect()
        }))
    }
}

impl Retention for MemoryStore {
    fn cycles_with_ended(&self) -> Result<Vec<CycleId>, StoreError> {
        Ok(self.read(|data| {
            let ended = data.loops.values().filter(|row| row.status.is_final());
            let cycles: BTreeSet<CycleId> = ended.map(|row| row.cycle.clone()).collect();
            cycles.into_iter().collect()
        }))
    }

    fn ended_before(
        &self,
        cycle: &CycleId,
        status: LoopStatus,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoopId>, StoreError> {
        Ok(self.read(|data| {
            let of = |row: &&LoopRow| {
                row.cycle == *cycle
                    && row.status == status
                    && row.status.is_final()
                    && row.updated < before
            };
            let mut found: Vec<&LoopRow> = data.loops.values().filter(of).collect();
            found.sort_by_key(|row| row.updated);
            found.iter().take(limit).map(|row| row.id).collect()
        }))
    }

    fn oldest_of_no_loop(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.read(|data| {
            let free = data.lines.iter().filter(|line| line.loop_id.is_none());
            free.map(|line| line.time).min()
        }))
    }
}

impl Store for MemoryStore {
    fn commit(&self, unit: Unit) -> Commit {
        let mut inner = self.lock();
        let result = if inner.closed {
            Err(CommitError::Closed)
        } else {
            inner.data.commit(unit, &self.limits)
        };
        Box::pin(ready(result))
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> {
        self.lock().closed = true;
        Box::pin(ready(Ok(())))
    }

    fn backup(&self) -> Result<File, StoreError> {
        let why = "a store in memory is not backed up".to_owned();
        Err(StoreError::Backend(why))
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
