//! The workers: at most one a core, started when they are needed, each lent for one call. One script never holds them
//! all, so that the others get their turn beside one that hangs.

use std::collections::HashMap;
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
    /// How many each script has that runs.
    running: HashMap<u64, usize>,
}

/// A worker on loan. One that is not [given back](Self::give_back) ends.
#[derive(Debug)]
pub(crate) struct Lent<'a> {
    pool: &'a Pool,
    worker: Option<Worker>,
    was_idle: bool,
    /// The script that it is for.
    script: Option<u64>,
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
    /// `script` tells which script it is for, where it is for a call.
    pub(crate) fn lend(&self, clock: &Clock, script: Option<u64>) -> Result<Lent<'_>, Lost> {
        let mut state = self.lock();
        let share = self.most.saturating_sub(1).max(1);
        loop {
            let has = script.and_then(|script| state.running.get(&script).copied());
            if has.unwrap_or(0) >= share {
                state = self
                    .given_back
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            } else if let Some(mut worker) = state.idle.pop() {
                if worker.is_alive() {
                    state.run(script);
                    return Ok(Lent {
                        pool: self,
                        worker: Some(worker),
                        was_idle: true,
                        script,
                    });
                }
                state.all -= 1;
            } else if state.all < self.most {
                state.all += 1;
                state.run(script);
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
            script,
        };
        lent.replace(clock)?;
        Ok(lent)
    }

    /// How many workers there are, idle or lent.
    pub(crate) fn len(&self) -> usize {
        self.lock().all
    }

    /// A lock that a panic poisoned still counts right: nothing under it can fail half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn run(&mut self, script: Option<u64>) {
        if let Some(script) = script {
            *self.running.entry(script).or_default() += 1;
        }
    }

    fn ended(&mut self, script: Option<u64>) {
        let Some(script) = script else { return };
        if let Some(has) = self.running.get_mut(&script) {
            *has -= 1;
            if *has == 0 {
                self.running.remove(&script);
            }
        }
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
        if let Some(worker) = self.worker.take_if(|worker| worker.may_go_on()) {
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
        let mut state = self.pool.lock();
        state.all -= 1;
        state.ended(self.script);
        drop(state);
        // Whoever is woken may have its share already: then it is another's turn.
        self.pool.given_back.notify_all();
    }
}
