//! Bringing a loop back into memory, and issuing again what was under way when it was lost.

use std::sync::Arc;

use velodrome_core::{Input, State};
use velodrome_store::{PageRequest, RunFilter, RunRow, StoreError};
use velodrome_types::{LoopId, RunId, RunStatus};

use super::{Active, Actor, Left};
use crate::records::{loop_of, whole_run};
use crate::shared::Shared;
use crate::unit::Making;

/// Rows read at once: the most that a store gives.
const CHILDREN_READ: usize = 1_000;

impl Actor {
    /// Reads a loop and its open runs; `None` if it is not stored or has ended.
    pub(crate) fn load(shared: Arc<Shared>, id: LoopId) -> Result<Option<Self>, StoreError> {
        let Some(row) = shared.store.loop_row(id)? else {
            return Ok(None);
        };
        if row.status.is_final() {
            return Ok(None);
        }
        let looped = loop_of(&shared.vault, &row)?;
        let mut actor = Self::empty(Arc::clone(&shared), looped);
        for run in actor.looped.open.keys().copied().collect::<Vec<_>>() {
            let Some(row) = shared.store.run(run)? else {
                return Err(StoreError::Damaged {
                    what: format!("loop {id}"),
                    why: format!("its run {run} is missing"),
                });
            };
            actor.take_in(&row)?;
        }
        if actor.looped.kin.values().any(|kin| kin.open > 0) {
            actor.load_children()?;
        }
        Ok(Some(actor))
    }

    fn take_in(&mut self, row: &RunRow) -> Result<(), StoreError> {
        let run = whole_run(&*self.shared.store, &self.shared.vault, row)?;
        let plan = self.shared.plans.of_run(&*self.shared.store, &run.plan)?;
        if matches!(run.state, State::Begun { .. }) {
            self.begun.push_back(run.id);
        }
        let active = Active {
            committed: run.fence,
            run,
            plan,
        };
        self.runs.insert(active.run.id, active);
        Ok(())
    }

    /// Reads the runs that others of their lap have begun: a loop's record only counts them.
    fn load_children(&mut self) -> Result<(), StoreError> {
        let filter = RunFilter {
            loop_id: Some(self.id),
            status: vec![RunStatus::Queued, RunStatus::Running, RunStatus::Waiting],
            ..RunFilter::default()
        };
        let mut after = None;
        let mut found = Vec::new();
        loop {
            let page = PageRequest {
                after,
                limit: CHILDREN_READ,
            };
            let page = self.shared.store.runs(&filter, page)?;
            found.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        // Listings are newest first; what began first goes on first.
        for row in found.iter().rev() {
            if !self.runs.contains_key(&row.id) {
                self.take_in(row)?;
            }
        }
        Ok(())
    }

    /// Reads the runs of its lap that wait, or waited, for a run which is taken up again.
    pub(crate) fn load_parents(&mut self, of: RunId) -> Result<(), StoreError> {
        let mut at = self.runs.get(&of).and_then(|active| active.run.begun_by());
        while let Some(parent) = at {
            // One that is on its way knows more than its row.
            if !self.runs.contains_key(&parent) {
                let Some(row) = self.shared.store.run(parent)? else {
                    return Ok(());
                };
                self.take_in(&row)?;
            }
            at = self
                .runs
                .get(&parent)
                .and_then(|active| active.run.begun_by());
        }
        Ok(())
    }

    /// A run that is at a step with nothing under way was interrupted by a crash: its action is issued
    /// again, as it was built.
    pub(crate) async fn recover(&mut self) {
        let interrupted: Vec<_> = self
            .runs
            .values()
            .filter(|active| {
                matches!(
                    active.run.state,
                    State::Running { .. } | State::Each { .. } | State::Paging { .. }
                )
            })
            .map(|active| active.run.id)
            .collect();
        for id in interrupted {
            let outcome: Result<(), Left> =
                self.move_on(id, Input::Recover, Making::default()).await;
            if let Err(left) = outcome {
                tracing::error!(loop_id = %self.id, ?left, "the loop could not be taken up again");
                return;
            }
        }
    }
}
