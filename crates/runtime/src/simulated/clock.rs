//! A clock that moves only when nothing is left to do.
//!
//! The simulation's runtime has one thread and neither timers nor sockets, so when that thread is about
//! to park, every task waits for another task or for this clock. Then, and only then, the clock jumps
//! to the earliest moment that anybody waits for. No time passes while anything is under way.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use velodrome_types::Timestamp;

/// A simulation's time.
#[derive(Debug)]
pub(crate) struct VirtualClock(Mutex<State>);

#[derive(Debug)]
struct State {
    now: Timestamp,
    /// Who waits for when; the number keeps those of one moment in the order in which they came.
    waiting: BTreeMap<(Timestamp, u64), Waker>,
    next: u64,
    /// Where the clock stops, though somebody waits for later.
    until: Timestamp,
    /// It stands still: nothing is left to do, or whoever drives the simulation wants a look.
    still: bool,
    driver: Option<Waker>,
}

impl VirtualClock {
    pub(crate) fn new(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            now: start,
            waiting: BTreeMap::new(),
            next: 0,
            until: start,
            still: true,
            driver: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.lock().now
    }

    pub(crate) async fn sleep_until(self: &Arc<Self>, then: Timestamp) {
        Sleep {
            clock: Arc::clone(self),
            then,
            place: None,
        }
        .await;
    }

    /// The thread is about to park: wakes whoever waits for the next moment, or the driver if there is
    /// none before the end.
    pub(super) fn idle(&self) {
        let mut state = self.lock();
        if state.still {
            return;
        }
        let next = state.waiting.first_key_value().map(|((at, _), _)| *at);
        let mut wakers: Vec<Waker> = match next {
            Some(at) if at <= state.until => {
                state.now = state.now.max(at);
                let now = state.now;
                let later = state.waiting.split_off(&(now, u64::MAX));
                std::mem::replace(&mut state.waiting, later)
                    .into_values()
                    .collect()
            }
            _ => {
                state.still = true;
                Vec::new()
            }
        };
        // The driver too: a waker may belong to a task that has ended, and then the thread would park for ever.
        wakers.extend(state.driver.take());
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Lets time pass until nothing is left to do before this moment, or somebody says to stand still.
    pub(super) async fn run_until(&self, until: Timestamp) {
        {
            let mut state = self.lock();
            state.until = until;
            state.still = false;
        }
        poll_fn(|context| {
            let mut state = self.lock();
            if state.still {
                return Poll::Ready(());
            }
            state.driver = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Time stands still until the driver lets it pass again.
    pub(super) fn stand_still(&self) {
        let mut state = self.lock();
        state.still = true;
        if let Some(driver) = state.driver.take() {
            drop(state);
            driver.wake();
        }
    }
}

/// A wait for a moment.
struct Sleep {
    clock: Arc<VirtualClock>,
    then: Timestamp,
    place: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = Arc::clone(&self.clock);
        let mut state = clock.lock();
        if state.now >= self.then {
            return Poll::Ready(());
        }
        let place = *self.place.get_or_insert_with(|| {
            state.next += 1;
            state.next
        });
        state
            .waiting
            .insert((self.then, place), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.clock.lock().waiting.remove(&(self.then, place));
        }
    }
}
