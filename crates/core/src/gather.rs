//! `wait_all`: of the runs that come to it one goes on, once, when there is no other unfinished run (SPEC §3).
//!
//! The first to arrive waits; those that come later end there, well. Runs that only wait for their children do not
//! count as unfinished, for the one that waits here may be such a child. Runs that have failed have ended: a
//! failure does not hold the others.

use velodrome_spec::Plan;
use velodrome_spec::plan::{StepIx, WaitScope};
use velodrome_types::{Event, Level, RunId};

use crate::branches;
use crate::input::Exit;
use crate::looped::{Gathering, Loop};
use crate::machine::Moving;
use crate::run::{Run, State, WaitingOn};
use crate::steps;

/// A run comes to a `wait_all`. Gives the step to go on with where it is the only run there is.
pub(crate) fn arrive(moving: &mut Moving<'_>, at: StepIx, scope: WaitScope) -> bool {
    let step = moving.plan.step(at);
    let (lap, id) = (moving.run.lap, moving.run.id);
    if scope == WaitScope::Lap {
        let known = moving
            .looped
            .gathered
            .iter()
            .any(|there| there.lap == lap && there.step == step.id);
        if known {
            moving.lines.at(
                &step.id,
                Level::Info,
                Event::WaitEnded,
                "another run of this lap goes on from here",
            );
            moving.exits.push((at, Exit::End));
            branches::ended_well(moving);
            return false;
        }
        let alone = alone(&moving.run, &moving.looped);
        if !alone || may_come(&moving.looped) {
            moving.looped.gathered.push(Gathering {
                lap,
                step: step.id.clone(),
                run: id,
            });
        }
        if alone {
            moving.lines.at(
                &step.id,
                Level::Debug,
                Event::WaitEnded,
                "no other run is unfinished",
            );
            return true;
        }
    }
    moving.run.fence += 1;
    moving.run.state = State::Waiting {
        step: step.id.clone(),
        on: WaitingOn::All {
            scope: scope.into(),
        },
    };
    let whose = match scope {
        WaitScope::Lap => "this lap",
        WaitScope::Cycle => "the cycle",
    };
    let message = format!("until no other run of {whose} is unfinished");
    moving
        .lines
        .at(&step.id, Level::Info, Event::WaitStarted, message);
    false
}

/// There is no other unfinished run: the one that waits goes on.
pub(crate) fn go_on(moving: &mut Moving<'_>, at: StepIx) {
    let step = &moving.plan.step(at).id;
    moving.lines.at(
        step,
        Level::Info,
        Event::WaitEnded,
        "no other run is unfinished",
    );
    let lap = moving.run.lap;
    if !may_come(&moving.looped) {
        moving
            .looped
            .gathered
            .retain(|there| there.lap != lap || there.step != *step);
    }
    steps::leave(moving, at, Exit::Then);
}

/// Another run of the cycle goes on for this one.
pub(crate) fn passed(moving: &mut Moving<'_>, at: StepIx) {
    let step = &moving.plan.step(at).id;
    moving.lines.at(
        step,
        Level::Info,
        Event::WaitEnded,
        "another run of this cycle goes on from here",
    );
    moving.exits.push((at, Exit::End));
    branches::ended_well(moving);
}

/// Whether a run that failed may be taken up again and come here: it must find that one has gone on.
fn may_come(looped: &Loop) -> bool {
    looped.kin.values().any(|kin| kin.failed > 0)
}

/// Whether a run's lap has no other run that has not ended.
fn alone(run: &Run, looped: &Loop) -> bool {
    let no_children = |id: &RunId| looped.kin.get(id).is_none_or(|kin| kin.open == 0);
    run.branch.is_none() && no_children(&run.id)
}

/// Whether a run waits for all of its lap and is the only one.
pub(crate) fn is_alone(run: &Run, looped: &Loop) -> bool {
    waits_for_lap(run) && alone(run, looped)
}

fn waits_for_lap(run: &Run) -> bool {
    matches!(
        &run.state,
        State::Waiting { on: WaitingOn::All { scope }, .. } if scope.is_lap()
    )
}

/// Whether a run holds those back that wait for all: it is unfinished and waits neither for its own children nor
/// for all.
fn holds(run: &Run) -> bool {
    !matches!(
        run.state,
        State::Finished { .. }
            | State::Waiting {
                on: WaitingOn::Children | WaitingOn::All { .. },
                ..
            }
    )
}

/// Of a loop's unfinished runs the one that may go on from a `wait_all` of its lap, with [`crate::Input::AllHere`].
///
/// Where runs wait at several such steps, the one goes first whose step leads to the others.
pub fn next_of_lap<'r>(
    plan: &Plan,
    looped: &Loop,
    runs: impl Iterator<Item = &'r Run> + Clone,
) -> Option<RunId> {
    // Without a look at every run: most of the time some child of the lap is on its way.
    let busy = |lap: u64| {
        let kin = looped.kin.values().filter(|kin| kin.lap == lap);
        kin.into_iter().any(|kin| kin.open > kin.waiting)
    };
    if looped.gathered.iter().all(|there| busy(there.lap)) {
        return None;
    }
    let waits = runs.clone().filter(|run| {
        waits_for_lap(run)
            && !runs
                .clone()
                .any(|other| other.lap == run.lap && holds(other))
    });
    let mut first: Option<(&Run, StepIx)> = None;
    for run in waits {
        let Some(at) = run.step().and_then(|step| plan.find(step.as_str())) else {
            continue;
        };
        let goes_before = first.is_none_or(|(known, there)| {
            run.lap < known.lap || (run.lap == known.lap && plan.leads(at, there))
        });
        if goes_before {
            first = Some((run, at));
        }
    }
    first.map(|(run, _)| run.id)
}
