//! The engine under a virtual clock, with crashes at any commit, a disk that refuses and dawdles, an API that
//! repeats, cuts and delays, and people who stop, pause and edit in between. After each seed everything must
//! be as if nothing had gone wrong (DESIGN §6).
//!
//! ```text
//! cargo test --release -p velodrome-runtime --test simulation                      a usual run
//! VELODROME_SEEDS=10000 cargo test --release -p velodrome-runtime --test simulation
//! VELODROME_SEED=17 cargo test -p velodrome-runtime --test simulation -- --nocapture   one seed, with its log
//! ```

mod acts;
mod checks;
mod cycles;
mod scenario;
mod totals;
mod world;

/// Seeds of a usual run.
const USUAL: u64 = 400;

#[test]
fn whatever_goes_wrong_nothing_is_lost_or_done_twice() {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    if let Some(seed) = number("VELODROME_SEED") {
        let ended = scenario::run(seed);
        for line in &ended.log {
            println!("{}", scenario::shown(line));
        }
        println!("{ended:?}");
        if let Err(why) = checks::check(&ended) {
            panic!("seed {seed}: {why}");
        }
        return;
    }
    let mut totals = totals::Totals::default();
    for seed in 0..number("VELODROME_SEEDS").unwrap_or(USUAL) {
        let ended = scenario::run(seed);
        if let Err(why) = checks::check(&ended) {
            panic!("seed {seed}: {why}\nVELODROME_SEED={seed} shows its log; {ended:?}");
        }
        totals.add(&ended);
    }
    println!("{totals:?}");
    assert!(totals.is_rich(), "the faults did not happen: {totals:?}");
}

#[test]
fn a_seed_tells_everything() {
    for seed in [1, 2, 3] {
        let log =
            |ended: &scenario::Ended| serde_json::to_string(&ended.log).expect("lines are JSON");
        assert_eq!(
            log(&scenario::run(seed)),
            log(&scenario::run(seed)),
            "seed {seed}"
        );
    }
}
