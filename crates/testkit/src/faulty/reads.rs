//! Reads are the memory store's own.

use velodrome_store::{
    CycleRow, Cycles, IdempotencyRow, Inbox, LogFilter, LogRead, LoopFilter, LoopRow, Loops,
    Namespace, Outbox, OutboxRow, Page, PageRequest, PlanRow, Plans, Retention, RunFilter, RunRow,
    Runs, ScheduleRow, ScriptStorage, Secrets, Standing, StoreError, StoredValue, TimerRow,
    WaitFound, Waits, Watermarks,
};
use velodrome_types::{CycleId, LogLine, LoopId, LoopStatus, RunId, StepId, Timestamp};

use super::Faulty;

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
    fn standing(&self) -> Read<Standing> {
        self.inner.standing()
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
    fn loops_ending(&self, suffix: &str) -> Read<Vec<LoopId>> {
        self.inner.loops_ending(suffix)
    }
    fn first_queued(&self, cycle: &CycleId) -> Read<Option<LoopRow>> {
        self.inner.first_queued(cycle)
    }
    fn loop_parts(&self, id: LoopId) -> Read<Vec<(u64, Vec<u8>)>> {
        self.inner.loop_parts(id)
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
    fn namespaces_after(&self, after: Option<&Namespace>, limit: usize) -> Read<Vec<Namespace>> {
        self.inner.namespaces_after(after, limit)
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

impl Waits for Faulty {
    fn waiting(&self, hook: &str, fields: &str, key: &[u8; 16]) -> Read<Option<WaitFound>> {
        self.inner.waiting(hook, fields, key)
    }
    fn waited_fields(&self, hook: &str) -> Read<Vec<String>> {
        self.inner.waited_fields(hook)
    }
}

impl Outbox for Faulty {
    fn outbox_heads(&self, until: Timestamp) -> Read<Vec<OutboxRow>> {
        self.inner.outbox_heads(until)
    }
    fn outbox_next(&self, after: Timestamp) -> Read<Option<Timestamp>> {
        self.inner.outbox_next(after)
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
    fn schedule_rows(&self) -> Read<Vec<ScheduleRow>> {
        self.inner.schedule_rows()
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
