//! What reading runs and timers promises.

use velodrome_types::{RunId, RunStatus};

use crate::testkit::{Bench, at, loop_id, run_id, run_row};
use crate::{Page, PageRequest, PartWrite, RunFilter, RunRow, Store, TimerRow, TimerWrite, Unit};

fn write(bench: &Bench, rows: impl IntoIterator<Item = RunRow>) {
    for row in rows {
        bench.ok(Unit {
            runs: vec![row],
            ..Unit::default()
        });
    }
}

fn list(store: &dyn Store, filter: &RunFilter) -> Vec<RunId> {
    let page = PageRequest {
        after: None,
        limit: 1000,
    };
    let page = store.runs(filter, page).expect("the store reads");
    assert_eq!(page.next, None);
    page.items.into_iter().map(|row| row.id).collect()
}

fn ids(numbers: &[u8]) -> Vec<RunId> {
    numbers.iter().map(|n| run_id(*n)).collect()
}

/// Every column follows each write, those that rarely change too.
pub fn a_run_is_written_whole_each_time(bench: &mut Bench) {
    let first = run_row(1, RunStatus::Queued);
    let second = RunRow {
        id: run_id(1),
        ..run_row(2, RunStatus::Failed)
    };
    let third = RunRow {
        cycle: "beta".into(),
        step: None,
        plan: "another".to_owned(),
        fence: 7,
        record: Vec::new(),
        ..second.clone()
    };
    for row in [first, second, third] {
        write(bench, [row.clone()]);
        bench.holds(|store| {
            let stored = store.run(run_id(1)).expect("the store reads");
            assert_eq!(stored.as_ref(), Some(&row));
            let all = list(store, &RunFilter::default());
            assert_eq!(all, [run_id(1)]);
        });
    }
}

/// Each state comes back as itself.
pub fn every_run_status_is_kept(bench: &mut Bench) {
    let statuses = (1..).zip(RunStatus::ALL);
    write(bench, statuses.map(|(n, status)| run_row(n, *status)));
    bench.holds(|store| {
        for (n, status) in (1..).zip(RunStatus::ALL) {
            let row = store.run(run_id(n)).expect("the store reads");
            assert_eq!(row.map(|row| row.status), Some(*status));
        }
    });
}

/// Numbers of all 64 bits and times before 1970.
pub fn extreme_numbers_are_kept(bench: &mut Bench) {
    let row = RunRow {
        lap: u64::MAX,
        fence: u64::MAX - 1,
        created: velodrome_types::Timestamp::from_millis(i64::MIN),
        updated: velodrome_types::Timestamp::from_millis(i64::MAX),
        ..run_row(1, RunStatus::Running)
    };
    write(bench, [row.clone()]);
    bench.ok(Unit {
        expect: vec![crate::Expect::RunFence(run_id(1), u64::MAX - 1)],
        ..Unit::default()
    });
    bench.holds(|store| {
        let stored = store.run(run_id(1)).expect("the store reads");
        assert_eq!(stored.as_ref(), Some(&row));
    });
}

/// Order is that of the first commits, not of ids or times, and a later write leaves it.
pub fn runs_are_listed_newest_acceptance_first(bench: &mut Bench) {
    let accepted = [5, 2, 9, 1, 7];
    let queued = accepted.map(|n| run_row(n, RunStatus::Queued));
    write(bench, queued);
    let both = vec![run_row(4, RunStatus::Queued), run_row(3, RunStatus::Queued)];
    bench.ok(Unit {
        runs: both,
        ..Unit::default()
    });
    write(bench, [run_row(2, RunStatus::Succeeded)]);
    bench.holds(|store| {
        let all = list(store, &RunFilter::default());
        assert_eq!(all, ids(&[3, 4, 7, 1, 9, 2, 5]));
    });
}

/// What waits apart from what does not; neither what is queued or over, nor what is at no step.
pub fn runs_are_counted_by_the_step_they_are_at(bench: &mut Bench) {
    bench.holds(|store| {
        let standing = store.standing().expect("the store reads");
        assert_eq!(standing.runs, []);
    });
    let mut rows: Vec<RunRow> = (1..=28)
        .map(|n| run_row(n, RunStatus::ALL[usize::from(n) % 7]))
        .collect();
    // A running one and a waiting one elsewhere, and one at no step.
    let of = |status| {
        (1..)
            .zip(RunStatus::ALL.iter().cycle())
            .find(move |(n, _)| RunStatus::ALL[n % 7] == status)
    };
    let (running, _) = of(RunStatus::Running).expect("every status is there");
    let (waiting, _) = of(RunStatus::Waiting).expect("every status is there");
    rows[running - 1].step = Some("pause".into());
    rows[waiting - 1].cycle = "beta".into();
    rows[running + 6].step = None;
    write(bench, rows);
    let last = bench.ok(Unit::default());
    bench.holds(|store| {
        let standing = store.standing().expect("the store reads");
        let alpha = |step: &str, status, runs| ("alpha".into(), step.into(), status, runs);
        let expect = [
            alpha("contacts", RunStatus::Running, 2),
            alpha("contacts", RunStatus::Waiting, 3),
            alpha("pause", RunStatus::Running, 1),
            ("beta".into(), "contacts".into(), RunStatus::Waiting, 1),
        ];
        assert_eq!(standing.runs, expect);
        assert!(standing.order >= last.order, "{standing:?}, {last:?}");
    });
}

/// Each field of the filter, and several.
pub fn runs_are_listed_by_filter(bench: &mut Bench) {
    let mut rows: Vec<RunRow> = (1..=12)
        .map(|n| run_row(n, RunStatus::ALL[usize::from(n) % 7]))
        .collect();
    for row in &mut rows[6..] {
        row.cycle = "beta".into();
    }
    rows[3].loop_id = loop_id(1);
    rows[8].loop_id = loop_id(1);
    write(bench, rows.clone());
    let alpha = Some("alpha".into());
    let mut filters = vec![
        RunFilter::default(),
        RunFilter {
            cycle: alpha.clone(),
            ..RunFilter::default()
        },
        RunFilter {
            cycle: Some("nobody".into()),
            ..RunFilter::default()
        },
        RunFilter {
            loop_id: Some(loop_id(1)),
            ..RunFilter::default()
        },
        RunFilter {
            loop_id: Some(loop_id(1)),
            cycle: alpha,
            ..RunFilter::default()
        },
        RunFilter {
            since: Some(at(5)),
            ..RunFilter::default()
        },
    ];
    for status in RunStatus::ALL {
        for more in [None, Some(RunStatus::Waiting), Some(RunStatus::Failed)] {
            filters.push(RunFilter {
                status: [*status].into_iter().chain(more).collect(),
                ..RunFilter::default()
            });
            filters.push(RunFilter {
                status: [*status].into_iter().chain(more).collect(),
                cycle: Some("beta".into()),
                since: Some(at(8)),
                ..RunFilter::default()
            });
        }
    }
    bench.holds(|store| {
        for filter in &filters {
            let wanted = rows.iter().rev().filter(|row| filter.matches(row));
            let wanted: Vec<RunId> = wanted.map(|row| row.id).collect();
            assert_eq!(list(store, filter), wanted, "{filter:?}");
        }
    });
}

/// Parts of a listing follow on each other and end, whatever is accepted meanwhile.
pub fn listings_go_on_behind_a_cursor(bench: &mut Bench) {
    let accepted = [3, 8, 1, 6, 2];
    let queued = accepted.map(|n| run_row(n, RunStatus::Queued));
    write(bench, queued);
    let part = |bench: &Bench, after, limit| -> Page<RunRow> {
        let request = PageRequest { after, limit };
        let page = bench.store().runs(&RunFilter::default(), request);
        page.expect("the store reads")
    };
    for limit in 1..=6 {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = part(bench, after, limit);
            assert!(page.items.len() <= limit);
            found.extend(page.items.into_iter().map(|row| row.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, ids(&[2, 6, 1, 8, 3]), "in parts of {limit}");
    }
    let first = part(bench, None, 2);
    write(bench, [run_row(9, RunStatus::Queued)]);
    let rest = part(bench, first.next, 9);
    let rest: Vec<RunId> = rest.items.into_iter().map(|row| row.id).collect();
    assert_eq!(rest, ids(&[1, 8, 3]));
    assert_eq!(part(bench, None, 0).items.len(), 1);
}

/// Two at the most, newest first, by any number of characters.
pub fn runs_are_found_by_the_end_of_their_id(bench: &mut Bench) {
    let queued = (1..=40).map(|n| run_row(n, RunStatus::Queued));
    write(bench, queued);
    bench.holds(|store| {
        let find = |suffix: &str| store.runs_ending(suffix).expect("the store reads");
        let text = run_id(7).to_string();
        for start in 0..text.len() {
            let suffix = &text[start..];
            let ending = |n: &u8| run_id(*n).to_string().ends_with(suffix);
            let wanted: Vec<u8> = (1..=40).rev().filter(ending).take(2).collect();
            assert_eq!(find(suffix), ids(&wanted), "{suffix}");
        }
        assert_eq!(find(""), ids(&[40, 39]));
        assert_eq!(find("ZZ"), []);
        assert_eq!(find("loop_00000000000000000000000000"), []);
    });
}

/// Whatever has not ended, some at a time, in order of acceptance.
pub fn unfinished_runs_come_in_order_of_acceptance(bench: &mut Bench) {
    let accepted = [5, 2, 9, 1, 7, 3];
    let queued = accepted.map(|n| run_row(n, RunStatus::Queued));
    write(bench, queued);
    let later = [
        run_row(9, RunStatus::Succeeded),
        run_row(2, RunStatus::Waiting),
        run_row(1, RunStatus::Failed),
        run_row(7, RunStatus::Running),
    ];
    write(bench, later);
    // A failed run that is resumed keeps its place.
    write(bench, [run_row(1, RunStatus::Running)]);
    bench.holds(|store| {
        for limit in 1..=6 {
            let (mut found, mut after) = (Vec::new(), 0);
            loop {
                let part = store.unfinished(after, limit).expect("the store reads");
                let Some((place, _)) = part.last() else { break };
                assert!(part.len() <= limit && *place > after);
                after = *place;
                found.extend(part.into_iter().map(|(_, row)| row.id));
            }
            assert_eq!(found, ids(&[5, 2, 1, 7, 3]), "{limit} at a time");
        }
    });
}

/// Parts are replaced one by one and forgotten from a number on.
pub fn parts_of_a_run_come_by_number(bench: &mut Bench) {
    let put = |n, number, body: &[u8]| PartWrite::Put(run_id(n), number, body.to_vec());
    let write = |bench: &Bench, parts: Vec<PartWrite>| {
        bench.ok(Unit {
            parts,
            ..Unit::default()
        });
    };
    let first = vec![
        put(1, 7, b"seven"),
        put(1, 0, b"old"),
        put(2, 1, b"other"),
        put(1, 0, b"new"),
        put(1, u64::from(u32::MAX) + 1, b""),
    ];
    write(bench, first);
    bench.holds(|store| {
        let parts = store.parts(run_id(1)).expect("the store reads");
        let last = (u64::from(u32::MAX) + 1, Vec::new());
        assert_eq!(parts, [(0, b"new".to_vec()), (7, b"seven".to_vec()), last]);
        assert_eq!(store.parts(run_id(3)).expect("the store reads"), []);
    });
    let then = vec![PartWrite::Clear(run_id(1), 1), put(1, 3, b"again")];
    write(bench, then);
    bench.holds(|store| {
        let parts = store.parts(run_id(1)).expect("the store reads");
        assert_eq!(parts, [(0, b"new".to_vec()), (3, b"again".to_vec())]);
        assert_eq!(store.parts(run_id(2)).expect("the store reads").len(), 1);
    });
}

/// Parts of a loop are forgotten from the front, and are not those of a run whose id has the same bytes.
pub fn parts_of_a_loop_are_forgotten_from_the_front(bench: &mut Bench) {
    let id = loop_id(1);
    let same_bytes = RunId::from_bytes(*id.as_bytes());
    let put = |number, body: &[u8]| PartWrite::PutOfLoop(id, number, body.to_vec());
    let write = |bench: &Bench, parts: Vec<PartWrite>| {
        bench.ok(Unit {
            parts,
            ..Unit::default()
        });
    };
    let of_run = PartWrite::Put(same_bytes, 2, b"run".to_vec());
    write(
        bench,
        vec![put(2, b"b"), put(0, b"a"), of_run, put(7, b"c")],
    );
    write(bench, vec![PartWrite::ForgetOfLoop(id, 2)]);
    bench.holds(|store| {
        let parts = store.loop_parts(id).expect("the store reads");
        assert_eq!(parts, [(2, b"b".to_vec()), (7, b"c".to_vec())]);
        let of_run = store.parts(same_bytes).expect("the store reads");
        assert_eq!(of_run, [(2, b"run".to_vec())]);
        assert_eq!(store.loop_parts(loop_id(2)).expect("the store reads"), []);
    });
}

fn timers(bench: &Bench, writes: &[TimerWrite]) {
    bench.ok(Unit {
        timers: writes.to_vec(),
        ..Unit::default()
    });
}

/// Earliest first, up to and with the moment asked for.
pub fn timers_are_due_earliest_first(bench: &mut Bench) {
    let set = |(n, due)| TimerWrite::Set(run_id(n), at(due));
    timers(bench, &[(1, 30), (2, 10), (3, 20), (4, 10)].map(set));
    bench.holds(|store| {
        let due = |until, limit| -> Vec<(i64, RunId)> {
            let rows = store.due(at(until), limit).expect("the store reads");
            rows.into_iter()
                .map(|TimerRow { due, run }| (due.as_millis() - at(0).as_millis(), run))
                .collect()
        };
        assert_eq!(due(9, 9), []);
        let mut firsts = due(19, 9);
        assert_eq!(due(10, 9), firsts);
        firsts.sort_unstable();
        assert_eq!(firsts.len(), 2);
        assert_eq!(due(20, 9)[2], (20, run_id(3)));
        assert_eq!(due(1000, 9)[3], (30, run_id(1)));
        assert_eq!(due(1000, 3).len(), 3);
    });
}

/// A run has one timer at the most.
pub fn a_timer_replaces_the_one_before(bench: &mut Bench) {
    timers(bench, &[TimerWrite::Set(run_id(1), at(10))]);
    let moved = [
        TimerWrite::Set(run_id(1), at(50)),
        TimerWrite::Set(run_id(2), at(10)),
        TimerWrite::Set(run_id(2), at(10)),
        TimerWrite::Clear(run_id(3)),
    ];
    timers(bench, &moved);
    let row = |n, due| TimerRow {
        due: at(due),
        run: run_id(n),
    };
    bench.holds(|store| {
        let all = store.due(at(99), 9).expect("the store reads");
        assert_eq!(all, [row(2, 10), row(1, 50)]);
    });
    timers(
        bench,
        &[TimerWrite::Clear(run_id(1)), TimerWrite::Clear(run_id(2))],
    );
    bench.holds(|store| assert_eq!(store.due(at(99), 9).expect("the store reads"), []));
}
