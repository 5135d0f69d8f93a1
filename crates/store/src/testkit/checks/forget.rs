//! What taking away promises.

use velodrome_types::{LogLine, LoopId, LoopStatus, RunStatus};

use crate::testkit::{Bench, at, line, loop_id, loop_row, run_id, run_row};
use crate::{
    Forget, LogFilter, LoopFilter, LoopRow, PageRequest, PartWrite, RunFilter, RunRow, Store,
    TimerWrite, Unit,
};

const READ: &str = "the store reads";

/// A run of a loop, with a part, a timer and a line.
fn lap(of: u8, number: u8, status: RunStatus) -> Unit {
    let run = run_id(of * 20 + number);
    let lap = u64::from(number);
    Unit {
        runs: vec![RunRow {
            id: run,
            loop_id: loop_id(of),
            lap,
            ..run_row(1, status)
        }],
        parts: vec![PartWrite::Put(run, 0, vec![number])],
        timers: vec![TimerWrite::Set(run, at(10))],
        lines: vec![LogLine {
            loop_id: Some(loop_id(of)),
            run: Some(run),
            lap: Some(lap),
            ..line(1, "a lap")
        }],
        ..Unit::default()
    }
}

fn forget(bench: &Bench, forget: Forget) {
    bench.ok(Unit {
        forget: vec![forget],
        ..Unit::default()
    });
}

fn laps(store: &dyn Store, of: u8) -> Vec<u64> {
    let filter = RunFilter {
        loop_id: Some(loop_id(of)),
        ..RunFilter::default()
    };
    let page = PageRequest {
        after: None,
        limit: 100,
    };
    let found = store.runs(&filter, page).expect(READ).items;
    found.iter().rev().map(|row| row.lap).collect()
}

fn told(store: &dyn Store, of: u8) -> Vec<Option<u64>> {
    let filter = LogFilter {
        loop_id: Some(loop_id(of)),
        ..LogFilter::default()
    };
    let lines = store.log_tail(100, &filter).expect(READ);
    lines.iter().map(|line| line.lap).collect()
}

fn has_loop(store: &dyn Store, of: u8) -> bool {
    let page = PageRequest {
        after: None,
        limit: 100,
    };
    let listed = store.loops(&LoopFilter::default(), page).expect(READ).items;
    let listed = listed.iter().any(|row| row.id == loop_id(of));
    assert_eq!(store.loop_row(loop_id(of)).expect(READ).is_some(), listed);
    listed
}

/// Finished laps below the one that is named go, with all that was kept of them, and nothing else.
pub fn old_laps_are_forgotten(bench: &mut Bench) {
    for of in [1, 2] {
        bench.ok(Unit {
            loops: vec![loop_row(of, LoopStatus::Running)],
            ..Unit::default()
        });
        bench.ok(lap(of, 1, RunStatus::Waiting));
        for number in 2..=5 {
            bench.ok(lap(of, number, RunStatus::Succeeded));
        }
    }
    forget(
        bench,
        Forget::Laps {
            of: loop_id(1),
            below: 4,
        },
    );
    bench.holds(|store| {
        assert_eq!(laps(store, 1), [1, 4, 5], "the first has not finished");
        assert_eq!(laps(store, 2), [1, 2, 3, 4, 5]);
        assert_eq!(told(store, 1), [Some(4), Some(5)]);
        assert_eq!(told(store, 2).len(), 5);
        assert_eq!(store.run(run_id(22)).expect(READ), None);
        assert_eq!(store.parts(run_id(22)).expect(READ), []);
        assert_eq!(store.parts(run_id(24)).expect(READ), [(0, vec![4])]);
        let due = store.due(at(10), 100).expect(READ);
        assert!(due.iter().all(|timer| timer.run != run_id(22)));
        assert_eq!(due.len(), 8);
        assert!(has_loop(store, 1));
        assert_eq!(store.last_seq(), 10, "numbers are never used again");
    });
}

/// A loop that has ended goes whole; one that has not is left.
pub fn an_ended_loop_is_forgotten_whole(bench: &mut Bench) {
    for (of, status) in [(1, LoopStatus::Succeeded), (2, LoopStatus::Waiting)] {
        bench.ok(Unit {
            loops: vec![loop_row(of, status)],
            ..Unit::default()
        });
        let mut unit = lap(of, 1, RunStatus::Succeeded);
        unit.parts
            .push(PartWrite::PutOfLoop(loop_id(of), 3, vec![of]));
        bench.ok(unit);
    }
    for of in [1, 2] {
        forget(bench, Forget::Loop(loop_id(of)));
    }
    bench.holds(|store| {
        assert!(!has_loop(store, 1));
        assert_eq!(store.loop_parts(loop_id(1)).expect(READ), []);
        assert_eq!(store.loop_parts(loop_id(2)).expect(READ), [(3, vec![2])]);
        assert_eq!((laps(store, 1), told(store, 1)), (vec![], vec![]));
        assert!(has_loop(store, 2));
        assert_eq!((laps(store, 2), told(store, 2)), (vec![1], vec![Some(1)]));
    });
    let place = |store: &dyn Store| {
        let rows = store.unfinished(0, 100).expect(READ);
        rows.last().map(|(place, _)| *place)
    };
    bench.ok(lap(2, 2, RunStatus::Waiting));
    let before = place(bench.store());
    forget(bench, Forget::Loop(loop_id(3)));
    bench.ok(lap(2, 3, RunStatus::Waiting));
    assert!(place(bench.store()) > before, "order goes on");
}

/// A loop of more than one slice goes when it is said again, the loop last.
pub fn a_long_loop_is_forgotten_in_slices(bench: &mut Bench) {
    let runs = crate::FORGOTTEN_AT_ONCE + 20;
    bench.ok(Unit {
        loops: vec![loop_row(1, LoopStatus::Failed)],
        runs: (0..runs)
            .map(|number| RunRow {
                id: velodrome_types::RunId::from_bytes((number as u128 + 1).to_be_bytes()),
                loop_id: loop_id(1),
                lap: number as u64 + 1,
                ..run_row(1, RunStatus::Succeeded)
            })
            .collect(),
        ..Unit::default()
    });
    forget(bench, Forget::Loop(loop_id(1)));
    assert_eq!(laps(bench.store(), 1).len(), 20);
    assert!(has_loop(bench.store(), 1));
    forget(bench, Forget::Loop(loop_id(1)));
    assert!(!has_loop(bench.store(), 1));
}

/// Lines of no loop go by their age.
pub fn old_lines_of_no_loop_are_forgotten(bench: &mut Bench) {
    let free = |time: i64| LogLine {
        loop_id: None,
        run: None,
        lap: None,
        time: at(time),
        ..line(1, "of no loop")
    };
    for time in [10, 30] {
        bench.ok(Unit {
            lines: vec![free(time)],
            ..Unit::default()
        });
    }
    bench.ok(lap(1, 1, RunStatus::Succeeded));
    let oldest = |bench: &Bench| bench.store().oldest_of_no_loop().expect(READ);
    assert_eq!(oldest(bench), Some(at(10)));
    forget(bench, Forget::Lines { before: at(20) });
    bench.holds(|store| {
        let lines = store.log_tail(9, &LogFilter::default()).expect(READ);
        let seqs: Vec<u64> = lines.iter().map(|line| line.seq).collect();
        assert_eq!(seqs, [2, 3]);
        assert_eq!(store.oldest_of_no_loop().expect(READ), Some(at(30)));
    });
}

/// Loops that ended are found by cycle, state and age, the oldest first.
pub fn ended_loops_are_found_by_age(bench: &mut Bench) {
    let row = |of: u8, status, updated| LoopRow {
        updated: at(updated),
        ..loop_row(of, status)
    };
    let rows = [
        row(1, LoopStatus::Succeeded, 30),
        row(2, LoopStatus::Succeeded, 10),
        row(3, LoopStatus::Failed, 10),
        row(4, LoopStatus::Waiting, 10),
        row(5, LoopStatus::Succeeded, 20),
        LoopRow {
            cycle: "beta".into(),
            ..row(6, LoopStatus::Stopped, 10)
        },
    ];
    let of_alpha = rows[0].cycle.clone();
    for row in rows {
        bench.ok(Unit {
            loops: vec![row],
            ..Unit::default()
        });
    }
    bench.holds(|store| {
        let ended = |cycle: &str, status, before, limit| -> Vec<LoopId> {
            let found = store.ended_before(&cycle.into(), status, at(before), limit);
            found.expect(READ)
        };
        let alpha = of_alpha.as_str();
        let well = |before, limit| ended(alpha, LoopStatus::Succeeded, before, limit);
        assert_eq!(well(30, 9), [loop_id(2), loop_id(5)]);
        assert_eq!(well(31, 2), [loop_id(2), loop_id(5)]);
        assert_eq!(well(10, 9), []);
        assert_eq!(ended(alpha, LoopStatus::Failed, 11, 9), [loop_id(3)]);
        assert_eq!(ended(alpha, LoopStatus::Waiting, 99, 9), []);
        assert_eq!(ended("beta", LoopStatus::Stopped, 99, 9), [loop_id(6)]);
        assert_eq!(ended("gamma", LoopStatus::Stopped, 99, 9), []);
        let cycles = store.cycles_with_ended().expect(READ);
        let mut names: Vec<&str> = cycles.iter().map(|cycle| cycle.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, [alpha, "beta"]);
    });
}
