//! Notices of failed runs. There are few, unless nobody has taken any for long.

use rusqlite::Row;
use velodrome_store::{Outbox, OutboxRow, StoreError};
use velodrome_types::{CycleId, RunId, Timestamp};

use crate::journal::{NameId, of_sqlite};
use crate::open::EmbeddedStore;

fn read(row: &Row<'_>) -> rusqlite::Result<(NameId, OutboxRow)> {
    let cycle = row.get(2)?;
    let row = OutboxRow {
        run: RunId::from_bytes(row.get(0)?),
        number: row.get::<_, i64>(1)?.cast_unsigned(),
        cycle: CycleId::from(""),
        due: Timestamp::from_millis(row.get(3)?),
        attempts: row.get(4)?,
        record: row.get(5)?,
    };
    Ok((cycle, row))
}

impl Outbox for EmbeddedStore {
    fn outbox_heads(&self, until: Timestamp) -> Result<Vec<OutboxRow>, StoreError> {
        let rows: Vec<(NameId, OutboxRow)> = self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached(
                    "SELECT run, number, cycle, due, attempts, record FROM outbox
                     WHERE place IN (SELECT min(place) FROM outbox WHERE due <= ?1 GROUP BY cycle)
                     ORDER BY place",
                )
                .map_err(of_sqlite)?;
            let rows = statement
                .query_map([until.as_millis()], read)
                .map_err(of_sqlite)?;
            rows.collect::<Result<_, _>>().map_err(of_sqlite)
        })?;
        let rows = rows.into_iter().map(|(cycle, row)| {
            let cycle = CycleId::new(self.shared().names.text(cycle)?);
            Ok(OutboxRow { cycle, ..row })
        });
        rows.collect()
    }

    fn outbox_next(&self, after: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        let next: Option<i64> = self.shared().readers.read(|conn| {
            conn.prepare_cached("SELECT min(due) FROM outbox WHERE due > ?1")
                .and_then(|mut statement| {
                    statement.query_row([after.as_millis()], |row| row.get(0))
                })
                .map_err(of_sqlite)
        })?;
        Ok(next.map(Timestamp::from_millis))
    }
}
