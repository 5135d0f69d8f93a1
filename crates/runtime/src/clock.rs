//! The one place that reads the clock.
//!
//! While the process lives, time goes by the monotonic clock from the moment it began, so that a
//! jump of the wall clock neither fires a delay early nor holds one back; after a restart the wall
//! clock counts (SPEC §9). Only what goes by the calendar, a schedule, goes by the wall clock. In a simulation time is a number that moves when nothing is left to do.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use velodrome_types::Timestamp;

use crate::simulated::VirtualClock;

/// The clock on the wall may be set, and goes on while a machine sleeps: it is looked at this often.
const WALL_LOOK: Duration = Duration::from_secs(10);

/// The engine's time. It never goes back.
#[derive(Clone, Debug)]
pub(crate) enum Clock {
    /// The machine's.
    Real {
        /// The wall clock's time when the process began.
        began: Timestamp,
        /// The same moment by the monotonic clock.
        at: Instant,
    },
    /// A simulation's.
    Virtual(Arc<VirtualClock>),
}

impl Clock {
    /// A clock that begins with the wall clock's time.
    pub(crate) fn start() -> Self {
        Self::Real {
            began: wall(),
            at: Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Real { began, at } => began.plus(at.elapsed()),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// When the process, or the simulation, began.
    pub(crate) fn began(&self) -> Timestamp {
        match self {
            Self::Real { began, .. } => *began,
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// Measures from here on, finer than [`Clock::now`] tells.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        match self {
            Self::Real { .. } => Stopwatch::Real(Instant::now()),
            Self::Virtual(clock) => Stopwatch::Virtual(Arc::clone(clock), clock.now()),
        }
    }

    /// What the clock on the wall says now: what the calendar goes by. It may go back.
    pub(crate) fn wall(&self) -> Timestamp {
        match self {
            Self::Real { .. } => wall(),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// Waits until the clock on the wall shows this moment, or one behind it.
    pub(crate) async fn sleep_until_wall(&self, then: Timestamp) {
        if let Self::Virtual(clock) = self {
            return clock.sleep_until(then).await;
        }
        loop {
            let left = then.since(wall());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(WALL_LOOK)).await;
        }
    }

    /// The last moment that has passed for whoever counts from a [`Clock::now`]: that one was cut to its
    /// millisecond, so a length that seems to be over may lack a part of one.
    pub(crate) fn behind(&self) -> Timestamp {
        match self {
            Self::Real { .. } => self.now().minus(Duration::from_millis(1)),
            Self::Virtual(clock) => clock.now(),
        }
    }

    /// Waits until then; at once if it has passed. Never returns early.
    pub(crate) async fn sleep_until(&self, then: Timestamp) {
        if let Self::Virtual(clock) = self {
            return clock.sleep_until(then).await;
        }
        loop {
            let left = then.since(self.behind());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(3600))).await;
        }
    }

    /// Waits so long.
    pub(crate) async fn sleep(&self, length: Duration) {
        self.sleep_until(self.now().plus(length)).await;
    }

    /// The future's outcome, or nothing if it takes longer than this.
    pub(crate) async fn timeout<F: Future>(
        &self,
        length: Duration,
        future: F,
    ) -> Option<F::Output> {
        tokio::select! {
            biased;
            outcome = future => Some(outcome),
            () = self.sleep(length) => None,
        }
    }
}

/// Measures how long something takes.
#[derive(Debug)]
pub(crate) enum Stopwatch {
    Real(Instant),
    Virtual(Arc<VirtualClock>, Timestamp),
}

impl Stopwatch {
    /// How long it is since it was begun.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            Self::Real(began) => began.elapsed(),
            Self::Virtual(clock, began) => clock.now().since(*began),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the module that time comes from"
)]
fn wall() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp::from_millis(since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_has_lasted_in_full() {
        let clock = Clock::start();
        let length = Duration::from_millis(2);
        for _ in 0..50 {
            // Begins anywhere within a millisecond.
            let began = Instant::now();
            let due = clock.now().plus(length);
            while clock.behind() < due {
                std::hint::spin_loop();
            }
            let lasted = began.elapsed();
            assert!(lasted >= length, "{lasted:?}");
            std::thread::sleep(Duration::from_micros(130));
        }
    }
}
