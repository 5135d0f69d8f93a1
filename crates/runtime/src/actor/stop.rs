//! Ending runs because a person says so: all of a loop's, or one with those that it began.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::oneshot;
use velodrome_core::{Input, with_descendants};
use velodrome_types::RunId;

use super::commit::Begins;
use super::{Actor, Left};
use crate::command::{self, By};
use crate::unit::Making;

impl Actor {
    /// Ends every run of the loop.
    pub(super) async fn stop_all(&mut self) -> Result<(), Left> {
        let ids: Vec<RunId> = self.runs.keys().copied().collect();
        for id in ids {
            self.move_on(id, Input::Stop, Making::default()).await?;
        }
        for done in self.stopping.drain(..) {
            // Nobody waits for the answer any more: fine.
            let _ = done.send(());
        }
        Ok(())
    }

    /// Ends one run and those that it began, in one commit. What they have under way is broken off; the rest of the
    /// loop goes on, and the loop ends where there is none.
    pub(super) async fn stop_run(
        &mut self,
        id: RunId,
        by: Option<By>,
        done: oneshot::Sender<()>,
    ) -> Result<(), Left> {
        if !self.stopping.is_empty() {
            // The whole loop ends.
            self.stopping.push(done);
            return Ok(());
        }
        let family = with_descendants(id, self.runs.values().map(|active| &active.run));
        self.break_off(&family);
        let mut making = Making::default();
        let mut begins = Begins::default();
        let mut looped = self.looped.clone();
        let mut last = None;
        for id in family {
            let Some(active) = self.runs.get(&id) else {
                continue;
            };
            let (run, plan) = (active.run.clone(), Arc::clone(&active.plan));
            let committed = active.committed;
            let Some(mut transition) = self.advance(&plan, run, looped.clone(), Input::Stop) else {
                continue;
            };
            if let Some(by) = &by {
                command::sign(&mut transition.lines, by);
            }
            making.expect_fence(id, committed);
            let (run, left, action) = making.moved(transition);
            looped = left;
            begins.own.extend(last.replace((run, plan, action)));
        }
        if let Some((plan, run, action)) = last.map(|(run, plan, action)| (plan, run, action)) {
            let refused = self.commit(plan, run, looped, action, making, begins);
            if refused.await?.is_some() {
                // Nothing of a script's was in it.
                return Err(Left::Conflict);
            }
        }
        // Nobody waits for the answer any more: fine.
        let _ = done.send(());
        Ok(())
    }

    /// Drops what these runs have under way, or were about to begin.
    fn break_off(&mut self, runs: &[RunId]) {
        let runs: BTreeSet<RunId> = runs.iter().copied().collect();
        let under_way = std::mem::take(&mut self.performing);
        self.performing = under_way
            .into_iter()
            .filter(|performing| !runs.contains(&performing.run))
            .collect();
        self.inside.retain(|(run, _)| !runs.contains(run));
        self.begun.retain(|run| !runs.contains(run));
    }
}
