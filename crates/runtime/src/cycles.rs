//! The operator's word on each cycle, and its places.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use velodrome_core::{Admission, Places};
use velodrome_types::{CycleId, CycleState};

/// What is held for each cycle in memory.
#[derive(Debug, Default)]
pub(crate) struct Cycles {
    held: Mutex<HashMap<CycleId, Held>>,
}

#[derive(Debug)]
struct Held {
    state: CycleState,
    places: Places,
    /// Whether a person has ever said anything of the cycle.
    said: bool,
    /// A queued loop is on its way to its place: the next one follows when it is there, so that
    /// loops begin in the order in which they were accepted.
    beginning: bool,
    /// Whether the places were taken over from the store.
    recovered: bool,
}

impl Default for Held {
    fn default() -> Self {
        Self {
            state: CycleState::Running,
            places: Places::default(),
            said: false,
            beginning: false,
            recovered: false,
        }
    }
}

fn holds_queue(state: CycleState) -> bool {
    !matches!(state, CycleState::Running | CycleState::Finishing)
}

impl Cycles {
    fn with<T>(&self, cycle: &CycleId, act: impl FnOnce(&mut Held) -> T) -> T {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        act(held.entry(cycle.clone()).or_default())
    }

    /// Takes the places over from the store, once: when the cycle is first known, be it at the start or
    /// because its file came (back) later.
    pub(crate) fn recover<E>(
        &self,
        cycle: &CycleId,
        stored: impl FnOnce() -> Result<Places, E>,
    ) -> Result<(), E> {
        if self.with(cycle, |held| std::mem::replace(&mut held.recovered, true)) {
            return Ok(());
        }
        let places = stored().inspect_err(|_| self.with(cycle, |held| held.recovered = false))?;
        self.with(cycle, |held| held.places = places);
        Ok(())
    }

    pub(crate) fn state(&self, cycle: &CycleId) -> CycleState {
        self.with(cycle, |held| held.state)
    }

    pub(crate) fn set_state(&self, cycle: &CycleId, state: CycleState) {
        self.with(cycle, |held| {
            held.state = state;
            held.said = true;
        });
    }

    /// Nothing is known of the cycle any more.
    pub(crate) fn forget(&self, cycle: &CycleId) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(cycle);
    }

    /// `autostart: false`: the cycle is stopped until somebody says something else.
    pub(crate) fn do_not_autostart(&self, cycle: &CycleId) {
        self.with(cycle, |held| {
            if !held.said {
                held.state = CycleState::Stopped;
            }
        });
    }

    /// Loops in progress and loops queued.
    pub(crate) fn counts(&self, cycle: &CycleId) -> (u64, u64) {
        self.with(cycle, |held| held.places.counts())
    }

    pub(crate) fn admit(
        &self,
        cycle: &CycleId,
        concurrency: Option<u32>,
        limit: Option<u32>,
    ) -> Admission {
        self.with(cycle, |held| {
            held.places
                .admit(concurrency, limit, holds_queue(held.state))
        })
    }

    pub(crate) fn withdraw(&self, cycle: &CycleId, admission: Admission) {
        self.with(cycle, |held| held.places.withdraw(admission));
    }

    pub(crate) fn release(&self, cycle: &CycleId) {
        self.with(cycle, |held| held.places.release());
    }

    pub(crate) fn unqueue(&self, cycle: &CycleId) {
        self.with(cycle, |held| held.places.unqueue());
    }

    /// Takes a place for the first of the queue, if one is free and none is on its way.
    pub(crate) fn take_next(&self, cycle: &CycleId, concurrency: Option<u32>) -> bool {
        self.with(cycle, |held| {
            if held.beginning || !held.places.take_next(concurrency, holds_queue(held.state)) {
                return false;
            }
            held.beginning = true;
            true
        })
    }

    /// The loop that was on its way has begun, or is gone.
    pub(crate) fn begun(&self, cycle: &CycleId) {
        self.with(cycle, |held| held.beginning = false);
    }

    /// The place that was taken for the first of the queue is given back: there was none.
    pub(crate) fn none_to_begin(&self, cycle: &CycleId) {
        self.with(cycle, |held| {
            held.beginning = false;
            held.places.release();
        });
    }
}
