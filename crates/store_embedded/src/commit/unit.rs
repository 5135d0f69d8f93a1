//! A unit's writes to the journal. What can refuse it comes first: expectations, then script storage.

use rusqlite::{Connection, OptionalExtension as _};
use thiserror::Error;
use velodrome_store::{CommitError, Expect, StorageLimits, StorageRefusal, StoreError, Unit};
use velodrome_types::{LoopId, RunId, Timestamp};

use crate::journal::{Counters, NameTable, loop_status};
use crate::script_storage::SledWrites;

/// Why a unit is not written.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("{0}")]
    Conflict(String),
    #[error("{0}")]
    Storage(#[from] StorageRefusal),
    #[error("{0}")]
    Damaged(#[from] StoreError),
    /// SQLite failed, and may have rolled back the whole transaction.
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
}

impl Refusal {
    pub(super) fn into_commit_error(self) -> CommitError {
        match self {
            Self::Conflict(why) => CommitError::Conflict(why),
            Self::Storage(refusal) => refusal.into(),
            Self::Damaged(error) => CommitError::Refused(error.to_string()),
            Self::Sqlite(error) => CommitError::Refused(error.to_string()),
        }
    }
}

/// Writes one unit. Before the second write of script storage it is refused before it wrote anything;
/// later, what it wrote is the caller's to take back. An error of SQLite can come at any place.
#[derive(Debug)]
pub(super) struct UnitWriter<'a> {
    pub(super) conn: &'a Connection,
    pub(super) names: &'a NameTable,
    pub(super) limits: &'a StorageLimits,
    /// Its `commits` is the place of this unit already.
    pub(super) counters: &'a mut Counters,
    pub(super) sled: &'a mut SledWrites,
}

impl UnitWriter<'_> {
    pub(super) fn write(mut self, unit: &Unit) -> Result<(), Refusal> {
        for expect in &unit.expect {
            self.check(expect)?;
        }
        for write in &unit.storage {
            self.write_storage(write)?;
        }
        for row in &unit.runs {
            self.write_run(row)?;
        }
        for write in &unit.parts {
            self.write_part(write)?;
        }
        for row in &unit.loops {
            self.write_loop(row)?;
        }
        for write in &unit.timers {
            self.write_timer(*write)?;
        }
        for write in &unit.waits {
            self.write_wait(write)?;
        }
        for write in &unit.watermarks {
            self.write_watermark(write)?;
        }
        if !unit.idempotency.is_empty() {
            let now = unit.expect.iter().find_map(asked_at);
            self.write_answers(&unit.idempotency, now)?;
        }
        for write in &unit.outbox {
            self.write_outbox(write)?;
        }
        for row in &unit.plans {
            self.write_plan(row)?;
        }
        for row in &unit.cycles {
            self.write_cycle(row)?;
        }
        for cycle in &unit.cycles_deleted {
            self.delete_cycle(cycle)?;
        }
        for write in &unit.schedules {
            self.write_schedule(write)?;
        }
        for row in &unit.secrets {
            self.write_secret(row)?;
        }
        for name in &unit.secrets_deleted {
            self.delete_secret(name)?;
        }
        self.write_lines(&unit.lines)?;
        for forget in &unit.forget {
            self.forget(*forget)?;
        }
        Ok(())
    }

    fn check(&self, expect: &Expect) -> Result<(), Refusal> {
        match expect {
            Expect::RunFence(id, fence) => match self.fence(*id)? {
                Some(stored) if stored == *fence => Ok(()),
                Some(stored) => conflict(format!("`{id}` is at fence {stored}, not {fence}")),
                None => conflict(format!("`{id}` is not stored")),
            },
            Expect::NoRun(id) => match self.fence(*id)? {
                None => Ok(()),
                Some(_) => conflict(format!("`{id}` is stored already")),
            },
            Expect::LoopOpen(id) => self.check_open(*id),
            Expect::NoAnswer(hook, key, now) => {
                if self.has_answered(hook, key, *now)? {
                    conflict(format!("`{hook}` has answered `{key}` already"))
                } else {
                    Ok(())
                }
            }
        }
    }

    fn fence(&self, id: RunId) -> rusqlite::Result<Option<u64>> {
        self.conn
            .prepare_cached("SELECT fence FROM runs WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()
            .map(|fence: Option<i64>| fence.map(i64::cast_unsigned))
    }

    fn check_open(&self, id: LoopId) -> Result<(), Refusal> {
        let stored: Option<i64> = self
            .conn
            .prepare_cached("SELECT status FROM loops WHERE id = ?1")?
            .query_row([id.as_bytes()], |row| row.get(0))
            .optional()?;
        match stored.map(loop_status).transpose()? {
            Some(status) if !status.is_final() => Ok(()),
            Some(status) => conflict(format!("`{id}` is {status}")),
            None => conflict(format!("`{id}` is not stored")),
        }
    }

    fn has_answered(&self, hook: &str, key: &str, now: Timestamp) -> rusqlite::Result<bool> {
        self.conn
            .prepare_cached("SELECT 1 FROM answers WHERE hook = ?1 AND key = ?2 AND expires > ?3")?
            .exists((hook, key, now.as_millis()))
    }
}

fn conflict(why: String) -> Result<(), Refusal> {
    Err(Refusal::Conflict(why))
}

fn asked_at(expect: &Expect) -> Option<Timestamp> {
    match expect {
        Expect::NoAnswer(_, _, now) => Some(*now),
        _ => None,
    }
}
