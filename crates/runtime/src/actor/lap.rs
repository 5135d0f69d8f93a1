//! The first lap of a queued loop, and a lap that came as a real request.

use std::sync::Arc;

use velodrome_core::{
    Acceptance, Action, Delivery, Input, Loop, Run, State, accept_next_lap, may_begin_lap,
};
use velodrome_spec::Plan;
use velodrome_store::{CommitError, IdempotencyRow};
use velodrome_types::{Event, Level, LoopStatus, RunId};

use super::{Active, Actor, Left};
use crate::accept::{REMEMBERED, accepted_answer, replayed, uncommitted};
use crate::api::{HookAnswer, Problem};
use crate::handoff::SignedOrigin;
use crate::registry::{Beginning, BeginningEnd, LapRequest};
use crate::unit::{Grown, Making};
use crate::webhook::{self, Ids, Received};

/// A lap that has been accepted, to be committed.
type Lap = (Run, Loop, Arc<Plan>, Option<Action>);

impl Actor {
    /// The loop has its place: `after_webhook` runs now.
    pub(super) async fn begin_first_lap(&mut self, mut beginning: Beginning) -> Result<(), Left> {
        let first = self.runs.iter().find(|(_, active)| {
            matches!(active.run.state, State::Queued { .. } | State::Again { .. })
        });
        let Some((id, active)) = first else {
            // It was stopped or purged meanwhile: the place goes to the next.
            beginning.end = BeginningEnd::Over;
            return Ok(());
        };
        let (id, plan) = (*id, Arc::clone(&active.plan));
        if matches!(active.run.state, State::Again { .. }) {
            let begun = self.all_go_on().await;
            if begun.is_ok() {
                beginning.end = BeginningEnd::Taken;
            }
            return begun;
        }
        let begun = self.begin_run(id, plan).await;
        if begun.is_ok() {
            beginning.end = BeginningEnd::Taken;
        }
        begun
    }

    /// The place is the loop's: all its runs go on that were taken up again while it had none.
    async fn all_go_on(&mut self) -> Result<(), Left> {
        let again = |active: &Active| matches!(active.run.state, State::Again { .. });
        let waits: Vec<RunId> = self
            .runs
            .iter()
            .filter(|(_, active)| again(active))
            .map(|(id, _)| *id)
            .collect();
        for id in waits {
            self.move_on(id, Input::GoOn, Making::default()).await?;
        }
        Ok(())
    }

    async fn begin_run(&mut self, id: RunId, plan: Arc<Plan>) -> Result<(), Left> {
        let run = self.runs[&id].run.clone();
        let State::Queued { delivery } = run.state.clone() else {
            return Ok(());
        };
        let now = self.now;
        let mut looped = self.looped.clone();
        looped.placed = true;
        looped.status = LoopStatus::Running;
        // Whatever becomes of the lap, the place is taken: the loop gives it back when it ends.
        let before = (run.clone(), looped.clone());
        let mut making = Making::default();
        making.expect_fence(id, run.fence);
        making.note(
            &plan,
            &run,
            now,
            Level::Debug,
            Event::LoopStarted,
            "loop started: it has its place",
        );
        making.note(
            &plan,
            &run,
            now,
            Level::Debug,
            Event::RunStarted,
            "run started",
        );
        let entered = webhook::enter(
            &self.shared,
            &plan,
            run.clone(),
            looped.clone(),
            &delivery,
            &mut making,
            now,
        )
        .await;
        let transition = match entered {
            Ok(transition) => transition,
            Err(failure) => {
                // After the 202: the run fails as `webhook.script_failed`.
                let fence = run.fence;
                let mut failure = *failure;
                failure.message = format!("{} ({})", failure.message, failure.code);
                failure.code = velodrome_types::Code::new("webhook.script_failed");
                match self.advance(&plan, run, looped, Input::Failed { fence, failure }) {
                    Some(transition) => transition,
                    None => return Ok(()),
                }
            }
        };
        let (run, looped, action) = making.moved(transition);
        making.tell_storage(&plan, &plan.step(plan.trigger).id);
        self.follow(plan, run, looped, action, making, before).await
    }

    /// `handoff: http`: the next lap came as a request. The answer follows the commit.
    pub(super) async fn lap_by_request(&mut self, request: LapRequest) -> Result<(), Left> {
        let LapRequest {
            origin,
            delivery,
            answer,
        } = request;
        let mut outcome = Ok(());
        let told = match self.lap_known(&origin) {
            Some(known) => Ok(known),
            None => {
                let mut making = Making::default();
                match self.prepare_lap(&origin, delivery, &mut making).await {
                    Ok(lap) => {
                        match self.commit_lap(lap.0, making, &origin, &lap.1).await {
                            Ok(()) => Ok(lap.1),
                            Err(error) => {
                                tracing::error!(loop_id = %self.id, %error, "a lap was not stored");
                                // Nothing changed but where the outcome is unknown: the poster hears it.
                                if matches!(error, CommitError::Unknown(_) | CommitError::Closed) {
                                    outcome = Err(Left::StoreGone);
                                }
                                Err(uncommitted(error))
                            }
                        }
                    }
                    Err(problem) => Err(problem),
                }
            }
        };
        // A caller that went away asks again and gets the remembered answer.
        let _ = answer.send(told);
        outcome
    }

    /// The answer that this hand-off was given before, by another attempt or before a crash.
    fn lap_known(&self, origin: &SignedOrigin) -> Option<HookAnswer> {
        let now = self.now;
        let row = self
            .shared
            .store
            .answer(self.looped.cycle.as_str(), &origin.key(), now)
            .ok()??;
        Some(replayed(&row))
    }

    async fn commit_lap(
        &mut self,
        (run, looped, plan, action): Lap,
        mut making: Making,
        origin: &SignedOrigin,
        told: &HookAnswer,
    ) -> Result<(), CommitError> {
        let now = self.now;
        let row = IdempotencyRow {
            hook: self.looped.cycle.to_string(),
            key: origin.key(),
            body_hash: [0; 32],
            status: told.status,
            answer: told.body.to_string().into_bytes(),
            expires: now.plus(REMEMBERED),
        };
        making.remember(row, now);
        let stop_cycle = making.stop_cycle;
        let grown = std::mem::take(&mut making.grown);
        making.loop_was = Some((self.id, self.stored));
        let stored = making.loop_status(self.id);
        self.shared.commit(making, None).await?;
        self.stored = stored.unwrap_or(self.stored);
        if stop_cycle {
            self.shared.stop_cycle_soon(self.looped.cycle.clone());
        }
        // One lap hands off once: the poster's own row follows with its outcome.
        if let Some(poster) = self.runs.get_mut(&origin.run) {
            poster.run.handed_off = true;
        }
        self.looped = looped;
        self.keep(run, Arc::clone(&plan), action);
        for Grown { run, action } in grown {
            self.keep(run, Arc::clone(&plan), action);
        }
        Ok(())
    }

    async fn prepare_lap(
        &mut self,
        origin: &SignedOrigin,
        delivery: Delivery,
        making: &mut Making,
    ) -> Result<(Lap, HookAnswer), Problem> {
        let now = self.now;
        let poster = self
            .runs
            .get(&origin.run)
            .ok_or_else(|| Problem::new(409, "handoff.run_over", "the run that posts has ended"))?;
        let plan = self
            .shared
            .target_plan(&self.looped.cycle, Some(&poster.plan))?;
        may_begin_lap(&poster.plan, &self.looped, &poster.run).map_err(|failure| Problem {
            code: failure.code,
            ..Problem::new(409, "handoff.refused", failure.message)
        })?;
        let ids = Ids {
            run: self.shared.random.run_id(now),
            loop_id: self.looped.id,
        };
        let received = webhook::receive(
            &self.shared,
            &plan,
            plan.trigger,
            ids,
            delivery,
            making.take_overlay(),
            now,
        )
        .await?;
        let delivery = match received {
            Received::Passed(delivery, overlay) => {
                making.overlay = overlay;
                delivery
            }
            Received::Answered(HookAnswer { status, body, .. }) => {
                let mut problem =
                    Problem::new(status, "handoff.refused", "before_webhook answered itself");
                problem.more.insert("body".to_owned(), body);
                return Err(problem);
            }
        };
        let looped = self.looped.clone();
        let acceptance = accept_next_lap(
            &plan,
            ids.run,
            looped,
            delivery.clone(),
            origin.origin(),
            now,
        );
        making.accepted(&acceptance, &plan);
        let Acceptance { run, looped, .. } = acceptance;
        let moved = webhook::enter(&self.shared, &plan, run, looped, &delivery, making, now)
            .await
            .map_err(|failure| webhook::script_failed(&failure))?;
        let (run, looped, action) = making.moved(moved);
        making.tell_storage(&plan, &plan.step(plan.trigger).id);
        let told = accepted_answer(&self.shared, &run);
        Ok(((run, looped, plan, action), told))
    }
}
