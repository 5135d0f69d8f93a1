//! Taking a failed run up again where it failed (SPEC §6), on the plan it began with or on another.
//!
//! What a later step reads of an earlier one was decided when the earlier one ended: a plan that reads
//! more than was kept cannot take the run over. The step's attempts begin anew; the keys of its requests
//! stay the same, so that a receiver can tell that it has seen one.

use std::collections::BTreeSet;

use velodrome_spec::Plan;
use velodrome_spec::plan::StepIx;
use velodrome_types::{Event, Level, LoopStatus, StepId};

use crate::branches::CHILD_FAILED;
use crate::each::{self, Each};
use crate::machine::Moving;
use crate::paging;
use crate::run::{Failure, Finish, Run, State};
use crate::steps;

/// Why a run cannot be taken up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotResumable {
    /// It has not failed.
    NotFailed,
    /// Its webhook's handler failed: nothing of it ran, so there is nothing to go on with.
    AtTheTrigger,
    /// A run that it began failed: that is what can be taken up again.
    ChildFailed,
    /// The plan has no such step any more.
    StepGone(StepId),
    /// The plan reads these of earlier steps, as `step.field`, and they were not kept.
    NotKept(Vec<String>),
}

/// Whether a failed run can go on with `plan`; `was` is the plan it has been on.
pub fn may_resume(plan: &Plan, was: &Plan, run: &Run) -> Result<(), NotResumable> {
    let State::Finished {
        how: Finish::Failed(failure),
    } = &run.state
    else {
        return Err(NotResumable::NotFailed);
    };
    if failure.error.code.as_str() == CHILD_FAILED {
        return Err(NotResumable::ChildFailed);
    }
    let Some(at) = plan.find(failure.step.as_str()) else {
        return Err(NotResumable::StepGone(failure.step.clone()));
    };
    if at == plan.trigger && plan.webhook(at).is_some() {
        return Err(NotResumable::AtTheTrigger);
    }
    if plan.hash == was.hash {
        return Ok(());
    }
    let ahead = ahead(plan, at);
    let mut missing: Vec<String> = Vec::new();
    for step in &ahead {
        for (read, name) in plan.reads(*step) {
            // What steps ahead give is still to come, and a webhook's URLs are always known.
            if ahead.contains(&read) || matches!(name.as_str(), "url" | "resume_url") {
                continue;
            }
            let read = &plan.step(read).id;
            let kept = was
                .find(read.as_str())
                .is_some_and(|ix| was.step(ix).live.has(&name));
            let missed = format!("{read}.{name}");
            if !kept && !missing.contains(&missed) {
                missing.push(missed);
            }
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        missing.sort();
        Err(NotResumable::NotKept(missing))
    }
}

/// The step and all that its exits lead to.
fn ahead(plan: &Plan, from: StepIx) -> BTreeSet<StepIx> {
    let mut found = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if found.insert(at) {
            open.extend(plan.step(at).leads_to());
        }
    }
    found
}

/// A failed run begins again: at once where its loop has a place, else when its turn comes.
pub(crate) fn resume(moving: &mut Moving<'_>, mut failure: Failure, placed: bool) {
    if failure.pages.is_some() && moving.run.plan != moving.plan.hash {
        // Another version may page in another way: the list begins anew.
        failure.pages = None;
        moving.items.clear = true;
    }
    moving.run.plan.clone_from(&moving.plan.hash);
    let id = moving.run.id;
    moving.looped.forget_failure(id);
    moving.looped.placed = placed;
    moving.looped.status = LoopStatus::Running;
    let step = failure.step.clone();
    let version = moving.plan.version();
    let message = if placed {
        format!("resumed at `{step}`, version {version}")
    } else {
        format!("resumed at `{step}`, version {version}: waits for a place")
    };
    moving
        .lines
        .at(&step, Level::Info, Event::RunResumed, message);
    if placed {
        go_on(moving, failure);
    } else {
        moving.run.fence += 1;
        moving.run.state = State::Again { failure };
    }
}

/// The run goes on at the step where it failed.
pub(crate) fn go_on(moving: &mut Moving<'_>, failure: Failure) {
    let Failure {
        step: id,
        error,
        built,
        each,
        pages,
    } = failure;
    let Some(ix) = moving.plan.find(id.as_str()) else {
        return steps::act(moving, &id, 1);
    };
    let step = moving.plan.step(ix);
    match (&step.each, each) {
        (Some(plan), Some(each)) => each::resume(moving, step, plan, forgiving(*each)),
        (None, _) if pages.is_some() => {
            if let Some(pages) = pages {
                paging::resume(moving, id, *pages);
            }
        }
        // Nobody knows whether it arrived: it is the same request that is sent again.
        (None, _) if error.kind == "unknown" && built.is_some() => {
            if let Some(request) = built {
                moving.send_built(id, 1, request);
            }
        }
        _ => steps::go(moving, Some(ix)),
    }
}

/// The items as they were, without the failure that ended the step.
fn forgiving(each: Each) -> Each {
    Each {
        error: None,
        ..each
    }
}
