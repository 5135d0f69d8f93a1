//! What one commit carries.

use velodrome_types::{CycleId, Json, LogLine, LoopId, RunId, StepId, Timestamp};

use crate::rows::{
    CycleRow, IdempotencyRow, LoopRow, Namespace, OutboxRow, PlanRow, RunRow, ScheduleRow,
    SecretRow, WaitRow,
};

/// One unit: applied whole or not at all, in the order of its fields.
///
/// Several units may share a transaction and an fsync; each stands under its own savepoint, so that a
/// refused one is answered alone (I8).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// What must be true, or the unit is refused with [`crate::CommitError::Conflict`].
    pub expect: Vec<Expect>,
    /// Runs to write.
    pub runs: Vec<RunRow>,
    /// Parts of runs to write, each over the one it replaces.
    pub parts: Vec<PartWrite>,
    /// Loops to write.
    pub loops: Vec<LoopRow>,
    /// Timers to set and clear.
    pub timers: Vec<TimerWrite>,
    /// Script storage, in the order the scripts wrote.
    pub storage: Vec<StorageWrite>,
    /// Runs that begin and end to wait for a request.
    pub waits: Vec<WaitWrite>,
    /// Watermarks.
    pub watermarks: Vec<WatermarkWrite>,
    /// Remembered answers.
    pub idempotency: Vec<IdempotencyWrite>,
    /// Notices of failed runs.
    pub outbox: Vec<OutboxWrite>,
    /// Plans that runs of this unit name; one already there is left as it is.
    pub plans: Vec<PlanRow>,
    /// The operator's word on cycles.
    pub cycles: Vec<CycleRow>,
    /// Cycles of which the operator's word is forgotten, and what their webhooks have answered.
    pub cycles_deleted: Vec<CycleId>,
    /// How far schedules have come.
    pub schedules: Vec<ScheduleWrite>,
    /// Secrets to write.
    pub secrets: Vec<SecretRow>,
    /// Secrets to delete, by name.
    pub secrets_deleted: Vec<String>,
    /// Log lines; the store gives each its `seq`.
    pub lines: Vec<LogLine>,
    /// What is no longer kept.
    pub forget: Vec<Forget>,
}

impl Unit {
    /// Whether it takes something away and adds nothing: a full disk has room for it.
    pub fn only_deletes(&self) -> bool {
        let Self {
            expect: _,
            runs,
            parts,
            loops,
            timers,
            storage,
            waits,
            watermarks,
            idempotency,
            outbox,
            plans,
            cycles,
            cycles_deleted,
            schedules,
            secrets,
            secrets_deleted,
            lines,
            forget,
        } = self;
        let deletes =
            |write: &StorageWrite| matches!(write.op, StorageOp::Delete(_) | StorageOp::DeleteAll);
        let gone = |write: &ScheduleWrite| matches!(write, ScheduleWrite::Remove(_));
        let told = |write: &OutboxWrite| matches!(write, OutboxWrite::Remove(..));
        let adds_nothing = runs.is_empty()
            && parts.is_empty()
            && loops.is_empty()
            && timers.is_empty()
            && waits.is_empty()
            && watermarks.is_empty()
            && idempotency.is_empty()
            && plans.is_empty()
            && cycles.is_empty()
            && secrets.is_empty()
            && lines.is_empty()
            && schedules.iter().all(gone)
            && outbox.iter().all(told)
            && storage.iter().all(deletes);
        let deletes_nothing = forget.is_empty()
            && storage.is_empty()
            && outbox.is_empty()
            && schedules.is_empty()
            && cycles_deleted.is_empty()
            && secrets_deleted.is_empty();
        adds_nothing && !deletes_nothing
    }
}

/// What is no longer kept. Each takes away at most [`FORGOTTEN_AT_ONCE`] runs and as much of the log, the
/// oldest first, so that no commit waits long for it: said again, it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forget {
    /// Finished runs of a loop whose lap is below this one, with their parts and what the log tells of
    /// laps below it alone.
    Laps {
        /// The loop.
        of: LoopId,
        /// The oldest lap that is kept.
        below: u64,
    },
    /// A loop that has ended: its runs, and behind the last of them its log lines and the loop itself. One
    /// that has not ended is left as it is. What its scripts stored is deleted as storage is.
    Loop(LoopId),
    /// Log lines before this moment that are about no loop.
    Lines {
        /// The oldest that is kept.
        before: Timestamp,
    },
}

/// How many runs and rows of the log one [`Forget`] takes away: about ten milliseconds' work.
pub const FORGOTTEN_AT_ONCE: usize = 500;

/// What a unit takes for granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The stored run has this fence.
    RunFence(RunId, u64),
    /// No such run is stored yet.
    NoRun(RunId),
    /// The stored loop has not ended.
    LoopOpen(LoopId),
    /// No unexpired answer is remembered for (hook, key) at this time.
    NoAnswer(String, String, Timestamp),
}

/// Writes what is kept of a run, or of a loop, beside its row, in numbered parts: what changes often while the row,
/// which may be large, does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartWrite {
    /// Puts the part of this number.
    Put(RunId, u64, Vec<u8>),
    /// Forgets the run's parts from this number on.
    Clear(RunId, u64),
    /// Puts the part of this number of what is kept of a loop. It goes with the loop.
    PutOfLoop(LoopId, u64, Vec<u8>),
    /// Forgets the loop's parts below this number.
    ForgetOfLoop(LoopId, u64),
}

/// Sets or clears a run's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerWrite {
    /// Wake the run then; replaces the one it had.
    Set(RunId, Timestamp),
    /// Forget the run's timer, if it has one.
    Clear(RunId),
}

/// Says that a run waits at a webhook for a request, or does no more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitWrite {
    /// It waits there, and is the newest that does.
    Begin(WaitRow),
    /// It waits there no more. That it did is known as long as the run is.
    End(RunId, String),
}

/// Puts or removes the notice of a failed run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutboxWrite {
    /// Puts it behind all others; one of the same run and number is replaced where it stands.
    Put(OutboxRow),
    /// Removes it, if it is there.
    Remove(RunId, u64),
}

/// One write of a script.
#[derive(Clone, Debug, PartialEq)]
pub struct StorageWrite {
    /// Which storage.
    pub namespace: Namespace,
    /// The loop that writes; `None` for the command line.
    pub by: Option<LoopId>,
    /// What is done.
    pub op: StorageOp,
}

/// What a script did to its storage. The last three apply to the committed value, so that two writers
/// lose nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum StorageOp {
    /// Puts the value under the key.
    Set(String, Json),
    /// Removes the key.
    Delete(String),
    /// Removes every key.
    DeleteAll,
    /// Adds to the number under the key; a missing key counts as 0, numeric text as its number.
    /// A value that is no number makes the unit refused with [`crate::CommitError::Storage`].
    /// Whole numbers stay whole while both sides are and the sum fits 64 bits.
    Increment(String, f64),
    /// Joins: text behind text (other values as their JSON text), an item behind a list. A missing key
    /// becomes the value itself.
    Append(String, Json),
}

/// Changes a list step's last successful run date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatermarkWrite {
    /// Moves it forward to this date, or leaves a later one as it is.
    Raise(CycleId, StepId, Timestamp),
    /// Sets it, whatever it was: a person's word.
    Set(CycleId, StepId, Timestamp),
    /// Forgets it.
    Unset(CycleId, StepId),
}

/// Says how far a cycle's schedule has come, or forgets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleWrite {
    /// Puts it, over what was said before.
    Put(ScheduleRow),
    /// Forgets it: the cycle has no schedule any more.
    Remove(CycleId),
}

/// Remembers an answer.
pub type IdempotencyWrite = IdempotencyRow;

/// What a completed commit tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The commit's place in the order of all commits; rises for ever.
    pub order: u64,
    /// The last log line's `seq` after this unit, whether or not it had lines itself.
    pub last_seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removing_a_notice_only_deletes_and_putting_one_does_not() {
        let run = RunId::from_bytes([1; 16]);
        let with = |write| Unit {
            outbox: vec![write],
            ..Unit::default()
        };
        assert!(with(OutboxWrite::Remove(run, 1)).only_deletes());
        let row = OutboxRow {
            run,
            number: 1,
            cycle: "alpha".into(),
            due: Timestamp::from_millis(0),
            attempts: 0,
            record: Vec::new(),
        };
        assert!(!with(OutboxWrite::Put(row)).only_deletes());
        let and_more = Unit {
            secrets: vec![SecretRow {
                name: "secret/a".to_owned(),
                sealed: Vec::new(),
            }],
            ..with(OutboxWrite::Remove(run, 1))
        };
        assert!(!and_more.only_deletes());
        assert!(!Unit::default().only_deletes());
    }
}
