//! The embedded store does what every store must, and differs in no read from the one in memory.

use velodrome_store::testkit::{Bench, differential};
use velodrome_store::{MemoryStore, StorageLimits, conformance_suite};

use crate::in_folder::{Boot, InFolder};

/// A crash leaves sled behind; it is caught up.
mod crashes_in_one_boot {
    use super::*;
    conformance_suite!(|limits| InFolder::make(limits, Boot::Same));
}

/// A crash takes the machine with it; sled is built anew.
mod crashes_of_the_machine {
    use super::*;
    conformance_suite!(|limits| InFolder::make(limits, Boot::New));
}

fn differs_in_nothing(seeds: std::ops::Range<u64>, boot: Boot) {
    for seed in seeds {
        let left = Bench::new(Box::new(MemoryStore::new()));
        let mut right = Bench::new(InFolder::make(StorageLimits::default(), boot));
        differential(seed, 40, &left, &mut right);
    }
}

#[test]
fn random_units_differ_in_nothing_from_memory() {
    differs_in_nothing(0..6, Boot::Same);
}

#[test]
fn random_units_differ_in_nothing_when_the_machine_crashes() {
    differs_in_nothing(100..104, Boot::New);
}
