//! Which loops are in memory, and how a message reaches one.
//!
//! A loop is driven by one task at a time. The task leaves when nothing of its loop is under way, so
//! that what sleeps costs no memory; a message to a loop that is not there brings it back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{mpsc, oneshot};
use velodrome_core::Delivery;
use velodrome_spec::Plan;
use velodrome_types::{CycleId, LoopId, RunId};

use crate::api::{HookAnswer, Problem};
use crate::command::By;
use crate::handoff::SignedOrigin;
use crate::midway::CallRequest;
use crate::shared::Shared;

/// Messages that may wait for one loop. A loop gets a message a timer, a lap by request, or an
/// operator's word: a few at a time. A sender waits when it is full.
const INBOX: usize = 64;

/// What a loop is told.
#[derive(Debug)]
pub(crate) enum ToLoop {
    /// It has its place: begin its first lap.
    Begin(Beginning),
    /// A timer of this run is due.
    Due(RunId),
    /// The process began again: look what was under way.
    Recover,
    /// End it. `gently`: what is under way is awaited and committed first.
    Stop {
        gently: bool,
        by: Option<By>,
        done: oneshot::Sender<()>,
    },
    /// End this run at once, and those that it began.
    StopRun {
        run: RunId,
        by: Option<By>,
        done: oneshot::Sender<()>,
    },
    /// This run waits for all of its cycle, and no other is in progress.
    AllHere(RunId),
    /// This run waits for all of its cycle, and another goes on from there.
    AllPassed(RunId),
    /// A request to a run that waits for one.
    Call(Box<CallRequest>),
    /// A lap that came as a real request (`handoff: http`).
    Lap(Box<LapRequest>),
    /// Take a failed run up again while others of the loop are still on their way.
    Retry(Box<RetryRequest>),
}

/// A place on its way to the first loop of a queue. Wherever this ends, the next loop may follow; and
/// unless the loop took the place, it is free again.
#[derive(Debug)]
pub(crate) struct Beginning {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cycle: CycleId,
    pub(crate) end: BeginningEnd,
}

/// How a place on its way ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeginningEnd {
    /// The loop took it, and is queued no more.
    Taken,
    /// The loop was over before it could begin; it has counted itself out of the queue.
    Over,
    /// The loop could not be brought back: it is tried again, after a pause.
    Lost,
}

impl Drop for Beginning {
    fn drop(&mut self) {
        match self.end {
            BeginningEnd::Taken => self.shared.cycles.unqueue(&self.cycle),
            BeginningEnd::Over => self.shared.cycles.release(&self.cycle),
            BeginningEnd::Lost => {
                self.shared.cycles.release(&self.cycle);
                return self.shared.begin_again_soon(self.cycle.clone());
            }
        }
        self.shared.began(&self.cycle);
    }
}

/// A hand-off that came as a real request.
#[derive(Debug)]
pub(crate) struct LapRequest {
    pub(crate) origin: SignedOrigin,
    pub(crate) delivery: Delivery,
    pub(crate) answer: oneshot::Sender<Result<HookAnswer, Problem>>,
}

/// A failed run that is to go on, and who waits to hear that it does. Dropped unanswered where the loop has
/// ended meanwhile: whoever asked looks again.
#[derive(Debug)]
pub(crate) struct RetryRequest {
    pub(crate) run: RunId,
    pub(crate) plan: Arc<Plan>,
    pub(crate) by: Option<By>,
    pub(crate) answer: oneshot::Sender<Result<(), Problem>>,
}

/// The loops in memory.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    loops: Mutex<HashMap<LoopId, mpsc::Sender<ToLoop>>>,
}

impl Registry {
    /// The way to a loop, and its inbox where a task must be started for it.
    pub(crate) fn reach(
        &self,
        id: LoopId,
    ) -> (mpsc::Sender<ToLoop>, Option<mpsc::Receiver<ToLoop>>) {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = loops.get(&id).filter(|sender| !sender.is_closed()) {
            return (sender.clone(), None);
        }
        let (sender, inbox) = mpsc::channel(INBOX);
        loops.insert(id, sender.clone());
        (sender, Some(inbox))
    }

    /// Leaves, unless a message has come meanwhile. A sender that found the way before may have got its
    /// message in at the last moment: what the closed inbox still gives is to be sent on.
    pub(crate) fn leave(&self, id: LoopId, inbox: &mut mpsc::Receiver<ToLoop>) -> bool {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        if !inbox.is_empty() {
            return false;
        }
        // From here on a sender is refused, and looks for the way again.
        inbox.close();
        loops.remove(&id);
        true
    }

    /// Leaves whatever waits: senders see a closed inbox.
    pub(crate) fn remove(&self, id: LoopId) {
        self.loops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    /// How many loops are in memory.
    pub(crate) fn len(&self) -> usize {
        self.loops
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

#[cfg(test)]
mod tests {
    use velodrome_types::Timestamp;

    use super::*;

    #[test]
    fn whoever_found_the_way_too_late_is_refused_and_a_message_is_never_lost() {
        let registry = Registry::default();
        let id = LoopId::new(Timestamp::from_millis(1), [1; 10]);
        let (sender, inbox) = registry.reach(id);
        let mut inbox = inbox.expect("nobody drives it yet");
        assert!(registry.reach(id).1.is_none(), "one task a loop");
        sender.try_send(ToLoop::Recover).expect("there is room");
        assert!(!registry.leave(id, &mut inbox), "a message waits");
        inbox.try_recv().expect("it is there");
        assert!(registry.leave(id, &mut inbox), "nothing waits");
        assert!(sender.try_send(ToLoop::Recover).is_err(), "it looks again");
        assert!(registry.reach(id).1.is_some(), "and finds a new task");
    }
}
