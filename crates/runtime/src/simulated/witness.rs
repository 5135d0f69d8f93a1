//! What a simulation tells beside what is stored: exits taken and bodies handed off, both committed.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use velodrome_core::Exit;
use velodrome_spec::plan::StepIx;
use velodrome_types::{CycleId, Json, StepId};

use crate::flows::Move;

/// An exit of a cycle's step.
pub type TakenExit = (CycleId, StepIx, Exit);

/// A body that was handed to a webhook of this server.
#[derive(Clone, Debug, PartialEq)]
pub struct HandedOff {
    /// The cycle that posted.
    pub cycle: CycleId,
    /// Its step.
    pub step: StepId,
    /// The lap that posted.
    pub lap: u64,
    /// The cycle that took it.
    pub to: CycleId,
    /// The body as the webhook's handlers saw it.
    pub body: Json,
}

/// Notes what was committed.
#[derive(Debug, Default)]
pub(crate) struct Witness(Mutex<Seen>);

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Exits that runs left by.
    pub exits: BTreeSet<TakenExit>,
    /// Hand-offs, in order.
    pub handoffs: Vec<HandedOff>,
}

impl Witness {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn saw(&self, moves: &[Move], handoffs: Vec<HandedOff>) {
        let mut seen = self.lock();
        for moved in moves {
            let exits = moved.exits.iter().map(|(step, exit)| match exit {
                // The file knows one exit, whether or not the list had items.
                Exit::Split => (moved.cycle.clone(), *step, Exit::Then),
                exit => (moved.cycle.clone(), *step, *exit),
            });
            seen.exits.extend(exits);
        }
        seen.handoffs.extend(handoffs);
    }

    pub(crate) fn seen(&self) -> Seen {
        self.lock().clone()
    }
}
