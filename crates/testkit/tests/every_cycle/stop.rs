//! A cycle is stopped while a commit is under way: between what was looked at and what is written.

use std::time::Duration;

use velodrome_runtime::api::CycleCommand;
use velodrome_testkit::{Case, Clean, Faults, LoopEnd, Pass, Told};
use velodrome_types::{Event, LoopStatus};

use crate::{nothing_odd_was_asked, told, turns};

/// How long the commit takes, and when in between the word comes.
const HELD: Duration = Duration::from_secs(1);
const SAID: Duration = Duration::from_millis(500);

pub(crate) fn stop_before_every_commit(case: &Case, clean: &Clean) -> u64 {
    let mut passes = 0;
    for cycle in case.cycles() {
        for number in turns(clean.commits.len()) {
            let begun = clean.commits[number];
            let what = format!("{}, `{cycle}` stopped under commit {number}", case.name());
            let mut pass = Pass::new(case, clean);
            pass.start(Faults {
                hold: [(number as u64, HELD)].into(),
                ..Faults::default()
            });
            pass.deliver();
            let (engine, time) = (
                pass.simulated().engine().clone(),
                pass.simulated().time().clone(),
            );
            let (id, at) = (cycle.clone(), begun.plus(SAID));
            pass.simulated().add(async move {
                time.sleep_until(at).await;
                engine.command(&id, CycleCommand::Stop).await
            });
            pass.run();
            nothing_runs_and_nothing_failed(&pass, clean, &what);
            // What was queued, and whoever was refused, goes on.
            let id = cycle.clone();
            pass.say(|engine| async move { engine.command(&id, CycleCommand::Start).await })
                .unwrap_or_else(|problem| panic!("{what}: {problem}"));
            pass.ask_again(409);
            pass.deliver();
            pass.run();
            nothing_runs_and_nothing_failed(&pass, clean, &what);
            nothing_odd_was_asked(&pass, clean, &what);
            passes += 1;
        }
    }
    passes
}

/// Each loop has ended as in a clean pass, or was stopped in the middle of it. What hands off to a stopped
/// cycle fails, as it would over HTTP.
fn nothing_runs_and_nothing_failed(pass: &Pass<'_>, clean: &Clean, what: &str) {
    let outcome = pass.outcome();
    for looped in &outcome.loops {
        let fits = match looped.status {
            LoopStatus::Succeeded => {
                let same =
                    |other: &LoopEnd| other.told == looped.told && other.items == looped.items;
                clean.outcome.loops.iter().any(same)
            }
            LoopStatus::Stopped => clean
                .outcome
                .loops
                .iter()
                .any(|other| is_beginning(looped, other)),
            LoopStatus::Failed => {
                clean
                    .outcome
                    .loops
                    .iter()
                    .any(|other| other.status == LoopStatus::Failed)
                    || refused_by_the_stopped(looped)
            }
            // Queued behind the stopped cycle.
            LoopStatus::Queued => true,
            LoopStatus::Running | LoopStatus::Waiting => false,
        };
        assert!(fits, "{what}: {looped:#?}\n{}", told(pass));
    }
}

fn refused_by_the_stopped(looped: &LoopEnd) -> bool {
    let code = |told: &Told| told.event == Event::RunFailed && told.which == "cycle.stopped";
    looped.told.iter().any(code)
}

/// Whether the loop did what the other did as far as it came.
fn is_beginning(looped: &LoopEnd, of: &LoopEnd) -> bool {
    let stopped = |told: &&Told| matches!(told.event, Event::RunStopped | Event::LoopStopped);
    let told: Vec<&Told> = looped.told.iter().filter(|told| !stopped(told)).collect();
    let in_order = || {
        told.iter()
            .zip(&of.told)
            .all(|(got, expected)| *got == expected)
    };
    let count =
        |all: &mut dyn Iterator<Item = &Told>, one: &Told| all.filter(|told| *told == one).count();
    let among = |one: &&Told| {
        let here = count(&mut told.iter().copied(), one);
        here <= count(&mut of.told.iter(), one)
    };
    let begins = match of.children() > 0 {
        true => told.iter().all(among),
        false => in_order(),
    };
    begins && told.len() <= of.told.len() && looped.items.iter().all(|item| of.items.contains(item))
}
