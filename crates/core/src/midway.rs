//! A webhook in the middle of a cycle: a run waits there for a request (SPEC §5).
//!
//! Which waiting run a request is for is told by its fields: a run that begins to wait says what each must be
//! ([`Fit`]), and the newest whose words are the request's goes on. A value and its text are one, as in a `switch`.

use velodrome_spec::plan::{Live, StepIx, WebhookStep};
use velodrome_types::{Code, Event, Json, JsonMap, Level, StepId, format_duration};

use crate::accept::Delivery;
use crate::branches;
use crate::eval::{evaluate, text_of};
use crate::exits;
use crate::input::{Exit, StepFailure, TimerChange};
use crate::machine::Moving;
use crate::payload;
use crate::preview::preview;
use crate::run::{Held, Run, State, WaitingOn};
use crate::steps;

/// What a request must say to be for a waiting run: fields with their texts, in order of their names. Empty fits
/// every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fit(pub Vec<(String, String)>);

impl Fit {
    /// What a request says in the fields of these names; `None` where it lacks one.
    pub fn of_request<'n>(names: impl Iterator<Item = &'n str>, body: &Json) -> Option<Self> {
        names
            .map(|name| Some((name.to_owned(), text_of(body.get(name)?)?)))
            .collect::<Option<_>>()
            .map(Self)
    }

    /// The names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }
}

/// What becomes of a run's place among those that wait for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// It waits at this webhook for a request that says so.
    Begin(StepId, Fit),
    /// It waits there no more: it was answered, its time was up, or it has ended.
    End(StepId),
}

/// A request that has come to a webhook at which a run waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What came.
    pub delivery: Delivery,
    /// What `after_webhook` made of the body: what later steps see.
    pub body: Json,
    /// The caller, who is held for a `respond`.
    pub held: Option<Held>,
    /// Script log lines, oldest first.
    pub logs: Vec<String>,
}

/// The webhook that a run waits at, if it does.
pub fn waits_at(run: &Run) -> Option<&StepId> {
    match &run.state {
        State::Waiting {
            step,
            on: WaitingOn::Webhook { .. },
        } => Some(step),
        _ => None,
    }
}

/// The run begins to wait.
pub(crate) fn park(
    moving: &mut Moving<'_>,
    at: StepIx,
    webhook: &WebhookStep,
) -> Result<(), StepFailure> {
    let scope = moving.scope(at);
    let mut fields = Vec::with_capacity(webhook.matches.len());
    for (name, expr) in &webhook.matches {
        let value = evaluate(expr, scope)
            .map_err(|error| StepFailure::permanent(error.code(), error.to_string()))?;
        let text = value.as_ref().and_then(text_of).ok_or_else(|| {
            let message = format!("`{name}` of `match` is null here: no request could fit");
            StepFailure::permanent(Code::new("wait.no_key"), message)
        })?;
        fields.push((name.clone(), text));
    }
    let id = moving.plan.step(at).id.clone();
    let due = webhook.waits.map(|length| moving.facts.now.plus(length));
    moving.run.fence += 1;
    moving.run.state = State::Waiting {
        step: id.clone(),
        on: WaitingOn::Webhook { due },
    };
    moving.timer = due.map_or(TimerChange::Keep, TimerChange::Set);
    let message = match due {
        Some(due) => format!("for a request, until {due}"),
        None => "for a request".to_owned(),
    };
    let line = moving
        .lines
        .at(&id, Level::Info, Event::WaitStarted, message);
    line.data = due.map(|due| serde_json::json!({ "until": due }));
    moving.awaited.push(Awaited::Begin(id, Fit(fields)));
    Ok(())
}

/// A request has come: the run goes on, or where the webhook repeats, a child of it does.
pub(crate) fn called(moving: &mut Moving<'_>, at: StepIx, webhook: &WebhookStep, call: Call) {
    let step = moving.plan.step(at);
    let Call {
        delivery,
        body,
        held,
        logs,
    } = call;
    moving.script_logs(&step.id, logs);
    let shown = preview(&delivery.body, &moving.plan.log);
    let accepted = format!("accepted  {shown}");
    let accepted = accepted.trim_end();
    let kept = payload::received(&moving.plan.log, &delivery);
    let line = moving
        .lines
        .at(&step.id, Level::Info, Event::WebhookAccepted, accepted);
    payload::add(line, kept);
    let data = data_of(&step.live, &delivery, body);
    if webhook.repeat {
        return branches::repeat(moving, at, data, held);
    }
    moving.timer = TimerChange::Clear;
    moving
        .lines
        .at(&step.id, Level::Debug, Event::WaitEnded, "a request came");
    moving.run.held = held;
    exits::store(moving, &step.id, data);
    steps::leave(moving, at, Exit::Then);
}

/// `after_webhook` let the request not pass: the run goes on waiting.
pub(crate) fn ignored(moving: &mut Moving<'_>, step: &StepId, logs: Vec<String>) {
    moving.script_logs(step, logs);
    moving.lines.at(
        step,
        Level::Info,
        Event::WebhookIgnored,
        "ignored: after_webhook returned false; the run goes on waiting",
    );
}

/// Nobody called in time.
pub(crate) fn late(moving: &mut Moving<'_>, at: StepIx, webhook: &WebhookStep) {
    let step = moving.plan.step(at);
    let waited = webhook.waits.map(format_duration).unwrap_or_default();
    let message = match webhook.repeat {
        true => format!("takes no further request after {waited}"),
        false => format!("no request came within {waited}"),
    };
    moving.timer = TimerChange::Clear;
    moving
        .lines
        .at(&step.id, Level::Info, Event::WaitEnded, message);
    steps::leave(moving, at, Exit::Else);
}

/// What later steps read of a request.
pub(crate) fn data_of(live: &Live, delivery: &Delivery, body: Json) -> JsonMap {
    let mut data = JsonMap::new();
    for name in &live.names {
        let value = match name.as_str() {
            "body" => body.clone(),
            "http" => serde_json::json!({ "headers": delivery.headers, "query": delivery.query }),
            field => body.get(field).cloned().unwrap_or(Json::Null),
        };
        exits::keep(&mut data, name, value);
    }
    data
}
