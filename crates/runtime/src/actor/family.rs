//! Runs of one lap that belong together: what the move of one brings about for others, in the same commit.
//!
//! The end of the last child moves the run that waits for it; the end of a lap's last other run moves the one
//! that waits at a `wait_all`; a failed child that is taken up again takes its parents along.

use std::collections::BTreeMap;
use std::sync::Arc;

use velodrome_core::{Action, Finish, Input, Loop, Run, State, next_of_lap, over_for};
use velodrome_spec::Plan;
use velodrome_store::FORGOTTEN_AT_ONCE;
use velodrome_types::RunId;

use super::commit::Begins;
use super::{Actor, Left};
use crate::unit::{Grown, Making};

/// Children that are on their way at once: past them the next takes its first step when one has taken its
/// last. Each holds a request's buffers while it asks, and a long list must not hold thousands of those.
const CHILDREN_AT_ONCE: usize = 64;

/// Every so many children those of laps that are not kept any more are forgotten, of which one commit takes twice
/// as many, so that they cannot outgrow it.
const CHILDREN_BEFORE_FORGETTING: usize = FORGOTTEN_AT_ONCE / 2;

/// Runs that this commit moves, as they are after it, with what each is to do.
#[derive(Default)]
struct Moved {
    runs: BTreeMap<RunId, (Run, Arc<Plan>, Option<Action>)>,
    /// In the order in which they came.
    order: Vec<RunId>,
}

impl Moved {
    fn put(&mut self, run: Run, plan: Arc<Plan>, action: Option<Action>) {
        let id = run.id;
        if self.runs.insert(id, (run, plan, action)).is_none() {
            self.order.push(id);
        }
    }

    fn into_order(mut self) -> impl Iterator<Item = (Run, Arc<Plan>, Option<Action>)> {
        self.order
            .into_iter()
            .filter_map(move |id| self.runs.remove(&id))
    }
}

impl Actor {
    /// Moves those that the move of a run brings along; gives the loop as they leave it.
    pub(super) fn bring_along(
        &self,
        plan: &Arc<Plan>,
        run: &Run,
        looped: Loop,
        making: &mut Making,
        begins: &mut Begins,
    ) -> Loop {
        let own: Vec<Grown> = making
            .grown
            .extract_if(.., |grown| grown.run.loop_id == self.id)
            .collect();
        if old_laps_are_due(looped.laps, own.len()) {
            making.forget.extend(self.old_laps(&looped, plan));
        }
        let mut moved = Moved::default();
        for (run, plan, action) in begins.own.drain(..) {
            moved.put(run, plan, action);
        }
        for Grown { run, action } in own {
            let plan = self.plan_of(&run, plan, &moved);
            moved.put(run, plan, action);
        }
        let mut looped = looped;
        // Where the loop is being stopped nobody goes on because others have ended.
        let stops = !self.stopping.is_empty();
        if !stops && (run.branch.is_some() || !looped.gathered.is_empty()) {
            looped = self.follow_on(plan, run, looped, making, &mut moved);
        }
        begins.own.extend(moved.into_order());
        looped
    }

    fn follow_on(
        &self,
        plan: &Arc<Plan>,
        run: &Run,
        mut looped: Loop,
        making: &mut Making,
        moved: &mut Moved,
    ) -> Loop {
        while let Some((id, input)) = self.next(plan, run, &looped, moved) {
            let (was, its_plan, fence) = match (moved.runs.get(&id), self.runs.get(&id)) {
                (Some((run, plan, _)), _) => (run.clone(), Arc::clone(plan), None),
                (None, _) if id == run.id => (run.clone(), Arc::clone(plan), None),
                (None, Some(active)) => (
                    active.run.clone(),
                    Arc::clone(&active.plan),
                    Some(active.committed),
                ),
                (None, None) => break,
            };
            let Some(transition) = self.advance(&its_plan, was, looped.clone(), input) else {
                break;
            };
            if let Some(fence) = fence {
                making.expect_fence(id, fence);
            }
            let (run, left, action) = making.moved(transition);
            looped = left;
            let grown = std::mem::take(&mut making.grown);
            for grown in grown {
                match grown.run.loop_id == self.id {
                    true => {
                        let plan = Arc::clone(&its_plan);
                        moved.put(grown.run, plan, grown.action);
                    }
                    false => making.grown.push(grown),
                }
            }
            moved.put(run, its_plan, action);
        }
        looped
    }

    /// The next run that is brought along, and by what.
    fn next(&self, plan: &Plan, run: &Run, looped: &Loop, moved: &Moved) -> Option<(RunId, Input)> {
        let now = |id: &RunId| match moved.runs.get(id) {
            Some((run, ..)) => Some(run),
            None if *id == run.id => Some(run),
            None => self.runs.get(id).map(|active| &active.run),
        };
        let here = || std::iter::once(run).chain(moved.runs.values().map(|(run, ..)| run));
        for run in here() {
            let Some(parent) = run.begun_by().and_then(|parent| now(&parent)) else {
                continue;
            };
            let is_over = |run: &Run| matches!(run.state, State::Finished { .. });
            if over_for(run, looped) == Some(parent.id) && parent.waits_for_children() {
                return Some((parent.id, Input::ChildrenOver));
            }
            let failed = matches!(
                &parent.state,
                State::Finished {
                    how: Finish::Failed(_)
                }
            );
            if !is_over(run) && failed && parent.failed_by_child() {
                return Some((parent.id, Input::ChildAgain));
            }
        }
        let known = self.runs.keys().chain(moved.runs.keys()).chain([&run.id]);
        let runs = known.filter_map(now);
        next_of_lap(plan, looped, runs).map(|id| (id, Input::AllHere))
    }

    /// The plan of a run that has begun with others: all of a lap are on one.
    fn plan_of(&self, run: &Run, plan: &Arc<Plan>, moved: &Moved) -> Arc<Plan> {
        let others = moved.runs.values().map(|(_, plan, _)| plan);
        let plans = std::iter::once(plan).chain(others);
        let own = plans.clone().find(|plan| plan.hash == run.plan);
        Arc::clone(own.unwrap_or(plan))
    }

    /// Whether runs wait for their first step, and may take it.
    pub(super) fn has_room_for_children(&self) -> bool {
        let busy = self.performing.len() + self.inside.len();
        !self.begun.is_empty() && busy < CHILDREN_AT_ONCE
    }

    /// As many as there is room for take their first step, in one commit.
    pub(super) async fn begin_children(&mut self) -> Result<(), Left> {
        let room = CHILDREN_AT_ONCE.saturating_sub(self.performing.len() + self.inside.len());
        let mut making = Making::default();
        let mut begins = Begins::default();
        let mut looped = self.looped.clone();
        let mut first = None;
        for _ in 0..room {
            let Some(id) = self.begun.pop_front() else {
                break;
            };
            let Some(active) = self.runs.get(&id) else {
                continue;
            };
            let (run, plan) = (active.run.clone(), Arc::clone(&active.plan));
            let committed = active.committed;
            if !matches!(run.state, State::Begun { .. }) {
                continue;
            }
            let before = (run.clone(), self.looped.clone());
            let Some(transition) = self.advance(&plan, run, looped.clone(), Input::Branch) else {
                continue;
            };
            making.expect_fence(id, committed);
            self.children_begun += 1;
            let (run, left, action) = making.moved(transition);
            looped = self.bring_along(&plan, &run, left, &mut making, &mut begins);
            match first {
                None => first = Some((plan, run, action, before)),
                Some(_) => begins.own.push((run, plan, action)),
            }
        }
        let Some((plan, run, action, _)) = first else {
            return Ok(());
        };
        if self.children_begun >= CHILDREN_BEFORE_FORGETTING {
            self.children_begun = 0;
            making.forget.extend(self.old_laps(&looped, &plan));
        }
        match self
            .commit(plan, run, looped, action, making, begins)
            .await?
        {
            None => Ok(()),
            // Nothing of a script's was in it.
            Some(_) => Err(Left::Conflict),
        }
    }
}

/// Whether laps of so many children each have had enough since old ones were last forgotten. Reckoned, for a loop that
/// waits remembers nothing but what is stored.
fn old_laps_are_due(lap: u64, children: usize) -> bool {
    let of_laps =
        |laps: u64| laps.saturating_mul(children as u64) / CHILDREN_BEFORE_FORGETTING as u64;
    of_laps(lap) > of_laps(lap.saturating_sub(1))
}
