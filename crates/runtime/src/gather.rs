//! `wait_all` with `scope: cycle`: of a cycle's runs that wait there one goes on, when no other run of the cycle is in
//! progress.
//!
//! A loop's own task knows its own runs only, so this looks at what is stored, whenever a run of such a cycle has
//! ended or begun to wait. Those that do not go on end first, each in a commit of its own, and the last one goes
//! on: wherever the process ends between, one goes on and no second one ever does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use velodrome_core::{Run, State, WaitingOn, Whose};
use velodrome_spec::Plan;
use velodrome_spec::plan::{StepKind, WaitScope};
use velodrome_store::{PageRequest, RunFilter, StoreError};
use velodrome_types::{CycleId, RunStatus, StepId};

use crate::records::run_of;
use crate::registry::ToLoop;
use crate::shared::Shared;
use crate::tasks::Task;
use crate::unit::Making;

/// Rows read at once: the most that a store gives.
const READ: usize = 1_000;

/// Cycles of which a run waits for all of it, or did since the start: the only ones that are looked at.
#[derive(Debug, Default)]
pub(crate) struct Gatherers(Mutex<BTreeSet<CycleId>>);

impl Gatherers {
    /// The cycles that a commit concerns: a run of theirs has ended, or waits now for its children or for all.
    pub(crate) fn concerned(&self, making: &Making) -> BTreeSet<CycleId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut concerned = BTreeSet::new();
        for run in making.runs() {
            let waits = waits_for_cycle(run);
            if waits {
                known.insert(run.cycle.clone());
            }
            let rests = waits || run.waits_for_children() || run.status().is_final();
            if rests && known.contains(&run.cycle) {
                concerned.insert(run.cycle.clone());
            }
        }
        concerned
    }

    /// At the start a run may wait already.
    pub(crate) fn at_start(&self, plan: &Plan) -> bool {
        let waits = |kind: &StepKind| matches!(kind, StepKind::WaitAll(WaitScope::Cycle));
        let gathers = plan.steps.iter().any(|step| waits(&step.kind));
        if gathers {
            let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            known.insert(plan.cycle.clone());
        }
        gathers
    }
}

fn waits_for_cycle(run: &Run) -> bool {
    matches!(
        run.state,
        State::Waiting {
            on: WaitingOn::All {
                scope: Whose::Cycle
            },
            ..
        }
    )
}

/// Looks whether a run that waits for all of this cycle may go on, without making anybody wait.
pub(crate) fn look_soon(shared: &Arc<Shared>, cycle: &CycleId) {
    let (told, cycle) = (Arc::clone(shared), cycle.clone());
    shared.tasks.start(Task::Gathering, async move {
        if let Err(error) = look(&told, &cycle).await {
            tracing::error!(%cycle, %error, "its runs cannot be read: those that wait for all go on waiting");
        }
    });
}

async fn look(shared: &Arc<Shared>, cycle: &CycleId) -> Result<(), StoreError> {
    let Some(waiting) = all_waiting(shared, cycle)? else {
        return Ok(());
    };
    let Some(step) = first_step(shared, cycle, &waiting) else {
        return Ok(());
    };
    // Oldest first: it is the one that goes on.
    let here: Vec<_> = waiting
        .iter()
        .rev()
        .filter(|run| run.step() == Some(&step))
        .map(|run| (run.loop_id, run.id))
        .collect();
    match here.as_slice() {
        [] => {}
        [(loop_id, run)] => shared.tell(*loop_id, ToLoop::AllHere(*run)).await,
        // Their ends are looked at again; when none is left, the one goes on.
        [_, others @ ..] => {
            for (loop_id, run) in others {
                shared.tell(*loop_id, ToLoop::AllPassed(*run)).await;
            }
        }
    }
    Ok(())
}

/// The runs that wait for all of the cycle, newest first; `None` while another run is in progress.
fn all_waiting(shared: &Shared, cycle: &CycleId) -> Result<Option<Vec<Run>>, StoreError> {
    let filter = RunFilter {
        cycle: Some(cycle.clone()),
        status: vec![RunStatus::Running, RunStatus::Waiting],
        ..RunFilter::default()
    };
    let mut waiting = Vec::new();
    let mut after = None;
    loop {
        let page = PageRequest { after, limit: READ };
        let page = shared.store.runs(&filter, page)?;
        for row in &page.items {
            let run = run_of(&shared.vault, row)?;
            if waits_for_cycle(&run) {
                waiting.push(run);
            } else if !run.waits_for_children() {
                return Ok(None);
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(Some(waiting));
        }
    }
}

/// Where runs wait at several such steps, the first in the file; runs at others go on when those have ended.
fn first_step(shared: &Shared, cycle: &CycleId, waiting: &[Run]) -> Option<StepId> {
    let plan = shared.plans.current(cycle);
    let place = |step: &StepId| {
        let plan = plan.as_ref()?;
        plan.find(step.as_str())
    };
    let steps = waiting.iter().filter_map(Run::step);
    // One that the present version has no more goes first: nothing there leads to another.
    steps.min_by_key(|step| place(step)).cloned()
}
