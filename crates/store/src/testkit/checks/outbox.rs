//! What the outbox promises.

use velodrome_types::{CycleId, RunId};

use crate::testkit::{Bench, at, run_id};
use crate::{OutboxRow, OutboxWrite, Store, Unit};

const READ: &str = "the store reads";

fn notice(run: u8, number: u64, cycle: &str, due: i64) -> OutboxRow {
    OutboxRow {
        run: run_id(run),
        number,
        cycle: CycleId::from(cycle),
        due: at(due),
        attempts: 0,
        record: vec![1, run],
    }
}

fn put(bench: &Bench, rows: impl IntoIterator<Item = OutboxRow>) {
    bench.ok(Unit {
        outbox: rows.into_iter().map(OutboxWrite::Put).collect(),
        ..Unit::default()
    });
}

/// Run and number of each head.
fn heads(store: &dyn Store, until: i64) -> Vec<(RunId, u64)> {
    let rows = store.outbox_heads(at(until)).expect(READ);
    rows.iter().map(|row| (row.run, row.number)).collect()
}

/// Of each cycle the first that is due, in the order in which they were put.
pub fn notices_wait_in_order_one_a_cycle(bench: &mut Bench) {
    // Neither ids nor due times rise with the order.
    put(bench, [notice(3, 7, "beta", 20), notice(2, 1, "alpha", 30)]);
    put(bench, [notice(1, 1, "alpha", 10), notice(3, 9, "beta", 5)]);
    bench.holds(|store| {
        assert_eq!(heads(store, 4), []);
        assert_eq!(heads(store, 5), [(run_id(3), 9)]);
        assert_eq!(heads(store, 10), [(run_id(1), 1), (run_id(3), 9)]);
        assert_eq!(heads(store, 20), [(run_id(3), 7), (run_id(1), 1)]);
        assert_eq!(heads(store, 30), [(run_id(3), 7), (run_id(2), 1)]);
        let next = |after| store.outbox_next(at(after)).expect(READ);
        assert_eq!(next(0), Some(at(5)));
        assert_eq!(next(5), Some(at(10)));
        assert_eq!(next(29), Some(at(30)));
        assert_eq!(next(30), None);
        let whole = store.outbox_heads(at(30)).expect(READ);
        assert_eq!(whole, [notice(3, 7, "beta", 20), notice(2, 1, "alpha", 30)]);
    });
}

/// Put again it is changed where it stands; removed it is gone, and may be removed again.
pub fn a_notice_keeps_its_place_until_it_is_removed(bench: &mut Bench) {
    put(bench, [notice(1, 1, "alpha", 1), notice(2, 1, "alpha", 1)]);
    let later = OutboxRow {
        attempts: 4,
        record: vec![9; 3000],
        ..notice(1, 1, "alpha", 50)
    };
    put(bench, [later.clone()]);
    bench.holds(|store| {
        assert_eq!(heads(store, 49), [(run_id(2), 1)]);
        let rows = store.outbox_heads(at(50)).expect(READ);
        assert_eq!(rows, std::slice::from_ref(&later));
    });
    for _ in 0..2 {
        bench.ok(Unit {
            outbox: vec![OutboxWrite::Remove(run_id(1), 1)],
            ..Unit::default()
        });
    }
    bench.holds(|store| assert_eq!(heads(store, 50), [(run_id(2), 1)]));
    // Put anew it is the last.
    put(bench, [notice(1, 1, "alpha", 1)]);
    bench.holds(|store| assert_eq!(heads(store, 50), [(run_id(2), 1)]));
}
