//! A store under test, which can be closed, or crash, and be opened again.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use crate::{CommitError, Committed, MemoryStore, Store, Unit};

/// How a store ends before it is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reopen {
    /// It is closed first.
    Close,
    /// It stops where it stands, as if the process were killed.
    Crash,
}

/// A backend's store with whatever it stands on.
pub trait Subject: fmt::Debug {
    /// The open store.
    fn store(&self) -> &dyn Store;
    /// Ends the store and opens what it left.
    fn reopen(self: Box<Self>, how: Reopen) -> Box<dyn Subject>;
}

impl Subject for MemoryStore {
    fn store(&self) -> &dyn Store {
        self
    }

    fn reopen(self: Box<Self>, how: Reopen) -> Box<dyn Subject> {
        if how == Reopen::Close {
            wait(self.close()).expect("the memory store closes");
        }
        Box::new(self.reopened())
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread, without a runtime.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

/// What the checks work with.
#[derive(Debug)]
pub struct Bench {
    subject: Option<Box<dyn Subject>>,
}

impl Bench {
    /// A bench with this store.
    pub fn new(subject: Box<dyn Subject>) -> Self {
        Self {
            subject: Some(subject),
        }
    }

    /// The store as it is now.
    pub fn store(&self) -> &dyn Store {
        let subject = self.subject.as_ref();
        subject.expect("there is one between reopenings").store()
    }

    /// Commits and waits.
    pub fn commit(&self, unit: Unit) -> Result<Committed, CommitError> {
        wait(self.store().commit(unit))
    }

    /// Commits what must succeed.
    pub fn ok(&self, unit: Unit) -> Committed {
        self.commit(unit).expect("the unit is committed")
    }

    /// Commits what must be refused by an expectation.
    pub fn conflict(&self, unit: Unit) {
        let result = self.commit(unit);
        assert!(
            matches!(result, Err(CommitError::Conflict(_))),
            "{result:?} where a conflict was due"
        );
    }

    /// Commits what must be refused by script storage, with this code.
    pub fn refused(&self, unit: Unit, code: &str) {
        match self.commit(unit) {
            Err(CommitError::Storage { code: found, .. }) => assert_eq!(found, code),
            other => panic!("{other:?} where `{code}` was due"),
        }
    }

    /// Sends all before it waits for any, so that they may share a transaction.
    pub fn together(&self, units: Vec<Unit>) -> Vec<Result<Committed, CommitError>> {
        let commits: Vec<_> = units.into_iter().map(|u| self.store().commit(u)).collect();
        commits.into_iter().map(wait).collect()
    }

    /// Ends the store and opens it again.
    pub fn reopen(&mut self, how: Reopen) {
        let subject = self.subject.take();
        self.subject = subject.map(|subject| subject.reopen(how));
    }

    /// The check holds now, and when the store was closed, and when it crashed.
    pub fn holds(&mut self, check: impl Fn(&dyn Store)) {
        check(self.store());
        self.reopen(Reopen::Close);
        check(self.store());
        self.reopen(Reopen::Crash);
        check(self.store());
    }
}
