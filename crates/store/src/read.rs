//! The narrow traits, one a table: a caller's bounds say what it may touch.
//!
//! Reads are synchronous and short; they see everything whose commit has completed. Listings go
//! newest first by commit order and page by cursor, so that no reader holds a snapshot for long.

use std::fs::File;
use std::future::Future;
use std::pin::Pin;

use velodrome_types::{
    BATCH_UNITS, ConnectionId, CycleId, Event, Level, LogLine, LoopId, LoopStatus, RunId,
    RunStatus, StepId, Timestamp,
};

use crate::batch::{Committed, Unit};
use crate::error::{CommitError, StoreError};
use crate::rows::{
    CycleRow, IdempotencyRow, LoopRow, Namespace, OutboxRow, PlanRow, RunRow, ScheduleRow,
    StoredValue, TimerRow, WaitFound,
};

/// A commit under way. It goes on if this is dropped.
pub type Commit = Pin<Box<dyn Future<Output = Result<Committed, CommitError>> + Send>>;

/// A place in a listing; opaque to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor(pub u64);

/// Which part of a listing is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Continue behind this place.
    pub after: Option<Cursor>,
    /// At most so many items, 1 to 1,000.
    pub limit: usize,
}

/// One part of a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// Where the next part begins; `None` at the end.
    pub next: Option<Cursor>,
}

/// Which runs. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// Of this cycle.
    pub cycle: Option<CycleId>,
    /// Of this loop.
    pub loop_id: Option<LoopId>,
    /// In one of these states; empty is any.
    pub status: Vec<RunStatus>,
    /// Accepted then or later.
    pub since: Option<Timestamp>,
}

/// Which loops. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LoopFilter {
    /// Of this cycle.
    pub cycle: Option<CycleId>,
    /// In one of these states; empty is any.
    pub status: Vec<LoopStatus>,
    /// Started then or later.
    pub since: Option<Timestamp>,
}

impl RunFilter {
    /// Whether the run is one of the wanted.
    pub fn matches(&self, row: &RunRow) -> bool {
        self.cycle.as_ref().is_none_or(|cycle| row.cycle == *cycle)
            && self.loop_id.is_none_or(|id| row.loop_id == id)
            && (self.status.is_empty() || self.status.contains(&row.status))
            && self.since.is_none_or(|since| row.created >= since)
    }
}

impl LoopFilter {
    /// Whether the loop is one of the wanted.
    pub fn matches(&self, row: &LoopRow) -> bool {
        self.cycle.as_ref().is_none_or(|cycle| row.cycle == *cycle)
            && (self.status.is_empty() || self.status.contains(&row.status))
            && self.since.is_none_or(|since| row.started >= since)
    }
}

/// Which log lines. Every field that is set must match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogFilter {
    /// About this cycle.
    pub cycle: Option<CycleId>,
    /// About this loop.
    pub loop_id: Option<LoopId>,
    /// About this run.
    pub run: Option<RunId>,
    /// About this step.
    pub step: Option<StepId>,
    /// At least this level.
    pub level: Option<Level>,
    /// This event.
    pub event: Option<Event>,
    /// Then or later.
    pub since: Option<Timestamp>,
}

impl LogFilter {
    /// Whether the line is one of the wanted.
    pub fn matches(&self, line: &LogLine) -> bool {
        self.cycle
            .as_ref()
            .is_none_or(|cycle| line.cycle.as_ref() == Some(cycle))
            && self.loop_id.is_none_or(|id| line.loop_id == Some(id))
            && self.run.is_none_or(|id| line.run == Some(id))
            && self
                .step
                .as_ref()
                .is_none_or(|step| line.step.as_ref() == Some(step))
            && self.level.is_none_or(|level| line.level >= level)
            && self.event.is_none_or(|event| line.event == event)
            && self.since.is_none_or(|since| line.time >= since)
    }
}

/// How many runs, loops and notices there are that have not come to their end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The last commit that is counted in: its place in the order of all.
    pub order: u64,
    /// Runs that are at a step, by cycle, step and `running` or `waiting`; none of zero, in that order.
    pub runs: Vec<(CycleId, StepId, RunStatus, u64)>,
    /// Loops by cycle and state; none of zero, in the order of cycles and of the list of states.
    pub loops: Vec<(CycleId, LoopStatus, u64)>,
    /// Notices of failed runs.
    pub notices: u64,
}

/// What a store tells of its work since it was opened, and of its size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Transactions.
    pub transactions: u64,
    /// Units in them.
    pub units: u64,
    /// Transactions by how many units they had: those with as many as a bound of [`BATCH_UNITS`] or fewer, and more
    /// than the bound before it.
    pub batches: [u64; BATCH_UNITS.len()],
    /// Units that wait.
    pub queued: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
}

/// Runs and their timers.
pub trait Runs: Send + Sync {
    /// The run, if it is stored.
    fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError>;
    /// A listing, newest acceptance first.
    fn runs(&self, filter: &RunFilter, page: PageRequest) -> Result<Page<RunRow>, StoreError>;
    /// Runs whose id ends with these characters of its text form, two at the most; recent ones first.
    fn runs_ending(&self, suffix: &str) -> Result<Vec<RunId>, StoreError>;
    /// Every run that has not ended, in order of acceptance, some at a time: those after `after`.
    /// The number with each is its place in that order.
    fn unfinished(&self, after: u64, limit: usize) -> Result<Vec<(u64, RunRow)>, StoreError>;
    /// How much is on its way, as one commit left it. Costs what there is of it: for the start of an engine.
    fn standing(&self) -> Result<Standing, StoreError>;
    /// What is kept of a run beside its row, by number.
    fn parts(&self, run: RunId) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;
    /// Timers due at or before `until`, earliest first, at most `limit`.
    fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<TimerRow>, StoreError>;
}

/// Loops.
pub trait Loops: Send + Sync {
    /// The loop, if it is stored.
    fn loop_row(&self, id: LoopId) -> Result<Option<LoopRow>, StoreError>;
    /// A listing, newest acceptance first.
    fn loops(&self, filter: &LoopFilter, page: PageRequest) -> Result<Page<LoopRow>, StoreError>;
    /// Loops whose id ends with these characters of its text form, two at the most; recent ones first.
    fn loops_ending(&self, suffix: &str) -> Result<Vec<LoopId>, StoreError>;
    /// The queued loop of this cycle that was accepted first (commit order).
    fn first_queued(&self, cycle: &CycleId) -> Result<Option<LoopRow>, StoreError>;
    /// What is kept of a loop beside its row, by number.
    fn loop_parts(&self, id: LoopId) -> Result<Vec<(u64, Vec<u8>)>, StoreError>;
    /// How many loops of the cycle are in each state that is not final.
    fn open_loops(&self, cycle: &CycleId) -> Result<Vec<(LoopStatus, u64)>, StoreError>;
}

/// The run log.
pub trait LogRead: Send + Sync {
    /// Matching lines with `seq` above `after`, in order, at most `limit`; with them the `seq` up to
    /// which the log was searched, to go on from.
    fn log_after(
        &self,
        after: u64,
        filter: &LogFilter,
        limit: usize,
    ) -> Result<(Vec<LogLine>, u64), StoreError>;
    /// The last `count` matching lines, in order.
    fn log_tail(&self, count: usize, filter: &LogFilter) -> Result<Vec<LogLine>, StoreError>;
    /// The newest line's `seq`; 0 if there is none.
    fn last_seq(&self) -> u64;
}

/// What scripts keep.
pub trait ScriptStorage: Send + Sync {
    /// The value, if the key is there.
    fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<StoredValue>, StoreError>;
    /// All keys with their values, in byte order of the key, at most `limit` after `after`.
    fn list(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, StoredValue)>, StoreError>;
    /// Every namespace that holds something, in order.
    fn namespaces(&self) -> Result<Vec<Namespace>, StoreError>;
    /// The same in parts: at most `limit` that come after `after`. Their order is the store's own, and stays.
    fn namespaces_after(
        &self,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<Namespace>, StoreError>;
}

/// Last successful run dates.
pub trait Watermarks: Send + Sync {
    /// The date of this step, if one is set.
    fn watermark(&self, cycle: &CycleId, step: &StepId) -> Result<Option<Timestamp>, StoreError>;
    /// Every date that is set.
    fn watermarks(&self) -> Result<Vec<(CycleId, StepId, Timestamp)>, StoreError>;
}

/// Remembered answers.
pub trait Inbox: Send + Sync {
    /// The answer remembered for this key, unless it has expired.
    fn answer(
        &self,
        hook: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRow>, StoreError>;
}

/// Runs that wait for a request.
pub trait Waits: Send + Sync {
    /// Of the runs at this webhook, `cycle/step`, that are found by these fields and this key the one that began
    /// last to wait, of those that wait still before those that did.
    fn waiting(
        &self,
        hook: &str,
        fields: &str,
        key: &[u8; 16],
    ) -> Result<Option<WaitFound>, StoreError>;
    /// Every set of fields by which runs at this webhook are found, in order.
    fn waited_fields(&self, hook: &str) -> Result<Vec<String>, StoreError>;
}

/// Notices of failed runs that have not been delivered.
pub trait Outbox: Send + Sync {
    /// Of each cycle that has notices due at or before `until` the one that was put first; in the order in
    /// which they were put.
    fn outbox_heads(&self, until: Timestamp) -> Result<Vec<OutboxRow>, StoreError>;
    /// When the first of the notices is due that are due later than this.
    fn outbox_next(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError>;
}

/// Plans that stored runs are on.
pub trait Plans: Send + Sync {
    /// The plan of this hash.
    fn plan(&self, hash: &str) -> Result<Option<PlanRow>, StoreError>;
}

/// The operator's word on cycles, and how far their schedules have come.
pub trait Cycles: Send + Sync {
    /// Every cycle somebody has said something of.
    fn cycle_rows(&self) -> Result<Vec<CycleRow>, StoreError>;
    /// How far every schedule has come that has begun to count, in order of the cycles' ids.
    fn schedule_rows(&self) -> Result<Vec<ScheduleRow>, StoreError>;
}

/// Sealed secrets and tokens.
pub trait Secrets: Send + Sync {
    /// The sealed bytes under this name.
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// The names that begin with this.
    fn secret_names(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}

/// What may no longer be kept.
pub trait Retention: Send + Sync {
    /// Every cycle that has loops which have ended.
    fn cycles_with_ended(&self) -> Result<Vec<CycleId>, StoreError>;
    /// Loops of the cycle in this final state that changed last before `before`, those that ended first
    /// first, at most `limit`.
    fn ended_before(
        &self,
        cycle: &CycleId,
        status: LoopStatus,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoopId>, StoreError>;
    /// The earliest time of a log line that is about no loop.
    fn oldest_of_no_loop(&self) -> Result<Option<Timestamp>, StoreError>;
}

/// A whole store.
pub trait Store:
    Runs
    + Loops
    + LogRead
    + ScriptStorage
    + Watermarks
    + Inbox
    + Waits
    + Outbox
    + Plans
    + Cycles
    + Secrets
    + Retention
    + std::fmt::Debug
{
    /// Commits the unit. Completion means: durable, and visible to every read.
    fn commit(&self, unit: Unit) -> Commit;
    /// Waits for what is under way, writes what makes the next start fast, and lets go of the files.
    /// Commits after this answer [`CommitError::Closed`].
    fn close(&self) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;
    /// A copy of everything as one moment has it, in a file that only this handle reaches. It is made
    /// beside commits, and blocks its caller meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Backend`] where it cannot be written, or where a store has nothing to copy.
    fn backup(&self) -> Result<File, StoreError>;
    /// What it has done and how large it is; for operators. Costs the same however much is stored.
    fn stats(&self) -> StoreStats {
        StoreStats::default()
    }
    /// Bytes on disk; for operators.
    fn size_bytes(&self) -> Result<u64, StoreError>;
    /// The namespaces of one connection, in order.
    fn connection_namespaces(
        &self,
        connection: &ConnectionId,
    ) -> Result<Vec<Namespace>, StoreError> {
        Ok(self
            .namespaces()?
            .into_iter()
            .filter(|namespace| match namespace {
                Namespace::Connection(c) | Namespace::Cycle(c, _) | Namespace::Loop(c, _) => {
                    c == connection
                }
            })
            .collect())
    }
}
