//! `step test`: one method of a step for real, without a run (Cyclr's *Test Step*).
//!
//! ```text
//!  inputs, data ──given──▶ the step as a run would have it ──Job──▶ request, answer ──show──▶ StepTestView
//! ```
//!
//! Connection, guard, limits and handlers are those of runs, by the same code. Nothing is committed: what
//! the handlers wrote is told and dropped, no watermark moves, nothing is tried again, and of a list that
//! pages itself only the first page is asked. A `script` step and script storage are tested alike; the other
//! tools, webhooks and hand-offs are not: nothing would be asked or computed.

mod given;
mod show;
mod view;

use std::sync::Arc;

use velodrome_core::{
    Input, ItemReport, ListAnswer, ListState, Run, SendAnswer, State, StepFailure, first_filter,
};
use velodrome_spec::Plan;
use velodrome_spec::plan::{MethodUse, StepIx, StepKind};
use velodrome_types::{Code, CycleId, CycleState, Json, JsonMap, LoopId, RunId, StepId, Timestamp};

use crate::accept::not_taking;
use crate::api::Problem;
use crate::engine::Engine;
use crate::handlers::Purpose;
use crate::overlay::Overlay;
use crate::perform::{Exchanged, Item, Job};
use crate::seen::SeenKeys;
use crate::shared::Shared;
pub use view::{AnsweredView, AskedView, NotStored, StepErrorView, StepTestStatus, StepTestView};

/// What a step is tested with.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepTest {
    /// The step's inputs, in place of what its `map` gives.
    pub inputs: JsonMap,
    /// What a run would have: by step what it gave, and `item`.
    pub data: JsonMap,
}

impl Engine {
    /// Performs a step's method once, for real. What the API said, good or bad, is told in the answer.
    ///
    /// # Errors
    ///
    /// `cycle.unknown`, `cycle.invalid`, `step.unknown`, `step.not_testable`, `step.test_input`,
    /// `server.shutting_down`: nothing was asked.
    pub async fn test_step(
        &self,
        cycle: CycleId,
        step: StepId,
        test: StepTest,
    ) -> Result<StepTestView, Problem> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move { Testing::of(&shared, &cycle, &step, test)?.run().await })
            .await
    }
}

/// A test about to be made.
struct Testing {
    shared: Arc<Shared>,
    /// The plan, its step with the inputs that were given.
    plan: Arc<Plan>,
    ix: StepIx,
    data: JsonMap,
    now: Timestamp,
    /// Of no run and no loop: what handlers read, and `Idempotency-Key`, are made of them.
    id: RunId,
    loop_id: LoopId,
}

/// What became of it.
enum Outcome {
    Listed(Box<ListAnswer>),
    Sent(SendAnswer),
    Failed(StepFailure),
}

impl Testing {
    fn of(
        shared: &Arc<Shared>,
        cycle: &CycleId,
        step: &StepId,
        test: StepTest,
    ) -> Result<Self, Problem> {
        if shared.draining.is_cancelled() {
            let what = "the server is shutting down: try it again in a moment";
            return Err(Problem::new(503, "server.shutting_down", what));
        }
        let plan = shared.plans.current(cycle);
        let plan = plan.ok_or_else(|| match shared.plans.is_known(cycle) {
            true => not_taking(cycle, CycleState::Invalid),
            false => Problem::new(
                404,
                "cycle.unknown",
                format!("there is no cycle `{cycle}`: `velodrome cycle list` shows them"),
            ),
        })?;
        let ix = plan.find(step.as_str()).ok_or_else(|| {
            let known: Vec<String> = plan
                .steps
                .iter()
                .filter(|step| asks(&step.kind).is_some())
                .map(|step| format!("`{}`", step.id))
                .collect();
            let what = format!(
                "`{cycle}` has no step `{step}`: {}",
                match known.is_empty() {
                    true => "none of its steps asks an API".to_owned(),
                    false => format!("these ask an API: {}", known.join(", ")),
                }
            );
            Problem::new(404, "step.unknown", what)
        })?;
        testable(&plan, ix)?;
        let plan = given::filled(&plan, ix, test.inputs, &test.data)?;
        let now = shared.clock.now();
        Ok(Self {
            id: shared.random.run_id(now),
            loop_id: shared.random.loop_id(now),
            shared: Arc::clone(shared),
            plan: Arc::new(plan),
            ix,
            data: test.data,
            now,
        })
    }

    async fn run(self) -> Result<StepTestView, Problem> {
        let filter = match self.filter() {
            Ok(filter) => filter,
            Err(failure) => {
                let view = self.show(Outcome::Failed(failure), &[], None);
                return Ok(self.fit(view));
            }
        };
        let (mut exchanged, mut logs) = (Vec::new(), Vec::new());
        let (mut overlay, mut built) = (Overlay::default(), None);
        let outcome = loop {
            let job = self.job(filter, built.take());
            let (report, watched) = job.watched(overlay).await;
            overlay = report.overlay;
            exchanged.extend(watched);
            match plain(report.input) {
                // A run commits it before it is sent; here it is sent at once.
                Plain::Built(request, told) => {
                    logs.extend(told);
                    built = Some(request);
                }
                Plain::Ended(outcome) => break *outcome,
            }
        };
        let mut view = self.show(outcome, &exchanged, filter);
        logs.append(&mut view.logs);
        view.logs = logs;
        view.not_stored = show::not_stored(overlay);
        Ok(self.fit(view))
    }

    /// The view as it may be shown.
    fn fit(&self, mut view: StepTestView) -> StepTestView {
        show::hide(&mut view, &self.plan, self.shared.vault.redactor());
        show::shorten(&mut view);
        view
    }

    /// The date that a loop beginning now would filter by.
    fn filter(&self) -> Result<Option<Timestamp>, StepFailure> {
        let step = self.plan.step(self.ix);
        let StepKind::List(list) = &step.kind else {
            return Ok(None);
        };
        let Some(incremental) = &list.method.def().incremental else {
            return Ok(None);
        };
        let stored = self.shared.store.watermark(&self.plan.cycle, &step.id);
        let stored = stored.map_err(|error| {
            let what = format!(
                "the last successful run date of `{}` cannot be read: {error}",
                step.id
            );
            StepFailure::permanent(Code::new("watermark.unreadable"), what)
        })?;
        Ok(first_filter(list, incremental, stored, self.now))
    }

    fn job(&self, filter: Option<Timestamp>, built: Option<Json>) -> Job {
        let (shared, plan) = (&self.shared, &self.plan);
        let step = plan.step(self.ix).id.clone();
        let id = self.id;
        let of_steps = self.data.iter().filter_map(|(name, value)| {
            let fields = value.as_object()?.clone();
            plan.find(name)?;
            Some((StepId::from(name.as_str()), Arc::new(fields)))
        });
        let run = Run {
            id,
            cycle: plan.cycle.clone(),
            plan: plan.hash.clone(),
            loop_id: self.loop_id,
            lap: 1,
            parent: None,
            root: id,
            hops: 0,
            created: self.now,
            updated: self.now,
            fence: 1,
            handed_off: false,
            of_notice: false,
            held: None,
            branch: None,
            state: State::Running {
                step,
                attempt: 1,
                built: None,
            },
            data: of_steps.collect(),
        };
        Job {
            shared: Arc::clone(shared),
            plan: Arc::clone(plan),
            run,
            list: ListState {
                filter,
                ..ListState::default()
            },
            seen: Ok(SeenKeys::default()),
            step: self.ix,
            fence: 1,
            built,
            item: self.data.get(given::ITEM).map(|value| Item {
                value: value.clone(),
                index: 0,
                attempt: 1,
            }),
            inline: velodrome_core::InlineValues::new(),
            purpose: Purpose::Test,
        }
    }

    fn show(
        &self,
        outcome: Outcome,
        exchanged: &[Exchanged],
        filter: Option<Timestamp>,
    ) -> StepTestView {
        let step = self.plan.step(self.ix);
        let mut view = show::view(&self.plan, step, outcome, exchanged.last());
        view.last_successful_run_date = filter;
        view
    }
}

/// The method that a step asks an API with.
fn asks(kind: &StepKind) -> Option<&MethodUse> {
    match kind {
        StepKind::List(list) => Some(&list.method),
        StepKind::Send(send) if send.target.is_none() => Some(&send.method),
        StepKind::Storage(storage) => Some(&storage.method),
        _ => None,
    }
}

/// Refuses what asks nothing of an API.
fn testable(plan: &Plan, ix: StepIx) -> Result<(), Problem> {
    let step = plan.step(ix);
    let (id, cycle) = (&step.id, &plan.cycle);
    let what = match &step.kind {
        StepKind::List(_) | StepKind::Storage(_) | StepKind::Script { .. } => return Ok(()),
        StepKind::Send(send) => match &send.target {
            None => return Ok(()),
            Some(to) => format!(
                "`{id}` hands off to `{}`, which would begin a run: `velodrome trigger {}` does so",
                to.cycle, to.cycle
            ),
        },
        StepKind::Webhook(_) if ix == plan.trigger => format!(
            "`{id}` is asked by others and asks nothing: `velodrome trigger {cycle}` calls it"
        ),
        StepKind::Webhook(_) => {
            format!(
                "`{id}` is asked by others and asks nothing: `velodrome trigger {cycle}/{id}` calls it"
            )
        }
        StepKind::Watermark { .. } => format!(
            "`{id}` only moves a watermark, which no test does: `velodrome watermark set {cycle} …` sets one"
        ),
        StepKind::Decision(_)
        | StepKind::Respond(_)
        | StepKind::Switch(_)
        | StepKind::Delay(_)
        | StepKind::WaitUntil(_)
        | StepKind::WaitAll(_)
        | StepKind::Stop { .. } => format!(
            "`{id}` is a tool and asks no API: a cycle test shows what it does, `velodrome test` runs it"
        ),
    };
    Err(Problem::new(409, "step.not_testable", what))
}

/// What a job's report says, whether it is of an item or not.
enum Plain {
    Built(Json, Vec<String>),
    Ended(Box<Outcome>),
}

fn plain(input: Input) -> Plain {
    let ended = |outcome| Plain::Ended(Box::new(outcome));
    match input {
        Input::Built { request, logs, .. }
        | Input::Item {
            report: ItemReport::Built { request, logs },
            ..
        } => Plain::Built(request, logs),
        Input::Listed { answer, .. } => ended(Outcome::Listed(Box::new(answer))),
        Input::Sent { answer, .. }
        | Input::Item {
            report: ItemReport::Sent(answer),
            ..
        } => ended(Outcome::Sent(answer)),
        Input::Failed { failure, .. }
        | Input::Item {
            report: ItemReport::Failed(failure),
            ..
        } => ended(Outcome::Failed(failure)),
        _ => ended(Outcome::Failed(StepFailure::permanent(
            Code::new("engine.fault"),
            "the step told what no step tells: please report this",
        ))),
    }
}
