//! Writes to the tables of runs, loops, timers and what is small.

use rusqlite::params;
use velodrome_store::{
    CycleRow, IdempotencyRow, LoopRow, OutboxWrite, PartWrite, PlanRow, RunRow, ScheduleWrite,
    SecretRow, TimerWrite, WaitWrite, WatermarkWrite,
};
use velodrome_types::{CycleId, Timestamp};

use super::unit::UnitWriter;
use crate::journal::{cycle_state_number, loop_parts_key, loop_status_number, run_status_number};

/// Answers that expired so long before the present question are deleted, some at a time: a day, so
/// that no clock that was wrong for a while makes the store forget.
const FORGET_AFTER_MS: i64 = 24 * 60 * 60 * 1000;
const FORGET_AT_ONCE: u32 = 16;

impl UnitWriter<'_> {
    /// Cycle and loop of a run do not change, and leaving their indexes alone is most of the cost of an
    /// update; where they do, the row is written by the second statement.
    pub(super) fn write_run(&mut self, row: &RunRow) -> rusqlite::Result<()> {
        let cycle = self.names.intern(self.conn, row.cycle.as_str())?;
        let plan = self.names.intern(self.conn, &row.plan)?;
        let step = match &row.step {
            Some(step) => Some(self.names.intern(self.conn, step.as_str())?),
            None => None,
        };
        let values = params![
            row.id.as_bytes(),
            row.loop_id.as_bytes(),
            cycle,
            row.lap.cast_signed(),
            run_status_number(row.status),
            step,
            row.fence.cast_signed(),
            row.created.as_millis(),
            row.updated.as_millis(),
            plan,
            row.record,
        ];
        let updated = self
            .conn
            .prepare_cached(
                "UPDATE runs SET lap = ?4, status = ?5, step = ?6, fence = ?7, created = ?8,
                 updated = ?9, plan = ?10, record = ?11
                 WHERE id = ?1 AND loop = ?2 AND cycle = ?3",
            )?
            .execute(values)?;
        if updated == 1 {
            return Ok(());
        }
        self.counters.places += 1;
        let place = self.counters.places.cast_signed();
        self.conn
            .prepare_cached(
                "INSERT INTO runs (place, id, loop, cycle, lap, status, step, fence, created,
                 updated, plan, record)
                 VALUES (?12, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
                 ON CONFLICT (id) DO UPDATE SET loop = ?2, cycle = ?3, lap = ?4, status = ?5,
                 step = ?6, fence = ?7, created = ?8, updated = ?9, plan = ?10, record = ?11",
            )?
            .execute(params![
                row.id.as_bytes(),
                row.loop_id.as_bytes(),
                cycle,
                row.lap.cast_signed(),
                run_status_number(row.status),
                step,
                row.fence.cast_signed(),
                row.created.as_millis(),
                row.updated.as_millis(),
                plan,
                row.record,
                place,
            ])?;
        Ok(())
    }

    pub(super) fn write_loop(&mut self, row: &LoopRow) -> rusqlite::Result<()> {
        let cycle = self.names.intern(self.conn, row.cycle.as_str())?;
        let updated = self
            .conn
            .prepare_cached(
                "UPDATE loops SET status = ?3, laps = ?4, records = ?5, started = ?6,
                 updated = ?7, record = ?8 WHERE id = ?1 AND cycle = ?2",
            )?
            .execute(params![
                row.id.as_bytes(),
                cycle,
                loop_status_number(row.status),
                row.laps.cast_signed(),
                row.records.cast_signed(),
                row.started.as_millis(),
                row.updated.as_millis(),
                row.record,
            ])?;
        if updated == 1 {
            return Ok(());
        }
        self.counters.places += 1;
        self.conn
            .prepare_cached(
                "INSERT INTO loops (id, cycle, status, laps, records, started, updated, record,
                 place) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (id) DO UPDATE SET cycle = ?2, status = ?3, laps = ?4, records = ?5,
                 started = ?6, updated = ?7, record = ?8",
            )?
            .execute(params![
                row.id.as_bytes(),
                cycle,
                loop_status_number(row.status),
                row.laps.cast_signed(),
                row.records.cast_signed(),
                row.started.as_millis(),
                row.updated.as_millis(),
                row.record,
                self.counters.places.cast_signed(),
            ])?;
        Ok(())
    }

    pub(super) fn write_part(&self, write: &PartWrite) -> rusqlite::Result<()> {
        match write {
            PartWrite::Put(run, number, body) => self
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO parts (run, part, body) VALUES (?1, ?2, ?3)",
                )?
                .execute((run.as_bytes(), number.cast_signed(), body)),
            PartWrite::Clear(run, from) => self
                .conn
                .prepare_cached("DELETE FROM parts WHERE run = ?1 AND part >= ?2")?
                .execute((run.as_bytes(), from.cast_signed())),
            PartWrite::PutOfLoop(id, number, body) => self
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO parts (run, part, body) VALUES (?1, ?2, ?3)",
                )?
                .execute((loop_parts_key(*id), number.cast_signed(), body)),
            PartWrite::ForgetOfLoop(id, below) => self
                .conn
                .prepare_cached("DELETE FROM parts WHERE run = ?1 AND part < ?2")?
                .execute((
                    loop_parts_key(*id),
                    i64::try_from(*below).unwrap_or(i64::MAX),
                )),
        }?;
        Ok(())
    }

    pub(super) fn write_timer(&self, write: TimerWrite) -> rusqlite::Result<()> {
        match write {
            TimerWrite::Set(run, due) => self
                .conn
                .prepare_cached("INSERT OR REPLACE INTO timers (run, due) VALUES (?1, ?2)")?
                .execute((run.as_bytes(), due.as_millis())),
            TimerWrite::Clear(run) => self
                .conn
                .prepare_cached("DELETE FROM timers WHERE run = ?1")?
                .execute([run.as_bytes()]),
        }?;
        Ok(())
    }

    /// A place is one behind the last that is taken: those that are there keep their order.
    pub(super) fn write_wait(&self, write: &WaitWrite) -> rusqlite::Result<()> {
        match write {
            WaitWrite::Begin(row) => self
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO waits (run, hook, loop, fields, key, open)
                     VALUES (?1, ?2, ?3, ?4, ?5, 1)",
                )?
                .execute(params![
                    row.run.as_bytes(),
                    row.hook,
                    row.loop_id.as_bytes(),
                    row.fields,
                    row.key,
                ]),
            WaitWrite::End(run, hook) => self
                .conn
                .prepare_cached("UPDATE waits SET open = 0 WHERE run = ?1 AND hook = ?2")?
                .execute((run.as_bytes(), hook)),
        }?;
        Ok(())
    }

    pub(super) fn write_watermark(&self, write: &WatermarkWrite) -> rusqlite::Result<()> {
        match write {
            WatermarkWrite::Raise(cycle, step, date) => self
                .conn
                .prepare_cached(
                    "INSERT INTO watermarks (cycle, step, date) VALUES (?1, ?2, ?3)
                     ON CONFLICT DO UPDATE SET date = max(date, excluded.date)",
                )?
                .execute((cycle.as_str(), step.as_str(), date.as_millis())),
            WatermarkWrite::Set(cycle, step, date) => self
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO watermarks (cycle, step, date) VALUES (?1, ?2, ?3)",
                )?
                .execute((cycle.as_str(), step.as_str(), date.as_millis())),
            WatermarkWrite::Unset(cycle, step) => self
                .conn
                .prepare_cached("DELETE FROM watermarks WHERE cycle = ?1 AND step = ?2")?
                .execute((cycle.as_str(), step.as_str())),
        }?;
        Ok(())
    }

    /// Remembers answers, and forgets a few that expired long before `now`.
    pub(super) fn write_answers(
        &self,
        rows: &[IdempotencyRow],
        now: Option<Timestamp>,
    ) -> rusqlite::Result<()> {
        if let Some(now) = now {
            self.conn
                .prepare_cached(
                    "DELETE FROM answers WHERE (hook, key) IN
                     (SELECT hook, key FROM answers WHERE expires < ?1 LIMIT ?2)",
                )?
                .execute((
                    now.as_millis().saturating_sub(FORGET_AFTER_MS),
                    FORGET_AT_ONCE,
                ))?;
        }
        for row in rows {
            self.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO answers (hook, key, body_hash, status, answer, expires)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute(params![
                    row.hook,
                    row.key,
                    row.body_hash,
                    row.status,
                    row.answer,
                    row.expires.as_millis(),
                ])?;
        }
        Ok(())
    }

    /// A place is one behind the last that is taken: those that are there keep their order.
    pub(super) fn write_outbox(&self, write: &OutboxWrite) -> rusqlite::Result<()> {
        match write {
            OutboxWrite::Put(row) => {
                let cycle = self.names.intern(self.conn, row.cycle.as_str())?;
                self.conn
                    .prepare_cached(
                        "INSERT INTO outbox (run, number, cycle, due, attempts, record)
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                         ON CONFLICT (run, number) DO UPDATE SET cycle = ?3, due = ?4,
                         attempts = ?5, record = ?6",
                    )?
                    .execute(params![
                        row.run.as_bytes(),
                        row.number.cast_signed(),
                        cycle,
                        row.due.as_millis(),
                        row.attempts,
                        row.record,
                    ])
            }
            OutboxWrite::Remove(run, number) => self
                .conn
                .prepare_cached("DELETE FROM outbox WHERE run = ?1 AND number = ?2")?
                .execute((run.as_bytes(), number.cast_signed())),
        }?;
        Ok(())
    }

    pub(super) fn write_plan(&self, row: &PlanRow) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT OR IGNORE INTO plans (hash, cycle, body) VALUES (?1, ?2, ?3)")?
            .execute((&row.hash, row.cycle.as_str(), &row.body))?;
        Ok(())
    }

    pub(super) fn write_cycle(&self, row: &CycleRow) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO cycles (cycle, state) VALUES (?1, ?2)")?
            .execute((row.cycle.as_str(), cycle_state_number(row.state)))?;
        Ok(())
    }

    pub(super) fn delete_cycle(&self, cycle: &CycleId) -> rusqlite::Result<()> {
        let cycle = cycle.as_str();
        self.conn
            .prepare_cached("DELETE FROM cycles WHERE cycle = ?1")?
            .execute([cycle])?;
        // `0` is what follows `/`: all hooks that begin with the cycle and a slash.
        self.conn
            .prepare_cached("DELETE FROM answers WHERE hook = ?1 OR (hook >= ?2 AND hook < ?3)")?
            .execute((cycle, format!("{cycle}/"), format!("{cycle}0")))?;
        Ok(())
    }

    pub(super) fn write_schedule(&self, write: &ScheduleWrite) -> rusqlite::Result<()> {
        match write {
            ScheduleWrite::Put(row) => self
                .conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO schedules (cycle, rule, passed) VALUES (?1, ?2, ?3)",
                )?
                .execute((row.cycle.as_str(), &row.rule, row.passed.as_millis())),
            ScheduleWrite::Remove(cycle) => self
                .conn
                .prepare_cached("DELETE FROM schedules WHERE cycle = ?1")?
                .execute([cycle.as_str()]),
        }?;
        Ok(())
    }

    pub(super) fn write_secret(&self, row: &SecretRow) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("INSERT OR REPLACE INTO secrets (name, sealed) VALUES (?1, ?2)")?
            .execute((&row.name, &row.sealed))?;
        Ok(())
    }

    pub(super) fn delete_secret(&self, name: &str) -> rusqlite::Result<()> {
        self.conn
            .prepare_cached("DELETE FROM secrets WHERE name = ?1")?
            .execute([name])?;
        Ok(())
    }
}
