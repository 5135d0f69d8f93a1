//! What the engine asks of a store, and the in-memory store that shows what the answers mean.
//!
//! Decisions are made above this border; a backend reads and writes rows. Two things carry the load:
//! [`Store::commit`], whose completion says that a unit is durable and visible, and
//! [`Runs::due`], which tells which timers are to fire. No backend type crosses the border.

mod batch;
mod error;
mod key_ring;
mod memory;
mod read;
mod rows;
mod seal;
mod storage_op;
mod suffix;
#[cfg(feature = "testkit")]
pub mod testkit;

pub use batch::{
    Committed, Expect, FORGOTTEN_AT_ONCE, Forget, IdempotencyWrite, OutboxWrite, PartWrite,
    ScheduleWrite, StorageOp, StorageWrite, TimerWrite, Unit, WaitWrite, WatermarkWrite,
};
pub use error::{CommitError, StoreError};
pub use key_ring::{KeyError, KeyRing};
pub use memory::MemoryStore;
pub use read::{
    Commit, Cursor, Cycles, Inbox, LogFilter, LogRead, LoopFilter, Loops, Outbox, Page,
    PageRequest, Plans, Retention, RunFilter, Runs, ScriptStorage, Secrets, Standing, Store,
    StoreStats, Waits, Watermarks,
};
pub use rows::{
    CycleRow, IdempotencyRow, LoopRow, Namespace, OutboxRow, PlanRow, RunRow, ScheduleRow,
    SecretRow, StoredValue, TimerRow, WaitFound, WaitRow,
};
pub use seal::{SealError, SealKey};
pub use storage_op::{StorageLimits, StorageRefusal, apply, nested_deeper};
pub use suffix::IdSuffix;
