//! Loops.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, params_from_iter};
use velodrome_store::{LoopFilter, LoopRow, Loops, Page, PageRequest, StoreError};
use velodrome_types::{CycleId, LoopId, LoopStatus, Timestamp};

use super::listing::{ListQuery, StatusTerm, cut_page, no_page};
use crate::journal::{
    NameId, NameTable, loop_parts_key, loop_status, loop_status_number, of_sqlite,
};
use crate::open::EmbeddedStore;

const COLUMNS: &str = "place, id, cycle, status, laps, records, started, updated, record";

/// The columns as they are stored.
struct Columns {
    place: i64,
    id: [u8; 16],
    cycle: NameId,
    status: i64,
    laps: i64,
    records: i64,
    started: i64,
    updated: i64,
    record: Vec<u8>,
}

impl Columns {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            place: row.get(0)?,
            id: row.get(1)?,
            cycle: row.get(2)?,
            status: row.get(3)?,
            laps: row.get(4)?,
            records: row.get(5)?,
            started: row.get(6)?,
            updated: row.get(7)?,
            record: row.get(8)?,
        })
    }

    fn into_row(self, names: &NameTable) -> Result<(u64, LoopRow), StoreError> {
        let row = LoopRow {
            id: LoopId::from_bytes(self.id),
            cycle: CycleId::new(names.text(self.cycle)?),
            status: loop_status(self.status)?,
            laps: self.laps.cast_unsigned(),
            records: self.records.cast_unsigned(),
            started: Timestamp::from_millis(self.started),
            updated: Timestamp::from_millis(self.updated),
            record: self.record,
        };
        Ok((self.place.cast_unsigned(), row))
    }
}

impl EmbeddedStore {
    fn one_loop(&self, sql: &str, value: Value) -> Result<Option<LoopRow>, StoreError> {
        let columns = self.shared().readers.read(|conn| {
            conn.prepare_cached(sql)
                .and_then(|mut statement| statement.query_row([value], Columns::read).optional())
                .map_err(of_sqlite)
        })?;
        let row = columns.map(|columns| columns.into_row(&self.shared().names));
        Ok(row.transpose()?.map(|(_, row)| row))
    }
}

impl Loops for EmbeddedStore {
    fn loop_row(&self, id: LoopId) -> Result<Option<LoopRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM loops WHERE id = ?1");
        self.one_loop(&sql, Value::Blob(id.as_bytes().to_vec()))
    }

    fn loops(&self, filter: &LoopFilter, page: PageRequest) -> Result<Page<LoopRow>, StoreError> {
        let mut terms = Vec::new();
        let mut values = Vec::new();
        let status = StatusTerm::of(filter.status.iter().map(|s| loop_status_number(*s)));
        if let Some(cycle) = &filter.cycle {
            let Some(cycle) = self.shared().names.find(cycle.as_str()) else {
                return Ok(no_page());
            };
            let plus = if status.is_narrow() { "+" } else { "" };
            terms.push(format!("{plus}cycle = ?"));
            values.push(Value::Integer(cycle));
        }
        if let Some(since) = filter.since {
            terms.push("started >= ?".to_owned());
            values.push(Value::Integer(since.as_millis()));
        }
        terms.extend(status.text);
        let query = ListQuery {
            columns: COLUMNS,
            table: "loops",
            terms,
            values,
            page,
        };
        let limit = query.limit();
        let (sql, values) = query.build();
        let rows = self.shared().readers.read(|conn| {
            let mut statement = conn.prepare_cached(&sql).map_err(of_sqlite)?;
            let mut rows = statement
                .query(params_from_iter(values))
                .map_err(of_sqlite)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let columns = Columns::read(row).map_err(of_sqlite)?;
                found.push(columns.into_row(&self.shared().names)?);
            }
            Ok(found)
        })?;
        Ok(cut_page(rows, limit))
    }

    /// As for runs: the ids alone are read.
    fn loop_parts(&self, id: LoopId) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT part, body FROM parts WHERE run = ?1 ORDER BY part")
                .map_err(of_sqlite)?;
            let rows = statement
                .query_map([loop_parts_key(id)], |row| {
                    Ok((i64::cast_unsigned(row.get(0)?), row.get(1)?))
                })
                .map_err(of_sqlite)?;
            rows.collect::<Result<_, _>>().map_err(of_sqlite)
        })
    }

    fn loops_ending(&self, suffix: &str) -> Result<Vec<LoopId>, StoreError> {
        let found = self.ids_ending("loops", LoopId::PREFIX, suffix)?;
        Ok(found.into_iter().map(LoopId::from_bytes).collect())
    }

    fn first_queued(&self, cycle: &CycleId) -> Result<Option<LoopRow>, StoreError> {
        let Some(cycle) = self.shared().names.find(cycle.as_str()) else {
            return Ok(None);
        };
        let queued = loop_status_number(LoopStatus::Queued);
        let sql = format!(
            "SELECT {COLUMNS} FROM loops INDEXED BY loops_queued
             WHERE cycle = ?1 AND status = {queued} ORDER BY place LIMIT 1"
        );
        self.one_loop(&sql, Value::Integer(cycle))
    }

    fn open_loops(&self, cycle: &CycleId) -> Result<Vec<(LoopStatus, u64)>, StoreError> {
        let Some(cycle) = self.shared().names.find(cycle.as_str()) else {
            return Ok(Vec::new());
        };
        self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT status, count(*) FROM loops INDEXED BY loops_open
                     WHERE cycle = ?1 AND status < 3 GROUP BY status ORDER BY status",
                )
                .map_err(of_sqlite)?;
            let mut rows = statement.query([cycle]).map_err(of_sqlite)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let status = loop_status(row.get(0).map_err(of_sqlite)?)?;
                let count: i64 = row.get(1).map_err(of_sqlite)?;
                found.push((status, count.cast_unsigned()));
            }
            Ok(found)
        })
    }
}
