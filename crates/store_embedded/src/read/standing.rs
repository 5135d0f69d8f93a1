//! How much is on its way, counted at one moment.

use rusqlite::{Connection, Row};
use velodrome_store::{Standing, StoreError};
use velodrome_types::{CycleId, LoopStatus, RunStatus, StepId};

use crate::journal::{Counters, NameId, loop_status, of_sqlite, run_status};
use crate::open::EmbeddedStore;

/// What is read in one transaction.
struct Found {
    order: u64,
    runs: Vec<(NameId, NameId, i64, i64)>,
    loops: Vec<(NameId, i64, i64)>,
    notices: i64,
}

/// Counts runs at steps, loops and notices that have not come to their end.
pub(super) fn standing(store: &EmbeddedStore) -> Result<Standing, StoreError> {
    let found = store.shared().readers.read(|conn| {
        // All of it sees the same commits.
        let transaction = conn.unchecked_transaction().map_err(of_sqlite)?;
        Ok(Found {
            order: Counters::load(&transaction)?.commits,
            runs: rows(
                &transaction,
                "SELECT cycle, step, status, count(*) FROM runs
                 WHERE status < 3 AND status > 0 AND step IS NOT NULL GROUP BY cycle, step, status",
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
            )?,
            loops: rows(
                &transaction,
                "SELECT cycle, status, count(*) FROM loops INDEXED BY loops_open
                 WHERE status < 3 GROUP BY cycle, status",
                |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
            )?,
            notices: transaction
                .query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))
                .map_err(of_sqlite)?,
        })
    })?;
    let names = &store.shared().names;
    let mut runs: Vec<(CycleId, StepId, RunStatus, u64)> = Vec::new();
    for (cycle, step, status, count) in found.runs {
        let (cycle, step) = (names.text(cycle)?, names.text(step)?);
        let (cycle, step) = (CycleId::new(cycle), StepId::new(step));
        runs.push((cycle, step, run_status(status)?, count.cast_unsigned()));
    }
    runs.sort_unstable();
    let mut loops: Vec<(CycleId, LoopStatus, u64)> = Vec::new();
    for (cycle, status, count) in found.loops {
        let cycle = CycleId::new(names.text(cycle)?);
        loops.push((cycle, loop_status(status)?, count.cast_unsigned()));
    }
    loops.sort_unstable();
    Ok(Standing {
        order: found.order,
        runs,
        loops,
        notices: found.notices.cast_unsigned(),
    })
}

fn rows<T>(
    conn: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = conn.prepare_cached(sql).map_err(of_sqlite)?;
    let rows = statement.query_map([], read).map_err(of_sqlite)?;
    rows.collect::<Result<_, _>>().map_err(of_sqlite)
}
