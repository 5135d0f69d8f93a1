//! What is promised of runs that wait for a request.

use velodrome_types::{LoopStatus, RunId, RunStatus};

use crate::testkit::{Bench, loop_id, loop_row, run_id, run_row};
use crate::{Forget, RunRow, Store, Unit, WaitRow, WaitWrite};

const READ: &str = "the store reads";
const HOOK: &str = "alpha/asked";

fn waits(run: u8, hook: &str, fields: &str, key: u8) -> WaitWrite {
    WaitWrite::Begin(WaitRow {
        run: run_id(run),
        loop_id: loop_id(run % 5),
        hook: hook.to_owned(),
        fields: fields.to_owned(),
        key: [key; 16],
    })
}

fn ends(run: u8, hook: &str) -> WaitWrite {
    WaitWrite::End(run_id(run), hook.to_owned())
}

fn write(bench: &Bench, waits: Vec<WaitWrite>) {
    bench.ok(Unit {
        waits,
        ..Unit::default()
    });
}

/// The run that a request is for, and whether it waits still.
fn found(store: &dyn Store, hook: &str, fields: &str, key: u8) -> Option<(RunId, bool)> {
    let found = store.waiting(hook, fields, &[key; 16]).expect(READ);
    found.map(|wait| (wait.run, wait.open))
}

/// The newest that waits is found; where none does, the newest that did.
pub fn the_newest_run_that_waits_is_found(bench: &mut Bench) {
    // Ids do not rise with the order.
    write(
        bench,
        vec![waits(3, HOOK, "id", 1), waits(1, HOOK, "id", 1)],
    );
    write(
        bench,
        vec![waits(2, HOOK, "id", 2), waits(4, "alpha/other", "id", 1)],
    );
    bench.holds(|store| {
        assert_eq!(found(store, HOOK, "id", 1), Some((run_id(1), true)));
        assert_eq!(found(store, HOOK, "id", 2), Some((run_id(2), true)));
        assert_eq!(found(store, HOOK, "id", 3), None);
        assert_eq!(found(store, HOOK, "name", 1), None);
        assert_eq!(
            found(store, "alpha/other", "id", 1),
            Some((run_id(4), true))
        );
        let row = store.waiting(HOOK, "id", &[1; 16]).expect(READ);
        assert_eq!(row.map(|wait| wait.loop_id), Some(loop_id(1)));
    });
    write(bench, vec![ends(1, HOOK), ends(4, HOOK), ends(9, HOOK)]);
    bench.holds(|store| {
        assert_eq!(found(store, HOOK, "id", 1), Some((run_id(3), true)));
        assert_eq!(
            found(store, "alpha/other", "id", 1),
            Some((run_id(4), true))
        );
    });
    write(bench, vec![ends(3, HOOK)]);
    bench.holds(|store| assert_eq!(found(store, HOOK, "id", 1), Some((run_id(1), false))));
    // One that waits again is the newest.
    write(
        bench,
        vec![waits(3, HOOK, "id", 1), waits(1, HOOK, "id", 1)],
    );
    write(bench, vec![waits(3, HOOK, "id", 1)]);
    bench.holds(|store| assert_eq!(found(store, HOOK, "id", 1), Some((run_id(3), true))));
}

/// Each set of fields by which runs are found, once; places tell which run is the newer.
pub fn the_fields_that_runs_are_found_by_are_told_once(bench: &mut Bench) {
    let two = vec![waits(1, HOOK, "", 0), waits(2, HOOK, "id", 1)];
    write(bench, two);
    write(
        bench,
        vec![waits(3, HOOK, "id", 2), waits(4, HOOK, "id\nname", 2)],
    );
    write(bench, vec![waits(5, "beta/asked", "other", 2)]);
    bench.holds(|store| {
        let fields = store.waited_fields(HOOK).expect(READ);
        assert_eq!(fields, ["", "id", "id\nname"]);
        assert_eq!(store.waited_fields("alpha/none").expect(READ), [""; 0]);
        let place = |fields, key| store.waiting(HOOK, fields, &[key; 16]).expect(READ);
        let places: Vec<_> = [("", 0), ("id", 1), ("id", 2), ("id\nname", 2)]
            .into_iter()
            .filter_map(|(fields, key)| Some(place(fields, key)?.place))
            .collect();
        assert!(places.len() == 4 && places.is_sorted(), "{places:?}");
    });
}

/// What waited goes with the run.
pub fn a_run_that_is_forgotten_has_never_waited(bench: &mut Bench) {
    bench.ok(Unit {
        runs: vec![RunRow {
            loop_id: loop_id(1),
            ..run_row(1, RunStatus::Succeeded)
        }],
        loops: vec![loop_row(1, LoopStatus::Succeeded)],
        waits: vec![waits(1, HOOK, "id", 1), ends(1, HOOK)],
        ..Unit::default()
    });
    bench.holds(|store| assert_eq!(found(store, HOOK, "id", 1), Some((run_id(1), false))));
    bench.ok(Unit {
        forget: vec![Forget::Loop(loop_id(1))],
        ..Unit::default()
    });
    bench.holds(|store| assert_eq!(found(store, HOOK, "id", 1), None));
}
