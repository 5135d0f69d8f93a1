//! Each request is sent twice, because the process died or the answer was lost; each hand-off is made twice,
//! because the process died before its commit. All of it comes to what once comes to.

use velodrome_spec::plan::IfUnknown;
use velodrome_store::Unit;
use velodrome_testkit::{Case, Clean, Exchange, Fate, Faults, Pass, Verdict};
use velodrome_types::Event;

use crate::crash::only_what_was_in_flight;
use crate::{as_by_a_clean_pass, turns};

pub(crate) fn every_step_runs_twice(case: &Case, clean: &Clean) -> u64 {
    let mut passes = 0;
    for exchange in turns(clean.exchanges.len()).map(|at| &clean.exchanges[at]) {
        let mut pass = Pass::new(case, clean);
        pass.outside.doom(&exchange.what, Fate::Crash, 1);
        pass.through(Faults::default());
        let what = format!(
            "{}, a crash takes the answer of {:?}",
            case.name(),
            exchange.what
        );
        sent_once_more(&pass, clean, exchange, &what);
        as_by_a_clean_pass(&pass, clean, &what);
        only_what_was_in_flight(case, &pass, &what);
        passes += 1;
    }
    if !clean.exchanges.is_empty() {
        let mut pass = Pass::new(case, clean);
        for exchange in &clean.exchanges {
            pass.outside.doom(&exchange.what, Fate::Crash, 1);
        }
        pass.through(Faults::default());
        let what = format!("{}, a crash takes each answer", case.name());
        as_by_a_clean_pass(&pass, clean, &what);
        only_what_was_in_flight(case, &pass, &what);
        passes += 1;
    }
    for exchange in &clean.exchanges {
        if clean.is_smooth() && may_be_lost(case, exchange) {
            let mut pass = Pass::new(case, clean);
            pass.outside.doom(&exchange.what, Fate::Lost, 1);
            pass.through(Faults::default());
            let what = format!("{}, the answer of {:?} is lost", case.name(), exchange.what);
            sent_once_more(&pass, clean, exchange, &what);
            as_by_a_clean_pass(&pass, clean, &what);
            passes += 1;
        }
    }
    for handed in turns(clean.handoffs.len()).map(|at| &clean.handoffs[at]) {
        let mut pass = Pass::new(case, clean);
        let (cycle, step, lap) = (handed.cycle.clone(), handed.step.clone(), handed.lap);
        let is_it = move |unit: &Unit| {
            unit.lines.iter().any(|line| {
                line.event == Event::HandoffSent
                    && line.cycle.as_ref() == Some(&cycle)
                    && line.step.as_ref() == Some(&step)
                    && line.lap == Some(lap)
            })
        };
        pass.start(Faults::default());
        pass.store().object(Some(Box::new(move |unit| {
            is_it(unit).then_some(Verdict::Crash)
        })));
        pass.deliver();
        pass.run();
        let what = format!("{}, a crash takes the hand-off {handed:?}", case.name());
        assert!(pass.has_crashed(), "{what}: it was not made");
        pass.crash();
        pass.through(Faults::default());
        as_by_a_clean_pass(&pass, clean, &what);
        passes += 1;
    }
    passes
}

fn sent_once_more(pass: &Pass<'_>, clean: &Clean, exchange: &Exchange, what: &str) {
    let alike = clean
        .exchanges
        .iter()
        .filter(|other| other.what == exchange.what);
    // Where the test has answers of its own that lead to another attempt, that is the next of them.
    let once_more = if clean.is_smooth() {
        alike.count() + 1
    } else {
        2
    };
    let times = pass.outside.times(&exchange.what);
    assert!(
        times >= once_more,
        "{what}: sent {times} times, not {once_more}"
    );
}

/// Whether a request that nobody answered is sent again.
fn may_be_lost(case: &Case, exchange: &Exchange) -> bool {
    let step = exchange.what.cycle.as_ref().and_then(|cycle| {
        let plan = case.plan(cycle)?;
        Some(plan.step(plan.find(exchange.what.step.as_ref()?.as_str())?))
    });
    step.is_some_and(|step| {
        let resent = exchange.what.is_safe() || step.if_unknown == IfUnknown::Resend;
        resent && step.retry.limit() > 0
    })
}
