//! The bounds of a loop (SPEC §7): past one the loop fails by name, never silently.

use velodrome_spec::Plan;
use velodrome_types::{Code, Json, StepId};

use crate::input::StepFailure;
use crate::looped::Loop;
use crate::run::Run;

/// Whether this run may hand off to its own webhook.
pub fn may_begin_lap(plan: &Plan, looped: &Loop, run: &Run) -> Result<(), StepFailure> {
    // Each run of a lap knows of its own hand-off only; that another has begun the next lap, the loop knows.
    let in_family = run.branch.is_some() || looped.kin.contains_key(&run.id);
    let by_another = in_family && looped.laps > run.lap;
    if (run.handed_off || by_another) && !plan.limits.fork {
        return Err(StepFailure::permanent(
            Code::new("loop.forked"),
            format!(
                "lap {} has already posted to its own webhook: `loop: {{fork: true}}` lets it do so again",
                run.lap
            ),
        ));
    }
    match plan.limits.max_laps {
        Some(limit) if looped.laps >= limit => Err(StepFailure::permanent(
            Code::new("loop.max_laps"),
            format!("the loop has made {limit} laps: raise `loop: {{max_laps}}` and retry it"),
        )),
        _ => Ok(()),
    }
}

/// Whether this run may hand off to another cycle.
pub fn may_hop(plan: &Plan, run: &Run) -> Result<(), StepFailure> {
    match plan.limits.max_hops {
        Some(limit) if run.hops >= limit => Err(StepFailure::permanent(
            Code::new("loop.max_hops"),
            format!(
                "{limit} hand-offs to other cycles led here: raise `loop: {{max_hops}}` and retry it"
            ),
        )),
        _ => Ok(()),
    }
}

/// Notes a page and tells when the same records have come too often for different pages.
pub(crate) fn note_page(
    plan: &Plan,
    looped: &mut Loop,
    step: &StepId,
    asked: &Json,
    hash: u64,
    count: u64,
) -> Result<(), StepFailure> {
    let list = looped.lists.entry(step.clone()).or_default();
    let repeated = count > 0
        && list
            .last
            .as_ref()
            .is_some_and(|(before, seen)| before != asked && *seen == hash);
    list.same = if repeated { list.same + 1 } else { 0 };
    list.last = Some((asked.clone(), hash));
    match plan.limits.same_page_limit {
        Some(limit) if list.same >= limit => Err(StepFailure::permanent(
            Code::new("loop.same_page"),
            format!(
                "{} laps in a row asked `{step}` for another page and got the same records: does the request send `page`?",
                list.same
            ),
        )),
        _ => Ok(()),
    }
}
