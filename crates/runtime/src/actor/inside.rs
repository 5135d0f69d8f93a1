//! Actions that stay inside this process: a hand-off to a webhook of this server, a script step, script
//! storage. None needs a commit before it, so they go into the one that is being made (I4); behind an item, and
//! behind a script that may take long or ask the world, that one ends.

use std::sync::Arc;

use velodrome_core::{Action, Input, ItemReport, ListState, Loop, Run};
use velodrome_spec::Plan;
use velodrome_spec::plan::{Handoff, Step, StepIx, StepKind};
use velodrome_types::{CycleState, RunId, StepId};

use super::commit::Begins;
use super::{Actor, Left};
use crate::handlers::Purpose;
use crate::handoff::asks;
use crate::perform::{Item, Job};
use crate::seen::SeenKeys;
use crate::unit::Making;

impl Actor {
    /// Whether the action may go into the commit that is being made.
    pub(super) fn may_stay_inside(&self, plan: &Plan, action: &Action) -> bool {
        let one = !matches!(action, Action::Items { items, .. } if items.len() > 1);
        one && self.is_inside(plan, action)
            && !self.shared.draining.is_cancelled()
            && self.stopping.is_empty()
            && self.shared.cycles.state(&plan.cycle) != CycleState::Stopped
    }

    /// Whether the action stays in this process: no socket, no commit before it.
    pub(super) fn is_inside(&self, plan: &Plan, action: &Action) -> bool {
        let (step, _) = step_of(action);
        let kind = plan.find(step.as_str()).map(|ix| &plan.step(ix).kind);
        matches!(action, Action::Evaluate { .. })
            || kind.is_some_and(|kind| match kind {
                StepKind::Send(send) => {
                    send.target.is_some()
                        && send.handoff == Handoff::Direct
                        && !asks(&self.shared, plan, send)
                }
                StepKind::Storage(_) | StepKind::Script { .. } => true,
                _ => false,
            })
    }

    /// Such an action whose commit is its own.
    pub(super) async fn inside_alone(&mut self, id: RunId, action: Action) -> Result<(), Left> {
        let Some(active) = self.runs.get(&id) else {
            return Ok(());
        };
        let plan = Arc::clone(&active.plan);
        let before = (active.run.clone(), self.looped.clone());
        let mut making = Making::default();
        making.expect_fence(id, active.committed);
        let (run, looped) = before.clone();
        self.follow(plan, run, looped, Some(action), making, before)
            .await
    }

    /// Performs an action into the commit that is being made, and moves the run by what came of it.
    pub(super) async fn inside(
        &mut self,
        plan: &Arc<Plan>,
        (run, looped): (Run, Loop),
        action: Action,
        making: &mut Making,
        begins: &mut Begins,
    ) -> (Run, Loop, Option<Action>) {
        let (step, fence) = step_of(&action);
        let step = step.clone();
        let Some(ix) = plan.find(step.as_str()) else {
            return (run, looped, Some(action));
        };
        let item = match &action {
            Action::Items { items, .. } => items
                .first()
                .and_then(|call| Item::of(&self.shared, plan, &run, &step, call)),
            _ => None,
        };
        // What fails leaves nothing behind: neither its handlers' writes nor a place.
        let saved = making.overlay.clone();
        let mut next = Making::with_overlay(making.take_overlay());
        let mut next_looped = looped.clone();
        let input = match &plan.step(ix).kind {
            StepKind::Send(send) => {
                let posting = super::handoff::Posting {
                    plan,
                    run: &run,
                    step: plan.step(ix),
                    send,
                    item: item.as_ref(),
                };
                let input = self
                    .post(&posting, fence, &mut next, &mut next_looped, begins)
                    .await
                    .unwrap_or_else(|failure| Input::Failed {
                        fence,
                        failure: *failure,
                    });
                match &item {
                    Some(item) => item.report(input),
                    None => input,
                }
            }
            _ => self.compute(plan, (ix, fence), &run, item, &mut next).await,
        };
        if has_failed(&input) {
            next = Making::with_overlay(saved);
            next_looped = looped;
        }
        making.overlay = std::mem::take(&mut next.overlay);
        let moved = self
            .advance(plan, run, next_looped, input)
            .expect("the fence is the action's own");
        let moved = making.moved(moved);
        making.tell_storage(plan, &step);
        making.append(next);
        moved
    }

    /// Runs what the step computes, over what the commit being made has written so far.
    async fn compute(
        &mut self,
        plan: &Arc<Plan>,
        (step, fence): (StepIx, u64),
        run: &Run,
        item: Option<Item>,
        next: &mut Making,
    ) -> Input {
        let job = Job {
            shared: Arc::clone(&self.shared),
            plan: Arc::clone(plan),
            run: run.clone(),
            list: ListState::default(),
            seen: Ok(SeenKeys::default()),
            step,
            fence,
            built: None,
            item,
            inline: velodrome_core::InlineValues::new(),
            purpose: Purpose::Run,
        };
        let (report, _) = job.watched(next.take_overlay()).await;
        // A script may have taken its time: what follows begins now.
        self.now = self.shared.clock.now();
        next.overlay = report.overlay;
        next.foreign_reads(plan, run, &report.step, report.foreign, self.now);
        report.input
    }
}

fn has_failed(input: &Input) -> bool {
    matches!(
        input,
        Input::Failed { .. }
            | Input::Item {
                report: ItemReport::Failed(_),
                ..
            }
    )
}

/// Whether the action begins another run: a commit holds one such at the most.
pub(super) fn begins_a_run(plan: &Plan, action: &Action) -> bool {
    let (step, _) = step_of(action);
    plan.find(step.as_str())
        .is_some_and(|ix| matches!(plan.step(ix).kind, StepKind::Send(_)))
}

/// Whether a commit follows the action before anything else is done: an item of many, so that a crash repeats
/// few and a stop is heard in between; and a script that may take its time or ask the world.
pub(super) fn is_of_its_own(plan: &Plan, action: &Action) -> bool {
    let (id, _) = step_of(action);
    let step = plan.find(id.as_str()).map(|ix| plan.step(ix));
    let is_long = |step: &Step| {
        let runs = step
            .script
            .as_ref()
            .is_some_and(|script| !script.analysis.short);
        runs || step
            .inlines()
            .iter()
            .any(|inline| !inline.script.analysis.short)
    };
    matches!(action, Action::Items { .. }) || step.is_some_and(is_long)
}

fn step_of(action: &Action) -> (&StepId, u64) {
    match action {
        Action::List { step, fence, .. }
        | Action::Send { step, fence, .. }
        | Action::Compute { step, fence, .. }
        | Action::Evaluate { step, fence }
        | Action::Items { step, fence, .. } => (step, *fence),
    }
}
