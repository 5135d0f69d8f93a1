//! Backup: the journal as one moment has it, in one file; restore: a data folder made from one.
//!
//! The journal is all there is: sled is built anew from it, and the key that seals tokens and secrets is
//! not part of a backup on purpose.

use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use velodrome_store::StoreError;
use velodrome_types::{CycleId, CycleState};

use crate::journal::{
    JOURNAL_FILE, copy_into, cycle_state_number, damaged, of_sqlite, open_writer,
};
use crate::lock::FolderLock;
use crate::open::make_folder;
use crate::shared::Shared;

/// What a backup under way is written to, in the data folder.
const PART: &str = "backup.part-";
/// What a restore under way is written to.
const RESTORING: &str = "restore.part";

pub(crate) fn take(shared: &Shared) -> Result<File, StoreError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = shared.folder.join(format!("{PART}{number}"));
    let failed = |error: std::io::Error| {
        StoreError::Backend(format!("`{}` cannot be read: {error}", path.display()))
    };
    let copied = shared.readers.read(|conn| copy_into(conn, &path));
    let file = copied.and_then(|()| File::open(&path).map_err(failed));
    // From here on it is the handle's alone, and gone with it.
    if let Err(error) = fs::remove_file(&path)
        && file.is_ok()
    {
        tracing::warn!(path = %path.display(), %error, "a backup's file could not be removed");
    }
    file
}

/// Removes what a backup left that the end of the process cut short.
pub(crate) fn clear(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PART) {
            let _unless_it_is_gone = fs::remove_file(entry.path());
        }
    }
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The cycles that had loops, all paused now but those that were stopped.
    pub cycles: Vec<CycleId>,
    /// Loops that go on when the folder is served.
    pub unfinished_loops: u64,
}

/// Makes a data folder from a backup. Its cycles are paused, so that nothing new begins before somebody
/// says so.
///
/// # Errors
///
/// [`StoreError::Locked`] while a process serves the folder, [`StoreError::Newer`] and
/// [`StoreError::Damaged`] for a file that cannot be used, [`StoreError::Backend`] where there is a journal
/// already or the disk refuses. The folder is then as it was.
pub fn restore(backup: &Path, folder: &Path) -> Result<Restored, StoreError> {
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |error: std::io::Error| StoreError::Backend(format!("`{what}`: {error}"))
    };
    make_folder(folder).map_err(failed(folder))?;
    let _lock = FolderLock::take(folder)?;
    let journal = folder.join(JOURNAL_FILE);
    if journal.exists() {
        return Err(StoreError::Backend(format!(
            "`{}` has data already: restore into a new folder, or move `{JOURNAL_FILE}` and `sled` away",
            folder.display()
        )));
    }
    let part = folder.join(RESTORING);
    fs::copy(backup, &part).map_err(failed(backup))?;
    let restored = prepare(&part);
    match restored {
        Ok(restored) => {
            fs::rename(&part, &journal).map_err(failed(&journal))?;
            File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(failed(folder))?;
            Ok(restored)
        }
        Err(error) => {
            for beside in ["", "-wal", "-shm"] {
                let _unless_it_is_gone =
                    fs::remove_file(folder.join(format!("{RESTORING}{beside}")));
            }
            Err(error)
        }
    }
}

fn prepare(path: &Path) -> Result<Restored, StoreError> {
    let head = fs::read(path)
        .map(|bytes| bytes.starts_with(b"SQLite format 3\0"))
        .unwrap_or(false);
    if !head {
        return Err(damaged(
            "backup",
            "it is no journal: `velodrome backup` makes one",
        ));
    }
    let conn = open_writer(path)?;
    let checked: String = conn
        .query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))
        .map_err(of_sqlite)?;
    if checked != "ok" {
        return Err(damaged("backup", checked));
    }
    let restored = pause_all(&conn).map_err(of_sqlite)?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")
        .map_err(of_sqlite)?;
    conn.close().map_err(|(_, error)| of_sqlite(error))?;
    Ok(restored)
}

fn pause_all(conn: &Connection) -> rusqlite::Result<Restored> {
    let transaction = conn.unchecked_transaction()?;
    let cycles = transaction
        .prepare(
            "SELECT text FROM names WHERE id IN (SELECT DISTINCT cycle FROM loops)
             UNION SELECT cycle FROM cycles ORDER BY 1",
        )?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let (paused, stopped) = (
        cycle_state_number(CycleState::Paused),
        cycle_state_number(CycleState::Stopped),
    );
    for cycle in &cycles {
        transaction.execute(
            "INSERT INTO cycles (cycle, state) VALUES (?1, ?2)
             ON CONFLICT DO UPDATE SET state = ?2 WHERE state <> ?3",
            (cycle, paused, stopped),
        )?;
    }
    let open: i64 =
        transaction.query_row("SELECT count(*) FROM loops WHERE status < 3", [], |row| {
            row.get(0)
        })?;
    transaction.commit()?;
    Ok(Restored {
        cycles: cycles.into_iter().map(CycleId::new).collect(),
        unfinished_loops: open.cast_unsigned(),
    })
}
