//! What the run log promises.

use velodrome_types::{Code, Event, Json, Level, LogLine, RunStatus};

use crate::testkit::{Bench, Reopen, at, line, loop_id, run_id, run_row};
use crate::{LogFilter, Store, Unit};

fn write(bench: &Bench, lines: Vec<LogLine>) -> u64 {
    let unit = Unit {
        lines,
        ..Unit::default()
    };
    bench.ok(unit).last_seq
}

/// Reads on until the whole log was searched.
fn all_after(store: &dyn Store, after: u64, filter: &LogFilter, limit: usize) -> Vec<LogLine> {
    let (mut found, mut searched) = (Vec::new(), after);
    while searched < store.last_seq() {
        let (lines, next) = store
            .log_after(searched, filter, limit)
            .expect("the store reads");
        assert!(lines.len() <= limit);
        assert!(next > searched, "no way forward behind {searched}");
        assert!(lines.last().is_none_or(|line| line.seq <= next));
        found.extend(lines);
        searched = next;
    }
    found
}

/// `seq` rises by one, within units, between them, and across reopening.
pub fn lines_get_numbers_without_holes(bench: &mut Bench) {
    assert_eq!(bench.store().last_seq(), 0);
    let mut last = 0;
    for how in [Reopen::Crash, Reopen::Close, Reopen::Crash] {
        for count in [1, 3, 0, 2] {
            let lines = (0..count).map(|_| line(1, "x")).collect();
            assert_eq!(write(bench, lines), last + count);
            last += count;
        }
        bench.reopen(how);
        assert_eq!(bench.store().last_seq(), last);
    }
    let all = all_after(bench.store(), 0, &LogFilter::default(), 1000);
    let seqs: Vec<u64> = all.iter().map(|line| line.seq).collect();
    assert_eq!(seqs, (1..=last).collect::<Vec<_>>());
}

/// The numbers of lines that were not written go to the next.
pub fn a_refused_unit_uses_no_line_number(bench: &mut Bench) {
    assert_eq!(write(bench, vec![line(1, "a")]), 1);
    bench.conflict(Unit {
        expect: vec![crate::Expect::LoopOpen(loop_id(1))],
        lines: vec![line(1, "never"), line(1, "never")],
        ..Unit::default()
    });
    assert_eq!(write(bench, vec![line(1, "b")]), 2);
    assert_eq!(bench.store().last_seq(), 2);
}

fn full_line() -> LogLine {
    let mut full = line(1, "200 · 200 records · 41 kB · 112 ms");
    full.level = Level::Error;
    full.event = Event::ConnectionFailed;
    full.time = at(-5);
    full.step = Some("contacts".into());
    full.attempt = Some(u32::MAX);
    full.item = Some(u64::MAX);
    full.code = Some(Code::from_text("request.status"));
    full.ms = Some(112);
    full.status = Some(u16::MAX);
    full.records = Some(200);
    full.url = Some("https://api.example/contacts".to_owned());
    full.to = Some(run_id(2).to_string());
    full.data = Some(serde_json::json!({"z": [1, 1.5, null], "a": "\u{1f6b4}"}));
    full
}

/// Every field there is, and every one missing.
pub fn every_field_of_a_line_is_kept(bench: &mut Bench) {
    let bare = LogLine::new(at(0), Level::Debug, Event::CycleLoaded, "");
    let mut step_to = full_line();
    step_to.to = Some("pause".to_owned());
    step_to.data = Some(Json::Null);
    let mut other = line(2, "another run of the same loop");
    other.loop_id = Some(loop_id(1));
    other.version = None;
    let mut lines = vec![full_line(), step_to, other, bare.clone(), bare, full_line()];
    for event in Event::ALL {
        let mut line = line(1, event.as_str());
        line.event = *event;
        lines.push(line);
    }
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        let mut line = line(1, level.as_str());
        line.level = level;
        lines.push(line);
    }
    write(bench, lines.clone());
    for (seq, line) in (1..).zip(&mut lines) {
        line.seq = seq;
    }
    bench.holds(|store| {
        let stored = all_after(store, 0, &LogFilter::default(), 1000);
        assert_eq!(stored, lines);
    });
}

/// Lines about several loops and cycles, mixed, come back as they were sent.
pub fn lines_of_one_unit_about_many_keep_their_order(bench: &mut Bench) {
    let mut lines: Vec<LogLine> = [1, 2, 1, 1, 3, 2, 2, 1]
        .iter()
        .map(|n| line(*n, "x"))
        .collect();
    lines[4].cycle = Some("beta".into());
    lines[5].loop_id = None;
    lines[5].run = None;
    write(bench, lines.clone());
    write(bench, lines.clone());
    bench.holds(|store| {
        let stored = all_after(store, 0, &LogFilter::default(), 3);
        assert_eq!(stored.len(), 16);
        for (n, stored) in stored.iter().enumerate() {
            assert_eq!(stored.run, lines[n % 8].run);
            assert_eq!(stored.seq, n as u64 + 1);
        }
    });
}

/// A log of several cycles, loops, runs, steps, levels, events and times.
fn mixed(bench: &Bench) -> Vec<LogLine> {
    let mut all = Vec::new();
    bench.ok(Unit {
        runs: (1..=4).map(|n| run_row(n, RunStatus::Running)).collect(),
        ..Unit::default()
    });
    for n in 0..60_u8 {
        let mut line = line(n % 4 + 1, "x");
        if n % 4 > 1 {
            line.cycle = Some("beta".into());
        }
        if n % 3 == 0 {
            line.step = Some(["contacts", "pause"][usize::from(n % 2)].into());
        }
        if n % 10 == 9 {
            line.run = None;
            line.loop_id = None;
            line.cycle = None;
        }
        line.level = [Level::Debug, Level::Info, Level::Warn, Level::Error][usize::from(n % 4)];
        line.event = Event::ALL[usize::from(n % 7)];
        // Not in the order of commits.
        line.time = at(i64::from(n) * 7 % 60);
        all.push(line);
    }
    for unit in all.chunks(4) {
        write(bench, unit.to_vec());
    }
    for (seq, line) in (1..).zip(&mut all) {
        line.seq = seq;
    }
    all
}

fn filters() -> Vec<LogFilter> {
    let none = LogFilter::default;
    let mut filters = vec![none()];
    let mut add = |filter: LogFilter| filters.push(filter);
    for cycle in ["alpha", "beta", "nobody"] {
        let cycle = Some(cycle.into());
        add(LogFilter {
            cycle: cycle.clone(),
            ..none()
        });
        add(LogFilter {
            cycle,
            loop_id: Some(loop_id(1)),
            level: Some(Level::Info),
            ..none()
        });
    }
    for n in 1..=5 {
        add(LogFilter {
            loop_id: Some(loop_id(n)),
            ..none()
        });
        add(LogFilter {
            run: Some(run_id(n)),
            ..none()
        });
    }
    add(LogFilter {
        run: Some(run_id(1)),
        loop_id: Some(loop_id(2)),
        ..none()
    });
    for step in ["contacts", "pause", "nobody"] {
        add(LogFilter {
            step: Some(step.into()),
            ..none()
        });
    }
    for level in [Level::Debug, Level::Info, Level::Warn, Level::Error] {
        add(LogFilter {
            level: Some(level),
            ..none()
        });
    }
    add(LogFilter {
        event: Some(Event::ALL[2]),
        ..none()
    });
    add(LogFilter {
        since: Some(at(40)),
        ..none()
    });
    add(LogFilter {
        since: Some(at(20)),
        event: Some(Event::ALL[3]),
        cycle: Some("alpha".into()),
        ..none()
    });
    filters
}

/// Each field of the filter, and several, forward.
pub fn the_log_is_filtered(bench: &mut Bench) {
    let all = mixed(bench);
    bench.holds(|store| {
        for filter in filters() {
            let wanted: Vec<_> = all.iter().filter(|l| filter.matches(l)).cloned().collect();
            for limit in [1, 2, 1000] {
                let found = all_after(store, 0, &filter, limit);
                assert_eq!(found, wanted, "{filter:?}, {limit} at a time");
            }
        }
    });
}

/// From any place; what is past the end is the end.
pub fn the_log_is_read_on_from_where_it_was_searched(bench: &mut Bench) {
    let all = mixed(bench);
    bench.holds(|store| {
        for after in 0..60 {
            let found = all_after(store, after, &LogFilter::default(), 7);
            assert_eq!(found, all[after as usize..]);
        }
        let read = |after, limit| {
            let read = store.log_after(after, &LogFilter::default(), limit);
            read.expect("the store reads")
        };
        assert_eq!(read(60, 9), (Vec::new(), 60));
        assert_eq!(read(99, 9), (Vec::new(), 99));
        assert_eq!(read(3, 0), (Vec::new(), 3));
    });
}

/// The last so many of the wanted.
pub fn the_tail_is_the_newest_lines_in_order(bench: &mut Bench) {
    let all = mixed(bench);
    bench.holds(|store| {
        for filter in filters() {
            let wanted: Vec<_> = all.iter().filter(|l| filter.matches(l)).cloned().collect();
            for count in [0, 1, 5, 1000] {
                let tail = store.log_tail(count, &filter).expect("the store reads");
                let start = wanted.len().saturating_sub(count);
                assert_eq!(tail, wanted[start..], "{filter:?}, the last {count}");
            }
        }
    });
}
