//! A request to a run that waits for one: its `after_webhook`, and the commit by which the run goes on.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use velodrome_core::{Call, Input, Run, waits_at};
use velodrome_script::Vars;
use velodrome_store::CommitError;

use super::commit::Begins;
use super::{Actor, Left};
use crate::accept::{accepted_answer, ignored_answer, not_taking, shutting_down, uncommitted};
use crate::api::Problem;
use crate::handlers::{Caller, Purpose};
use crate::held::{self, Holding};
use crate::midway::{CallEnd, CallRequest};
use crate::unit::Making;
use crate::webhook;

impl Actor {
    /// The answer follows the commit, never before.
    pub(super) async fn called(&mut self, request: CallRequest) -> Result<(), Left> {
        let CallRequest {
            run,
            delivery,
            overlay,
            key,
            begun,
            answer,
        } = request;
        begun.store(true, Ordering::Release);
        let mut left = Ok(());
        let end = self.call(run, (delivery, overlay), key, &mut left).await;
        // Whoever asked and went away asks again, and hears that it was answered.
        let _ = answer.send(end);
        left
    }

    async fn call(
        &mut self,
        id: velodrome_types::RunId,
        (delivery, overlay): (velodrome_core::Delivery, crate::overlay::Overlay),
        key: Option<crate::accept::Key>,
        left: &mut Result<(), Left>,
    ) -> Result<CallEnd, Problem> {
        if self.shared.draining.is_cancelled() {
            return Err(shutting_down());
        }
        let Some(active) = self.runs.get(&id) else {
            return Ok(CallEnd::Missed);
        };
        if !self.stopping.is_empty() {
            let state = velodrome_types::CycleState::Stopped;
            return Err(not_taking(&self.looped.cycle, state));
        }
        let (plan, run) = (Arc::clone(&active.plan), active.run.clone());
        let committed = active.committed;
        let at = waits_at(&run).and_then(|step| plan.midway(step.as_str()));
        let Some((at, hook)) = at.and_then(|at| Some((at, plan.webhook(at)?))) else {
            return Ok(CallEnd::Missed);
        };
        if let Some(key) = &key
            && let Some(known) = key.known(&self.shared)?
        {
            return Ok(CallEnd::Known(known));
        }
        let shared = Arc::clone(&self.shared);
        let step = plan.step(at);
        let called = {
            let vars = Vars {
                method_endpoint: match step.handles("after_webhook") {
                    true => webhook::endpoint(&shared, &plan, at),
                    false => String::new(),
                },
                ..webhook::heard(&delivery)
            };
            let caller = Caller {
                shared: &shared,
                plan: &plan,
                step,
                run: id,
                loop_id: self.id,
                lap: run.lap,
                now: self.now,
                at: 0,
                purpose: Purpose::Run,
            };
            let called = shared.handlers.call(caller, "after_webhook", vars, overlay);
            called
                .await
                .map_err(|failure| webhook::script_failed(&failure))?
        };
        // The handler may have taken its time: what follows begins now.
        self.now = shared.clock.now();
        let mut making = Making::with_overlay(called.overlay);
        making.expect_fence(id, committed);
        making.foreign_reads(&plan, &run, &step.id, called.foreign, self.now);
        let passed = called.passed;
        let within = hook.respond_within.filter(|_| passed);
        let fence = run.fence;
        let input = if passed {
            let row = |key: &crate::accept::Key| key.row(&accepted_answer(&shared, &run), self.now);
            let held = within.map(|_| held::keep(key.as_ref().map(row).as_ref()));
            Input::Called {
                fence,
                call: Box::new(Call {
                    delivery,
                    body: called.vars.method_response,
                    held,
                    logs: called.logs,
                }),
            }
        } else {
            let logs = called.logs;
            Input::CalledInVain { fence, logs }
        };
        let Some(transition) = self.advance(&plan, run.clone(), self.looped.clone(), input) else {
            return Ok(CallEnd::Missed);
        };
        let goes_on: &Run = match transition.others.first().filter(|_| hook.repeat && passed) {
            Some(child) => &child.run,
            None => &transition.run,
        };
        let told = match passed {
            true => accepted_answer(&shared, goes_on),
            false => ignored_answer(&shared, goes_on),
        };
        let holding = within.map(|within| Holding::of(&shared, goes_on.id, within));
        let (run, looped, action) = making.moved(transition);
        making.tell_storage(&plan, &plan.step(at).id);
        if let Some(key) = &key {
            making.remember_unless_answered(key.row(&told, self.now), self.now);
        }
        let begins = Begins::default();
        let committed = self.try_commit(plan, run, looped, action, making, begins, None);
        match committed.await {
            Ok(()) => Ok(match holding {
                Some(holding) => CallEnd::Held(holding),
                None => CallEnd::Answered(told),
            }),
            Err(error) => {
                match &error {
                    // Another loop has answered under the same key meanwhile.
                    CommitError::Conflict(_) if key.is_some() => {
                        if let Some(known) = key.and_then(|key| key.known(&shared).ok()?) {
                            return Ok(CallEnd::Known(known));
                        }
                        *left = Err(Left::Conflict);
                    }
                    CommitError::Conflict(_) => *left = Err(Left::Conflict),
                    CommitError::Unknown(_) | CommitError::Closed => *left = Err(Left::StoreGone),
                    // Nothing has changed: the run goes on waiting.
                    CommitError::Storage { .. } | CommitError::Refused(_) => {}
                }
                Err(uncommitted(error))
            }
        }
    }
}
