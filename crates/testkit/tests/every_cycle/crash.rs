//! The process dies before and after each commit, and goes on with what was committed.

use velodrome_testkit::{Case, Clean, Faults, LoopEnd, Outcome, Pass};

use crate::{as_by_a_clean_pass, turns};

pub(crate) fn crash_after_every_commit(case: &Case, clean: &Clean) -> u64 {
    let mut passes = 0;
    let commits = clean.commits.len();
    for number in turns(commits) {
        let at = Some(number as u64);
        for before in [true, false] {
            let (crash_before, crash_after, when) = match before {
                true => (at, None, "before"),
                false => (None, at, "after"),
            };
            let mut pass = Pass::new(case, clean);
            pass.through(Faults {
                crash_before,
                crash_after,
                ..Faults::default()
            });
            let what = format!("{}, crash {when} commit {number} of {commits}", case.name());
            as_by_a_clean_pass(&pass, clean, &what);
            only_what_was_in_flight(case, &pass, &what);
            passes += 1;
        }
    }
    passes + a_life_for_each_commit(case, clean)
}

/// Each life of the process starts, which is a commit, makes a few more and dies: one, two, up to one more
/// than there are deliveries and children. (One alone would not do: where the answer to a delivery was lost, the note that it
/// came again is one, and each run whose request was under way commits that it is sent again.)
fn a_life_for_each_commit(case: &Case, clean: &Clean) -> u64 {
    let what = format!("{}, a life for each commit", case.name());
    let most = 1 + case.test.deliveries.len() as u64 + children(&clean.outcome);
    let mut pass = Pass::new(case, clean);
    for life in 0.. {
        pass.start(Faults {
            crash_after: Some(1 + life % most),
            ..Faults::default()
        });
        pass.deliver();
        pass.run();
        if !pass.has_crashed() {
            break;
        }
        pass.crash();
    }
    as_by_a_clean_pass(&pass, clean, &what);
    only_what_was_in_flight(case, &pass, &what);
    1
}

/// Runs that others begin in their lap, and that are on their way at the same time.
fn children(outcome: &Outcome) -> u64 {
    outcome.loops.iter().map(LoopEnd::children).sum()
}

/// A crash takes one request of a run with it, or as many as a `for_each` sends at once.
pub(crate) fn only_what_was_in_flight(case: &Case, pass: &Pass<'_>, what: &str) {
    let plans = case
        .cycles()
        .into_iter()
        .filter_map(|cycle| case.plan(&cycle));
    let parallel = plans
        .flat_map(|plan| &plan.steps)
        .filter_map(|step| step.each.as_ref())
        .map(|each| u64::from(each.parallel));
    let outcome = pass.outcome();
    let runs = outcome.loops.len() as u64 + children(&outcome);
    let most = parallel.max().unwrap_or(1) * runs;
    assert!(
        pass.most_lost <= most,
        "{what}: one crash took {} requests of one step",
        pass.most_lost
    );
}
