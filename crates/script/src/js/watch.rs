//! Ends a call that takes too long or too many turns.
//!
//! QuickJS asks at every ten thousandth call or turn of a loop, and while a regular expression searches.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::clock::Clock;
use crate::js::frame::Kind;
use crate::js::limits::Allowances;

/// Calls and turns of loops between two questions: `JS_INTERRUPT_COUNTER_INIT`.
const OPERATIONS: u64 = 10_000;

pub(crate) struct Watch {
    clock: Clock,
    deadline: Duration,
    turns: Cell<u64>,
    stopped: RefCell<Option<Kind>>,
}

impl Watch {
    pub(crate) fn begin(clock: Clock, allowances: &Allowances) -> Self {
        Self {
            deadline: clock().saturating_add(allowances.time),
            turns: Cell::new((allowances.operations / OPERATIONS).max(1)),
            stopped: RefCell::new(None),
            clock,
        }
    }

    /// Whether the call has to end.
    pub(crate) fn must_end(&self) -> bool {
        if self.stopped.borrow().is_some() {
            return true;
        }
        let turns = self.turns.get();
        if turns == 0 {
            self.stop(Kind::Operations);
        } else if (self.clock)() > self.deadline {
            self.stop(Kind::Time);
        }
        self.turns.set(turns.saturating_sub(1));
        self.stopped.borrow().is_some()
    }

    /// Ends it at the next occasion.
    pub(crate) fn stop(&self, kind: Kind) {
        self.stopped.borrow_mut().get_or_insert(kind);
    }

    /// Why it had to end.
    pub(crate) fn stopped(&self) -> Option<Kind> {
        self.stopped.borrow().clone()
    }
}
