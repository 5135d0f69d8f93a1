//! What the handle, the readers and the committer have in common.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use velodrome_store::StoreStats;
use velodrome_types::BATCH_UNITS;

use crate::commit::Queue;
use crate::journal::NameTable;
use crate::lock::FolderLock;
use crate::read::Readers;
use crate::script_storage::SledSide;

/// How many units transactions had, since the store was opened.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    transactions: AtomicU64,
    units: AtomicU64,
    by_size: [AtomicU64; BATCH_UNITS.len()],
}

impl Batches {
    /// A transaction with so many units is done.
    pub(crate) fn count(&self, units: usize) {
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.units.fetch_add(units as u64, Ordering::Relaxed);
        let fits = |bound: &f64| units as f64 <= *bound;
        if let Some(at) = BATCH_UNITS.iter().position(fits) {
            self.by_size[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The numbers.
    pub(crate) fn stats(&self) -> StoreStats {
        let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
        StoreStats {
            transactions: number(&self.transactions),
            units: number(&self.units),
            batches: self.by_size.each_ref().map(number),
            ..StoreStats::default()
        }
    }
}

/// One open store.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where everything is.
    pub(crate) folder: PathBuf,
    /// Units on their way to the committer.
    pub(crate) queue: Queue,
    /// Names that rows refer to.
    pub(crate) names: NameTable,
    /// How many units shared a transaction.
    pub(crate) batches: Batches,
    /// The newest line's `seq`, of what has been committed.
    pub(crate) last_seq: AtomicU64,
    /// Connections for reading.
    pub(crate) readers: Readers,
    /// What scripts read.
    pub(crate) sled: SledSide,
    /// Taken out when the store is closed.
    pub(crate) lock: Mutex<Option<FolderLock>>,
}
