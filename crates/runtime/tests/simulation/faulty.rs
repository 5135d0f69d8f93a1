//! A store whose commits crash the process or are refused, at moments that were drawn before.

use std::collections::BTreeSet;
use std::future::{pending, ready};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use velodrome_runtime::simulated::VirtualTime;
use velodrome_store::{
    Commit, CommitError, Cursor, CycleRow, Cycles, IdempotencyRow, Inbox, LogFilter, LogRead,
    LoopFilter, LoopRow, Loops, MemoryStore, Namespace, Page, PageRequest, PlanRow, Plans,
    Retention, RunFilter, RunRow, Runs, ScriptStorage, Secrets, Store, StoreError, StoredValue,
    TimerRow, Unit, Watermarks,
};
use velodrome_types::{
    ConnectionId, CycleId, LogLine, LoopId, LoopStatus, RunId, StepId, Timestamp,
};

/// What goes wrong, by the number of the commit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// The process ends before this commit is written.
    pub(crate) crash_before: Option<u64>,
    /// The process ends when this commit is written, before anybody hears of it.
    pub(crate) crash_after: Option<u64>,
    /// The disk refuses these.
    pub(crate) refuse: BTreeSet<u64>,
}

/// The store of one life of the process.
pub(crate) struct Faulty {
    inner: MemoryStore,
    faults: Faults,
    time: VirtualTime,
    commits: AtomicU64,
    crashed: AtomicBool,
    started: AtomicBool,
    refused: Mutex<u64>,
}

impl Faulty {
    pub(crate) fn new(inner: MemoryStore, faults: Faults, time: VirtualTime) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults,
            time,
            commits: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
            started: AtomicBool::new(false),
            refused: Mutex::new(0),
        })
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    pub(crate) fn refused(&self) -> u64 {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a crash leaves behind.
    pub(crate) fn left(&self) -> MemoryStore {
        self.inner.reopened()
    }

    /// The engine has started: a crash from here on leaves its tasks where they are.
    pub(crate) fn started(&self) {
        self.started.store(true, Ordering::SeqCst);
    }

    fn crash(&self) -> Commit {
        self.crashed.store(true, Ordering::SeqCst);
        self.time.stand_still();
        self.nobody_hears()
    }

    /// What comes of a commit after the crash. While the engine starts its caller waits for it, so it
    /// has to hear something.
    fn nobody_hears(&self) -> Commit {
        if self.started.load(Ordering::SeqCst) {
            return Box::pin(pending());
        }
        let why = "the process is gone".to_owned();
        Box::pin(ready(Err(CommitError::Unknown(why))))
    }
}

impl std::fmt::Debug for Faulty {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faulty")
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

type Read<T> = Result<T, StoreError>;

impl Runs for Faulty {
    fn run(&self, id: RunId) -> Read<Option<RunRow>> {
        self.inner.run(id)
    }
    fn runs(&self, filter: &RunFilter, page: PageRequest) -> Read<Page<RunRow>> {
        self.inner.runs(filter, page)
    }
    fn runs_ending(&self, suffix: &str) -> Read<Vec<RunId>> {
        self.inner.runs_ending(suffix)
    }
    fn unfinished(&self, after: u64, limit: usize) -> Read<Vec<(u64, RunRow)>> {
        self.inner.unfinished(after, limit)
    }
    fn parts(&self, run: RunId) -> Read<Vec<(u64, Vec<u8>)>> {
        self.inner.parts(run)
    }
    fn due(&self, until: Timestamp, limit: usize) -> Read<Vec<TimerRow>> {
        self.inner.due(until, limit)
    }
}

impl Loops for Faulty {
    fn loop_row(&self, id: LoopId) -> Read<Option<LoopRow>> {
        self.inner.loop_row(id)
    }
    fn loops(&self, filter: &LoopFilter, page: PageRequest) -> Read<Page<LoopRow>> {
        self.inner.loops(filter, page)
    }
    fn loop_parts(&self, id: LoopId) -> Read<Vec<(u64, Vec<u8>)>> {
        self.inner.loop_parts(id)
    }
    fn loops_ending(&self, suffix: &str) -> Read<Vec<LoopId>> {
        self.inner.loops_ending(suffix)
    }
    fn first_queued(&self, cycle: &CycleId) -> Read<Option<LoopRow>> {
        self.inner.first_queued(cycle)
    }
    fn open_loops(&self, cycle: &CycleId) -> Read<Vec<(LoopStatus, u64)>> {
        self.inner.open_loops(cycle)
    }
}

impl LogRead for Faulty {
    fn log_after(&self, after: u64, filter: &LogFilter, limit: usize) -> Read<(Vec<LogLine>, u64)> {
        self.inner.log_after(after, filter, limit)
    }
    fn log_tail(&self, count: usize, filter: &LogFilter) -> Read<Vec<LogLine>> {
        self.inner.log_tail(count, filter)
    }
    fn last_seq(&self) -> u64 {
        self.inner.last_seq()
    }
}

impl ScriptStorage for Faulty {
    fn get(&self, namespace: &Namespace, key: &str) -> Read<Option<StoredValue>> {
        self.inner.get(namespace, key)
    }
    fn list(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: usize,
    ) -> Read<Vec<(String, StoredValue)>> {
        self.inner.list(namespace, after, limit)
    }
    fn namespaces(&self) -> Read<Vec<Namespace>> {
        self.inner.namespaces()
    }
}

impl Watermarks for Faulty {
    fn watermark(&self, cycle: &CycleId, step: &StepId) -> Read<Option<Timestamp>> {
        self.inner.watermark(cycle, step)
    }
    fn watermarks(&self) -> Read<Vec<(CycleId, StepId, Timestamp)>> {
        self.inner.watermarks()
    }
}

impl Inbox for Faulty {
    fn answer(&self, hook: &str, key: &str, now: Timestamp) -> Read<Option<IdempotencyRow>> {
        self.inner.answer(hook, key, now)
    }
}

impl Plans for Faulty {
    fn plan(&self, hash: &str) -> Read<Option<PlanRow>> {
        self.inner.plan(hash)
    }
}

impl Cycles for Faulty {
    fn cycle_rows(&self) -> Read<Vec<CycleRow>> {
        self.inner.cycle_rows()
    }
}

impl Secrets for Faulty {
    fn secret(&self, name: &str) -> Read<Option<Vec<u8>>> {
        self.inner.secret(name)
    }
    fn secret_names(&self, prefix: &str) -> Read<Vec<String>> {
        self.inner.secret_names(prefix)
    }
}

impl Retention for Faulty {
    fn cycles_with_ended(&self) -> Read<Vec<CycleId>> {
        self.inner.cycles_with_ended()
    }
    fn ended_before(
        &self,
        cycle: &CycleId,
        status: LoopStatus,
        before: Timestamp,
        limit: usize,
    ) -> Read<Vec<LoopId>> {
        self.inner.ended_before(cycle, status, before, limit)
    }
    fn oldest_of_no_loop(&self) -> Read<Option<Timestamp>> {
        self.inner.oldest_of_no_loop()
    }
}

impl Store for Faulty {
    fn commit(&self, unit: Unit) -> Commit {
        if self.has_crashed() {
            return self.nobody_hears();
        }
        let number = self.commits.fetch_add(1, Ordering::SeqCst);
        if self.faults.crash_before == Some(number) {
            return self.crash();
        }
        if self.faults.crash_after == Some(number) {
            // The future need not be asked: the memory store writes at once.
            drop(self.inner.commit(unit));
            return self.crash();
        }
        if self.faults.refuse.contains(&number) {
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let why = "no space left on device".to_owned();
            return Box::pin(ready(Err(CommitError::Refused(why))));
        }
        self.inner.commit(unit)
    }

    fn close(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> {
        self.inner.close()
    }

    fn backup(&self) -> Read<std::fs::File> {
        self.inner.backup()
    }

    fn size_bytes(&self) -> Read<u64> {
        self.inner.size_bytes()
    }

    fn connection_namespaces(&self, connection: &ConnectionId) -> Read<Vec<Namespace>> {
        self.inner.connection_namespaces(connection)
    }
}

/// Every loop there is.
pub(crate) fn loops(store: &dyn Store) -> Vec<LoopRow> {
    let mut all = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = PageRequest { after, limit: 500 };
        let page = store.loops(&LoopFilter::default(), page).expect("it reads");
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}
