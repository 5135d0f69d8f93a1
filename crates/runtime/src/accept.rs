//! Acceptance of a request from outside: parse, fields, idempotency, place, `after_webhook`, commit.
//!
//! The answer 202 is given when the run is durable, never before (SPEC §5).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use velodrome_core::{
    Acceptance, Admission, Delivery, Finish, Origin, Run, State, accept_first_lap,
};
use velodrome_spec::Plan;
use velodrome_spec::expr::HookTarget;
use velodrome_spec::plan::WebhookStep;
use velodrome_store::{CommitError, IdempotencyRow, OutboxWrite, ScheduleWrite};
use velodrome_types::{CycleId, CycleState, Event, Json, JsonMap, Level, LogLine};

use crate::actor::Actor;
use crate::api::{BodyFormat, HookAnswer, HookRequest, Problem, Written};
use crate::handoff::{HANDOFF_HEADER, SignedOrigin};
use crate::held::{self, Holding};
use crate::midway::{self, Midway};
use crate::registry::{LapRequest, ToLoop};
use crate::shared::Shared;
use crate::unit::Making;
use crate::webhook::{self, Ids, Received};

/// The header that marks a remembered answer.
const REPLAYED: &str = "idempotency-replayed";
/// How long an answer is remembered for its idempotency key, where the webhook says nothing else.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(24 * 3600);
/// What `Retry-After` says when the queue is full, in seconds: a loop may end any moment.
const QUEUE_RETRY: &str = "5";

/// Answers a webhook request, and logs that it was refused or answered before. `by` is the version whose
/// rules let it in, where somebody asked.
pub(crate) async fn receive(
    shared: &Arc<Shared>,
    request: HookRequest,
    by: Option<Arc<Plan>>,
) -> Result<HookAnswer, Problem> {
    let cycle = CycleId::from(request.cycle.as_str());
    let answered = decide(shared, request, by).await;
    let now = shared.clock.now();
    match &answered {
        Ok(answer) if answer.headers.iter().any(|(name, _)| *name == REPLAYED) => {
            let message = "the answer of the first such request was given again";
            let mut line = LogLine::new(now, Level::Info, Event::WebhookReplayed, message);
            line.cycle = Some(cycle);
            line.status = Some(answer.status);
            line.to = answer.body["run"].as_str().map(str::to_owned);
            shared.note(line);
        }
        Err(problem) => refused(shared, &cycle, problem),
        _ => {}
    }
    answered
}

/// Answers a request of this process's own. The type is spelled out, for what it drives may ask in turn.
pub(crate) fn receive_own(
    shared: Arc<Shared>,
    request: HookRequest,
) -> Pin<Box<dyn Future<Output = Result<HookAnswer, Problem>> + Send>> {
    Box::pin(async move { receive(&shared, request, None).await })
}

/// Logs that a request was refused, if it is time for such a line: in the run log, and for whoever runs
/// the server where nobody could be let in or somebody tried to be.
pub(crate) fn refused(shared: &Arc<Shared>, cycle: &CycleId, problem: &Problem) {
    if problem.status >= 500 || !shared.plans.is_known(cycle) {
        return;
    }
    if let Some(line) = shared.refusals.line(cycle, problem, shared.clock.now()) {
        if problem.status == 401 {
            tracing::warn!(%cycle, code = %problem.code, "a request was refused: {}", problem.detail);
        }
        shared.note(line);
    }
}

async fn decide(
    shared: &Arc<Shared>,
    mut request: HookRequest,
    by: Option<Arc<Plan>>,
) -> Result<HookAnswer, Problem> {
    if shared.draining.is_cancelled() {
        return Err(shutting_down());
    }
    let cycle = CycleId::from(request.cycle.as_str());
    let handoff = match request.headers.shift_remove(HANDOFF_HEADER) {
        Some(Json::String(value)) => Some(
            SignedOrigin::verify(&value, shared.handoff_key())
                .filter(|origin| origin.to == cycle)
                .ok_or_else(|| {
                    Problem::new(
                        401,
                        "handoff.signature",
                        "the hand-off header was not signed by this server for this cycle",
                    )
                })?,
        ),
        _ => None,
    };
    let lap_of_own = handoff
        .as_ref()
        .is_some_and(|origin| shared.is_loop_of(origin, &cycle));
    if let Some(midway) = Midway::of(shared, &request, by.as_ref())? {
        let (delivery, raw, header) = delivered(request)?;
        let key = |webhook: &WebhookStep, hook| match &handoff {
            Some(origin) => Some(Key::of_handoff(hook, origin)),
            None => Key::of(webhook, hook, header, &raw, &delivery.body),
        };
        return midway::receive(shared, midway, delivery.clone(), key).await;
    }
    // A lap is its loop's own affair: it goes on where nothing else is taken.
    let plan = if lap_of_own {
        None
    } else {
        let current = webhook_plan(shared, &request)?;
        Some(by.unwrap_or(current))
    };
    let (delivery, raw, header) = delivered(request)?;
    let (plan, handoff) = match (plan, handoff) {
        (None, Some(origin)) => return lap(shared, origin, delivery).await,
        (None, None) => return Err(webhook_unknown(cycle.as_str())),
        (Some(plan), handoff) => (plan, handoff),
    };
    if let Some(origin) = &handoff {
        shared.may_hop_here(origin)?;
    }
    let hook = plan.cycle.to_string();
    let key = match (&handoff, webhook::trigger(&plan)) {
        (Some(origin), _) => Some(Key::of_handoff(hook, origin)),
        (None, Some(webhook)) => Key::of(webhook, hook, header, &raw, &delivery.body),
        (None, None) => None,
    };
    let origin = handoff.map(|origin| origin.origin());
    enter(shared, plan, delivery, key, origin, Along::Caller).await
}

/// Begins a loop with what a run was given before: no key is asked of it.
pub(crate) async fn again(
    shared: &Arc<Shared>,
    cycle: &CycleId,
    delivery: Delivery,
) -> Result<HookAnswer, Problem> {
    if shared.draining.is_cancelled() {
        return Err(shutting_down());
    }
    let plan = shared.target_plan(cycle, None)?;
    enter(shared, plan, delivery, None, None, Along::Nothing).await
}

/// Accepts the notice of a failed run as a hand-off is accepted; an answer below 300 is committed together
/// with what `told` says of the notice, any other leaves it as it is.
pub(crate) async fn told(
    shared: &Arc<Shared>,
    target: &HookTarget,
    delivery: Delivery,
    origin: Origin,
    told: OutboxWrite,
) -> Result<HookAnswer, Problem> {
    if shared.draining.is_cancelled() {
        return Err(shutting_down());
    }
    let plan = shared.target_plan(&target.cycle, None)?;
    let trigger = &plan.step(plan.trigger).id;
    if webhook::trigger(&plan).is_none() || target.step.as_ref().is_some_and(|step| step != trigger)
    {
        return Err(webhook_unknown(target.cycle.as_str()));
    }
    let along = Along::Told(told);
    enter(shared, plan, delivery, None, Some(origin), along).await
}

/// Begins a loop because its time has come; an answer is committed together with what `start` says.
pub(crate) async fn by_clock(
    shared: &Arc<Shared>,
    plan: Arc<Plan>,
    delivery: Delivery,
    start: Start,
) -> Result<HookAnswer, Problem> {
    if shared.draining.is_cancelled() {
        return Err(shutting_down());
    }
    let along = Along::Start(Box::new(start));
    enter(shared, plan, delivery, None, None, along).await
}

/// What the clock says with a start.
#[derive(Debug)]
pub(crate) struct Start {
    /// How far the schedule has come with it.
    pub(crate) write: ScheduleWrite,
    /// What the log says of it.
    pub(crate) line: LogLine,
    /// What the log says where a handler answers in place of a run.
    pub(crate) answered: LogLine,
}

/// What comes with an acceptance, and what is committed together with it.
enum Along {
    /// A caller, who can be held.
    Caller,
    /// Nobody waits for what the run answers.
    Nothing,
    /// A notice was told.
    Told(OutboxWrite),
    /// A schedule has come so far.
    Start(Box<Start>),
}

/// From `before_webhook` on.
async fn enter(
    shared: &Arc<Shared>,
    plan: Arc<Plan>,
    delivery: Delivery,
    key: Option<Key>,
    origin: Option<Origin>,
    along: Along,
) -> Result<HookAnswer, Problem> {
    match shared.state_of(&plan.cycle) {
        CycleState::Running | CycleState::Paused => {}
        state => return Err(not_taking(&plan.cycle, state)),
    }
    let now = shared.clock.now();
    let ids = Ids {
        run: shared.random.run_id(now),
        loop_id: shared.random.loop_id(now),
    };
    let mut making = Making::default();
    let received = webhook::receive(
        shared,
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
        Received::Answered(answer) => return answer_only(shared, key, answer, along).await,
    };
    let may_hold = matches!(along, Along::Caller);
    match along {
        Along::Caller | Along::Nothing => {}
        Along::Told(told) => making.outbox.push(told),
        Along::Start(start) => {
            let mut line = start.line;
            line.run = Some(ids.run);
            line.loop_id = Some(ids.loop_id);
            making.by_clock(start.write, line);
        }
    }
    if let Some(key) = &key
        && let Some(known) = key.known(shared)?
    {
        return held::repeated(shared, held::within(&plan), known).await;
    }
    let accepting = Accepting {
        shared,
        plan,
        ids,
        delivery,
        key,
        origin,
        may_hold,
    };
    accepting.accept(making).await
}

pub(crate) fn shutting_down() -> Problem {
    Problem::new(
        503,
        "server.shutting_down",
        "the server is shutting down: send it again in a moment",
    )
}

fn webhook_plan(shared: &Shared, request: &HookRequest) -> Result<Arc<Plan>, Problem> {
    let unknown = || webhook_unknown(&request.cycle);
    let plan = shared
        .target_plan(&CycleId::from(request.cycle.as_str()), None)
        .map_err(|problem| {
            if problem.status == 404 {
                unknown()
            } else {
                problem
            }
        })?;
    if webhook::trigger(&plan).is_none() && !request.by_operator {
        let what = format!(
            "cycle `{}` begins with no webhook: its schedule or `velodrome trigger {}` begins a run",
            plan.cycle, plan.cycle
        );
        return Err(Problem::new(404, "webhook.unknown", what));
    }
    match &request.step {
        Some(step) if *step != plan.step(plan.trigger).id.as_str() => Err(unknown()),
        _ => Ok(plan),
    }
}

fn webhook_unknown(cycle: &str) -> Problem {
    Problem::new(
        404,
        "webhook.unknown",
        format!("no cycle has the webhook `/hooks/{cycle}`: `velodrome cycle list` shows them"),
    )
}

/// Why a cycle takes nothing from outside.
pub(crate) fn not_taking(cycle: &CycleId, state: CycleState) -> Problem {
    let (code, what) = match state {
        CycleState::NeedsConnection => (
            "cycle.needs_connection",
            format!(
                "cycle `{cycle}` needs a connection signed in: `velodrome cycle show {cycle}` says which"
            ),
        ),
        CycleState::Invalid => (
            "cycle.invalid",
            format!("the file of cycle `{cycle}` has errors: run `velodrome check`"),
        ),
        CycleState::Finishing => (
            "cycle.stopped",
            format!("cycle `{cycle}` is finishing: `velodrome cycle start {cycle}` starts it"),
        ),
        _ => (
            "cycle.stopped",
            format!("cycle `{cycle}` is stopped: `velodrome cycle start {cycle}` starts it"),
        ),
    };
    Problem::new(409, code, what)
}

fn parse(request: &HookRequest) -> Result<Json, Problem> {
    let bad = |why: String| Problem::new(400, "webhook.bad_body", why);
    match request.format {
        BodyFormat::Json => serde_json::from_slice(&request.body)
            .map_err(|error| bad(format!("the body is not JSON: {error}"))),
        BodyFormat::Form => {
            let start = request.body.iter().find(|byte| !byte.is_ascii_whitespace());
            if start == Some(&b'{')
                && let Ok(value @ Json::Object(_)) = serde_json::from_slice(&request.body)
            {
                return Ok(value);
            }
            let text = std::str::from_utf8(&request.body)
                .map_err(|_| bad("the body is neither JSON nor a form in UTF-8".to_owned()))?;
            let mut fields = JsonMap::new();
            for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
                if start == Some(&b'{') {
                    return Err(bad(
                        "the body begins like JSON but is not: check its quotes".to_owned(),
                    ));
                }
                fields.insert(name.into_owned(), Json::String(value.into_owned()));
            }
            Ok(Json::Object(fields))
        }
    }
}

async fn lap(
    shared: &Arc<Shared>,
    origin: SignedOrigin,
    delivery: Delivery,
) -> Result<HookAnswer, Problem> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    let loop_id = origin.loop_id;
    let request = ToLoop::Lap(Box::new(LapRequest {
        origin,
        delivery,
        answer,
    }));
    shared.tell(loop_id, request).await;
    answered.await.unwrap_or_else(|_| {
        Err(Problem::new(
            409,
            "handoff.run_over",
            "the loop that posts has ended",
        ))
    })
}

/// A request's body with what it is told from others by: the raw bytes and the key in its header.
fn delivered(request: HookRequest) -> Result<(Delivery, Bytes, Option<String>), Problem> {
    let body = parse(&request)?;
    let delivery = Delivery {
        body,
        headers: request.headers,
        query: request.query,
    };
    Ok((delivery, request.body, request.idempotency_key))
}

/// An idempotency key with what it came with.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    hook: String,
    key: String,
    body_hash: [u8; 32],
    within: Duration,
}

impl Key {
    fn of(
        webhook: &WebhookStep,
        hook: String,
        header: Option<String>,
        raw: &[u8],
        body: &Json,
    ) -> Option<Self> {
        let (key, within) = match (header, webhook.dedupe.as_ref()) {
            (Some(key), _) => (format!("key/{key}"), REMEMBERED),
            (None, Some((field, within))) => match body.get(field) {
                None | Some(Json::Null) => return None,
                Some(value) => (format!("{field}/{value}"), *within),
            },
            (None, None) => return None,
        };
        Some(Self {
            hook,
            key,
            body_hash: Sha256::digest(raw).into(),
            within,
        })
    }

    /// The engine's own key of a hand-off that came as a real request.
    fn of_handoff(hook: String, origin: &SignedOrigin) -> Self {
        Self {
            hook,
            key: origin.key(),
            body_hash: [0; 32],
            within: REMEMBERED,
        }
    }

    /// The remembered answer; refused where the key came with another body.
    pub(crate) fn known(&self, shared: &Shared) -> Result<Option<HookAnswer>, Problem> {
        let now = shared.clock.now();
        let row = shared
            .store
            .answer(&self.hook, &self.key, now)
            .map_err(|error| unreadable(&error))?;
        match row {
            None => Ok(None),
            // A dedupe field names the delivery; what else stands in the body may differ.
            Some(row) if row.body_hash != self.body_hash && self.key.starts_with("key/") => {
                Err(Problem::new(
                    422,
                    "webhook.key_reused",
                    "the `Idempotency-Key` was used with another body: use a new key for a new request",
                ))
            }
            Some(row) => Ok(Some(replayed(&row))),
        }
    }

    pub(crate) fn row(
        &self,
        answer: &HookAnswer,
        now: velodrome_types::Timestamp,
    ) -> IdempotencyRow {
        IdempotencyRow {
            hook: self.hook.clone(),
            key: self.key.clone(),
            body_hash: self.body_hash,
            status: answer.status,
            answer: held::remembered(answer),
            expires: now.plus(self.within),
        }
    }
}

/// A remembered answer, marked as such.
pub(crate) fn replayed(row: &IdempotencyRow) -> HookAnswer {
    let mut answer = held::recalled(row);
    answer
        .headers
        .push((REPLAYED.to_owned(), "true".to_owned()));
    answer
}

/// What an accepted run's caller is told.
pub(crate) fn accepted_answer(shared: &Shared, run: &Run) -> HookAnswer {
    let ignored = matches!(
        run.state,
        State::Finished {
            how: Finish::Ignored
        }
    );
    taken(shared, run, ignored)
}

/// What the caller is told whose request a waiting run's handler let not pass.
pub(crate) fn ignored_answer(shared: &Shared, run: &Run) -> HookAnswer {
    taken(shared, run, true)
}

fn taken(shared: &Shared, run: &Run, ignored: bool) -> HookAnswer {
    let body = serde_json::json!({
        "run": run.id, "cycle": run.cycle, "loop": run.loop_id, "lap": run.lap,
        "status": if ignored { "ignored" } else { "accepted" },
    });
    let location = format!("{}/api/v1/runs/{}", shared.service_url, run.id);
    HookAnswer {
        status: if ignored { 200 } else { 202 },
        headers: vec![("location".to_owned(), location)],
        body,
        written: Written::Json,
    }
}

pub(crate) fn unreadable(error: &velodrome_store::StoreError) -> Problem {
    Problem::new(503, "store.unavailable", error.to_string())
}

/// What a commit's failure is to the caller.
pub(crate) fn uncommitted(error: CommitError) -> Problem {
    match error {
        CommitError::Storage { code, message } => {
            let mut problem = Problem::new(500, "webhook.script_failed", message);
            problem
                .more
                .insert("script_code".to_owned(), Json::from(code));
            problem
        }
        CommitError::Refused(why) => Problem::new(
            503,
            "store.unavailable",
            format!("the disk refuses writes: {why}"),
        ),
        other => Problem::new(503, "store.unavailable", other.to_string()),
    }
}

/// What `before_webhook` answered, with what is committed along with it.
async fn answer_only(
    shared: &Arc<Shared>,
    key: Option<Key>,
    answer: HookAnswer,
    along: Along,
) -> Result<HookAnswer, Problem> {
    let mut making = Making::default();
    let says = match along {
        Along::Told(told) if answer.status < 300 => {
            making.outbox.push(told);
            true
        }
        Along::Start(start) => {
            making.by_clock(start.write, start.answered);
            true
        }
        Along::Caller | Along::Nothing | Along::Told(_) => false,
    };
    if says {
        return match shared.commit(making, None).await {
            Ok(()) => Ok(answer),
            Err(error) => Err(uncommitted(error)),
        };
    }
    remember_only(shared, key, answer).await
}

/// What `before_webhook` answered, remembered under the request's key.
pub(crate) async fn remember_only(
    shared: &Arc<Shared>,
    key: Option<Key>,
    answer: HookAnswer,
) -> Result<HookAnswer, Problem> {
    let Some(key) = key.filter(|_| answer.status < 500) else {
        return Ok(answer);
    };
    if let Some(known) = key.known(shared)? {
        return Ok(known);
    }
    let now = shared.clock.now();
    let mut making = Making::default();
    making.remember(key.row(&answer, now), now);
    match shared.commit(making, None).await {
        Ok(()) => Ok(answer),
        Err(CommitError::Conflict(_)) => Ok(key.known(shared)?.unwrap_or(answer)),
        Err(error) => Err(uncommitted(error)),
    }
}

/// A request on its last stretch: place, `after_webhook`, commit.
struct Accepting<'a> {
    shared: &'a Arc<Shared>,
    plan: Arc<Plan>,
    ids: Ids,
    delivery: Delivery,
    key: Option<Key>,
    /// Who hands off, where this came from another cycle of this server.
    origin: Option<Origin>,
    /// Whether somebody waits who can be held.
    may_hold: bool,
}

impl Accepting<'_> {
    async fn accept(self, mut making: Making) -> Result<HookAnswer, Problem> {
        let shared = self.shared;
        let plan = &self.plan;
        let now = shared.clock.now();
        // A hand-off passes `queue_limit`: its step has no caller to try again.
        let limit = self.origin.is_none().then_some(plan.queue_limit);
        let admission = shared.cycles.admit(&plan.cycle, plan.concurrency, limit);
        if admission == Admission::Full {
            let mut problem = Problem::new(
                429,
                "cycle.queue_full",
                format!(
                    "{} loops of cycle `{}` are queued already: send it again later",
                    plan.queue_limit, plan.cycle
                ),
            );
            problem
                .more
                .insert("retry_after".to_owned(), Json::from(QUEUE_RETRY));
            return Err(problem);
        }
        let withdraw = Withdraw {
            shared,
            cycle: &plan.cycle,
            admission,
            armed: true,
        };
        let placed = admission == Admission::Start;
        let ids = (self.ids.run, self.ids.loop_id);
        let mut acceptance =
            accept_first_lap(plan, ids, self.delivery.clone(), self.origin, placed, now);
        acceptance.looped.trace = shared.trace_of_new(&self.delivery, self.origin.as_ref());
        let within = held::within(plan).filter(|_| self.may_hold);
        let holding = within.map(|within| Holding::of(shared, self.ids.run, within));
        if holding.is_some() {
            let accepted = accepted_answer(shared, &acceptance.run);
            let row = self.key.as_ref().map(|key| key.row(&accepted, now));
            acceptance.run.held = Some(held::keep(row.as_ref()));
        }
        making.accepted(&acceptance, plan);
        let Acceptance { run, looped, .. } = acceptance;
        let (run, looped, action) = if placed {
            let moved = webhook::enter(shared, plan, run, looped, &self.delivery, &mut making, now)
                .await
                .map_err(|failure| webhook::script_failed(&failure))?;
            making.moved(moved)
        } else {
            (run, looped, None)
        };
        making.tell_storage(plan, &plan.step(plan.trigger).id);
        let answer = accepted_answer(shared, &run);
        // Where the run has answered already, that is what is remembered.
        if let Some(key) = &self.key {
            making.remember_unless_answered(key.row(&answer, now), now);
        }
        // Registered before the commit is visible, so that a message finds the one task; a queued loop
        // has none until its turn comes.
        let stop_cycle = making.stop_cycle;
        let grown = std::mem::take(&mut making.grown);
        let goes_on = action.is_some() || !grown.is_empty();
        let inbox = goes_on
            .then(|| shared.registry.reach(looped.id).1)
            .flatten();
        if let Err(error) = shared.commit(making, None).await {
            if inbox.is_some() {
                shared.registry.remove(looped.id);
            }
            if let (CommitError::Conflict(_), Some(key)) = (&error, &self.key)
                && let Some(known) = key.known(shared)?
            {
                return held::repeated(shared, held::within(plan), known).await;
            }
            return Err(uncommitted(error));
        }
        withdraw.disarm();
        if stop_cycle {
            shared.stop_cycle_soon(plan.cycle.clone());
        }
        let over = looped.status.is_final();
        if over || !goes_on {
            if inbox.is_some() {
                shared.registry.remove(looped.id);
            }
            if over {
                shared.loop_ended(&looped.cycle, true);
            } else if !placed {
                // A place may have become free between the admission and the commit.
                shared.begin_next(&plan.cycle);
            }
        } else if let Some(inbox) = inbox {
            let task = Actor::accepted(Arc::clone(shared), looped, run, Arc::clone(plan), action);
            let task = task.with_grown(grown, plan);
            task.start(inbox);
        }
        if placed && !over {
            // The cycle may have been stopped between the check and the commit: the loop hears it now.
            shared.stop_if_stopped(&plan.cycle, self.ids.loop_id);
        }
        match holding {
            Some(holding) => holding.answer().await,
            None => Ok(answer),
        }
    }
}

/// Gives a place back unless the commit happened; also where the caller went away meanwhile.
struct Withdraw<'a> {
    shared: &'a Arc<Shared>,
    cycle: &'a CycleId,
    admission: Admission,
    armed: bool,
}

impl Withdraw<'_> {
    fn disarm(mut self) {
        self.armed = false;
    }
}

impl Drop for Withdraw<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.withdraw(self.cycle, self.admission);
        }
    }
}
