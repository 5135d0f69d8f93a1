//! The small tables: watermarks, remembered answers, plans, cycles, schedules, secrets.

use rusqlite::{Connection, OptionalExtension as _, Params, Row};
use velodrome_store::{
    CycleRow, Cycles, IdempotencyRow, Inbox, PlanRow, Plans, ScheduleRow, Secrets, StoreError,
    Watermarks,
};
use velodrome_types::{CycleId, StepId, Timestamp};

use crate::journal::{cycle_state, of_sqlite};
use crate::open::EmbeddedStore;

fn one<T>(
    conn: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    conn.prepare_cached(sql)
        .and_then(|mut statement| statement.query_row(values, read).optional())
        .map_err(of_sqlite)
}

fn all<T>(
    conn: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(of_sqlite)?;
    let rows = statement.query_map([], read).map_err(of_sqlite)?;
    rows.collect::<Result<_, _>>().map_err(of_sqlite)
}

impl Watermarks for EmbeddedStore {
    fn watermark(&self, cycle: &CycleId, step: &StepId) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT date FROM watermarks WHERE cycle = ?1 AND step = ?2";
        self.shared().readers.read(|conn| {
            one(conn, sql, (cycle.as_str(), step.as_str()), |row| {
                row.get(0).map(Timestamp::from_millis)
            })
        })
    }

    fn watermarks(&self) -> Result<Vec<(CycleId, StepId, Timestamp)>, StoreError> {
        let sql = "SELECT cycle, step, date FROM watermarks ORDER BY cycle, step";
        self.shared().readers.read(|conn| {
            all(conn, sql, |row| {
                let (cycle, step): (String, String) = (row.get(0)?, row.get(1)?);
                let date = Timestamp::from_millis(row.get(2)?);
                Ok((CycleId::new(cycle), StepId::new(step), date))
            })
        })
    }
}

impl Inbox for EmbeddedStore {
    fn answer(
        &self,
        hook: &str,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<IdempotencyRow>, StoreError> {
        let sql = "SELECT body_hash, status, answer, expires FROM answers
                   WHERE hook = ?1 AND key = ?2 AND expires > ?3";
        self.shared().readers.read(|conn| {
            one(conn, sql, (hook, key, now.as_millis()), |row| {
                Ok(IdempotencyRow {
                    hook: hook.to_owned(),
                    key: key.to_owned(),
                    body_hash: row.get(0)?,
                    status: row.get(1)?,
                    answer: row.get(2)?,
                    expires: Timestamp::from_millis(row.get(3)?),
                })
            })
        })
    }
}

impl Plans for EmbeddedStore {
    fn plan(&self, hash: &str) -> Result<Option<PlanRow>, StoreError> {
        let sql = "SELECT cycle, body FROM plans WHERE hash = ?1";
        self.shared().readers.read(|conn| {
            one(conn, sql, [hash], |row| {
                Ok(PlanRow {
                    hash: hash.to_owned(),
                    cycle: CycleId::new(row.get::<_, String>(0)?),
                    body: row.get(1)?,
                })
            })
        })
    }
}

impl Cycles for EmbeddedStore {
    fn cycle_rows(&self) -> Result<Vec<CycleRow>, StoreError> {
        let sql = "SELECT cycle, state FROM cycles ORDER BY cycle";
        let rows: Vec<(String, i64)> = self
            .shared()
            .readers
            .read(|conn| all(conn, sql, |row| Ok((row.get(0)?, row.get(1)?))))?;
        let rows = rows.into_iter().map(|(cycle, state)| {
            Ok(CycleRow {
                cycle: CycleId::new(cycle),
                state: cycle_state(state)?,
            })
        });
        rows.collect()
    }

    fn schedule_rows(&self) -> Result<Vec<ScheduleRow>, StoreError> {
        let sql = "SELECT cycle, rule, passed FROM schedules ORDER BY cycle";
        self.shared().readers.read(|conn| {
            all(conn, sql, |row| {
                Ok(ScheduleRow {
                    cycle: CycleId::new(row.get::<_, String>(0)?),
                    rule: row.get(1)?,
                    passed: Timestamp::from_millis(row.get(2)?),
                })
            })
        })
    }
}

impl Secrets for EmbeddedStore {
    fn secret(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let sql = "SELECT sealed FROM secrets WHERE name = ?1";
        self.shared()
            .readers
            .read(|conn| one(conn, sql, [name], |row| row.get(0)))
    }

    fn secret_names(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let names: Vec<String> = self.shared().readers.read(|conn| {
            all(conn, "SELECT name FROM secrets ORDER BY name", |row| {
                row.get(0)
            })
        })?;
        let wanted = names.into_iter().filter(|name| name.starts_with(prefix));
        Ok(wanted.collect())
    }
}
