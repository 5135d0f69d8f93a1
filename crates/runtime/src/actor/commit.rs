//! Committing what was gathered, and only then acting on it (I8).

use std::sync::Arc;
use std::time::Duration;

use velodrome_core::{Action, Admission, Input, Loop, Run, StepFailure};
use velodrome_spec::Plan;
use velodrome_store::CommitError;
use velodrome_types::{Code, CycleId};

use super::{Actor, Left};
use crate::unit::Making;

/// How long a loop waits before it offers a commit again that a full disk refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);

/// Runs that begin once the commit is done.
#[derive(Debug, Default)]
pub(super) struct Begins {
    /// The next lap of this loop.
    pub(super) own: Vec<(Run, Arc<Plan>, Option<Action>)>,
    /// First laps of other loops, with the place each was given.
    pub(super) others: Vec<(Loop, Run, Arc<Plan>, Option<Action>)>,
    /// Places to give back if the commit does not happen.
    pub(super) admitted: Vec<(CycleId, Admission)>,
}

impl Actor {
    /// Follows a moved run through a hand-off, if that is what it is about to do, and commits all of it.
    /// `before` is the run and the loop as they are stored.
    pub(super) async fn follow(
        &mut self,
        plan: Arc<Plan>,
        run: Run,
        looped: Loop,
        action: Option<Action>,
        mut making: Making,
        before: (Run, Loop),
    ) -> Result<(), Left> {
        let mut begins = Begins::default();
        let (run, looped, action) = match action {
            Some(action) if self.may_hand_off(&plan, &action) => {
                self.hand_off(&plan, run, looped, action, &mut making, &mut begins)
            }
            action => (run, looped, action),
        };
        self.commit(plan, run, looped, action, making, begins, before)
            .await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one commit, named where they are used"
    )]
    async fn commit(
        &mut self,
        plan: Arc<Plan>,
        run: Run,
        looped: Loop,
        action: Option<Action>,
        making: Making,
        begins: Begins,
        before: (Run, Loop),
    ) -> Result<(), Left> {
        let stop_cycle = making.stop_cycle;
        // Registered before the commit is visible, so that a message finds the one task.
        let seats: Vec<_> = begins
            .others
            .iter()
            .map(|(other, ..)| self.shared.registry.reach(other.id))
            .collect();
        match self.shared.commit(making, Some(REFUSED_PAUSE)).await {
            Ok(()) => {}
            Err(CommitError::Storage { code, message }) => {
                self.undo(begins);
                // What a script wrote cannot be applied: its step fails, and nothing of it is kept.
                let failure = StepFailure::permanent(Code::new(code), message);
                let fence = before.0.fence;
                let transition = self.advance(
                    &plan,
                    before.0.clone(),
                    before.1,
                    Input::Failed { fence, failure },
                );
                let Some(transition) = transition else {
                    return Err(Left::Conflict);
                };
                let mut making = Making::default();
                making.expect_fence(before.0.id, before.0.fence);
                let (run, looped, action) = making.moved(transition);
                self.shared
                    .commit(making, Some(REFUSED_PAUSE))
                    .await
                    .map_err(|_| Left::StoreGone)?;
                self.committed(plan, run, looped, action);
                return Ok(());
            }
            Err(CommitError::Conflict(why)) => {
                tracing::error!(loop_id = %self.id, why, "a commit was refused");
                self.undo(begins);
                return Err(Left::Conflict);
            }
            Err(error) => {
                tracing::error!(loop_id = %self.id, %error, "a commit did not happen");
                self.undo(begins);
                return Err(Left::StoreGone);
            }
        }
        for ((other, run, plan, action), (_, inbox)) in begins.others.into_iter().zip(seats) {
            let task = Self::accepted(Arc::clone(&self.shared), other, run, plan, action);
            if let Some(inbox) = inbox {
                task.start(inbox);
            }
        }
        self.committed(plan, run, looped, action);
        for (run, plan, action) in begins.own {
            self.keep(run, plan, action);
        }
        if stop_cycle {
            self.shared.stop_cycle_soon(self.looped.cycle.clone());
        }
        Ok(())
    }

    fn committed(&mut self, plan: Arc<Plan>, run: Run, looped: Loop, action: Option<Action>) {
        let was_open = !self.looped.status.is_final();
        self.looped = looped;
        self.keep(run, plan, action);
        if was_open {
            self.loop_over(self.looped.placed);
        }
    }

    fn undo(&self, begins: Begins) {
        for (other, ..) in &begins.others {
            self.shared.registry.remove(other.id);
        }
        for (cycle, admission) in begins.admitted {
            self.shared.cycles.withdraw(&cycle, admission);
        }
    }
}
