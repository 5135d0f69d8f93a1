//! Bringing a loop back into memory, and issuing again what was under way when it was lost.

use std::sync::Arc;

use velodrome_core::{Input, State};
use velodrome_store::StoreError;
use velodrome_types::LoopId;

use super::{Active, Actor, Left};
use crate::records::{loop_of, whole_run};
use crate::shared::Shared;
use crate::unit::Making;

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
            let run = whole_run(&*shared.store, &shared.vault, &row)?;
            let plan = shared.plans.of_run(&*shared.store, &run.plan)?;
            actor.runs.insert(
                run.id,
                Active {
                    committed: run.fence,
                    run,
                    plan,
                },
            );
        }
        Ok(Some(actor))
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
