//! Every shipped cycle with every fault in turn (DESIGN §6). The files are those of the folder: a new one is
//! covered by being there. What is answered outside stands in the tests beside each.
//!
//! ```text
//! cargo test -p velodrome-testkit --test every_cycle -- --nocapture     says how often each was played
//! ```

mod crash;
mod fails;
mod stop;
mod twice;

use std::path::Path;

use velodrome_testkit::{Case, Clean, Pass, Shipped, shipped};

/// Where shipped cycles are; the second with a connector of its own.
const FOLDERS: [&str; 2] = ["cycles", "docs/examples/signed_orders/cycles"];

/// What a suite does with one test; how many passes it made.
type Suite = fn(&Case, &Clean) -> u64;

#[test]
fn every_step_fails() {
    each_file("every_step_fails", fails::every_step_fails);
}

#[test]
fn every_step_runs_twice() {
    each_file("every_step_runs_twice", twice::every_step_runs_twice);
}

#[test]
fn crash_after_every_commit() {
    each_file("crash_after_every_commit", crash::crash_after_every_commit);
}

#[test]
fn stop_before_every_commit() {
    each_file("stop_before_every_commit", stop::stop_before_every_commit);
}

/// One line a file.
fn each_file(name: &str, suite: Suite) {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    for folder in FOLDERS {
        let found = shipped(&top.join(folder));
        assert!(!found.is_empty(), "no cycles in `{folder}`");
        files.extend(found);
    }
    for Shipped { file, cases } in files {
        let passes: u64 = cases
            .iter()
            .map(|case| (case, Clean::of(case)))
            .filter(|(_, clean)| is_remembered(clean))
            .map(|(case, clean)| suite(case, &clean))
            .sum();
        println!("{name:<26} {file:<28} {passes:>4} passes");
        assert!(passes > 0, "{name} found nothing to do in {file}");
    }
}

/// A caller who is answered 500 or above may ask again under the same key, which is then a request of its own
/// (SPEC §5): what is asked again after a crash is not comparable.
fn is_remembered(clean: &Clean) -> bool {
    let answers = clean.outcome.answers.iter().flatten();
    answers.copied().all(|status| status < 500)
}

/// Which of so many turns are taken: all of a usual test. Of one with a hundred laps that are all alike its
/// beginning, its end and every tenth between.
fn turns(of: usize) -> impl Iterator<Item = usize> {
    const ENDS: usize = 25;
    (0..of).filter(move |at| *at < ENDS || *at + ENDS >= of || at.is_multiple_of(10))
}

/// Everything is as by a clean pass, and nothing was asked that need not be.
fn as_by_a_clean_pass(pass: &Pass<'_>, clean: &Clean, what: &str) {
    let outcome = pass.outcome();
    if let Some(difference) = outcome.mended().differs(&clean.outcome.clone().mended()) {
        panic!("{what}: {difference}\n{}", told(pass));
    }
    nothing_odd_was_asked(pass, clean, what);
    for exchange in &clean.exchanges {
        assert!(
            pass.outside.times(&exchange.what) > 0,
            "{what}: {:?} was never asked\n{}",
            exchange.what,
            told(pass)
        );
    }
}

/// No request that a clean pass does not make, none in another form, none again for no reason.
fn nothing_odd_was_asked(pass: &Pass<'_>, clean: &Clean, what: &str) {
    if let Some(unknown) = pass.outside.unknown() {
        panic!(
            "{what}: a clean pass asks nothing like {unknown:?}\n{}",
            told(pass)
        );
    }
    if let Some(changed) = pass.changed(clean) {
        panic!("{what}: {changed}\n{}", told(pass));
    }
    let again = pass.unexplained();
    assert!(
        again.is_empty(),
        "{what}: sent again: {again:?}\n{}",
        told(pass)
    );
}

/// The run log of a pass.
fn told(pass: &Pass<'_>) -> String {
    let lines = velodrome_testkit::lines(&**pass.store());
    let shown = lines.iter().map(|line| {
        format!(
            "{:>4} {} lap {} {:<14} {:<18} {}\n",
            line.seq,
            line.time.time_of_day(),
            line.lap.unwrap_or(0),
            line.step
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            line.event.as_str(),
            line.message
        )
    });
    shown.collect()
}
