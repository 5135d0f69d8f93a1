//! Taking failed runs up again, and beginning anew with what a run was given (SPEC §6).

use std::sync::Arc;
use std::time::Duration;

use velodrome_core::{Admission, NotResumable, may_resume};
use velodrome_spec::Plan;
use velodrome_store::{RunRow, StoreError};
use velodrome_types::{CycleState, LoopStatus, RunId, RunStatus};

use crate::accept::{again, not_taking};
use crate::actor::Actor;
use crate::api::{HookAnswer, Problem, Version};
use crate::records::{delivery_of, loop_of, whole_run};
use crate::shared::Shared;

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
) -> Result<(), Problem> {
    for _ in 0..LEAVING.0 {
        let row = failed_row(shared, id)?;
        let plan = plan_for(shared, &row, version)?;
        let (_, inbox) = shared.registry.reach(row.loop_id);
        let Some(inbox) = inbox else {
            // Its task is leaving, or somebody else takes it up right now.
            shared.clock.sleep(LEAVING.1).await;
            continue;
        };
        let admission = shared.cycles.admit(&row.cycle, plan.concurrency, None);
        let resumed = Actor::resumed(shared, &row, plan, admission == Admission::Start).await;
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
    /// A failed loop brought back, its run going on; committed.
    async fn resumed(
        shared: &Arc<Shared>,
        row: &RunRow,
        plan: Arc<Plan>,
        placed: bool,
    ) -> Result<Self, Problem> {
        // Looked at again: whoever was here before may have taken it up.
        let row = failed_row(shared, row.id)?;
        let run = whole_run(&*shared.store, &shared.vault, &row).map_err(unreadable)?;
        let looped = shared.store.loop_row(row.loop_id).map_err(unreadable)?;
        let looped = looped.ok_or_else(|| not_failed(row.id, row.status))?;
        let looped = loop_of(&shared.vault, &looped).map_err(unreadable)?;
        let mut actor = Self::with_run(Arc::clone(shared), looped, run, plan);
        actor.load_parents(row.id).map_err(unreadable)?;
        actor.resume(row.id, placed).await.map_err(|()| {
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
