//! The run log.

use std::sync::atomic::Ordering;

use rusqlite::types::Value;
use rusqlite::{OptionalExtension as _, Row, params_from_iter};
use velodrome_store::{LogFilter, LogRead, StoreError};
use velodrome_types::{CycleId, LogLine, LoopId};

use super::listing::place_bound;
use crate::journal::{NameId, StretchHead, of_sqlite, unpack};
use crate::open::EmbeddedStore;

/// Stored rows that one look reads: a rare event in a long log is found in several looks, and none holds up the
/// log's file.
const SCAN: i64 = 20_000;

/// The rows that may have wanted lines.
struct Query {
    terms: Vec<&'static str>,
    values: Vec<Value>,
}

impl EmbeddedStore {
    /// `None` when no row can match.
    fn log_query(&self, filter: &LogFilter) -> Result<Option<Query>, StoreError> {
        let mut terms = Vec::new();
        let mut values = Vec::new();
        let mut loop_id = filter.loop_id;
        if let Some(run) = filter.run {
            // A run's lines name its loop, and its bytes stand in their row.
            let stored: Option<[u8; 16]> = self.shared().readers.read(|conn| {
                conn.prepare_cached("SELECT loop FROM runs WHERE id = ?1")
                    .and_then(|mut statement| {
                        statement
                            .query_row([run.as_bytes()], |row| row.get(0))
                            .optional()
                    })
                    .map_err(of_sqlite)
            })?;
            loop_id = loop_id.or(stored.map(LoopId::from_bytes));
            terms.push("instr(lines, ?) > 0");
            values.push(Value::Blob(run.as_bytes().to_vec()));
        }
        if let Some(id) = loop_id {
            terms.push("loop = ?");
            values.push(Value::Blob(id.as_bytes().to_vec()));
        }
        if let Some(cycle) = &filter.cycle {
            let Some(cycle) = self.shared().names.find(cycle.as_str()) else {
                return Ok(None);
            };
            terms.push(if loop_id.is_some() {
                "+cycle = ?"
            } else {
                "cycle = ?"
            });
            values.push(Value::Integer(cycle));
        }
        if let Some(since) = filter.since {
            terms.push("time >= ?");
            values.push(Value::Integer(since.as_millis()));
        }
        Ok(Some(Query { terms, values }))
    }

    /// Adds the last matching lines of the rows before this one, newest first, until `found` has `count`. Gives the
    /// place where earlier rows may be; a rare line in a long log is found in several calls, for none may hold up the
    /// log's file.
    fn tail_window(
        &self,
        before: i64,
        count: usize,
        filter: &LogFilter,
        found: &mut Vec<LogLine>,
    ) -> Result<Option<i64>, StoreError> {
        let Some(mut query) = self.log_query(filter)? else {
            return Ok(None);
        };
        query.terms.push("last_seq < ?");
        query.values.push(Value::Integer(before));
        query.values.push(Value::Integer(SCAN));
        let sql = query.sql("DESC LIMIT ?");
        self.shared().readers.read(|conn| {
            let mut statement = conn.prepare_cached(&sql).map_err(of_sqlite)?;
            let mut rows = statement
                .query(params_from_iter(query.values))
                .map_err(of_sqlite)?;
            let mut earliest = None;
            let mut scanned = 0;
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let (last_seq, lines) = self.lines_of(row)?;
                for line in lines.into_iter().rev() {
                    if filter.matches(&line) {
                        found.push(line);
                    }
                    if found.len() == count {
                        return Ok(None);
                    }
                }
                earliest = Some(last_seq.cast_signed());
                scanned += 1;
            }
            Ok(earliest.filter(|_| scanned == SCAN))
        })
    }

    fn lines_of(&self, row: &Row<'_>) -> Result<(u64, Vec<LogLine>), StoreError> {
        let last_seq: i64 = row.get(0).map_err(of_sqlite)?;
        let cycle: Option<NameId> = row.get(1).map_err(of_sqlite)?;
        let loop_id: Option<[u8; 16]> = row.get(2).map_err(of_sqlite)?;
        let names = &self.shared().names;
        let head = StretchHead {
            last_seq: last_seq.cast_unsigned(),
            cycle: cycle
                .map(|cycle| names.text(cycle))
                .transpose()?
                .map(CycleId::new),
            loop_id: loop_id.map(LoopId::from_bytes),
        };
        let bytes = row.get_ref(3).map_err(of_sqlite)?;
        let bytes = bytes
            .as_blob()
            .map_err(|error| crate::journal::damaged("log record", error.to_string()))?;
        Ok((head.last_seq, unpack(&head, bytes, names)?))
    }
}

impl Query {
    fn sql(&self, order: &str) -> String {
        let filter = if self.terms.is_empty() {
            String::new()
        } else {
            format!("WHERE {}", self.terms.join(" AND "))
        };
        format!("SELECT last_seq, cycle, loop, lines FROM log {filter} ORDER BY last_seq {order}")
    }
}

impl LogRead for EmbeddedStore {
    fn log_after(
        &self,
        after: u64,
        filter: &LogFilter,
        limit: usize,
    ) -> Result<(Vec<LogLine>, u64), StoreError> {
        // Everything up to here is visible to the query that begins after this.
        let known = self.last_seq();
        if limit == 0 {
            return Ok((Vec::new(), after));
        }
        let Some(mut query) = self.log_query(filter)? else {
            return Ok((Vec::new(), known.max(after)));
        };
        query.terms.push("last_seq > ?");
        query.values.push(Value::Integer(place_bound(after)));
        query.values.push(Value::Integer(SCAN));
        let sql = query.sql("LIMIT ?");
        self.shared().readers.read(|conn| {
            let mut statement = conn.prepare_cached(&sql).map_err(of_sqlite)?;
            let mut rows = statement
                .query(params_from_iter(query.values))
                .map_err(of_sqlite)?;
            let mut found = Vec::new();
            let mut searched = after;
            let mut scanned = 0;
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let (last_seq, lines) = self.lines_of(row)?;
                for line in lines {
                    if line.seq <= after || !filter.matches(&line) {
                        continue;
                    }
                    let seq = line.seq;
                    found.push(line);
                    if found.len() == limit {
                        return Ok((found, seq));
                    }
                }
                searched = last_seq;
                scanned += 1;
            }
            if scanned < SCAN {
                searched = searched.max(known);
            }
            Ok((found, searched))
        })
    }

    fn log_tail(&self, count: usize, filter: &LogFilter) -> Result<Vec<LogLine>, StoreError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        let mut before = i64::MAX;
        while found.len() < count {
            let Some(earlier) = self.tail_window(before, count, filter, &mut found)? else {
                break;
            };
            before = earlier;
        }
        found.reverse();
        Ok(found)
    }

    fn last_seq(&self) -> u64 {
        self.shared().last_seq.load(Ordering::Acquire)
    }
}
