//! Committing what was gathered, and only then acting on it (I8).

use std::sync::Arc;
use std::time::Duration;

use velodrome_core::{Action, Admission, Input, ItemReport, Loop, Run, State, StepFailure};
use velodrome_spec::Plan;
use velodrome_store::CommitError;
use velodrome_types::{Code, CycleId};

use super::inside::{begins_a_run, is_of_its_own};
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

/// A run that has moved, what it is about to do, and what is to be committed for it.
struct Moved {
    run: Run,
    looped: Loop,
    action: Option<Action>,
    making: Making,
}

/// A commit that was refused for what scripts wrote.
struct Refusal {
    failure: StepFailure,
    /// As it stood before the first action inside.
    first: Moved,
    /// Whether other actions inside followed it.
    several: bool,
}

impl Actor {
    /// Follows a moved run through what stays inside this process, if that is what it is about to do, and
    /// commits all of it. `before` is the run and the loop as they are stored.
    pub(super) async fn follow(
        &mut self,
        plan: Arc<Plan>,
        run: Run,
        looped: Loop,
        action: Option<Action>,
        making: Making,
        before: (Run, Loop),
    ) -> Result<(), Left> {
        let moved = Moved {
            run,
            looped,
            action,
            making,
        };
        // Boxed: the task of a loop that has nothing to do would carry its state all the same.
        Box::pin(self.follow_so_far(plan, moved, before, usize::MAX)).await
    }

    /// The same through so many actions at the most.
    async fn follow_so_far(
        &mut self,
        plan: Arc<Plan>,
        moved: Moved,
        before: (Run, Loop),
        most: usize,
    ) -> Result<(), Left> {
        let Moved {
            mut run,
            mut looped,
            mut action,
            mut making,
        } = moved;
        let mut begins = Begins::default();
        let mut first = None;
        let mut done = 0;
        while let Some(next) = action.take() {
            if done == most || !self.may_stay_inside(&plan, &next) {
                action = Some(next);
                break;
            }
            if first.is_none() {
                first = Some(Box::new(Moved {
                    run: run.clone(),
                    looped: looped.clone(),
                    action: Some(next.clone()),
                    making: making.clone(),
                }));
            }
            self.item = item_of(&next).or(self.item);
            let ends_here = begins_a_run(&plan, &next) || is_of_its_own(&plan, &next);
            (run, looped, action) = self
                .inside(&plan, (run, looped), next, &mut making, &mut begins)
                .await;
            done += 1;
            if ends_here {
                break;
            }
        }
        let refused = self
            .commit(Arc::clone(&plan), run, looped, action, making, begins)
            .await?;
        match (refused, first) {
            (None, _) => Ok(()),
            (Some(failure), None) => {
                self.remembering = None;
                self.fail(plan, before, failure).await
            }
            (Some(failure), Some(first)) => {
                let refusal = Refusal {
                    failure,
                    first: *first,
                    several: done > 1,
                };
                Box::pin(self.refused(plan, before, refusal)).await
            }
        }
    }

    /// What scripts wrote cannot be applied. The move that led to the first action inside stands, and that
    /// action's step fails; where there were several, nobody knows yet whose writes were refused, so each is
    /// performed again with a commit of its own.
    async fn refused(
        &mut self,
        plan: Arc<Plan>,
        before: (Run, Loop),
        refusal: Refusal,
    ) -> Result<(), Left> {
        let Refusal {
            failure,
            first,
            several,
        } = refusal;
        let here = (first.run.clone(), first.looped.clone());
        if first.run.fence != before.0.fence {
            let moved = self.commit(
                Arc::clone(&plan),
                first.run,
                first.looped,
                None,
                first.making,
                Begins::default(),
            );
            if let Some(failure) = moved.await? {
                self.remembering = None;
                return self.fail(plan, before, failure).await;
            }
        } else {
            self.remembering = None;
        }
        if !several {
            return self.fail(plan, here, failure).await;
        }
        let mut making = Making::default();
        making.expect_fence(here.0.id, here.0.fence);
        let again = Moved {
            run: here.0.clone(),
            looped: here.1.clone(),
            action: first.action,
            making,
        };
        Box::pin(self.follow_so_far(plan, again, here, 1)).await
    }

    /// The run's step fails because what a script wrote for it cannot be applied; nothing of it is kept.
    async fn fail(
        &mut self,
        plan: Arc<Plan>,
        (run, looped): (Run, Loop),
        failure: StepFailure,
    ) -> Result<(), Left> {
        let (id, fence) = (run.id, run.fence);
        let input = match (&run.state, self.item) {
            (State::Each { .. }, Some((index, attempt))) => Input::Item {
                fence,
                index,
                attempt,
                report: ItemReport::Failed(failure),
            },
            _ => Input::Failed { fence, failure },
        };
        let Some(transition) = self.advance(&plan, run, looped, input) else {
            return Err(Left::Conflict);
        };
        let mut making = Making::default();
        making.expect_fence(id, fence);
        let (run, looped, action) = making.moved(transition);
        match self
            .commit(plan, run, looped, action, making, Begins::default())
            .await?
        {
            None => Ok(()),
            Some(_) => Err(Left::Conflict),
        }
    }

    /// Commits and acts on it. What the store says against a script's writes is given back: nothing has
    /// changed then.
    pub(super) async fn commit(
        &mut self,
        plan: Arc<Plan>,
        run: Run,
        looped: Loop,
        action: Option<Action>,
        making: Making,
        begins: Begins,
    ) -> Result<Option<StepFailure>, Left> {
        let pause = Some(REFUSED_PAUSE);
        let committed = self.try_commit(plan, run, looped, action, making, begins, pause);
        match committed.await {
            Ok(()) => Ok(None),
            Err(CommitError::Storage { code, message }) => {
                Ok(Some(StepFailure::permanent(Code::new(code), message)))
            }
            Err(CommitError::Conflict(why)) => {
                tracing::error!(loop_id = %self.id, why, "a commit was refused");
                Err(Left::Conflict)
            }
            Err(error) => {
                tracing::error!(loop_id = %self.id, %error, "a commit did not happen");
                Err(Left::StoreGone)
            }
        }
    }

    /// Commits and acts on it. On an error nothing has changed, unless its outcome is unknown. A commit that a
    /// full disk refuses is offered again after `pause`, if there is one.
    #[expect(clippy::too_many_arguments, reason = "a commit is all of these")]
    pub(super) async fn try_commit(
        &mut self,
        plan: Arc<Plan>,
        run: Run,
        looped: Loop,
        action: Option<Action>,
        making: Making,
        begins: Begins,
        pause: Option<Duration>,
    ) -> Result<(), CommitError> {
        let (mut making, mut begins) = (making, begins);
        let looped = self.bring_along(&plan, &run, looped, &mut making, &mut begins);
        // Of other loops, which this commit begins.
        let mut grown = std::mem::take(&mut making.grown);
        let stop_cycle = making.stop_cycle;
        // Registered before the commit is visible, so that a message finds the one task.
        let seats: Vec<_> = begins
            .others
            .iter()
            .map(|(other, ..)| self.shared.registry.reach(other.id))
            .collect();
        making.loop_was = Some((self.id, self.stored));
        let stored = making.loop_status(self.id);
        if let Err(error) = self.shared.commit(making, pause).await {
            self.undo(begins);
            return Err(error);
        }
        self.stored = stored.unwrap_or(self.stored);
        for ((other, run, plan, action), (_, inbox)) in begins.others.into_iter().zip(seats) {
            if other.status.is_final() {
                // It was over at once: `after_webhook` said no, or all its steps are pure.
                self.shared.registry.remove(other.id);
                self.shared.loop_ended(&other.cycle, other.placed);
                continue;
            }
            let id = other.id;
            let grown = grown
                .extract_if(.., |grown| grown.run.loop_id == id)
                .collect();
            let shared = Arc::clone(&self.shared);
            let task = Self::accepted(shared, other, run, Arc::clone(&plan), action);
            let task = task.with_grown(grown, &plan);
            if let Some(inbox) = inbox {
                task.start(inbox);
            }
            self.shared.stop_if_stopped(&plan.cycle, id);
        }
        self.committed(plan, run, looped, action);
        for (run, plan, action) in begins.own {
            self.keep(run, plan, action);
        }
        for (cycle, admission) in begins.admitted {
            if admission == Admission::Queue {
                // A place may have become free between the admission and the commit.
                self.shared.begin_next(&cycle);
            }
        }
        if stop_cycle {
            self.shared.stop_cycle_soon(self.looped.cycle.clone());
        }
        Ok(())
    }

    fn committed(&mut self, plan: Arc<Plan>, run: Run, looped: Loop, action: Option<Action>) {
        let was_open = !self.looped.status.is_final();
        if let Some((step, keys, limit)) = self.remembering.take() {
            self.seen
                .get_or_insert_default()
                .remember(step, keys, limit);
        }
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
            self.shared.withdraw(&cycle, admission);
        }
    }
}

/// The item that a single hand-off of a `for_each` is about.
fn item_of(action: &Action) -> Option<(u64, u32)> {
    match action {
        Action::Items { items, .. } => items.first().map(|call| (call.index, call.attempt)),
        _ => None,
    }
}
