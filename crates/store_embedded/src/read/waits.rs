//! Runs that wait for a request.

use rusqlite::OptionalExtension as _;
use velodrome_store::{StoreError, WaitFound, Waits};
use velodrome_types::{LoopId, RunId};

use crate::journal::of_sqlite;
use crate::open::EmbeddedStore;

impl Waits for EmbeddedStore {
    fn waiting(
        &self,
        hook: &str,
        fields: &str,
        key: &[u8; 16],
    ) -> Result<Option<WaitFound>, StoreError> {
        self.shared().readers.read(|conn| {
            conn.prepare_cached(
                "SELECT place, run, loop, open FROM waits
                 WHERE hook = ?1 AND fields = ?2 AND key = ?3
                 ORDER BY open DESC, place DESC LIMIT 1",
            )
            .and_then(|mut statement| {
                statement
                    .query_row((hook, fields, key), |row| {
                        Ok(WaitFound {
                            place: row.get::<_, i64>(0)?.cast_unsigned(),
                            run: RunId::from_bytes(row.get(1)?),
                            loop_id: LoopId::from_bytes(row.get(2)?),
                            open: row.get(3)?,
                        })
                    })
                    .optional()
            })
            .map_err(of_sqlite)
        })
    }

    /// From one to the next by the index: there are few, however many wait.
    fn waited_fields(&self, hook: &str) -> Result<Vec<String>, StoreError> {
        self.shared().readers.read(|conn| {
            let mut found: Vec<String> = Vec::new();
            let mut next = conn
                .prepare_cached("SELECT min(fields) FROM waits WHERE hook = ?1 AND fields > ?2")
                .map_err(of_sqlite)?;
            let mut first = conn
                .prepare_cached("SELECT min(fields) FROM waits WHERE hook = ?1")
                .map_err(of_sqlite)?;
            loop {
                let fields: Option<String> = match found.last() {
                    Some(last) => next.query_row((hook, last), |row| row.get(0)),
                    None => first.query_row([hook], |row| row.get(0)),
                }
                .map_err(of_sqlite)?;
                match fields {
                    Some(fields) => found.push(fields),
                    None => return Ok(found),
                }
            }
        })
    }
}
