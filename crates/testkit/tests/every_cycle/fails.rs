//! Each step that acts fails, in each lap where it acts. The run ends as SPEC §6 says; when the cause is
//! gone, a retry brings the loop to the end that it would have had.

use velodrome_runtime::api::{CycleCommand, Version};
use velodrome_runtime::simulated::HandedOff;
use velodrome_spec::plan::{IfUnknown, Step, StepKind};
use velodrome_store::{CommitError, RunRow, Unit};
use velodrome_testkit::{Case, Clean, Exchange, Fate, Faults, Outcome, Pass, Told, Verdict};
use velodrome_types::{CycleId, Event, Json, LoopStatus, OnError, StepId, Timestamp};

use crate::{as_by_a_clean_pass, nothing_odd_was_asked, told};

pub(crate) fn every_step_fails(case: &Case, clean: &Clean) -> u64 {
    // Who calls a run that waits too late does so no more where it comes there later.
    let late = case
        .test
        .deliveries
        .iter()
        .zip(&clean.outcome.answers)
        .any(|(sent, answer)| sent.step.is_some() && answer.is_some_and(|status| status >= 400));
    if !clean.is_smooth() || late {
        return 0;
    }
    let mut passes = 0;
    for exchange in &clean.exchanges {
        for fate in [Fate::Refused, Fate::Unavailable, Fate::Lost] {
            request_fails(case, clean, exchange, fate);
            passes += 1;
        }
    }
    for handed in &clean.handoffs {
        if handed.to == handed.cycle {
            limit_is_reached(case, clean, handed);
            passes += 1 + u64::from(storage_is_refused(case, clean, handed));
        } else {
            other_cycle_is_stopped(case, clean, handed);
            passes += 1;
        }
    }
    passes
}

/// A step of one of the cycles.
fn step_of<'c>(case: &'c Case, cycle: &CycleId, step: &StepId) -> &'c Step {
    let plan = case.plan(cycle).expect("the bench has its cycle");
    plan.step(plan.find(step.as_str()).expect("the plan has its step"))
}

fn request_fails(case: &Case, clean: &Clean, exchange: &Exchange, fate: Fate) {
    let what = format!("{}, {fate:?}: {:?}", case.name(), exchange.what);
    let (Some(cycle), Some(id)) = (&exchange.what.cycle, &exchange.what.step) else {
        return;
    };
    let step = step_of(case, cycle, id);
    let mut pass = Pass::new(case, clean);
    pass.outside.doom(&exchange.what, fate, u32::MAX);
    pass.through(Faults::default());

    let once = fate == Fate::Refused
        || (fate == Fate::Lost && !exchange.what.is_safe() && step.if_unknown == IfUnknown::Fail);
    let attempts = if once { 1 } else { 1 + step.retry.limit() };
    let asked = pass.outside.times(&exchange.what) as u32;
    assert_eq!(asked, attempts, "{what}: attempts\n{}", told(&pass));

    let goes_on = step.catch.is_some()
        || step.on_error == OnError::Ignore
        || step.each.as_ref().is_some_and(|each| each.skip_failures);
    if goes_on {
        return went_on(&pass, clean, step, &what);
    }
    let kind = match (fate, exchange.what.is_safe()) {
        (Fate::Refused, _) => "permanent",
        (Fate::Lost, false) => "unknown",
        _ => "transient",
    };
    let failed = failed_there(&pass, cycle, step, &what);
    let error = error_of(&pass, &failed);
    // Of a `for_each` the step itself fails for good: what its items did is told of each.
    if step.each.is_none() {
        assert_eq!(error["kind"], kind, "{what}: {error}");
    }
    assert_eq!(error["attempts"], attempts, "{what}: {error}");

    pass.outside.mend();
    // The person comes in the same life, or in another one.
    if fate != Fate::Refused {
        pass.crash();
        pass.start(Faults::default());
    }
    if step.on_error == OnError::StopCycle {
        start_again(&mut pass, cycle, &what);
    }
    retry(&mut pass, &failed, None, &what);
    let expected = match &step.kind {
        StepKind::List(list) if list.method.def().incremental.is_some() => {
            without_watermark(clean, case, &failed, id)
        }
        _ => clean.clone(),
    };
    as_by_a_clean_pass(&pass, &expected, &what);
}

/// Another exit was taken: the run was not failed by this step, and everything has ended.
fn went_on(pass: &Pass<'_>, clean: &Clean, step: &Step, what: &str) {
    let here = |row: &RunRow| row.step.as_ref() == Some(&step.id);
    assert!(!pass.failed().iter().any(here), "{what}\n{}", told(pass));
    let outcome = pass.outcome();
    assert_eq!(outcome.open, 0, "{what}\n{}", told(pass));
    let ended = |status: LoopStatus| status.is_final();
    assert!(
        outcome.loops.iter().all(|looped| ended(looped.status)),
        "{what}\n{}",
        told(pass)
    );
    let laps = |outcome: &Outcome| outcome.loops.iter().map(|looped| looped.laps).sum::<u64>();
    assert!(
        laps(&outcome) <= laps(&clean.outcome),
        "{what}\n{}",
        told(pass)
    );
}

/// A run that has failed.
struct Failed {
    run: RunRow,
    /// The place of its loop among all.
    looped: usize,
}

/// The one run that has failed, at this step; its loop with it.
fn failed_there(pass: &Pass<'_>, cycle: &CycleId, step: &Step, what: &str) -> Failed {
    let mut failed = pass.failed();
    // With a branch fails the run that began it, for nothing of its own.
    failed.retain(|row| {
        let run = pass.simulated().engine().run(row.id);
        let error = run.ok().and_then(|run| run.error).unwrap_or(Json::Null);
        error["code"] != "run.child_failed"
    });
    let [row] = failed.as_slice() else {
        panic!("{what}: {} runs failed\n{}", failed.len(), told(pass));
    };
    assert_eq!(
        (&row.cycle, row.step.as_ref()),
        (cycle, Some(&step.id)),
        "{what}\n{}",
        told(pass)
    );
    let outcome = pass.outcome();
    assert_eq!(outcome.open, 0, "{what}\n{}", told(pass));
    let loops = outcome.loops.iter().enumerate();
    let failed: Vec<usize> = loops
        .filter(|(_, looped)| looped.status == LoopStatus::Failed)
        .map(|(at, _)| at)
        .collect();
    let [looped] = failed.as_slice() else {
        panic!("{what}: loops {failed:?} failed\n{}", told(pass));
    };
    Failed {
        run: row.clone(),
        looped: *looped,
    }
}

fn error_of(pass: &Pass<'_>, failed: &Failed) -> Json {
    let run = pass.simulated().engine().run(failed.run.id);
    run.ok().and_then(|run| run.error).unwrap_or(Json::Null)
}

fn retry(pass: &mut Pass<'_>, failed: &Failed, version: Option<Version>, what: &str) {
    // Whoever found no run that waited comes again.
    pass.ask_again(404);
    pass.deliver();
    let loop_id = failed.run.loop_id;
    let retried = pass.say(|engine| async move { engine.retry_loop(loop_id, version).await });
    if let Err(problem) = retried {
        panic!("{what}: {problem:?}\n{}", told(pass));
    }
}

fn start_again(pass: &mut Pass<'_>, cycle: &CycleId, what: &str) {
    let id = cycle.clone();
    let started = pass.say(|engine| async move { engine.command(&id, CycleCommand::Start).await });
    if let Err(problem) = started {
        panic!("{what}: {problem:?}\n{}", told(pass));
    }
}

/// A list that failed for good holds no date any more in that loop (SPEC §8): its watermark is as the other
/// loops leave it.
fn without_watermark(clean: &Clean, case: &Case, failed: &Failed, list: &StepId) -> Clean {
    let mut clean = clean.clone();
    let moved = |told: &Told| {
        let (of, date) = told.which.split_once(' ')?;
        let is_it = told.event == Event::WatermarkMoved && of == list.as_str();
        is_it.then(|| Timestamp::parse(date).ok())?
    };
    for told in &mut clean.outcome.loops[failed.looped].told {
        if moved(told).is_some() {
            told.event = Event::WatermarkKept;
            told.which = list.to_string();
        }
    }
    let cycle = &failed.run.cycle;
    let before = case
        .test
        .watermarks
        .iter()
        .find(|(of, _)| *cycle == case.bench.plan.cycle && of.value == *list)
        .map(|(_, date)| *date);
    let loops = &clean.outcome.loops;
    let of_cycle = loops.iter().filter(|looped| looped.cycle == *cycle);
    let dates = of_cycle.flat_map(|looped| looped.told.iter().filter_map(moved));
    let name = format!("{cycle}.{list}");
    match dates.chain(before).max() {
        Some(date) => clean.outcome.watermarks.insert(name, date),
        None => clean.outcome.watermarks.remove(&name),
    };
    clean
}

/// `loop: {max_laps}` says no to the next lap, is raised, and the loop goes on with what the file says now.
fn limit_is_reached(case: &Case, clean: &Clean, handed: &HandedOff) {
    let what = format!("{}, no lap after {}", case.name(), handed.lap);
    let step = step_of(case, &handed.cycle, &handed.step);
    let sources = &case.plan(&handed.cycle).expect("on the bench").sources;
    let mut pass = Pass::new(case, clean);
    pass.files
        .put(&sources.path, with_max_laps(&sources.cycle, handed.lap));
    pass.through(Faults::default());
    if step.catch.is_some() || step.on_error == OnError::Ignore {
        return went_on(&pass, clean, step, &what);
    }
    let failed = failed_there(&pass, &handed.cycle, step, &what);
    let error = error_of(&pass, &failed);
    assert_eq!(error["code"], "loop.max_laps", "{what}: {error}");

    pass.files.put(&sources.path, sources.cycle.clone());
    let problems = pass.say(|engine| async move { engine.reload().await });
    assert!(problems.is_empty(), "{what}: {problems:?}");
    retry(&mut pass, &failed, Some(Version::Latest), &what);
    as_by_a_clean_pass(&pass, clean, &what);
}

/// A cycle file that allows so many laps.
fn with_max_laps(text: &str, laps: u64) -> String {
    let said = format!("max_laps: {laps}");
    let mut done = false;
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("loop: {") else {
            lines.push(line.to_owned());
            continue;
        };
        done = true;
        let others = rest
            .split('}')
            .next()
            .unwrap_or_default()
            .split(',')
            .filter(|part| !part.trim().is_empty() && !part.contains("max_laps"));
        let all: Vec<&str> = std::iter::once(said.as_str()).chain(others).collect();
        lines.push(format!("loop: {{{}}}", all.join(",")));
    }
    if !done {
        let at = lines.iter().position(|line| line.starts_with("cycle:"));
        lines.insert(at.map_or(0, |at| at + 1), format!("loop: {{{said}}}"));
    }
    lines.join("\n") + "\n"
}

/// What the scripts of the hand-off wrote cannot be stored. Whether they wrote anything.
fn storage_is_refused(case: &Case, clean: &Clean, handed: &HandedOff) -> bool {
    let what = format!(
        "{}, storage refuses the hand-off of lap {}",
        case.name(),
        handed.lap
    );
    let step = step_of(case, &handed.cycle, &handed.step);
    let mut pass = Pass::new(case, clean);
    let (cycle, id, lap) = (handed.cycle.clone(), handed.step.clone(), handed.lap);
    let writes = move |unit: &Unit| {
        let handed = unit.lines.iter().any(|line| {
            line.event == Event::HandoffSent
                && line.cycle.as_ref() == Some(&cycle)
                && line.step.as_ref() == Some(&id)
                && line.lap == Some(lap)
        });
        handed && !unit.storage.is_empty()
    };
    pass.start(Faults::default());
    pass.store().object(Some(Box::new(move |unit| {
        writes(unit).then(|| {
            Verdict::Refuse(CommitError::Storage {
                code: "storage.too_many_items",
                message: "no more room for keys".to_owned(),
            })
        })
    })));
    pass.deliver();
    pass.run();
    if pass.failed().is_empty() {
        as_by_a_clean_pass(&pass, clean, &what);
        return false;
    }
    let failed = failed_there(&pass, &handed.cycle, step, &what);
    let error = error_of(&pass, &failed);
    assert_eq!(error["code"], "storage.too_many_items", "{what}: {error}");
    nothing_odd_was_asked(&pass, clean, &what);
    pass.store().object(None);
    retry(&mut pass, &failed, None, &what);
    as_by_a_clean_pass(&pass, clean, &what);
    true
}

/// The cycle that is handed off to takes nothing, and then does again.
fn other_cycle_is_stopped(case: &Case, clean: &Clean, handed: &HandedOff) {
    let what = format!("{}, `{}` is stopped", case.name(), handed.to);
    let step = step_of(case, &handed.cycle, &handed.step);
    let mut pass = Pass::new(case, clean);
    pass.start(Faults::default());
    let id = handed.to.clone();
    pass.say(|engine| async move { engine.command(&id, CycleCommand::Stop).await })
        .unwrap_or_else(|problem| panic!("{what}: {problem}"));
    pass.deliver();
    pass.run();
    if step.catch.is_some() || step.on_error == OnError::Ignore {
        return went_on(&pass, clean, step, &what);
    }
    let failed = failed_there(&pass, &handed.cycle, step, &what);
    let error = error_of(&pass, &failed);
    assert_eq!(error["code"], "cycle.stopped", "{what}: {error}");
    start_again(&mut pass, &handed.to, &what);
    retry(&mut pass, &failed, None, &what);
    as_by_a_clean_pass(&pass, clean, &what);
}
