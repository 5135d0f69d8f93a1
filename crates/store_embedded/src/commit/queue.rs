//! Units wait here while the committer is at the disk; it then takes all of them at once.
//!
//! The queue has no bound of its own: each unit in it is awaited by whoever sent it, and those are
//! bounded (requests under way, runs at work). So order is the order of arrival, and sending never
//! waits.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use velodrome_store::{CommitError, Committed, StoreError, Unit};

/// Units that share one transaction at the most, so that the first of a great many is not answered
/// last.
const GROUP: usize = 512;

/// A unit and whom to answer.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) unit: Unit,
    pub(crate) answer: oneshot::Sender<Result<Committed, CommitError>>,
}

/// Whom to tell that the store is closed.
pub(crate) type Closer = oneshot::Sender<Result<(), StoreError>>;

/// What the committer is to do next.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Commit these.
    Units(Vec<Pending>),
    /// Nothing waits; only answered when asked not to wait.
    Nothing,
    /// Everything was committed: close.
    Close,
    /// The handle is gone: end without closing, as a crash would.
    End,
}

#[derive(Debug)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    wake: Condvar,
}

#[derive(Debug)]
struct Inner {
    units: VecDeque<Pending>,
    closers: Vec<Closer>,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// Takes no more; what waits is still committed.
    Closing,
    /// As closing, and nobody wants to know.
    Abandoned,
    /// The committer has ended, so.
    Ended(Result<(), StoreError>),
}

impl Queue {
    pub(crate) fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                units: VecDeque::new(),
                closers: Vec::new(),
                state: State::Open,
            }),
            wake: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many units wait.
    pub(crate) fn len(&self) -> usize {
        self.lock().units.len()
    }

    /// Puts a unit behind the others, or answers it.
    pub(crate) fn push(&self, pending: Pending) {
        let mut inner = self.lock();
        if !matches!(inner.state, State::Open) {
            drop(inner);
            answer(pending, Err(CommitError::Closed));
            return;
        }
        let was_empty = inner.units.is_empty();
        inner.units.push_back(pending);
        drop(inner);
        // The committer sleeps only when there was nothing.
        if was_empty {
            self.wake.notify_one();
        }
    }

    /// Takes no more units; tells when the rest is committed and the store is closed.
    pub(crate) fn close(&self, closer: Closer) {
        let mut inner = self.lock();
        match &inner.state {
            State::Ended(result) => {
                let result = result.clone();
                drop(inner);
                tell(closer, result);
            }
            State::Open | State::Closing | State::Abandoned => {
                inner.state = State::Closing;
                inner.closers.push(closer);
                drop(inner);
                self.wake.notify_one();
            }
        }
    }

    /// The handle is dropped: what waits is committed, then the committer ends.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        if matches!(inner.state, State::Open) {
            inner.state = State::Abandoned;
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Takes what waits. With `idle_work`, says [`Taken::Nothing`] instead of waiting.
    pub(crate) fn take(&self, idle_work: bool) -> Taken {
        let mut inner = self.lock();
        loop {
            if !inner.units.is_empty() {
                let count = inner.units.len().min(GROUP);
                return Taken::Units(inner.units.drain(..count).collect());
            }
            match inner.state {
                State::Closing => return Taken::Close,
                State::Abandoned | State::Ended(_) => return Taken::End,
                State::Open if idle_work => return Taken::Nothing,
                State::Open => {}
            }
            inner = self
                .wake
                .wait(inner)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The committer ends: nothing is taken any more, what waits is refused, closers are told.
    pub(crate) fn end(&self, result: Result<(), StoreError>) {
        let mut inner = self.lock();
        if matches!(inner.state, State::Ended(_)) {
            return;
        }
        inner.state = State::Ended(result.clone());
        let units = std::mem::take(&mut inner.units);
        let closers = std::mem::take(&mut inner.closers);
        drop(inner);
        for pending in units {
            answer(pending, Err(CommitError::Closed));
        }
        for closer in closers {
            tell(closer, result.clone());
        }
    }
}

/// Tells whoever sent the unit, if they still want to know: a commit goes on when they do not.
fn answer(pending: Pending, result: Result<Committed, CommitError>) {
    drop(pending.answer.send(result));
}

fn tell(closer: Closer, result: Result<(), StoreError>) {
    drop(closer.send(result));
}
