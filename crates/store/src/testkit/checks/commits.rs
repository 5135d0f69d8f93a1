//! What a commit promises.

use velodrome_types::{CycleState, LoopStatus, RunStatus};

use crate::testkit::{Bench, Reopen, at, line, loop_id, loop_row, run_id, run_row, storage_write};
use crate::{
    CommitError, CycleRow, Expect, IdempotencyRow, Namespace, OutboxRow, OutboxWrite, PartWrite,
    PlanRow, ScheduleRow, ScheduleWrite, SecretRow, StorageOp, StorageRefusal, Store, TimerWrite,
    Unit, WaitRow, WaitWrite, WatermarkWrite,
};

fn shared() -> Namespace {
    Namespace::Connection("zoho".into())
}

fn answer(key: &str, expires: i64) -> IdempotencyRow {
    IdempotencyRow {
        hook: "alpha".to_owned(),
        key: key.to_owned(),
        body_hash: [7; 32],
        status: 202,
        answer: b"{}".to_vec(),
        expires: at(expires),
    }
}

/// A unit with something in every field.
fn whole_unit() -> Unit {
    Unit {
        expect: vec![Expect::NoRun(run_id(1))],
        runs: vec![run_row(1, RunStatus::Waiting)],
        loops: vec![loop_row(1, LoopStatus::Waiting)],
        parts: vec![PartWrite::Put(run_id(1), 0, vec![1])],
        timers: vec![TimerWrite::Set(run_id(1), at(10))],
        storage: vec![storage_write(
            &shared(),
            StorageOp::Set("page".into(), 1.into()),
        )],
        waits: vec![WaitWrite::Begin(WaitRow {
            run: run_id(1),
            loop_id: loop_id(1),
            hook: "alpha/asked".to_owned(),
            fields: "id".to_owned(),
            key: [1; 16],
        })],
        watermarks: vec![WatermarkWrite::Set(
            "alpha".into(),
            "contacts".into(),
            at(5),
        )],
        idempotency: vec![answer("k", 100)],
        outbox: vec![OutboxWrite::Put(OutboxRow {
            run: run_id(1),
            number: 4,
            cycle: "alpha".into(),
            due: at(10),
            attempts: 0,
            record: vec![1],
        })],
        plans: vec![PlanRow {
            hash: "h".to_owned(),
            cycle: "alpha".into(),
            body: vec![1, 2],
        }],
        cycles: vec![CycleRow {
            cycle: "alpha".into(),
            state: CycleState::Paused,
        }],
        cycles_deleted: vec!["beta".into()],
        schedules: vec![ScheduleWrite::Put(ScheduleRow {
            cycle: "alpha".into(),
            rule: "every 60000 ms".to_owned(),
            passed: at(60),
        })],
        secrets: vec![
            SecretRow {
                name: "secret/a".to_owned(),
                sealed: vec![9],
            },
            SecretRow {
                name: "secret/b".to_owned(),
                sealed: vec![8],
            },
        ],
        secrets_deleted: vec!["secret/b".to_owned()],
        lines: vec![line(1, "first"), line(1, "second")],
        forget: Vec::new(),
    }
}

fn has_whole_unit(store: &dyn Store) {
    let unit = whole_unit();
    let read = "the store reads";
    assert_eq!(
        store.run(run_id(1)).expect(read).as_ref(),
        unit.runs.first()
    );
    let stored_loop = store.loop_row(loop_id(1)).expect(read);
    assert_eq!(stored_loop.as_ref(), unit.loops.first());
    assert_eq!(store.due(at(10), 9).expect(read).len(), 1);
    let value = store.get(&shared(), "page").expect(read);
    assert_eq!(value.map(|stored| stored.value), Some(1.into()));
    let watermark = store.watermark(&"alpha".into(), &"contacts".into());
    assert_eq!(watermark.expect(read), Some(at(5)));
    let remembered = store.answer("alpha", "k", at(0)).expect(read);
    assert_eq!(remembered.as_ref(), unit.idempotency.first());
    let waiting = store.waiting("alpha/asked", "id", &[1; 16]).expect(read);
    assert_eq!(waiting.map(|wait| wait.run), Some(run_id(1)));
    let notices = store.outbox_heads(at(10)).expect(read);
    let put: Vec<_> = notices.into_iter().map(OutboxWrite::Put).collect();
    assert_eq!(put, unit.outbox);
    assert_eq!(store.plan("h").expect(read).as_ref(), unit.plans.first());
    assert_eq!(store.cycle_rows().expect(read), unit.cycles);
    let schedules = store.schedule_rows().expect(read);
    let put: Vec<_> = schedules.into_iter().map(ScheduleWrite::Put).collect();
    assert_eq!(put, unit.schedules);
    assert_eq!(store.secret_names("").expect(read), ["secret/a"]);
    let lines = store.log_tail(9, &Default::default()).expect(read);
    let messages: Vec<_> = lines.iter().map(|l| (l.seq, l.message.as_str())).collect();
    assert_eq!(messages, [(1, "first"), (2, "second")]);
}

fn has_nothing(store: &dyn Store) {
    let read = "the store reads";
    assert_eq!(store.run(run_id(1)).expect(read), None);
    assert_eq!(store.loop_row(loop_id(1)).expect(read), None);
    assert_eq!(store.due(at(1000), 9).expect(read), []);
    assert_eq!(store.get(&shared(), "page").expect(read), None);
    assert_eq!(store.namespaces().expect(read), []);
    assert_eq!(store.watermarks().expect(read), []);
    assert_eq!(store.answer("alpha", "k", at(0)).expect(read), None);
    assert_eq!(store.waited_fields("alpha/asked").expect(read), [""; 0]);
    assert_eq!(store.outbox_heads(at(1000)).expect(read), []);
    assert_eq!(store.plan("h").expect(read), None);
    assert_eq!(store.cycle_rows().expect(read), []);
    assert_eq!(store.schedule_rows().expect(read), []);
    assert!(store.secret_names("").expect(read).is_empty());
    assert_eq!(store.last_seq(), 0);
    assert_eq!(store.log_tail(9, &Default::default()).expect(read), []);
}

/// Every field of a unit is there afterwards.
pub fn a_unit_is_written_whole(bench: &mut Bench) {
    let committed = bench.ok(whole_unit());
    assert_eq!(committed.last_seq, 2);
    bench.holds(has_whole_unit);
}

/// The order of commits rises, whatever happens between them.
pub fn orders_rise_for_ever(bench: &mut Bench) {
    let mut last = 0;
    for how in [Reopen::Close, Reopen::Crash, Reopen::Crash, Reopen::Close] {
        for _ in 0..3 {
            let order = bench.ok(Unit::default()).order;
            assert!(order > last, "{order} behind {last}");
            last = order;
        }
        bench.reopen(how);
    }
}

/// [`Expect::RunFence`].
pub fn a_run_fence_that_differs_is_a_conflict(bench: &mut Bench) {
    let expect = |fence| Unit {
        expect: vec![Expect::RunFence(run_id(1), fence)],
        ..Unit::default()
    };
    bench.conflict(expect(0));
    bench.ok(Unit {
        runs: vec![run_row(1, RunStatus::Running)],
        ..Unit::default()
    });
    bench.ok(expect(1));
    bench.conflict(expect(0));
    bench.reopen(Reopen::Crash);
    bench.ok(expect(1));
    bench.conflict(expect(2));
}

/// [`Expect::NoRun`].
pub fn a_run_that_is_there_is_a_conflict(bench: &mut Bench) {
    let unit = || Unit {
        expect: vec![Expect::NoRun(run_id(1))],
        runs: vec![run_row(1, RunStatus::Running)],
        ..Unit::default()
    };
    bench.ok(unit());
    bench.conflict(unit());
    bench.reopen(Reopen::Close);
    bench.conflict(unit());
}

/// [`Expect::LoopOpen`].
pub fn a_loop_that_ended_or_is_missing_is_a_conflict(bench: &mut Bench) {
    let expect = || Unit {
        expect: vec![Expect::LoopOpen(loop_id(1))],
        ..Unit::default()
    };
    bench.conflict(expect());
    for status in LoopStatus::ALL {
        bench.ok(Unit {
            loops: vec![loop_row(1, *status)],
            ..Unit::default()
        });
        if status.is_final() {
            bench.conflict(expect());
        } else {
            bench.ok(expect());
        }
    }
}

/// [`Expect::NoAnswer`].
pub fn an_answer_that_is_remembered_is_a_conflict(bench: &mut Bench) {
    let unit = |now| Unit {
        expect: vec![Expect::NoAnswer("alpha".into(), "k".into(), at(now))],
        idempotency: vec![answer("k", 100)],
        ..Unit::default()
    };
    bench.ok(unit(0));
    bench.conflict(unit(99));
    bench.reopen(Reopen::Crash);
    bench.conflict(unit(99));
    bench.ok(unit(100));
}

/// All of the expectations must be so.
pub fn the_first_expectation_that_fails_is_enough(bench: &mut Bench) {
    bench.conflict(Unit {
        expect: vec![Expect::NoRun(run_id(1)), Expect::LoopOpen(loop_id(1))],
        ..whole_unit()
    });
    bench.holds(has_nothing);
}

/// A conflict writes nothing, in any table.
pub fn a_conflict_leaves_nothing_behind(bench: &mut Bench) {
    bench.conflict(Unit {
        expect: vec![Expect::RunFence(run_id(1), 1)],
        ..whole_unit()
    });
    bench.holds(has_nothing);
    bench.ok(whole_unit());
    bench.holds(has_whole_unit);
}

/// A write of script storage that cannot be applied takes the whole unit with it.
pub fn a_refused_write_leaves_nothing_behind(bench: &mut Bench) {
    let mut unit = whole_unit();
    let more = [
        StorageOp::Set("word".into(), "seven".into()),
        StorageOp::DeleteAll,
        StorageOp::Set("word".into(), "eight".into()),
        StorageOp::Increment("word".into(), 1.0),
    ];
    let more = more.into_iter().map(|op| storage_write(&shared(), op));
    unit.storage.extend(more);
    bench.refused(unit, StorageRefusal::NOT_A_NUMBER);
    bench.holds(has_nothing);
    bench.ok(whole_unit());
    bench.holds(has_whole_unit);
}

/// Units that share a transaction stand or fall alone.
pub fn a_refused_unit_does_not_disturb_its_neighbours(bench: &mut Bench) {
    let numbered = |n: u8| Unit {
        expect: vec![Expect::NoRun(run_id(n))],
        runs: vec![run_row(n, RunStatus::Running)],
        storage: vec![storage_write(
            &shared(),
            StorageOp::Increment("count".into(), 1.0),
        )],
        lines: vec![line(n, "accepted")],
        ..Unit::default()
    };
    let failing = |n: u8| {
        let mut unit = numbered(n);
        unit.storage.push(storage_write(
            &shared(),
            StorageOp::Increment("count".into(), f64::NAN),
        ));
        unit
    };
    let units = vec![
        numbered(1),
        numbered(1),
        numbered(2),
        failing(3),
        numbered(4),
    ];
    let results = bench.together(units);
    assert!(matches!(results[1], Err(CommitError::Conflict(_))));
    assert!(matches!(results[3], Err(CommitError::Storage { .. })));
    for good in [0, 2, 4] {
        assert!(results[good].is_ok(), "{:?}", results[good]);
    }
    bench.holds(|store| {
        let value = store.get(&shared(), "count").expect("the store reads");
        assert_eq!(value.map(|stored| stored.value), Some(3.into()));
        assert_eq!(store.last_seq(), 3);
        assert_eq!(store.run(run_id(3)).expect("the store reads"), None);
    });
}

/// Units apply in the order they were sent, each on what those before it left.
pub fn units_see_what_units_before_them_wrote(bench: &mut Bench) {
    let step = |fence| {
        let mut row = run_row(1, RunStatus::Running);
        row.fence = fence + 1;
        Unit {
            expect: vec![Expect::RunFence(run_id(1), fence)],
            runs: vec![row],
            ..Unit::default()
        }
    };
    bench.ok(Unit {
        runs: vec![run_row(1, RunStatus::Running)],
        ..Unit::default()
    });
    let results = bench.together((1..100).map(step).collect());
    let mut last = 0;
    for result in results {
        let order = result
            .expect("each finds the fence of the one before")
            .order;
        assert!(order > last);
        last = order;
    }
}

/// A commit under way does not depend on its future.
pub fn a_commit_goes_on_when_nobody_waits(bench: &mut Bench) {
    drop(bench.store().commit(whole_unit()));
    bench.ok(Unit::default());
    bench.holds(has_whole_unit);
}

/// [`CommitError::Closed`].
pub fn a_closed_store_takes_nothing(bench: &mut Bench) {
    let before = bench.store().commit(whole_unit());
    let closed = crate::testkit::wait(bench.store().close());
    closed.expect("the store closes");
    crate::testkit::wait(before).expect("what was under way is committed");
    let result = bench.commit(Unit::default());
    assert!(matches!(result, Err(CommitError::Closed)), "{result:?}");
    bench.reopen(Reopen::Crash);
    bench.holds(has_whole_unit);
}

/// Whoever closes second is told the same.
pub fn closing_twice_is_closing(bench: &mut Bench) {
    bench.ok(whole_unit());
    for _ in 0..2 {
        crate::testkit::wait(bench.store().close()).expect("the store is closed");
    }
}
