//! What the small tables promise.

use velodrome_types::CycleState;

use crate::testkit::{Bench, at};
use crate::{
    CycleRow, IdempotencyRow, PlanRow, ScheduleRow, ScheduleWrite, SecretRow, Unit, WatermarkWrite,
};

/// [`WatermarkWrite`].
pub fn watermarks_are_raised_set_and_unset(bench: &mut Bench) {
    use WatermarkWrite::{Raise, Set, Unset};
    let steps = [
        (Raise("alpha".into(), "contacts".into(), at(10)), Some(10)),
        (Raise("alpha".into(), "contacts".into(), at(5)), Some(10)),
        (Raise("alpha".into(), "contacts".into(), at(20)), Some(20)),
        (Set("alpha".into(), "contacts".into(), at(3)), Some(3)),
        (Raise("alpha".into(), "contacts".into(), at(4)), Some(4)),
        (Unset("alpha".into(), "contacts".into()), None),
        (Unset("alpha".into(), "contacts".into()), None),
        (Raise("alpha".into(), "contacts".into(), at(1)), Some(1)),
    ];
    bench.ok(Unit {
        watermarks: vec![
            Set("beta".into(), "contacts".into(), at(1)),
            Set("alpha".into(), "deals".into(), at(2)),
        ],
        ..Unit::default()
    });
    for (write, wanted) in steps {
        bench.ok(Unit {
            watermarks: vec![write],
            ..Unit::default()
        });
        bench.holds(|store| {
            let date = store.watermark(&"alpha".into(), &"contacts".into());
            assert_eq!(date.expect("the store reads"), wanted.map(at));
        });
    }
    bench.holds(|store| {
        let all = store.watermarks().expect("the store reads");
        let wanted = [
            ("alpha".into(), "contacts".into(), at(1)),
            ("alpha".into(), "deals".into(), at(2)),
            ("beta".into(), "contacts".into(), at(1)),
        ];
        assert_eq!(all, wanted);
    });
}

fn answer(hook: &str, key: &str, status: u16, expires: i64) -> IdempotencyRow {
    IdempotencyRow {
        hook: hook.to_owned(),
        key: key.to_owned(),
        body_hash: [status as u8; 32],
        status,
        answer: vec![0, 255, 1],
        expires: at(expires),
    }
}

/// An answer is there until the moment it expires.
pub fn answers_expire(bench: &mut Bench) {
    bench.ok(Unit {
        idempotency: vec![
            answer("alpha", "k", 202, 10),
            answer("alpha/step", "k", 200, 20),
        ],
        ..Unit::default()
    });
    bench.holds(|store| {
        let find = |hook, key, now| {
            let found = store.answer(hook, key, at(now)).expect("the store reads");
            found.map(|row| row.status)
        };
        assert_eq!(find("alpha", "k", 9), Some(202));
        assert_eq!(find("alpha", "k", 10), None);
        assert_eq!(find("alpha/step", "k", 10), Some(200));
        assert_eq!(find("alpha", "other", 0), None);
        assert_eq!(find("beta", "k", 0), None);
    });
}

/// The last answer for a key is the one.
pub fn a_remembered_answer_is_replaced(bench: &mut Bench) {
    for (status, expires) in [(202, 10), (200, 30)] {
        bench.ok(Unit {
            idempotency: vec![answer("alpha", "k", status, expires)],
            ..Unit::default()
        });
    }
    bench.holds(|store| {
        let found = store.answer("alpha", "k", at(20)).expect("the store reads");
        assert_eq!(found, Some(answer("alpha", "k", 200, 30)));
    });
}

/// A plan's hash is its content, so the first is as good as any.
pub fn a_plan_that_is_there_is_left(bench: &mut Bench) {
    let plan = |hash: &str, body: &[u8]| PlanRow {
        hash: hash.to_owned(),
        cycle: "alpha".into(),
        body: body.to_vec(),
    };
    for body in [b"first", b"again"] {
        bench.ok(Unit {
            plans: vec![plan("h", body)],
            ..Unit::default()
        });
    }
    bench.holds(|store| {
        let stored = store.plan("h").expect("the store reads");
        assert_eq!(stored, Some(plan("h", b"first")));
        assert_eq!(store.plan("other").expect("the store reads"), None);
    });
}

/// The last word counts; every cycle is listed.
pub fn the_word_on_a_cycle_is_the_last(bench: &mut Bench) {
    let row = |cycle: &str, state| CycleRow {
        cycle: cycle.into(),
        state,
    };
    for state in CycleState::ALL {
        bench.ok(Unit {
            cycles: vec![row("beta", CycleState::Paused), row("alpha", *state)],
            ..Unit::default()
        });
        bench.holds(|store| {
            let rows = store.cycle_rows().expect("the store reads");
            assert_eq!(
                rows,
                [row("alpha", *state), row("beta", CycleState::Paused)]
            );
        });
    }
}

/// Nothing is left of what was said of it and of what its webhooks answered; others keep theirs, also where their
/// name begins with its.
pub fn a_cycle_that_is_deleted_is_forgotten(bench: &mut Bench) {
    let answer = |hook: &str| IdempotencyRow {
        hook: hook.to_owned(),
        key: "k".to_owned(),
        body_hash: [1; 32],
        status: 202,
        answer: vec![1],
        expires: at(1_000),
    };
    let hooks = [
        "alpha",
        "alpha/ask",
        "alpha0",
        "alpha2",
        "alphabet/ask",
        "beta",
    ];
    let row = |cycle: &str| CycleRow {
        cycle: cycle.into(),
        state: CycleState::Paused,
    };
    bench.ok(Unit {
        cycles: vec![row("alpha"), row("alpha2")],
        idempotency: hooks.map(answer).to_vec(),
        ..Unit::default()
    });
    bench.ok(Unit {
        cycles_deleted: vec!["alpha".into(), "never_there".into()],
        ..Unit::default()
    });
    bench.holds(|store| {
        let rows = store.cycle_rows().expect("the store reads");
        assert_eq!(rows, [row("alpha2")]);
        let left = hooks.map(|hook| store.answer(hook, "k", at(0)).expect("the store reads"));
        let left: Vec<bool> = left.iter().map(Option::is_some).collect();
        assert_eq!(left, [false, false, true, true, true, true]);
    });
}

/// The last word counts, also where it goes back; every cycle is listed until it is removed.
pub fn how_far_a_schedule_has_come_is_the_last_word(bench: &mut Bench) {
    use ScheduleWrite::{Put, Remove};
    let row = |cycle: &str, rule: &str, passed| ScheduleRow {
        cycle: cycle.into(),
        rule: rule.to_owned(),
        passed: at(passed),
    };
    let beta = || row("beta", "every 60000 ms", 7);
    bench.ok(Unit {
        schedules: vec![Put(beta())],
        ..Unit::default()
    });
    let steps = [
        (
            Put(row("alpha", "cron 0 2 * * * UTC", 5)),
            Some(("cron 0 2 * * * UTC", 5)),
        ),
        (
            Put(row("alpha", "cron 0 2 * * * UTC", 9)),
            Some(("cron 0 2 * * * UTC", 9)),
        ),
        (
            Put(row("alpha", "every 1 ms", -3)),
            Some(("every 1 ms", -3)),
        ),
        (Remove("alpha".into()), None),
        (Remove("alpha".into()), None),
    ];
    for (write, wanted) in steps {
        bench.ok(Unit {
            schedules: vec![write],
            ..Unit::default()
        });
        bench.holds(|store| {
            let rows = store.schedule_rows().expect("the store reads");
            let mut all: Vec<_> = wanted
                .iter()
                .map(|(rule, passed)| row("alpha", rule, *passed))
                .collect();
            all.push(beta());
            assert_eq!(rows, all);
        });
    }
}

/// Written, replaced, deleted, and listed by how they begin.
pub fn secrets_are_kept_by_name(bench: &mut Bench) {
    let row = |name: &str, byte| SecretRow {
        name: name.to_owned(),
        sealed: vec![byte; 40],
    };
    bench.ok(Unit {
        secrets: vec![
            row("token/zoho", 1),
            row("secret/b", 2),
            row("secret/a", 3),
            row("secret_x", 4),
        ],
        ..Unit::default()
    });
    bench.ok(Unit {
        secrets: vec![row("secret/a", 5)],
        secrets_deleted: vec!["secret/b".to_owned(), "secret/none".to_owned()],
        ..Unit::default()
    });
    bench.holds(|store| {
        let names = |prefix| store.secret_names(prefix).expect("the store reads");
        let secret = |name| store.secret(name).expect("the store reads");
        assert_eq!(names("secret/"), ["secret/a"]);
        assert_eq!(names(""), ["secret/a", "secret_x", "token/zoho"]);
        assert_eq!(secret("secret/a"), Some(vec![5; 40]));
        assert_eq!(secret("secret/b"), None);
    });
}
