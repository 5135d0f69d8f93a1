//! A webhook's own handlers and fields, for requests from outside and for hand-offs alike.
//!
//! ```text
//! body ─▶ before_webhook ─▶ fields ─▶ (place) ─▶ after_webhook ─▶ the run's first steps
//! ```

use std::sync::Arc;

use velodrome_core::{
    Delivery, Facts, Input, Loop, Run, StepFailure, Transition, advance, convert_fields, text_of,
};
use velodrome_script::Vars;
use velodrome_spec::Plan;
use velodrome_spec::expr::HookTarget;
use velodrome_spec::plan::{StepIx, WebhookStep};
use velodrome_types::{CycleState, Json, JsonMap, LoopId, RunId, Timestamp};

use crate::api::{HookAnswer, Problem, Written};
use crate::handlers::{Caller, Purpose};
use crate::overlay::Overlay;
use crate::shared::Shared;
use crate::unit::Making;

/// What `before_webhook` and the fields make of a delivery.
pub(crate) enum Received {
    /// It goes on.
    Passed(Delivery, Overlay),
    /// `before_webhook` answered itself.
    Answered(HookAnswer),
}

/// Who is calling, as far as handlers see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ids {
    pub(crate) run: RunId,
    pub(crate) loop_id: LoopId,
}

/// The webhook of a plan's trigger.
pub(crate) fn trigger(plan: &Plan) -> Option<&WebhookStep> {
    plan.webhook(plan.trigger)
}

/// The URL of a webhook, as its handlers see it.
pub(crate) fn endpoint(shared: &Shared, plan: &Plan, at: StepIx) -> String {
    let step = (at != plan.trigger).then(|| plan.step(at).id.clone());
    let cycle = plan.cycle.clone();
    shared.hook_url_for(&HookTarget { cycle, step })
}

/// What `after_webhook` sees of a request.
pub(crate) fn heard(delivery: &Delivery) -> Vars {
    Vars {
        method_request: delivery.body.clone(),
        method_request_headers: delivery.headers.clone(),
        method_request_parameters: delivery.query.clone(),
        method_response: delivery.body.clone(),
        method_response_headers: delivery.headers.clone(),
        ..Vars::default()
    }
}

/// Runs `before_webhook`, then converts the fields.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    plan: &Plan,
    at: StepIx,
    ids: Ids,
    mut delivery: Delivery,
    overlay: Overlay,
    now: Timestamp,
) -> Result<Received, Problem> {
    let step = plan.step(at);
    let mut overlay = overlay;
    if step.handles("before_webhook") {
        let vars = Vars {
            method_request: delivery.body.clone(),
            method_request_headers: delivery.headers.clone(),
            method_request_parameters: delivery.query.clone(),
            method_response: Json::Object(JsonMap::new()),
            method_endpoint: endpoint(shared, plan, at),
            status_code: Some(200),
            ..Vars::default()
        };
        let caller = Caller {
            shared,
            plan,
            step,
            run: ids.run,
            loop_id: ids.loop_id,
            lap: 1,
            now,
            at: 0,
            purpose: Purpose::Run,
        };
        let called = shared
            .handlers
            .call(caller, "before_webhook", vars, overlay)
            .await
            .map_err(|failure| script_failed(&failure))?;
        overlay = called.overlay;
        if !called.passed {
            return Ok(Received::Answered(HookAnswer {
                status: called.vars.status_code.unwrap_or(200),
                headers: called
                    .vars
                    .method_response_headers
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), text_of(value)?)))
                    .collect(),
                body: called.vars.method_response,
                written: Written::Plain,
            }));
        }
        delivery.body = called.vars.method_request;
    }
    let fields = plan.webhook(at).map_or(&[][..], |webhook| &webhook.fields);
    if !fields.is_empty() {
        let Json::Object(body) = &mut delivery.body else {
            return Err(Problem::new(
                422,
                "webhook.field_missing",
                "the body must be a JSON object with the webhook's fields",
            ));
        };
        convert_fields(fields, body).map_err(|problems| {
            let detail: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
            let mut told = Problem::new(422, problems[0].code, detail.join("; "));
            let errors = problems
                .iter()
                .map(|problem| serde_json::json!({ "field": problem.field, "code": problem.code, "message": problem.message }));
            told.more.insert("errors".to_owned(), Json::Array(errors.collect()));
            told
        })?;
    }
    Ok(Received::Passed(delivery, overlay))
}

/// A handler that threw before the answer.
pub(crate) fn script_failed(failure: &StepFailure) -> Problem {
    let at = failure
        .at
        .as_ref()
        .map(|at| format!(" ({at})"))
        .unwrap_or_default();
    let mut problem = Problem::new(
        500,
        "webhook.script_failed",
        format!("{}{at}", failure.message),
    );
    problem.more.insert(
        "script_code".to_owned(),
        Json::String(failure.code.to_string()),
    );
    problem
}

/// Runs `after_webhook` of a queued run whose loop has its place, and moves the run on.
///
/// On a fault nothing has been added to `making` and its overlay is gone: the caller decides whether
/// that refuses the request or fails the run.
pub(crate) async fn enter(
    shared: &Arc<Shared>,
    plan: &Arc<Plan>,
    run: Run,
    looped: Loop,
    delivery: &Delivery,
    making: &mut Making,
    now: Timestamp,
) -> Result<Transition, Box<StepFailure>> {
    let step = plan.step(plan.trigger);
    let vars = Vars {
        method_endpoint: match step.handles("after_webhook") {
            true => endpoint(shared, plan, plan.trigger),
            false => String::new(),
        },
        ..heard(delivery)
    };
    let caller = Caller {
        shared,
        plan,
        step,
        run: run.id,
        loop_id: looped.id,
        lap: run.lap,
        now,
        at: 0,
        purpose: Purpose::Run,
    };
    let called = shared
        .handlers
        .call(caller, "after_webhook", vars, making.take_overlay())
        .await?;
    making.overlay = called.overlay;
    making.foreign_reads(plan, &run, &step.id, called.foreign, now);
    let input = if called.passed {
        Input::Begin {
            body: called.vars.method_response,
            logs: called.logs,
        }
    } else {
        Input::Ignore { logs: called.logs }
    };
    let watermarks = shared.watermarks(&plan.cycle);
    let facts = Facts {
        // The handler may have taken its time: what follows begins now.
        now: shared.clock.now(),
        jitter: 0.0,
        cycle: CycleState::Running,
        watermarks: &watermarks,
        statics: &**shared,
        ids: &shared.random,
    };
    Ok(advance(plan, run, looped, input, &facts).expect("a queued run has no late reports"))
}
