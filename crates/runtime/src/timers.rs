//! Timers: only those due within the next minute are in memory, the rest is read as it comes due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use velodrome_store::{Runs, StoreError};
use velodrome_types::{LoopId, RunId, Timestamp};

/// How far ahead timers are kept in memory.
pub(crate) const HORIZON: Duration = Duration::from_secs(60);

/// The timers in memory.
#[derive(Debug)]
pub(crate) struct Timers {
    inner: Mutex<Inner>,
    earlier: Notify,
    horizon: Duration,
}

#[derive(Debug)]
struct Inner {
    heap: BinaryHeap<Reverse<(Timestamp, RunId, Option<LoopId>)>>,
    /// Every timer of the store due until then is in the heap or was.
    loaded: Timestamp,
}

impl Timers {
    pub(crate) fn new(horizon: Duration) -> Self {
        let loaded = Timestamp::from_millis(i64::MIN);
        Self {
            inner: Mutex::new(Inner {
                heap: BinaryHeap::new(),
                loaded,
            }),
            earlier: Notify::new(),
            horizon,
        }
    }

    /// A timer has been committed.
    pub(crate) fn set(&self, due: Timestamp, run: RunId, loop_id: LoopId) {
        let mut inner = self.lock();
        if due <= inner.loaded {
            let first = inner
                .heap
                .peek()
                .is_none_or(|Reverse((first, ..))| due < *first);
            inner.heap.push(Reverse((due, run, Some(loop_id))));
            drop(inner);
            if first {
                self.earlier.notify_one();
            }
        }
    }

    /// A run whose loop could not be read: its timer is looked at again then.
    pub(crate) fn again(&self, at: Timestamp, run: RunId) {
        self.lock().heap.push(Reverse((at, run, None)));
    }

    /// Reads the timers of the next minute; gives when to look again.
    pub(crate) fn look(&self, store: &dyn Runs, now: Timestamp) -> Result<Timestamp, StoreError> {
        let until = now.plus(self.horizon);
        // A timer committed between this read and the update of `loaded` would be missed if it were
        // not noted first: `set` keeps everything up to the new horizon from here on.
        let before = std::mem::replace(&mut self.lock().loaded, until);
        let rows = match store.due(until, usize::MAX) {
            Ok(rows) => rows,
            Err(error) => {
                self.lock().loaded = before;
                return Err(error);
            }
        };
        let mut inner = self.lock();
        for row in rows.into_iter().filter(|row| row.due > before) {
            inner.heap.push(Reverse((row.due, row.run, None)));
        }
        // Well before the horizon is reached.
        Ok(now.plus(self.horizon / 2))
    }

    /// The next timer that is due by now.
    pub(crate) fn pop(&self, now: Timestamp) -> Option<(RunId, Option<LoopId>)> {
        let mut inner = self.lock();
        if inner
            .heap
            .peek()
            .is_some_and(|Reverse((due, ..))| *due <= now)
        {
            return inner
                .heap
                .pop()
                .map(|Reverse((_, run, loop_id))| (run, loop_id));
        }
        None
    }

    /// When the next timer in memory is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.lock().heap.peek().map(|Reverse((due, ..))| *due)
    }

    /// Completes when a timer was set that is due before all others.
    pub(crate) async fn earlier(&self) {
        self.earlier.notified().await;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
