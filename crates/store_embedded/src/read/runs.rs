//! Runs and timers.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, params_from_iter};
use velodrome_store::{
    IdSuffix, Page, PageRequest, RunFilter, RunRow, Runs, Standing, StoreError, TimerRow,
};
use velodrome_types::{CycleId, LoopId, RunId, StepId, Timestamp};

use super::listing::{ListQuery, StatusTerm, count_bound, cut_page, no_page, place_bound};
use super::standing::standing;
use crate::journal::{NameId, NameTable, of_sqlite, run_status, run_status_number};
use crate::open::EmbeddedStore;

const COLUMNS: &str =
    "place, id, loop, cycle, lap, status, step, fence, created, updated, plan, record";

/// The columns as they are stored.
struct Columns {
    place: i64,
    id: [u8; 16],
    loop_id: [u8; 16],
    cycle: NameId,
    lap: i64,
    status: i64,
    step: Option<NameId>,
    fence: i64,
    created: i64,
    updated: i64,
    plan: NameId,
    record: Vec<u8>,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            place: row.get(0)?,
            id: row.get(1)?,
            loop_id: row.get(2)?,
            cycle: row.get(3)?,
            lap: row.get(4)?,
            status: row.get(5)?,
            step: row.get(6)?,
            fence: row.get(7)?,
            created: row.get(8)?,
            updated: row.get(9)?,
            plan: row.get(10)?,
            record: row.get(11)?,
        })
    }

    fn into_row(self, names: &NameTable) -> Result<(u64, RunRow), StoreError> {
        let step = self.step.map(|step| names.text(step)).transpose()?;
        let row = RunRow {
            id: RunId::from_bytes(self.id),
            loop_id: LoopId::from_bytes(self.loop_id),
            cycle: CycleId::new(names.text(self.cycle)?),
            lap: self.lap.cast_unsigned(),
            status: run_status(self.status)?,
            step: step.map(StepId::new),
            fence: self.fence.cast_unsigned(),
            created: Timestamp::from_millis(self.created),
            updated: Timestamp::from_millis(self.updated),
            plan: names.text(self.plan)?.to_string(),
            record: self.record,
        };
        Ok((self.place.cast_unsigned(), row))
    }
}

impl EmbeddedStore {
    fn run_rows(&self, sql: &str, values: Vec<Value>) -> Result<Vec<(u64, RunRow)>, StoreError> {
        self.shared().readers.read(|conn| {
            let mut statement = conn.prepare_cached(sql).map_err(of_sqlite)?;
            let mut rows = statement
                .query(params_from_iter(values))
                .map_err(of_sqlite)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let columns = Columns::read(row).map_err(of_sqlite)?;
                found.push(columns.into_row(&self.shared().names)?);
            }
            Ok(found)
        })
    }
}

impl Runs for EmbeddedStore {
    fn run(&self, id: RunId) -> Result<Option<RunRow>, StoreError> {
        let columns = self.shared().readers.read(|conn| {
            conn.prepare_cached(&format!("SELECT {COLUMNS} FROM runs WHERE id = ?1"))
                .and_then(|mut statement| {
                    statement
                        .query_row([id.as_bytes()], Columns::read)
                        .optional()
                })
                .map_err(of_sqlite)
        })?;
        let row = columns.map(|columns| columns.into_row(&self.shared().names));
        Ok(row.transpose()?.map(|(_, row)| row))
    }

    fn runs(&self, filter: &RunFilter, page: PageRequest) -> Result<Page<RunRow>, StoreError> {
        let mut terms = Vec::new();
        let mut values = Vec::new();
        let status = StatusTerm::of(filter.status.iter().map(|s| run_status_number(*s)));
        if let Some(id) = &filter.loop_id {
            terms.push("loop = ?".to_owned());
            values.push(Value::Blob(id.as_bytes().to_vec()));
        }
        if let Some(cycle) = &filter.cycle {
            let Some(cycle) = self.shared().names.find(cycle.as_str()) else {
                return Ok(no_page());
            };
            // A plus keeps SQLite from the wider index where a narrower one applies.
            let narrower = filter.loop_id.is_some() || status.is_narrow();
            let plus = if narrower { "+" } else { "" };
            terms.push(format!("{plus}cycle = ?"));
            values.push(Value::Integer(cycle));
        }
        if let Some(since) = filter.since {
            terms.push("created >= ?".to_owned());
            values.push(Value::Integer(since.as_millis()));
        }
        terms.extend(status.text);
        let query = ListQuery {
            columns: COLUMNS,
            table: "runs",
            terms,
            values,
            page,
        };
        let limit = query.limit();
        let (sql, values) = query.build();
        Ok(cut_page(self.run_rows(&sql, values)?, limit))
    }

    /// Reads the ids alone, which lie together in their index, and compares their last bytes: no index
    /// that every run would pay for. A million take about a tenth of a second.
    fn runs_ending(&self, suffix: &str) -> Result<Vec<RunId>, StoreError> {
        let found = self.ids_ending("runs", RunId::PREFIX, suffix)?;
        Ok(found.into_iter().map(RunId::from_bytes).collect())
    }

    fn unfinished(&self, after: u64, limit: usize) -> Result<Vec<(u64, RunRow)>, StoreError> {
        self.run_rows(
            &format!(
                "SELECT {COLUMNS} FROM runs WHERE status < 3 AND place > ? ORDER BY place LIMIT ?"
            ),
            vec![
                Value::Integer(place_bound(after)),
                Value::Integer(count_bound(limit)),
            ],
        )
    }

    fn standing(&self) -> Result<Standing, StoreError> {
        standing(self)
    }

    fn parts(&self, run: RunId) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT part, body FROM parts WHERE run = ?1 ORDER BY part")
                .map_err(of_sqlite)?;
            let rows = statement
                .query_map([run.as_bytes()], |row| {
                    Ok((i64::cast_unsigned(row.get(0)?), row.get(1)?))
                })
                .map_err(of_sqlite)?;
            rows.collect::<Result<_, _>>().map_err(of_sqlite)
        })
    }

    fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<TimerRow>, StoreError> {
        self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT due, run FROM timers WHERE due <= ?1 ORDER BY due, run LIMIT ?2",
                )
                .map_err(of_sqlite)?;
            let rows = statement
                .query_map((until.as_millis(), count_bound(limit)), |row| {
                    Ok(TimerRow {
                        due: Timestamp::from_millis(row.get(0)?),
                        run: RunId::from_bytes(row.get(1)?),
                    })
                })
                .map_err(of_sqlite)?;
            rows.collect::<Result<_, _>>().map_err(of_sqlite)
        })
    }
}

impl EmbeddedStore {
    /// Two ids at the most, the newest accepted first.
    pub(super) fn ids_ending(
        &self,
        table: &str,
        prefix: &str,
        suffix: &str,
    ) -> Result<Vec<[u8; 16]>, StoreError> {
        let Some(suffix) = IdSuffix::parse(prefix, suffix) else {
            return Ok(Vec::new());
        };
        let last = suffix.last_bytes();
        // Where the suffix is so short that most ids may match, the newest rows are looked at first.
        let sql = if last.is_empty() {
            format!("SELECT id, place FROM {table} ORDER BY place DESC")
        } else {
            format!(
                "SELECT id, place FROM {table} INDEXED BY {table}_id WHERE substr(id, -{}) = ?1",
                last.len()
            )
        };
        let sorted = last.is_empty();
        let values = if sorted { Vec::new() } else { vec![last] };
        let mut found: Vec<(i64, [u8; 16])> = self.shared().readers.read(|conn| {
            let mut statement = conn.prepare_cached(&sql).map_err(of_sqlite)?;
            let mut rows = statement
                .query(params_from_iter(values))
                .map_err(of_sqlite)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let id: [u8; 16] = row.get(0).map_err(of_sqlite)?;
                if suffix.matches(&id) {
                    found.push((row.get(1).map_err(of_sqlite)?, id));
                }
                if sorted && found.len() == 2 {
                    break;
                }
            }
            Ok(found)
        })?;
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().take(2).map(|(_, id)| id).collect())
    }
}
