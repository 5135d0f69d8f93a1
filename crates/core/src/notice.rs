//! What is told of a failed run, and where: the payload of Cyclr's transaction error webhook, and a few
//! fields more (SPEC §6).
//!
//! Told is each time that a run becomes failed. Not told is a run of the very cycle that would be told, nor
//! to a webhook of this server a run that goes back to a notice: no failure can feed itself.

use serde::{Deserialize, Serialize};
use velodrome_spec::Plan;
use velodrome_spec::expr::HookTarget;
use velodrome_spec::plan::{Payloads, StepKind};
use velodrome_types::{Code, CycleId, Json, LoopId, RunId, StepId, Timestamp};

use crate::accept::Origin;
use crate::eval::{Scope, Statics, evaluate_url};
use crate::input::{FailureKind, StepFailure};
use crate::machine::Moving;
use crate::payload::{masked, masked_text};

/// How much of a refused request's answer a notice shows.
const BODY_CHARS: usize = 4_000;

/// What is told of a failed run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// The run.
    pub run: RunId,
    /// Its fence since it failed: tells one failing of a run from the next.
    pub fence: u64,
    /// Its loop.
    pub loop_id: LoopId,
    /// Its lap.
    pub lap: u64,
    /// The run at the very beginning.
    pub root: RunId,
    /// Hand-offs to another cycle on the way to it.
    pub hops: u64,
    /// Whether it goes back to a notice itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_notice: bool,
    /// Its cycle.
    pub cycle: CycleId,
    /// The hash of the plan that it was on.
    pub plan: String,
    /// The cycle's name for people.
    pub cycle_name: String,
    /// Where it failed.
    pub step: StepId,
    /// The step's name for people.
    pub step_name: String,
    /// Cyclr's number of the step's kind.
    pub step_type: u8,
    /// When.
    pub at: Timestamp,
    /// The stable code.
    pub code: Code,
    /// Cyclr's words for it.
    pub message: String,
    /// What happened.
    pub detail: String,
}

impl Notice {
    /// The key that every attempt to tell it carries.
    pub fn key(&self) -> String {
        format!("{}/failed/{}", self.run, self.fence)
    }

    /// What is POSTed. Fields of Cyclr's that mean nothing here (there are no accounts) are empty texts, so
    /// that what reads them goes on reading.
    pub fn payload(&self, run_url: &str) -> Json {
        serde_json::json!({
            "Timestamp": self.at,
            "AccountId": "",
            "AccountExternalId": "",
            "AccountName": "",
            "CycleId": self.cycle,
            "CycleName": self.cycle_name,
            "StepId": self.step,
            "StepName": self.step_name,
            "StepType": self.step_type,
            "TransactionId": self.run,
            "Message": self.message,
            "Detail": self.detail,
            "IncidentLevel": "Error",
            "RunUrl": run_url,
            "Code": self.code,
            "LoopId": self.loop_id,
            "Lap": self.lap,
        })
    }

    /// The origin of a run that it begins.
    pub fn origin(&self) -> Origin {
        Origin {
            run: self.run,
            loop_id: self.loop_id,
            root: self.root,
            hops: self.hops,
            of_notice: true,
        }
    }
}

/// Where failures are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoticeTo {
    /// A webhook of this server.
    Hook(HookTarget),
    /// Somewhere else.
    Url(String),
    /// Something is said, and it gives no URL now: why.
    Nowhere(String),
}

/// Where a failed run of this plan's cycle is told; `None` where nobody is to be told.
pub fn notice_to(plan: &Plan, of_notice: bool, statics: &dyn Statics) -> Option<NoticeTo> {
    let for_all;
    let said = match &plan.error_webhook {
        Some(said) => said,
        None => {
            for_all = statics.error_webhook()?;
            &*for_all
        }
    };
    let url = match evaluate_url(said, Scope::before_runs(plan, statics)) {
        Ok(Some(url)) => url,
        Ok(None) => {
            let why = "`error_webhook` gives nothing: is its environment variable set?";
            return Some(NoticeTo::Nowhere(why.to_owned()));
        }
        Err(error) => return Some(NoticeTo::Nowhere(format!("`error_webhook`: {error}"))),
    };
    match statics.hook_at(&url) {
        Some(target) if of_notice || target.cycle == plan.cycle => None,
        Some(target) => Some(NoticeTo::Hook(target)),
        None => Some(NoticeTo::Url(url)),
    }
}

/// The notice of the run that has just failed, if somebody is to be told.
pub(crate) fn of(moving: &Moving<'_>, failure: &StepFailure, attempt: u32) -> Option<Notice> {
    let (plan, run) = (moving.plan, &moving.run);
    notice_to(plan, run.of_notice, moving.facts.statics)?;
    let id = run.step()?;
    let step = plan.find(id.as_str()).map(|ix| plan.step(ix));
    let begins = plan
        .webhook(plan.trigger)
        .map(|_| &plan.step(plan.trigger).id);
    let at_trigger = begins == Some(id);
    Some(Notice {
        run: run.id,
        fence: run.fence,
        loop_id: run.loop_id,
        lap: run.lap,
        root: run.root,
        hops: run.hops,
        of_notice: run.of_notice,
        cycle: plan.cycle.clone(),
        plan: plan.hash.clone(),
        cycle_name: plan.name.clone(),
        step: id.clone(),
        step_name: step.map_or_else(|| id.to_string(), |step| step.name.clone()),
        step_type: step.map_or(METHOD, |step| step_type(&step.kind)),
        at: moving.facts.now,
        code: failure.code.clone(),
        message: message(failure, attempt, at_trigger).to_owned(),
        detail: detail(plan, failure, attempt),
    })
}

/// Cyclr's number for a step that uses a method, as the sample payload of its documentation has it. The numbers
/// of the other kinds are a third party's reading of its exports; a `stop`, which Cyclr has not, gets this one.
const METHOD: u8 = 1;

fn step_type(kind: &StepKind) -> u8 {
    match kind {
        StepKind::List(_)
        | StepKind::Send(_)
        | StepKind::Storage(_)
        | StepKind::Watermark { .. }
        | StepKind::Stop { .. } => METHOD,
        StepKind::Decision(_) | StepKind::Switch(_) => 2,
        StepKind::Delay(_) | StepKind::WaitUntil(_) | StepKind::WaitAll(_) => 3,
        StepKind::Script { .. } | StepKind::Respond(_) => 4,
        StepKind::Webhook(_) => 5,
    }
}

/// The one of Cyclr's messages that says it best (docs.cyclr.com, *Handle transaction errors*).
fn message(failure: &StepFailure, attempt: u32, at_trigger: bool) -> &'static str {
    let code = failure.code.as_str();
    let area = code.split('.').next().unwrap_or_default();
    match (area, code) {
        _ if at_trigger => "Webhook failed",
        (_, "split.no_list") => "Step data cannot be split",
        (_, "wait.no_date") => "Field is not a valid DateTime",
        (_, "request.missing_input" | "request.missing_url" | "reference.null_in_text") => {
            "Required source is empty"
        }
        (
            _,
            "request.unknown_input"
            | "request.input_type"
            | "request.bad_url"
            | "request.bad_header"
            | "request.bad_query"
            | "request.bad_body"
            | "request.bad_verb",
        )
        | ("script" | "connector" | "reference", _) => "Failed to build the request",
        ("auth", _) => "Failed to authenticate the connector",
        (_, "response.records") => "Response data fields missing",
        ("response", _) => "Response data not in expected format",
        ("for_each", _) => "Step data cannot be split",
        ("request" | "handoff", _) if failure.kind != FailureKind::Permanent && attempt > 1 => {
            "Out of retries"
        }
        ("request" | "handoff" | "webhook" | "cycle", _) => "Failed to call the method",
        _ => "Transaction Stopped",
    }
}

/// What happened, and what was answered, as far as the cycle's `log:` lets it be shown.
fn detail(plan: &Plan, failure: &StepFailure, attempt: u32) -> String {
    let mut detail = failure.to_error(attempt).message;
    let answered = failure
        .body
        .as_ref()
        .filter(|_| plan.log.payloads != Payloads::None)
        .map(|body| shown(body, &plan.log.redact));
    if let Some(answered) = answered {
        detail.push_str("\r\n");
        let mut rest = answered.chars();
        detail.extend(rest.by_ref().take(BODY_CHARS));
        if rest.next().is_some() {
            detail.push('…');
        }
    }
    detail
}

fn shown(body: &Json, redact: &[String]) -> String {
    match body {
        Json::String(text) => match masked_text(text, redact) {
            Json::String(text) => text,
            other => other.to_string(),
        },
        other => masked(other, redact).to_string(),
    }
}
