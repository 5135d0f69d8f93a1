//! Taking failed runs up again, and beginning anew with what a run was given (SPEC §6).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use velodrome_core::{Admission, NotResumable, may_resume};
use velodrome_spec::Plan;
use velodrome_store::{PageRequest, RunFilter, RunRow, StoreError};
use velodrome_types::{CycleState, LoopId, LoopStatus, RunId, RunStatus};

use crate::accept::{again, not_taking};
use crate::actor::{Actor, Left};
use crate::api::{HookAnswer, Problem, Version};
use crate::command::By;
use crate::records::{delivery_of, loop_of, run_of, whole_run};
use crate::registry::{RetryRequest, ToLoop};
use crate::shared::Shared;

/// Rows read at once: the most that a store gives.
const READ: usize = 1_000;

/// How often, and how long apart, a loop's task that is just leaving is waited for.
const LEAVING: (u32, Duration) = (100, Duration::from_millis(10));

fn unreadable(error: StoreError) -> Problem {
    Problem::new(503, "store.unavailable", error.to_string())
}

/// Goes on at the step where the run failed, its loop with it.
pub(crate) async fn retry(
    shared: &Arc<Shared>,
    id: RunId,
    version: Option<Version>,
    by: Option<&By>,
) -> Result<(), Problem> {
    for _ in 0..LEAVING.0 {
        let row = failed_row(shared, id)?;
        let plan = plan_for(shared, &row, version)?;
        if is_in_progress(shared, row.loop_id)? {
            // It has its place and its task, or its turn: what it has under way is known there only.
            match by_its_loop(shared, &row, plan, by).await {
                Some(answer) => return answer,
                None => {
                    shared.clock.sleep(LEAVING.1).await;
                    continue;
                }
            }
        }
        let (_, inbox) = shared.registry.reach(row.loop_id);
        let Some(inbox) = inbox else {
            // Its task is leaving, or somebody else takes it up right now.
            shared.clock.sleep(LEAVING.1).await;
            continue;
        };
        let admission = shared.cycles.admit(&row.cycle, plan.concurrency, None);
        let resumed = Actor::resumed(shared, &row, plan, (admission == Admission::Start, by)).await;
        return match resumed {
            Ok(actor) => {
                actor.start(inbox);
                if admission == Admission::Queue {
                    shared.begin_next(&row.cycle);
                }
                Ok(())
            }
            Err(problem) => {
                shared.registry.remove(row.loop_id);
                shared.withdraw(&row.cycle, admission);
                Err(problem)
            }
        };
    }
    Err(not_failed(id, RunStatus::Running))
}

/// Whether runs of a loop are still on their way, or will be when it has its place.
fn is_in_progress(shared: &Shared, id: LoopId) -> Result<bool, Problem> {
    let row = shared.store.loop_row(id).map_err(unreadable)?;
    Ok(row.is_some_and(|row| !row.status.is_final()))
}

/// Has the loop's own task take the run up. `None` where the loop has ended meanwhile.
async fn by_its_loop(
    shared: &Arc<Shared>,
    row: &RunRow,
    plan: Arc<Plan>,
    by: Option<&By>,
) -> Option<Result<(), Problem>> {
    let (answer, answered) = oneshot::channel();
    let request = RetryRequest {
        run: row.id,
        plan,
        by: by.cloned(),
        answer,
    };
    shared
        .tell(row.loop_id, ToLoop::Retry(Box::new(request)))
        .await;
    answered.await.ok()
}

/// Takes up all runs that failed in the lap with which a loop did: those of their own, for whoever waits for
/// them goes along.
///
/// # Errors
///
/// `loop.not_failed`, and those of [`retry`].
pub(crate) async fn retry_loop(
    shared: &Arc<Shared>,
    id: LoopId,
    version: Option<Version>,
    by: Option<&By>,
) -> Result<(), Problem> {
    let row = shared.store.loop_row(id).map_err(unreadable)?;
    let row =
        row.ok_or_else(|| Problem::new(404, "loop.unknown", format!("there is no loop `{id}`")))?;
    let looped = loop_of(&shared.vault, &row).map_err(unreadable)?;
    let Some((failed, _)) = looped.failed.filter(|_| row.status == LoopStatus::Failed) else {
        let what = format!(
            "loop `{id}` is {}: only a failed one can be taken up again",
            row.status
        );
        return Err(Problem::new(409, "loop.not_failed", what));
    };
    let runs = failed_with(shared, id, failed).map_err(unreadable)?;
    for (at, run) in runs.into_iter().enumerate() {
        match retry(shared, run, version, by).await {
            // Somebody else has taken it up since.
            Err(problem) if at > 0 && problem.code.as_str() == "run.not_failed" => {}
            taken_up => taken_up?,
        }
    }
    Ok(())
}

/// The runs of a failed run's lap that failed by themselves, oldest first; the run itself where there is no
/// other.
fn failed_with(shared: &Shared, loop_id: LoopId, run: RunId) -> Result<Vec<RunId>, StoreError> {
    let lap = shared.store.run(run)?.map(|row| row.lap);
    let filter = RunFilter {
        loop_id: Some(loop_id),
        status: vec![RunStatus::Failed],
        ..RunFilter::default()
    };
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = PageRequest { after, limit: READ };
        let page = shared.store.runs(&filter, page)?;
        for row in page.items.iter().filter(|row| Some(row.lap) == lap) {
            if !run_of(&shared.vault, row)?.failed_by_child() {
                found.push(row.id);
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.reverse();
    if found.is_empty() {
        found.push(run);
    }
    Ok(found)
}

fn not_failed(id: RunId, status: RunStatus) -> Problem {
    let what = format!("run `{id}` is {status}: only a failed run can be taken up again");
    Problem::new(409, "run.not_failed", what)
}

fn failed_row(shared: &Shared, id: RunId) -> Result<RunRow, Problem> {
    let row = shared.store.run(id).map_err(unreadable)?;
    let row =
        row.ok_or_else(|| Problem::new(404, "run.unknown", format!("there is no run `{id}`")))?;
    if row.status != RunStatus::Failed {
        return Err(not_failed(id, row.status));
    }
    let looped = shared.store.loop_row(row.loop_id).map_err(unreadable)?;
    let stopped = looped.is_none_or(|looped| looped.status == LoopStatus::Stopped);
    if stopped {
        let what =
            format!("the loop of run `{id}` was stopped: `velodrome run replay` begins anew");
        return Err(Problem::new(409, "loop.over", what));
    }
    match shared.state_of(&row.cycle) {
        state @ (CycleState::Stopped | CycleState::Finishing) => Err(not_taking(&row.cycle, state)),
        _ => Ok(row),
    }
}

/// The plan that the run goes on with: one must be said where the cycle has changed.
fn plan_for(shared: &Shared, row: &RunRow, version: Option<Version>) -> Result<Arc<Plan>, Problem> {
    let was = shared
        .plans
        .of_run(&*shared.store, &row.plan)
        .map_err(unreadable)?;
    let now = shared.plans.current(&row.cycle);
    let plan = match (version, now) {
        (Some(Version::Original), _) | (None, None) => Arc::clone(&was),
        (Some(Version::Latest), None) => {
            return Err(not_taking(&row.cycle, CycleState::Invalid));
        }
        (Some(Version::Latest), Some(now)) => now,
        (None, Some(now)) if now.hash == was.hash => now,
        (None, Some(now)) => {
            let what = format!(
                "cycle `{}` has changed: say `--original` for version {}, on which the run began, or `--latest` for {}",
                row.cycle,
                was.version(),
                now.version()
            );
            return Err(Problem::new(409, "run.version_needed", what));
        }
    };
    let run = whole_run(&*shared.store, &shared.vault, row).map_err(unreadable)?;
    may_resume(&plan, &was, &run).map_err(|why| refused(row.id, &why))?;
    Ok(plan)
}

fn refused(id: RunId, why: &NotResumable) -> Problem {
    let (code, what) = match why {
        NotResumable::NotFailed => return not_failed(id, RunStatus::Running),
        NotResumable::ChildFailed => (
            "run.child_failed",
            format!(
                "run `{id}` failed because a run that it began did: `velodrome run show {id}` names that one, which can be taken up again"
            ),
        ),
        NotResumable::AtTheTrigger => (
            "run.nothing_ran",
            format!(
                "run `{id}` failed in its webhook's handler, before any step: `velodrome run replay {id}` begins anew"
            ),
        ),
        NotResumable::StepGone(step) => (
            "run.does_not_fit",
            format!(
                "the present version has no step `{step}`, where the run failed: `--original` goes on with the version it began on"
            ),
        ),
        NotResumable::NotKept(fields) => (
            "run.does_not_fit",
            format!(
                "the present version reads what the run did not keep: {}; `--original` goes on with the version it began on, `velodrome run replay` begins anew",
                fields
                    .iter()
                    .map(|field| format!("`{field}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    };
    Problem::new(409, code, what)
}

impl Actor {
    /// Takes a failed run up again while others of the loop are on their way, or it waits for its place.
    pub(crate) async fn retry(&mut self, request: RetryRequest) -> Result<(), Left> {
        let RetryRequest {
            run,
            plan,
            by,
            answer,
        } = request;
        if self.is_ending() || self.knows(run) {
            return Ok(());
        }
        let taken = match self.take_in_failed(run, plan) {
            Ok(()) => self.resume_here(run, by).await,
            Err(problem) => {
                self.forget_ended();
                // Nobody waits for the answer any more: fine.
                let _ = answer.send(Err(problem));
                return Ok(());
            }
        };
        if taken.is_ok() {
            let _ = answer.send(Ok(()));
        }
        taken
    }

    fn take_in_failed(&mut self, id: RunId, plan: Arc<Plan>) -> Result<(), Problem> {
        let shared = Arc::clone(self.shared());
        // Looked at again: whoever was here before may have taken it up.
        let row = failed_row(&shared, id)?;
        let run = whole_run(&*shared.store, &shared.vault, &row).map_err(unreadable)?;
        self.take_back(run, plan);
        self.load_parents(id).map_err(unreadable)
    }

    /// A failed loop brought back, its run going on; committed.
    async fn resumed(
        shared: &Arc<Shared>,
        row: &RunRow,
        plan: Arc<Plan>,
        (placed, by): (bool, Option<&By>),
    ) -> Result<Self, Problem> {
        // Looked at again: whoever was here before may have taken it up.
        let row = failed_row(shared, row.id)?;
        let run = whole_run(&*shared.store, &shared.vault, &row).map_err(unreadable)?;
        let looped = shared.store.loop_row(row.loop_id).map_err(unreadable)?;
        let looped = looped.ok_or_else(|| not_failed(row.id, row.status))?;
        let looped = loop_of(&shared.vault, &looped).map_err(unreadable)?;
        let mut actor = Self::with_run(Arc::clone(shared), looped, run, plan);
        actor.load_parents(row.id).map_err(unreadable)?;
        actor
            .resume(row.id, placed, by.cloned())
            .await
            .map_err(|()| {
                Problem::new(
                    503,
                    "store.unavailable",
                    "the resumed run could not be stored",
                )
            })?;
        Ok(actor)
    }
}

/// Begins a new loop with what a run was given, on the present version.
pub(crate) async fn replay(shared: &Arc<Shared>, id: RunId) -> Result<HookAnswer, Problem> {
    let row = shared.store.run(id).map_err(unreadable)?;
    let row =
        row.ok_or_else(|| Problem::new(404, "run.unknown", format!("there is no run `{id}`")))?;
    let delivery = delivery_of(&*shared.store, &shared.vault, id).map_err(unreadable)?;
    let delivery = delivery.ok_or_else(|| {
        let what = format!("what run `{id}` was given is not kept any more");
        Problem::new(409, "run.body_not_kept", what)
    })?;
    again(shared, &row.cycle, delivery).await
}
