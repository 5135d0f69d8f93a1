//! Whether sled can be trusted as it was found; catching it up, or setting it aside.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use velodrome_store::StoreError;
use velodrome_types::LoopId;

use super::rebuild::Rebuild;
use super::side::{MARKER, OWNER, SledSide, guarded};
use super::writes::SledWrites;
use crate::journal::{damaged, of_sqlite};

const FOLDER: &str = "sled";
const ASIDE: &str = "sled.set-aside-";

/// What sled keeps in memory. Small values that scripts read over and over; the default is 1 GiB.
const CACHE_BYTES: u64 = 16 << 20;
/// [`OWNER`] and [`MARKER`].
const ENTRIES_OF_ITS_OWN: u64 = 2;
/// Rows in memory at a time.
const SLICE: usize = 1000;

/// How the store was left when it was last open.
#[derive(Clone, Debug)]
pub(crate) struct HowLeft {
    /// The commits that the journal has.
    pub(crate) commits: u64,
    /// The commit sled stood at when all was closed; `None` after a crash.
    pub(crate) closed: Option<u64>,
    /// The machine has not been started anew since.
    pub(crate) same_boot: bool,
    /// Deletions up to this commit cannot be caught up with.
    pub(crate) forgotten: u64,
    /// sled was found to be wrong.
    pub(crate) distrusted: bool,
    /// The journal's identity.
    pub(crate) owner: Vec<u8>,
}

/// Opens sled, caught up, or empty and to be rebuilt, or not at all: none of it is a reason not to start.
pub(crate) fn open_side(
    conn: &Connection,
    folder: &Path,
    left: &HowLeft,
) -> (SledSide, Option<Rebuild>) {
    let path = folder.join(FOLDER);
    match open_trusted(conn, &path, left) {
        Ok(db) => return (SledSide::new(path, db, true), None),
        Err(why) => {
            if path.exists() {
                tracing::warn!(
                    why,
                    "sled is set aside and built anew from the journal; nothing is lost"
                );
            }
        }
    }
    let fresh = set_aside(folder, &path)
        .map_err(|error| error.to_string())
        .and_then(|()| open_db(&path));
    match fresh {
        Ok(db) => {
            let side = SledSide::new(path, db, false);
            let mut rebuild = Rebuild::new(left.owner.clone());
            // A small store is ready at once.
            match rebuild.further(conn, &side, left.commits) {
                Ok(true) => return (side, None),
                Ok(false) => return (side, Some(rebuild)),
                Err(error) => side.distrust(&error.to_string()),
            }
            (side, None)
        }
        Err(why) => {
            tracing::warn!(
                why,
                "sled cannot be opened; script storage is read from the journal"
            );
            (SledSide::absent(path), None)
        }
    }
}

fn open_db(path: &Path) -> Result<sled::Db, String> {
    let config = sled::Config::new()
        .path(path)
        .cache_capacity(CACHE_BYTES)
        // The journal is what is true; nothing is gained by a thread that syncs.
        .flush_every_ms(None);
    // The folder is locked, so a sled that is still in use is one whose last threads are ending.
    let mut patience = 40;
    loop {
        match guarded(|| config.open()) {
            Err(why) if why.contains("could not acquire lock") && patience > 0 => {
                patience -= 1;
                std::thread::sleep(Duration::from_millis(25));
            }
            result => return result,
        }
    }
}

/// The error says why sled is not to be trusted.
fn open_trusted(conn: &Connection, path: &Path, left: &HowLeft) -> Result<sled::Db, String> {
    if !path.is_dir() {
        return Err("it is missing".to_owned());
    }
    if left.distrusted {
        return Err("it had answered wrongly".to_owned());
    }
    if left.closed.is_none() && !left.same_boot {
        return Err("the machine went down while it was open".to_owned());
    }
    let db = open_db(path)?;
    let commit = stands_at(&db, left)?;
    if left.closed == Some(commit) && commit == left.commits {
        return Ok(db);
    }
    catch_up(conn, &db, commit, left.commits)?;
    let wanted = items(conn).map_err(|error| error.to_string())? + ENTRIES_OF_ITS_OWN;
    // Reading every entry also finds damaged pages.
    match guarded(|| entries(&db, wanted))? {
        Some(len) if len == wanted => Ok(db),
        Some(len) => Err(format!("it has {len} entries where {wanted} should be")),
        None => Err(format!(
            "it has more than the {wanted} entries that should be there, or not in order"
        )),
    }
}

/// How many entries there are; `None` where they are more than should be there or go back. Sled's own count takes the
/// error of a damaged page for an entry, and asks for the same one again for ever.
fn entries(db: &sled::Db, wanted: u64) -> sled::Result<Option<u64>> {
    let mut last: Option<sled::IVec> = None;
    let mut count = 0;
    for entry in db.iter() {
        let (key, _) = entry?;
        count += 1;
        if count > wanted || last.is_some_and(|last| last >= key) {
            return Ok(None);
        }
        last = Some(key);
    }
    Ok(Some(count))
}

fn stands_at(db: &sled::Db, left: &HowLeft) -> Result<u64, String> {
    let owner = guarded(|| db.get(OWNER))?.ok_or("it was never finished")?;
    if owner.as_ref() != left.owner {
        return Err("it belongs to another journal".to_owned());
    }
    let marker = guarded(|| db.get(MARKER))?.ok_or("it was never finished")?;
    let bytes = <[u8; 8]>::try_from(marker.as_ref()).map_err(|_| "its marker is damaged")?;
    let commit = u64::from_be_bytes(bytes);
    if commit > left.commits {
        return Err(format!(
            "it stands at commit {commit}, the journal at {}",
            left.commits
        ));
    }
    if commit < left.forgotten {
        return Err(format!(
            "it stands at commit {commit}, too far back to catch up"
        ));
    }
    Ok(commit)
}

fn items(conn: &Connection) -> Result<u64, StoreError> {
    conn.query_row(
        "SELECT coalesce(sum(items), 0) FROM namespaces",
        [],
        |row| row.get(0).map(i64::cast_unsigned),
    )
    .map_err(of_sqlite)
}

/// Brings over what was written and deleted behind the commit that sled stands at.
fn catch_up(conn: &Connection, db: &sled::Db, from: u64, to: u64) -> Result<(), String> {
    let journal = |error: rusqlite::Error| error.to_string();
    let mut statement = conn
        .prepare("SELECT namespace, key, value, loop FROM storage WHERE seq > ?1")
        .map_err(journal)?;
    let mut rows = statement.query([from.cast_signed()]).map_err(journal)?;
    let mut writes = SledWrites::default();
    loop {
        let row = rows.next().map_err(journal)?;
        let done = row.is_none();
        if let Some(row) = row {
            add_row(&mut writes, row).map_err(|error| error.to_string())?;
        }
        if done || writes.len() >= SLICE {
            let slice = std::mem::take(&mut writes);
            guarded(|| slice.write(db, &[]))?;
        }
        if done {
            guarded(|| db.insert(MARKER, &to.to_be_bytes()))?;
            return Ok(());
        }
    }
}

/// Takes up a row of `namespace, key, value, loop`.
pub(super) fn add_row(writes: &mut SledWrites, row: &rusqlite::Row<'_>) -> Result<(), StoreError> {
    let read = || -> rusqlite::Result<_> {
        Ok((
            row.get_ref(0)?,
            row.get_ref(1)?,
            row.get_ref(2)?,
            row.get(3)?,
        ))
    };
    let (namespace, key, value, by): (_, _, _, Option<[u8; 16]>) = read().map_err(of_sqlite)?;
    let wrong = |error: rusqlite::types::FromSqlError| damaged("storage row", error.to_string());
    let namespace = namespace.as_blob().map_err(wrong)?;
    let key = key.as_str().map_err(wrong)?;
    match value.as_str_or_null().map_err(wrong)? {
        Some(text) => writes.set(namespace, key, text, by.map(LoopId::from_bytes)),
        None => writes.delete(namespace, key),
    }
    Ok(())
}

/// Moves sled's folder out of the way. Of those set aside before, none is kept.
fn set_aside(folder: &Path, path: &Path) -> std::io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut last = 0;
    let mut old: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(ASIDE));
        if let Some(number) = number.and_then(|number| number.parse::<u32>().ok()) {
            last = last.max(number);
            old.push(entry.path());
        }
    }
    for path in old {
        fs::remove_dir_all(path)?;
    }
    fs::rename(
        path,
        folder.join(format!("{ASIDE}{}", last.saturating_add(1))),
    )
}
