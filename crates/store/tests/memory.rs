//! The in-memory store does what every store must.

use velodrome_store::testkit::{Bench, Subject, differential};
use velodrome_store::{MemoryStore, StorageLimits, conformance_suite};

fn make(limits: StorageLimits) -> Box<dyn Subject> {
    Box::new(MemoryStore::with_limits(limits))
}

conformance_suite!(make);

#[test]
fn a_reopened_store_does_not_differ() {
    for seed in 0..5 {
        let left = Bench::new(make(StorageLimits::default()));
        let mut right = Bench::new(make(StorageLimits::default()));
        differential(seed, 40, &left, &mut right);
    }
}
