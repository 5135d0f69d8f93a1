//! What may no longer be kept, found by indexes of its own.

use velodrome_store::{Retention, StoreError};
use velodrome_types::{CycleId, LoopId, LoopStatus, Timestamp};

use super::listing::count_bound;
use crate::journal::{loop_status_number, of_sqlite};
use crate::open::EmbeddedStore;

impl Retention for EmbeddedStore {
    /// One look into the index for each cycle.
    fn cycles_with_ended(&self) -> Result<Vec<CycleId>, StoreError> {
        let names: Vec<i64> = self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT min(cycle) FROM loops INDEXED BY loops_ended
                     WHERE cycle > ?1 AND status >= 3",
                )
                .map_err(of_sqlite)?;
            let mut found = Vec::new();
            let mut last = 0;
            loop {
                let next: Option<i64> = statement
                    .query_row([last], |row| row.get(0))
                    .map_err(of_sqlite)?;
                let Some(next) = next else { return Ok(found) };
                found.push(next);
                last = next;
            }
        })?;
        let names = names.into_iter().map(|name| {
            let text = self.shared().names.text(name)?;
            Ok(CycleId::new(text.to_string()))
        });
        names.collect()
    }

    fn ended_before(
        &self,
        cycle: &CycleId,
        status: LoopStatus,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<LoopId>, StoreError> {
        let Some(cycle) = self.shared().names.find(cycle.as_str()) else {
            return Ok(Vec::new());
        };
        self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT id FROM loops INDEXED BY loops_ended
                     WHERE cycle = ?1 AND status = ?2 AND status >= 3 AND updated < ?3
                     ORDER BY updated LIMIT ?4",
                )
                .map_err(of_sqlite)?;
            let values = (
                cycle,
                loop_status_number(status),
                before.as_millis(),
                count_bound(limit),
            );
            let rows = statement
                .query_map(values, |row| row.get(0).map(LoopId::from_bytes))
                .map_err(of_sqlite)?;
            rows.collect::<Result<_, _>>().map_err(of_sqlite)
        })
    }

    fn oldest_of_no_loop(&self) -> Result<Option<Timestamp>, StoreError> {
        let oldest: Option<i64> = self.shared().readers.read(|conn| {
            conn.prepare_cached(
                "SELECT min(time) FROM log INDEXED BY log_of_none WHERE loop IS NULL",
            )
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(of_sqlite)
        })?;
        Ok(oldest.map(Timestamp::from_millis))
    }
}
