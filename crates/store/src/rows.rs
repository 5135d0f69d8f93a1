//! The rows of the store's tables, as every backend sees them.
//!
//! Columns are what a store filters or orders by; all else of a run or a loop is its `record`, bytes
//! that begin with a format version and that the store does not look into.

use velodrome_types::{
    ConnectionId, CycleId, CycleState, LoopId, LoopStatus, RunId, RunStatus, StepId, Timestamp,
};

/// A run. Written whole whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// Its loop.
    pub loop_id: LoopId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Its lap, from 1.
    pub lap: u64,
    /// Where it is.
    pub status: RunStatus,
    /// The step it is at, or ended at.
    pub step: Option<StepId>,
    /// Rises with every change that a late report must not overtake (DESIGN §3).
    pub fence: u64,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// The hash of the plan it runs on; the plan is kept while an unfinished run names it.
    pub plan: String,
    /// Everything else, versioned.
    pub record: Vec<u8>,
}

/// A loop. Written whole whenever it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopRow {
    /// Its id.
    pub id: LoopId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Where it is.
    pub status: LoopStatus,
    /// How many laps it has begun.
    pub laps: u64,
    /// How many records its lists have brought.
    pub records: u64,
    /// When its first lap was accepted.
    pub started: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Everything else, versioned.
    pub record: Vec<u8>,
}

/// A timer: the run is to be woken then. A run has one at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerRow {
    /// When it is due.
    pub due: Timestamp,
    /// Whom it wakes.
    pub run: RunId,
}

/// The operator's word on a cycle; it survives restarts and edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CycleRow {
    /// The cycle.
    pub cycle: CycleId,
    /// `Running`, `Finishing`, `Paused` or `Stopped`; never a state that follows from files.
    pub state: CycleState,
}

/// How far a cycle's schedule has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScheduleRow {
    /// The cycle.
    pub cycle: CycleId,
    /// The schedule that this is about, as a text: another one begins to count anew.
    pub rule: String,
    /// What is due up to this moment has been started or passed over.
    pub passed: Timestamp,
}

/// A checked plan as it was when runs began on it: the source texts, versioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanRow {
    /// The hash of cycle file, scripts and connector definitions together.
    pub hash: String,
    /// The cycle.
    pub cycle: CycleId,
    /// What it takes to build the plan again, versioned.
    pub body: Vec<u8>,
}

/// Which script storage: shared by all cycles on a connection, by one cycle on it, or by one loop.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Namespace {
    /// `cyclr_storage_*`.
    Connection(ConnectionId),
    /// `cycle_storage_*`.
    Cycle(ConnectionId, CycleId),
    /// `loop_storage_*`.
    Loop(ConnectionId, LoopId),
}

/// A value of script storage, with who wrote it last.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredValue {
    /// The value; any JSON.
    pub value: velodrome_types::Json,
    /// The loop that wrote it last; `None` for the command line.
    pub written_by: Option<LoopId>,
}

/// The remembered answer to a webhook with an idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyRow {
    /// The hook, `cycle` or `cycle/step`.
    pub hook: String,
    /// The key.
    pub key: String,
    /// SHA-256 of the body it came with.
    pub body_hash: [u8; 32],
    /// The answer's HTTP status.
    pub status: u16,
    /// The answer's body.
    pub answer: Vec<u8>,
    /// When it may be forgotten.
    pub expires: Timestamp,
}

/// A run that waits at a webhook for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitRow {
    /// The run.
    pub run: RunId,
    /// Its loop.
    pub loop_id: LoopId,
    /// The webhook, `cycle/step`.
    pub hook: String,
    /// The names of the fields by which a request is told to be for it, as one text.
    pub fields: String,
    /// A hash of what they must be.
    pub key: [u8; 16],
}

/// The run that a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitFound {
    /// Its place in the order in which runs began to wait.
    pub place: u64,
    /// The run.
    pub run: RunId,
    /// Its loop.
    pub loop_id: LoopId,
    /// Whether it waits still.
    pub open: bool,
}

/// The notice of a failed run that has not been delivered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// The run that failed.
    pub run: RunId,
    /// Tells one failing of the run from the next.
    pub number: u64,
    /// Its cycle.
    pub cycle: CycleId,
    /// When it is to be delivered next.
    pub due: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// What is told, versioned.
    pub record: Vec<u8>,
}

/// A secret or a token, sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRow {
    /// `secret/NAME`, `token/CONNECTION` or `client/CONNECTION`.
    pub name: String,
    /// Sealed with the data folder's key ([`crate::SealKey`]).
    pub sealed: Vec<u8>,
}
