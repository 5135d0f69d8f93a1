//! What reading loops promises.

use velodrome_types::{LoopId, LoopStatus};

use crate::testkit::{Bench, at, loop_id, loop_row};
use crate::{LoopFilter, LoopRow, PageRequest, Store, Unit};

fn write(bench: &Bench, rows: impl IntoIterator<Item = LoopRow>) {
    for row in rows {
        bench.ok(Unit {
            loops: vec![row],
            ..Unit::default()
        });
    }
}

fn list(store: &dyn Store, filter: &LoopFilter, limit: usize) -> Vec<LoopId> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let request = PageRequest { after, limit };
        let page = store.loops(filter, request).expect("the store reads");
        assert!(page.items.len() <= limit);
        found.extend(page.items.into_iter().map(|row| row.id));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

fn ids(numbers: &[u8]) -> Vec<LoopId> {
    numbers.iter().map(|n| loop_id(*n)).collect()
}

/// Every column follows each write.
pub fn a_loop_is_written_whole_each_time(bench: &mut Bench) {
    let first = loop_row(1, LoopStatus::Queued);
    let second = LoopRow {
        id: loop_id(1),
        ..loop_row(2, LoopStatus::Failed)
    };
    let third = LoopRow {
        cycle: "beta".into(),
        laps: u64::MAX,
        records: u64::MAX,
        record: Vec::new(),
        ..second.clone()
    };
    for row in [first, second, third] {
        write(bench, [row.clone()]);
        bench.holds(|store| {
            let stored = store.loop_row(loop_id(1)).expect("the store reads");
            assert_eq!(stored.as_ref(), Some(&row));
            assert_eq!(list(store, &LoopFilter::default(), 9), [loop_id(1)]);
        });
    }
}

/// Order is that of the first commits, and parts follow on each other.
pub fn loops_are_listed_newest_acceptance_first(bench: &mut Bench) {
    let accepted = [5, 2, 9, 1, 7];
    let queued = accepted.map(|n| loop_row(n, LoopStatus::Queued));
    write(bench, queued);
    write(bench, [loop_row(2, LoopStatus::Succeeded)]);
    bench.holds(|store| {
        for limit in 1..=6 {
            let all = list(store, &LoopFilter::default(), limit);
            assert_eq!(all, ids(&[7, 1, 9, 2, 5]), "in parts of {limit}");
        }
    });
}

/// Each field of the filter, and several.
pub fn loops_are_listed_by_filter(bench: &mut Bench) {
    let mut rows: Vec<LoopRow> = (1..=12)
        .map(|n| loop_row(n, LoopStatus::ALL[usize::from(n) % 6]))
        .collect();
    for row in &mut rows[6..] {
        row.cycle = "beta".into();
    }
    write(bench, rows.clone());
    let mut filters = vec![LoopFilter::default()];
    for cycle in ["alpha", "beta", "nobody"] {
        for since in [None, Some(at(4))] {
            for status in LoopStatus::ALL {
                for more in [None, Some(LoopStatus::Waiting), Some(LoopStatus::Stopped)] {
                    filters.push(LoopFilter {
                        cycle: Some(cycle.into()),
                        status: [*status].into_iter().chain(more).collect(),
                        since,
                    });
                }
            }
        }
    }
    bench.holds(|store| {
        for filter in &filters {
            let wanted = rows.iter().rev().filter(|row| filter.matches(row));
            let wanted: Vec<LoopId> = wanted.map(|row| row.id).collect();
            assert_eq!(list(store, filter, 3), wanted, "{filter:?}");
        }
    });
}

/// As runs are.
pub fn loops_are_found_by_the_end_of_their_id(bench: &mut Bench) {
    let queued = (1..=40).map(|n| loop_row(n, LoopStatus::Queued));
    write(bench, queued);
    bench.holds(|store| {
        let find = |suffix: &str| store.loops_ending(suffix).expect("the store reads");
        let text = loop_id(7).to_string();
        for start in 0..text.len() {
            let suffix = &text[start..];
            let ending = |n: &u8| loop_id(*n).to_string().ends_with(suffix);
            let wanted: Vec<u8> = (1..=40).rev().filter(ending).take(2).collect();
            assert_eq!(find(suffix), ids(&wanted), "{suffix}");
        }
    });
}

/// By commit order, within the cycle.
pub fn the_first_queued_loop_is_the_first_accepted(bench: &mut Bench) {
    let of = |n, cycle: &str, status| LoopRow {
        cycle: cycle.into(),
        ..loop_row(n, status)
    };
    let first = |store: &dyn Store, cycle: &str| {
        let row = store.first_queued(&cycle.into()).expect("the store reads");
        row.map(|row| row.id)
    };
    let accepted = [
        of(9, "alpha", LoopStatus::Running),
        of(8, "beta", LoopStatus::Queued),
        of(7, "alpha", LoopStatus::Queued),
        of(1, "alpha", LoopStatus::Queued),
        of(2, "beta", LoopStatus::Queued),
    ];
    write(bench, accepted);
    bench.holds(|store| {
        assert_eq!(first(store, "alpha"), Some(loop_id(7)));
        assert_eq!(first(store, "beta"), Some(loop_id(8)));
        assert_eq!(first(store, "nobody"), None);
    });
    write(bench, [of(7, "alpha", LoopStatus::Running)]);
    bench.holds(|store| assert_eq!(first(store, "alpha"), Some(loop_id(1))));
    write(bench, [of(7, "alpha", LoopStatus::Queued)]);
    bench.holds(|store| assert_eq!(first(store, "alpha"), Some(loop_id(7))));
    let ended = [7, 1].map(|n| of(n, "alpha", LoopStatus::Stopped));
    write(bench, ended);
    bench.holds(|store| assert_eq!(first(store, "alpha"), None));
}

/// In the order of the list of states; none that is final, none of zero.
pub fn open_loops_are_counted_by_state(bench: &mut Bench) {
    let rows = (1..=20).map(|n| loop_row(n, LoopStatus::ALL[usize::from(n % 6)]));
    write(bench, rows);
    let beta = LoopRow {
        cycle: "beta".into(),
        ..loop_row(30, LoopStatus::Waiting)
    };
    write(bench, [beta]);
    bench.holds(|store| {
        let open = |cycle: &str| store.open_loops(&cycle.into()).expect("the store reads");
        let alpha = [
            (LoopStatus::Queued, 3),
            (LoopStatus::Running, 4),
            (LoopStatus::Waiting, 4),
        ];
        assert_eq!(open("alpha"), alpha);
        assert_eq!(open("beta"), [(LoopStatus::Waiting, 1)]);
        assert_eq!(open("nobody"), []);
        let standing = store.standing().expect("the store reads");
        let of = |(status, loops)| ("alpha".into(), status, loops);
        let beta = ("beta".into(), LoopStatus::Waiting, 1);
        let all: Vec<_> = alpha.map(of).into_iter().chain([beta]).collect();
        assert_eq!(standing.loops, all);
    });
}
