//! Requests to a webhook in the middle of a cycle: which waiting run each is for, and what its caller hears.
//!
//! ```text
//! request ─▶ before_webhook ─▶ fields ─▶ the newest run that waits and fits ─▶ its loop: after_webhook, commit
//!    └─ its own link ─────────────────────▶ that run ────────────────────────────┘
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::oneshot;
use velodrome_core::{Delivery, Fit, text_of, waits_at};
use velodrome_spec::Plan;
use velodrome_spec::plan::{Field, FieldKind, StepIx, WebhookStep};
use velodrome_store::WaitFound;
use velodrome_types::{CycleId, CycleState, Json, RunId};

use crate::accept::{Key, not_taking, remember_only, shutting_down, unreadable};
use crate::api::{HookAnswer, HookRequest, LinkField, LinkInput, Problem, WaitView};
use crate::held::{self, Holding};
use crate::overlay::Overlay;
use crate::records::{run_of, wait_key};
use crate::registry::ToLoop;
use crate::shared::Shared;
use crate::webhook::{self, Ids, Received};

/// How often a request looks for another run because the one that it found was answered by another request. Each
/// time one was.
const LOOKS: usize = 100;

/// The webhook that a request is for.
#[derive(Clone, Debug)]
pub(crate) struct Midway {
    pub(crate) plan: Arc<Plan>,
    pub(crate) at: StepIx,
    /// The run whose link it is.
    run: Option<RunId>,
}

/// What a request to a waiting run comes with.
#[derive(Debug)]
pub(crate) struct CallRequest {
    pub(crate) run: RunId,
    pub(crate) delivery: Delivery,
    pub(crate) overlay: Overlay,
    pub(crate) key: Option<Key>,
    /// Set once the loop has begun with it.
    pub(crate) begun: Arc<AtomicBool>,
    pub(crate) answer: oneshot::Sender<Result<CallEnd, Problem>>,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum CallEnd {
    /// The run does not wait there any more.
    Missed,
    /// This was answered before under the same key.
    Known(HookAnswer),
    /// It is answered.
    Answered(HookAnswer),
    /// The caller is held for a `respond`.
    Held(Holding),
}

impl Midway {
    /// The webhook of a request, if it is one at which runs wait. `by` is the version that let it in.
    pub(crate) fn of(
        shared: &Shared,
        request: &HookRequest,
        by: Option<&Arc<Plan>>,
    ) -> Result<Option<Self>, Problem> {
        let Some(step) = &request.step else {
            return Ok(None);
        };
        if let Some(token) = &request.resume {
            return Self::of_link(shared, &request.cycle, step, token).map(Some);
        }
        let current = || shared.plans.current(&CycleId::from(request.cycle.as_str()));
        let plan = by.cloned().or_else(current);
        Ok(plan.and_then(|plan| {
            let at = plan.midway(step)?;
            let run = None;
            Some(Self { plan, at, run })
        }))
    }

    /// The webhook of a link, in the version that its run is on.
    fn of_link(shared: &Shared, cycle: &str, step: &str, token: &str) -> Result<Self, Problem> {
        let unknown = || {
            let what = "there is no such link: it was cut off, or its run is no longer kept";
            Problem::new(404, "webhook.unknown", what)
        };
        let run = shared.link_key.run_of(cycle, step, token);
        let run = run.ok_or_else(unknown)?;
        let row = shared.store.run(run).map_err(|error| unreadable(&error))?;
        let row = row.ok_or_else(unknown)?;
        let plan = shared.plans.of_run(&*shared.store, &row.plan);
        let plan = plan.map_err(|error| unreadable(&error))?;
        let at = plan.midway(step).ok_or_else(unknown)?;
        let run = Some(run);
        Ok(Self { plan, at, run })
    }

    fn webhook(&self) -> &WebhookStep {
        self.plan.webhook(self.at).expect("it was found as one")
    }

    /// As its runs are told from those of others.
    fn hook(&self) -> String {
        format!("{}/{}", self.plan.cycle, self.plan.step(self.at).id)
    }

    /// As its answers are told from those of others: what comes by a link is this run's alone.
    fn remembered(&self) -> String {
        match self.run {
            Some(run) => format!("{}/{run}", self.hook()),
            None => self.hook(),
        }
    }

    /// Refused where the cycle takes nothing. What finishes is to end, and a request is what it waits for.
    fn is_taken(&self, shared: &Shared) -> Result<(), Problem> {
        match shared.state_of(&self.plan.cycle) {
            CycleState::Running | CycleState::Paused | CycleState::Finishing => Ok(()),
            state => Err(not_taking(&self.plan.cycle, state)),
        }
    }

    /// The run that a request is for.
    fn find(&self, shared: &Shared, body: &Json) -> Result<Ids, Problem> {
        let store = &*shared.store;
        let error = |error: velodrome_store::StoreError| unreadable(&error);
        if let Some(run) = self.run {
            let row = store.run(run).map_err(error)?;
            let gone = || Problem::new(404, "webhook.unknown", "the run is no longer kept");
            let loop_id = row.ok_or_else(gone)?.loop_id;
            return Ok(Ids { run, loop_id });
        }
        let hook = self.hook();
        let mut newest: Option<WaitFound> = None;
        for fields in store.waited_fields(&hook).map_err(error)? {
            let names = fields.split('\n').filter(|name| !name.is_empty());
            let Some(fit) = Fit::of_request(names, body) else {
                continue;
            };
            let found = store.waiting(&hook, &fields, &wait_key(&fit));
            let found = found.map_err(error)?;
            // Those that wait go before those that did.
            newest = newest
                .into_iter()
                .chain(found)
                .max_by_key(|found| (found.open, found.place));
        }
        match newest {
            Some(found) if found.open => Ok(Ids {
                run: found.run,
                loop_id: found.loop_id,
            }),
            Some(found) => Err(over(found.run)),
            None => Err(Problem::new(
                404,
                "wait.none",
                format!("no run waits at `{hook}` for such a request"),
            )),
        }
    }
}

/// Somebody else was first, or the time was up.
fn over(run: RunId) -> Problem {
    let what = "the run that waited for such a request has been answered, or waits no more";
    let mut problem = Problem::new(409, "wait.over", what);
    let run = Json::String(run.to_string());
    problem.more.insert("run".to_owned(), run);
    problem
}

/// Takes a request to a run that waits.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    midway: Midway,
    delivery: Delivery,
    key: impl FnOnce(&WebhookStep, String) -> Option<Key>,
) -> Result<HookAnswer, Problem> {
    midway.is_taken(shared)?;
    let key = key(midway.webhook(), midway.remembered());
    let mut again = false;
    let mut ids = midway.find(shared, &delivery.body).ok();
    for _ in 0..LOOKS {
        let now = shared.clock.now();
        let hears = ids.unwrap_or_else(|| Ids {
            run: shared.random.run_id(now),
            loop_id: shared.random.loop_id(now),
        });
        let (plan, at) = (&midway.plan, midway.at);
        let overlay = Overlay::default();
        let received =
            webhook::receive(shared, plan, at, hears, delivery.clone(), overlay, now).await?;
        let (passed, overlay) = match received {
            Received::Passed(passed, overlay) => (passed, overlay),
            Received::Answered(answer) => return remember_only(shared, key, answer).await,
        };
        if let Some(key) = &key
            && let Some(known) = key.known(shared)?
        {
            let within = midway.webhook().respond_within;
            return held::repeated(shared, within, known).await;
        }
        let found = midway.find(shared, &passed.body)?;
        let is_anothers = ids.replace(found) != Some(found);
        if is_anothers && !again && plan.step(at).handles("before_webhook") {
            // Its handler runs for that one.
            again = true;
            continue;
        }
        again = false;
        match ask(shared, found, (passed, overlay), key.clone()).await? {
            CallEnd::Missed if midway.run.is_some() => {
                if let Some(problem) = missed(shared, &midway) {
                    return Err(problem);
                }
            }
            CallEnd::Missed => ids = midway.find(shared, &delivery.body).ok(),
            CallEnd::Known(known) => {
                let within = midway.webhook().respond_within;
                return held::repeated(shared, within, known).await;
            }
            CallEnd::Answered(answer) => return Ok(answer),
            CallEnd::Held(holding) => return holding.answer().await,
        }
    }
    Err(busy())
}

fn busy() -> Problem {
    let what = "the run could not be asked, or other requests were first each time: send it again";
    Problem::new(503, "server.busy", what)
}

/// Gives it to the loop of the run that it is for.
async fn ask(
    shared: &Arc<Shared>,
    ids: Ids,
    (delivery, overlay): (Delivery, Overlay),
    key: Option<Key>,
) -> Result<CallEnd, Problem> {
    let (answer, answered) = oneshot::channel();
    let begun = Arc::new(AtomicBool::new(false));
    let request = CallRequest {
        begun: Arc::clone(&begun),
        run: ids.run,
        delivery,
        overlay,
        key,
        answer,
    };
    let request = ToLoop::Call(Box::new(request));
    shared.tell(ids.loop_id, request).await;
    // The loop has ended before; or nobody knows what became of it, and another run must not go on for it.
    let gone = || match begun.load(Ordering::Acquire) {
        false => Ok(CallEnd::Missed),
        true => Err(busy()),
    };
    answered.await.unwrap_or_else(|_| gone())
}

/// Why the run of a link does not wait: it is not there yet, or not any more. `None` where it does by now.
fn missed(shared: &Shared, midway: &Midway) -> Option<Problem> {
    let id = midway.run?;
    if shared.draining.is_cancelled() {
        return Some(shutting_down());
    }
    match whereabouts(shared, midway, id) {
        Ok(Whereabouts::Here) => None,
        Ok(Whereabouts::ToCome) => {
            let what = "the run is on its way here: try again in a moment";
            let mut problem = Problem::new(409, "wait.not_yet", what);
            let retry = Json::from("2");
            problem.more.insert("retry_after".to_owned(), retry);
            Some(problem)
        }
        Ok(Whereabouts::Past) => Some(over(id)),
        Err(problem) => Some(problem),
    }
}

/// Where a run is, as seen from the webhook of its link.
enum Whereabouts {
    ToCome,
    Here,
    Past,
}

fn whereabouts(shared: &Shared, midway: &Midway, id: RunId) -> Result<Whereabouts, Problem> {
    let row = shared.store.run(id).map_err(|error| unreadable(&error))?;
    let Some(row) = row.filter(|row| !row.status.is_final()) else {
        return Ok(Whereabouts::Past);
    };
    let plan = &midway.plan;
    let from = row
        .step
        .as_ref()
        .map_or(Some(plan.trigger), |step| plan.find(step.as_str()));
    let run = run_of(&shared.vault, &row).map_err(|error| unreadable(&error))?;
    let step = &plan.step(midway.at).id;
    Ok(match from {
        _ if waits_at(&run) == Some(step) => Whereabouts::Here,
        Some(from) if plan.may_come(from, midway.at) => Whereabouts::ToCome,
        _ => Whereabouts::Past,
    })
}

/// What the page of a link shows; refused where nothing waits behind it.
pub(crate) fn view(
    shared: &Shared,
    cycle: &str,
    step: &str,
    token: &str,
) -> Result<WaitView, Problem> {
    let midway = Midway::of_link(shared, cycle, step, token)?;
    midway.is_taken(shared)?;
    let id = midway.run.expect("a link names a run");
    let row = shared.store.run(id).map_err(|error| unreadable(&error))?;
    let run = row.map(|row| run_of(&shared.vault, &row)).transpose();
    let run = run.map_err(|error| unreadable(&error))?;
    let here = run.filter(|run| waits_at(run).is_some_and(|at| at.as_str() == step));
    let run = here.ok_or_else(|| missed(shared, &midway).unwrap_or_else(busy))?;
    let fields = &midway.webhook().fields;
    Ok(WaitView {
        cycle: midway.plan.name.clone(),
        step: midway.plan.step(midway.at).name.clone(),
        by_hand: fields
            .iter()
            .all(|field| !field.required || input_of(field).is_some()),
        fields: fields.iter().filter_map(link_field).collect(),
        until: run.due(),
    })
}

fn link_field(field: &Field) -> Option<LinkField> {
    Some(LinkField {
        name: field.name.clone(),
        input: input_of(field)?,
        required: field.required,
        default: field.default.as_ref().and_then(text_of),
    })
}

/// How a person fills a field in, where one value is all that it takes.
fn input_of(field: &Field) -> Option<LinkInput> {
    if !field.values.is_empty() {
        return Some(LinkInput::Choice(
            field.values.iter().filter_map(text_of).collect(),
        ));
    }
    match field.kind {
        FieldKind::Boolean => Some(LinkInput::Choice(vec![
            "true".to_owned(),
            "false".to_owned(),
        ])),
        FieldKind::Integer | FieldKind::Number => Some(LinkInput::Number),
        FieldKind::Text | FieldKind::Datetime | FieldKind::Any => Some(LinkInput::Text),
        FieldKind::Object | FieldKind::List => None,
    }
}
