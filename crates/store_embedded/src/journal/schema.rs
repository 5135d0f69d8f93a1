//! The tables of `journal.db`, and the settings of the connections to it.
//!
//! Rows of runs and loops have their `place` in the order of acceptance as key, so that listings and
//! recovery read in order and new rows go to the end. Ids are 16 bytes, times are milliseconds since
//! 1970, states are the numbers of `numbers.rs`, names are those of the `names` table.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use velodrome_store::StoreError;
use velodrome_types::LoopId;

use super::error::of_sqlite;
use super::meta::Meta;

pub(crate) const JOURNAL_FILE: &str = "journal.db";

/// The newest format this program reads, and the one it writes. Changing the tables means raising it,
/// a migration from each older one, and a recorded data folder of the old one in `tests/formats`.
const FORMAT: u32 = 6;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE counters (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    commits INTEGER NOT NULL, places INTEGER NOT NULL, lines INTEGER NOT NULL
) STRICT;
INSERT INTO counters VALUES (1, 0, 0, 0);
CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL) STRICT;

CREATE TABLE runs (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL, loop BLOB NOT NULL, cycle INTEGER NOT NULL, lap INTEGER NOT NULL,
    status INTEGER NOT NULL, step INTEGER, fence INTEGER NOT NULL,
    created INTEGER NOT NULL, updated INTEGER NOT NULL, plan INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX runs_id ON runs (id);
CREATE INDEX runs_loop ON runs (loop);
CREATE INDEX runs_cycle ON runs (cycle);
CREATE INDEX runs_unfinished ON runs (place) WHERE status < 3;
CREATE INDEX runs_not_well ON runs (place) WHERE status > 3;

-- What is kept of a run beside its row: rows of a long list's items, for example. What is kept of a loop
-- stands here too, under a key that no run has (`loop_parts_key`).
CREATE TABLE parts (
    run BLOB NOT NULL, part INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (run, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE loops (
    place INTEGER PRIMARY KEY,
    id BLOB NOT NULL, cycle INTEGER NOT NULL, status INTEGER NOT NULL,
    laps INTEGER NOT NULL, records INTEGER NOT NULL,
    started INTEGER NOT NULL, updated INTEGER NOT NULL,
    record BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX loops_id ON loops (id);
CREATE INDEX loops_cycle ON loops (cycle);
CREATE INDEX loops_open ON loops (cycle, status) WHERE status < 3;
CREATE INDEX loops_queued ON loops (cycle) WHERE status = 0;
CREATE INDEX loops_unfinished ON loops (place) WHERE status < 3;
CREATE INDEX loops_not_well ON loops (place) WHERE status > 3;
CREATE INDEX loops_ended ON loops (cycle, status, updated) WHERE status >= 3;

CREATE TABLE timers (run BLOB PRIMARY KEY, due INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due);

-- Runs that wait at a webhook (`cycle/step`) for a request, and those that did, in the order in which they began.
CREATE TABLE waits (
    place INTEGER PRIMARY KEY,
    run BLOB NOT NULL, hook TEXT NOT NULL, loop BLOB NOT NULL,
    fields TEXT NOT NULL, key BLOB NOT NULL, open INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX waits_run ON waits (run, hook);
CREATE INDEX waits_found ON waits (hook, fields, key, open);

-- A deleted key stays as a row without a value until sled has passed its commit.
CREATE TABLE storage (
    namespace BLOB NOT NULL, key TEXT NOT NULL, value TEXT, seq INTEGER NOT NULL, loop BLOB,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX storage_seq ON storage (seq);
CREATE INDEX storage_deleted ON storage (seq) WHERE value IS NULL;
CREATE TABLE namespaces (namespace BLOB PRIMARY KEY, items INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE watermarks (
    cycle TEXT NOT NULL, step TEXT NOT NULL, date INTEGER NOT NULL,
    PRIMARY KEY (cycle, step)
) STRICT, WITHOUT ROWID;
CREATE TABLE answers (
    hook TEXT NOT NULL, key TEXT NOT NULL, body_hash BLOB NOT NULL, status INTEGER NOT NULL,
    answer BLOB NOT NULL, expires INTEGER NOT NULL,
    PRIMARY KEY (hook, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_expires ON answers (expires);
-- Notices of failed runs that have not been delivered, in the order in which they were put.
CREATE TABLE outbox (
    place INTEGER PRIMARY KEY,
    run BLOB NOT NULL, number INTEGER NOT NULL, cycle INTEGER NOT NULL,
    due INTEGER NOT NULL, attempts INTEGER NOT NULL, record BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX outbox_run ON outbox (run, number);
CREATE INDEX outbox_due ON outbox (due);
CREATE TABLE plans (hash TEXT PRIMARY KEY, cycle TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE cycles (cycle TEXT PRIMARY KEY, state INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE schedules (
    cycle TEXT PRIMARY KEY, rule TEXT NOT NULL, passed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- One row for each stretch of lines of a commit that are about one cycle and loop.
CREATE TABLE log (
    last_seq INTEGER PRIMARY KEY, first_seq INTEGER NOT NULL, time INTEGER NOT NULL,
    cycle INTEGER, loop BLOB, lines BLOB NOT NULL
) STRICT;
CREATE INDEX log_loop ON log (loop) WHERE loop IS NOT NULL;
CREATE INDEX log_cycle ON log (cycle) WHERE cycle IS NOT NULL;
CREATE INDEX log_of_none ON log (time) WHERE loop IS NULL;
";

/// The key of a loop's parts in `parts`: a byte longer than a run's.
pub(crate) fn loop_parts_key(id: LoopId) -> [u8; 17] {
    let mut key = [b'l'; 17];
    key[..16].copy_from_slice(id.as_bytes());
    key
}

/// What each format has that the one before it had not, from format 2 on.
const MIGRATIONS: [&str; FORMAT as usize - 1] = [
    "CREATE INDEX loops_ended ON loops (cycle, status, updated) WHERE status >= 3;
     CREATE INDEX log_of_none ON log (time) WHERE loop IS NULL;",
    "CREATE TABLE outbox (
         place INTEGER PRIMARY KEY,
         run BLOB NOT NULL, number INTEGER NOT NULL, cycle INTEGER NOT NULL,
         due INTEGER NOT NULL, attempts INTEGER NOT NULL, record BLOB NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX outbox_run ON outbox (run, number);
     CREATE INDEX outbox_due ON outbox (due);",
    // The tables are the same: the records of runs are shorter, which a program of format 3 does not read.
    "",
    "CREATE TABLE schedules (
         cycle TEXT PRIMARY KEY, rule TEXT NOT NULL, passed INTEGER NOT NULL
     ) STRICT, WITHOUT ROWID;",
    "CREATE TABLE waits (
         place INTEGER PRIMARY KEY,
         run BLOB NOT NULL, hook TEXT NOT NULL, loop BLOB NOT NULL,
         fields TEXT NOT NULL, key BLOB NOT NULL, open INTEGER NOT NULL
     ) STRICT;
     CREATE UNIQUE INDEX waits_run ON waits (run, hook);
     CREATE INDEX waits_found ON waits (hook, fields, key, open);",
];

/// A statement is compiled once a connection; there are fewer shapes than this.
const STATEMENTS: usize = 96;
/// Pages the log may hold before they are moved into the file, by the committer, after a commit: 4 MiB.
/// Four times as many made no more commits a second, and longer waits.
const CHECKPOINT_PAGES: u32 = 1000;
/// What the log is cut back to when it has grown past it (a reader held it up).
const LOG_BYTES: u32 = 64 << 20;
const WRITER_CACHE_KIB: u32 = 8 << 10;
const READER_CACHE_KIB: u32 = 1 << 10;
/// Only the short locks of opening and of log recovery are ever waited for.
const BUSY: Duration = Duration::from_secs(5);

/// Opens the journal for the committer, and makes its tables if there are none.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    make_private(path).map_err(|error| {
        StoreError::Backend(format!("`{}` cannot be made: {error}", path.display()))
    })?;
    let conn = Connection::open(path).map_err(of_sqlite)?;
    conn.busy_timeout(BUSY).map_err(of_sqlite)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    // The format is looked at before anything is changed.
    let format = stored_format(&conn)?;
    if let Some(found) = format.filter(|found| *found > FORMAT) {
        return Err(StoreError::Newer {
            found,
            known: FORMAT,
        });
    }
    if format.is_none() {
        // Has effect only before the first table is made, and before the next; said of a file that is
        // there, it would write to it, for which a full disk has no room.
        conn.execute_batch("PRAGMA auto_vacuum = INCREMENTAL")
            .map_err(of_sqlite)?;
    }
    conn.execute_batch(&format!(
        "PRAGMA journal_mode = WAL;
         PRAGMA synchronous = FULL;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -{WRITER_CACHE_KIB};
         PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
         PRAGMA journal_size_limit = {LOG_BYTES};"
    ))
    .map_err(of_sqlite)?;
    match format {
        None => {
            // Sled comes behind the first tables: this folder has been in use.
            if path.with_file_name("sled").exists() {
                return Err(super::damaged(
                    "journal",
                    "it is empty or missing, and there is script storage of it beside it: put the journal back, or restore a backup; to begin anew, move `sled` away too",
                ));
            }
            create(&conn).map_err(of_sqlite)?;
        }
        Some(FORMAT) => {}
        Some(older) => upgrade(&conn, path, older)?,
    }
    Ok(conn)
}

/// Brings the tables from an older format to the present one, whole or not at all. What was there before
/// is kept beside it, as `journal.db.format-N`, for whoever goes back to the program that wrote it.
fn upgrade(conn: &Connection, path: &Path, from: u32) -> Result<(), StoreError> {
    let steps = (from as usize)
        .checked_sub(1)
        .and_then(|done| MIGRATIONS.get(done..))
        .ok_or_else(|| super::damaged("journal", format!("it says that its format is {from}")))?;
    let copy = path.with_file_name(format!("{JOURNAL_FILE}.format-{from}"));
    let unfinished = path.with_file_name(format!("{JOURNAL_FILE}.format-{from}.part"));
    if !copy.exists() {
        copy_into(conn, &unfinished)?;
        std::fs::rename(&unfinished, &copy).map_err(|error| {
            StoreError::Backend(format!("`{}` cannot be made: {error}", copy.display()))
        })?;
    }
    let migrate = || -> rusqlite::Result<()> {
        let transaction = conn.unchecked_transaction()?;
        for step in steps {
            transaction.execute_batch(step)?;
        }
        Meta::Format.set(&transaction, FORMAT)?;
        transaction.commit()
    };
    migrate().map_err(of_sqlite)?;
    tracing::info!(
        from,
        to = FORMAT,
        copy = %copy.display(),
        "the data folder was brought to a newer format; a copy of it as it was is kept"
    );
    Ok(())
}

/// Writes a whole copy of the journal, as one moment has it, to a file of its own; one that is there is
/// replaced. Goes on beside commits.
pub(crate) fn copy_into(conn: &Connection, to: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Backend(format!("`{}` cannot be written: {error}", to.display()))
    };
    match std::fs::remove_file(to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    // An empty file of ours keeps its mode when SQLite writes into it.
    make_private(to).map_err(failed)?;
    let name = to
        .to_str()
        .ok_or_else(|| StoreError::Backend(format!("`{}` is no path in UTF-8", to.display())))?;
    conn.execute("VACUUM INTO ?1", [name]).map_err(of_sqlite)?;
    std::fs::File::open(to)
        .and_then(|file| file.sync_all())
        .map_err(failed)
}

/// Moves what the write-ahead log holds into the file, and cuts the log to nothing. While a reader is at
/// an older state, only as far as it lets.
pub(crate) fn empty_log(conn: &Connection) -> rusqlite::Result<()> {
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
}

/// Opens the journal for reading.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(of_sqlite)?;
    conn.busy_timeout(BUSY).map_err(of_sqlite)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.execute_batch(&format!(
        "PRAGMA temp_store = MEMORY; PRAGMA cache_size = -{READER_CACHE_KIB};"
    ))
    .map_err(of_sqlite)?;
    Ok(conn)
}

/// Makes the file, if it is missing, for its owner only; SQLite gives the files beside it the same mode.
fn make_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path).map(drop)
}

fn stored_format(conn: &Connection) -> Result<Option<u32>, StoreError> {
    let tables: i64 = conn
        .query_row(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'meta'",
            [],
            |row| row.get(0),
        )
        .map_err(of_sqlite)?;
    if tables == 0 {
        return Ok(None);
    }
    match Meta::Format.get(conn)? {
        Some(format) => Ok(Some(format)),
        None => Err(super::damaged("journal", "it does not tell its format")),
    }
}

fn create(conn: &Connection) -> rusqlite::Result<()> {
    let transaction = conn.unchecked_transaction()?;
    transaction.execute_batch(TABLES)?;
    Meta::Format.set(&transaction, FORMAT)?;
    Meta::Forgotten.set(&transaction, 0)?;
    transaction.execute(
        "INSERT INTO meta (key, value) VALUES ('identity', randomblob(16))",
        [],
    )?;
    transaction.commit()
}
