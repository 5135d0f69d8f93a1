//! The workers: at most one a core, started when they are needed, each lent for one call.

use std::num::NonZero;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::clock::Clock;
use crate::js::launch::Workers;
use crate::js::limits::Allowances;
use crate::js::worker::{Lost, Worker};

#[derive(Debug)]
pub(crate) struct Pool {
    workers: Workers,
    allowances: Allowances,
    most: usize,
    state: Mutex<State>,
    given_back: Condvar,
}

#[derive(Debug, Default)]
struct State {
    idle: Vec<Worker>,
    /// Those that are idle and those that are lent.
    all: usize,
}

/// A worker on loan. One that is not [given back](Self::give_back) ends.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    pool: &'a Pool,
    worker: Option<Worker>,
    was_idle: bool,
}

impl Pool {
    pub(crate) fn new(workers: Workers, allowances: Allowances) -> Self {
        Self {
            workers,
            allowances,
            most: std::thread::available_parallelism().map_or(1, NonZero::get),
            state: Mutex::default(),
            given_back: Condvar::new(),
        }
    }

    /// Lends a worker; waits until there is one. Nobody waits longer than those before it may run.
    pub(crate) fn lend(&self, clock: &Clock) -> Result<Lent<'_>, Lost> {
        let mut state = self.lock();
        loop {
            if let Some(mut worker) = state.idle.pop() {
                if worker.is_alive() {
                    return Ok(Lent {
                        pool: self,
                        worker: Some(worker),
                        was_idle: true,
                    });
                }
                state.all -= 1;
            } else if state.all < self.most {
                state.all += 1;
                break;
            } else {
                state = self
                    .given_back
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        }
        drop(state);
        // Its place is taken; dropped without a worker, it is free again.
        let mut lent = Lent {
            pool: self,
            worker: None,
            was_idle: false,
        };
        lent.replace(clock)?;
        Ok(lent)
    }

    /// A lock that a panic poisoned still counts right: nothing under it can fail half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent<'_> {
    pub(crate) fn worker(&mut self) -> &mut Worker {
        self.worker
            .as_mut()
            .expect("it is there until it is given back")
    }

    /// Whether it waited for this loan, and was not started for it.
    pub(crate) const fn was_idle(&self) -> bool {
        self.was_idle
    }

    /// Ends it, and starts another in its place.
    pub(crate) fn replace(&mut self, clock: &Clock) -> Result<(), Lost> {
        drop(self.worker.take());
        self.was_idle = false;
        self.worker = Some(Worker::start(
            &self.pool.workers,
            clock,
            &self.pool.allowances,
        )?);
        Ok(())
    }

    /// Gives it back, for the next call.
    pub(crate) fn give_back(mut self) {
        if let Some(worker) = self.worker.take() {
            let mut state = self.pool.lock();
            state.idle.push(worker);
            // What `drop` takes off again.
            state.all += 1;
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // The worker ends before another takes its place: there are never more than cores.
        drop(self.worker.take());
        self.pool.lock().all -= 1;
        self.pool.given_back.notify_one();
    }
}
