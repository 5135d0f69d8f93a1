//! A hand-off in process: the next run's acceptance and this step's outcome are one commit (SPEC §7).
//!
//! No socket is involved; fields are checked, both webhook handlers run, and the step sees the status
//! and the body that an HTTP caller would.

use std::sync::Arc;

use velodrome_core::{
    Acceptance, Action, Admission, Delivery, FailureKind, Finish, Input, Loop, Origin, Run, Scope,
    SendAnswer, State, StepFailure, accept_first_lap, accept_next_lap, evaluate_map, may_begin_lap,
    may_hop, preview,
};
use velodrome_script::Vars;
use velodrome_spec::Plan;
use velodrome_spec::plan::{SendStep, Step};
use velodrome_store::Forget;
use velodrome_types::{Code, Json, JsonMap};

use super::Actor;
use super::commit::Begins;
use crate::api::{HookAnswer, Problem};
use crate::handlers::{Caller, Purpose};
use crate::inline::prepared;
use crate::payloads;
use crate::perform::Item;
use crate::simulated::HandedOff;
use crate::unit::Making;
use crate::webhook::{self, Ids, Received};

/// A hand-off under way.
pub(super) struct Posting<'a> {
    pub(super) plan: &'a Arc<Plan>,
    pub(super) run: &'a Run,
    pub(super) step: &'a Step,
    pub(super) send: &'a SendStep,
    /// The item of a `for_each` that it posts.
    pub(super) item: Option<&'a Item>,
}

impl Actor {
    /// Accepts what is posted, into the commit that is being made.
    pub(super) async fn post(
        &mut self,
        posting: &Posting<'_>,
        fence: u64,
        next: &mut Making,
        looped: &mut Loop,
        begins: &mut Begins,
    ) -> Result<Input, Box<StepFailure>> {
        let mut logs = Vec::new();
        let delivery = self.deliver(posting, next, &mut logs).await?;
        let kept = kept(posting, &delivery, next);
        let posted = self.post_as(posting, fence, (delivery, logs), next, looped, begins);
        match posted.await {
            Ok(Input::Sent { fence, mut answer }) => {
                answer.kept = kept;
                Ok(Input::Sent { fence, answer })
            }
            Ok(other) => Ok(other),
            Err(mut failure) => {
                failure.kept = kept;
                if let Some(kept) = &mut failure.kept {
                    // Dropped with all else that the step did.
                    kept.shift_remove("storage");
                    kept.shift_remove("storage_more");
                }
                Err(failure)
            }
        }
    }

    /// The same with what is posted as it was built.
    async fn post_as(
        &mut self,
        posting: &Posting<'_>,
        fence: u64,
        (delivery, logs): (Delivery, Vec<String>),
        next: &mut Making,
        looped: &mut Loop,
        begins: &mut Begins,
    ) -> Result<Input, Box<StepFailure>> {
        let target = posting
            .send
            .target
            .as_ref()
            .expect("only a hand-off comes here");
        let now = self.now;
        let own = target.cycle == posting.plan.cycle;
        let to = if own {
            self.shared.lap_plan(posting.plan)
        } else {
            self.shared
                .target_plan(&target.cycle, None)
                .map_err(refused)?
        };
        let own_trigger = target
            .step
            .as_ref()
            .is_none_or(|step| *step == to.step(to.trigger).id);
        if !own_trigger || webhook::trigger(&to).is_none() {
            return Err(refused(Problem::new(
                404,
                "webhook.unknown",
                format!("`{}` has no such webhook", target.cycle),
            )));
        }
        if own {
            may_begin_lap(posting.plan, looped, posting.run).map_err(Box::new)?;
        } else {
            may_hop(posting.plan, posting.run).map_err(Box::new)?;
        }
        let ids = Ids {
            run: self.shared.random.run_id(now),
            loop_id: if own {
                looped.id
            } else {
                self.shared.random.loop_id(now)
            },
        };
        if self.shared.witness.is_some() {
            next.handed_off.push(HandedOff {
                cycle: posting.plan.cycle.clone(),
                step: posting.step.id.clone(),
                lap: posting.run.lap,
                to: target.cycle.clone(),
                body: delivery.body.clone(),
            });
        }
        let overlay = next.take_overlay();
        let (delivery, overlay) =
            match webhook::receive(&self.shared, &to, to.trigger, ids, delivery, overlay, now)
                .await
                .map_err(refused)?
            {
                Received::Passed(delivery, overlay) => (delivery, overlay),
                Received::Answered(HookAnswer { status, body, .. }) if status < 400 => {
                    let answer = SendAnswer {
                        status,
                        body,
                        own,
                        url: target.cycle.to_string(),
                        logs,
                        ..Default::default()
                    };
                    return Ok(Input::Sent { fence, answer });
                }
                Received::Answered(HookAnswer { status, body, .. }) => {
                    let mut problem = Problem::new(
                        status,
                        "handoff.refused",
                        "before_webhook refused the request",
                    );
                    problem.more.insert("body".to_owned(), body);
                    return Err(refused(problem));
                }
            };
        next.overlay = overlay;
        let shown = preview(&delivery.body, &posting.plan.log);
        let origin = Origin::of(posting.run);
        let (status, accepted) = if own {
            let acceptance =
                accept_next_lap(&to, ids.run, looped.clone(), delivery.clone(), origin, now);
            let entered = self.enter(&to, acceptance, &delivery, next).await?;
            *looped = entered.1.clone();
            if looped.laps.is_multiple_of(LAPS_FORGOTTEN_AT_ONCE) {
                next.forget.extend(self.old_laps(looped, &to));
            }
            let status = status_of(&entered.0);
            let told = (entered.0.id, entered.0.loop_id, entered.0.lap, shown);
            begins.own.push((entered.0, to, entered.2));
            (status, told)
        } else {
            let admission = self.shared.cycles.admit(&to.cycle, to.concurrency, None);
            begins.admitted.push((to.cycle.clone(), admission));
            let placed = admission == Admission::Start;
            let mut acceptance = accept_first_lap(
                &to,
                (ids.run, ids.loop_id),
                delivery.clone(),
                Some(origin),
                placed,
                now,
            );
            acceptance.looped.trace.clone_from(&looped.trace);
            let told = (
                acceptance.run.id,
                acceptance.run.loop_id,
                acceptance.run.lap,
                shown,
            );
            let mut status = 202;
            if placed {
                match self.enter(&to, acceptance, &delivery, next).await {
                    Ok((run, other, action)) => {
                        status = status_of(&run);
                        begins.others.push((other, run, to, action));
                    }
                    Err(failure) => {
                        begins.admitted.pop();
                        self.shared.withdraw(&to.cycle, admission);
                        return Err(failure);
                    }
                }
            } else {
                next.accepted(&acceptance, &to);
                next.tell_storage(&to, &to.step(to.trigger).id);
            }
            (status, told)
        };
        let body = serde_json::json!({
            "run": accepted.0, "cycle": target.cycle, "loop": accepted.1, "lap": accepted.2,
            "status": if status == 200 { "ignored" } else { "accepted" },
        });
        let answer = SendAnswer {
            status,
            url: target.cycle.to_string(),
            body,
            handoff: Some(accepted),
            own,
            logs,
            ..SendAnswer::default()
        };
        Ok(Input::Sent { fence, answer })
    }

    /// Runs the accepted run's `after_webhook` and its first steps. A throw before the answer is 500
    /// to the caller, and nothing is accepted.
    async fn enter(
        &mut self,
        to: &Arc<Plan>,
        acceptance: Acceptance,
        delivery: &Delivery,
        next: &mut Making,
    ) -> Result<(Run, Loop, Option<Action>), Box<StepFailure>> {
        let now = self.now;
        next.accepted(&acceptance, to);
        let Acceptance { run, looped, .. } = acceptance;
        let moved = webhook::enter(&self.shared, to, run, looped, delivery, next, now)
            .await
            .map_err(|failure| refused(webhook::script_failed(&failure)))?;
        let moved = next.moved(moved);
        next.tell_storage(to, &to.step(to.trigger).id);
        Ok(moved)
    }

    /// The laps that a loop no longer keeps, if there are any.
    pub(super) fn old_laps(&self, looped: &Loop, plan: &Plan) -> Option<Forget> {
        let kept = self.shared.retention.of(Some(&plan.retention)).laps;
        let below = looped.laps.saturating_sub(kept);
        (below > 1).then_some(Forget::Laps {
            of: looped.id,
            below,
        })
    }

    /// Builds what is posted: the mapped fields, and what `before_action` makes of them.
    async fn deliver(
        &mut self,
        posting: &Posting<'_>,
        next: &mut Making,
        logs: &mut Vec<String>,
    ) -> Result<Delivery, Box<StepFailure>> {
        let Posting {
            plan,
            run,
            step,
            send,
            item,
        } = posting;
        let scope = || {
            let scope = Scope::new(plan, run, &*self.shared);
            match item {
                Some(item) => scope.with_item(&item.value, item.index),
                None => scope,
            }
        };
        let caller = Caller {
            shared: &self.shared,
            plan,
            step,
            run: run.id,
            loop_id: run.loop_id,
            lap: run.lap,
            now: self.now,
            at: self.item.map_or(0, |(index, _)| index),
            purpose: Purpose::Run,
        };
        let scripts = prepared(step, scope());
        let inline = self.shared.handlers.inline(caller, scripts, logs).await?;
        let scope = scope().with_inline(&inline);
        let failed = |error: velodrome_core::EvalError| {
            Box::new(StepFailure::permanent(error.code(), error.to_string()))
        };
        let mapped = evaluate_map(&send.map, scope).map_err(failed)?;
        let mergefields = match step.handles("before_action") {
            true => mapped.clone(),
            false => JsonMap::new(),
        };
        let mut delivery = Delivery {
            body: Json::Object(mapped),
            headers: evaluate_map(&send.headers, scope).map_err(failed)?,
            query: evaluate_map(&send.query, scope).map_err(failed)?,
        };
        if step.handles("before_action") {
            let vars = Vars {
                method_request: delivery.body,
                method_request_headers: delivery.headers,
                method_request_parameters: delivery.query,
                method_request_mergefields: mergefields,
                method_endpoint: send
                    .target
                    .as_ref()
                    .map(|target| self.shared.hook_url_for(target))
                    .unwrap_or_default(),
                ..Vars::default()
            };
            let called = self
                .shared
                .handlers
                .call(caller, "before_action", vars, next.take_overlay())
                .await?;
            next.overlay = called.overlay;
            next.foreign_reads(plan, run, &step.id, called.foreign, self.now);
            logs.extend(called.logs);
            if !called.passed {
                return Err(Box::new(StepFailure {
                    logs: std::mem::take(logs),
                    ..StepFailure::permanent(
                        Code::new("script.aborted"),
                        "before_action returned false: the request was not sent",
                    )
                }));
            }
            delivery = Delivery {
                body: called.vars.method_request,
                headers: called.vars.method_request_headers,
                query: called.vars.method_request_parameters,
            };
        }
        delivery.headers = delivery
            .headers
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect::<JsonMap>();
        Ok(delivery)
    }
}

/// What the log tells of what is posted, and of what building it wrote to storage.
fn kept(posting: &Posting<'_>, delivery: &Delivery, next: &mut Making) -> Option<Box<JsonMap>> {
    let kept = payloads::posted(&posting.plan.log, "", delivery, None);
    let written = payloads::written(posting.plan, &mut next.overlay);
    match (kept, written) {
        (Some(mut kept), Some(written)) => {
            kept.extend(*written);
            Some(kept)
        }
        (kept, written) => kept.or(written),
    }
}

/// Every so many laps those that are not kept any more are forgotten (SPEC §3, `retention`).
const LAPS_FORGOTTEN_AT_ONCE: u64 = 64;

fn status_of(run: &Run) -> u16 {
    if matches!(
        run.state,
        State::Finished {
            how: Finish::Ignored
        }
    ) {
        200
    } else {
        202
    }
}

/// A refusal as the posting step sees it: what an HTTP caller would be answered.
pub(crate) fn refused(problem: Problem) -> Box<StepFailure> {
    let transient = matches!(problem.status, 429 | 500..=599);
    Box::new(StepFailure {
        kind: if transient {
            FailureKind::Transient
        } else {
            FailureKind::Permanent
        },
        status: Some(problem.status),
        body: serde_json::to_value(&problem).ok(),
        ..StepFailure::permanent(
            problem.code.clone(),
            format!(
                "the webhook answered {}: {}",
                problem.status, problem.detail
            ),
        )
    })
}
