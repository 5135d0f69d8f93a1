//! What the journal knows of itself: its format, who it is, how it was left, and the counters that
//! rise for ever.

use rusqlite::types::{FromSql, ToSql};
use rusqlite::{Connection, OptionalExtension as _};
use velodrome_store::StoreError;

use super::error::of_sqlite;

/// A key of the `meta` table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Meta {
    /// The format of the whole file, a number.
    Format,
    /// 16 random bytes, so that sled's folder is known to belong to this file.
    Identity,
    /// The boot in which the store was last open.
    Boot,
    /// The commit that sled stood at when both were closed and synced; absent while the store is open
    /// and after a crash.
    Closed,
    /// Deletions up to this commit are no longer kept for sled to catch up with.
    Forgotten,
    /// Present when sled answered wrongly and must be set aside when the store is opened next.
    Distrusted,
}

impl Meta {
    const fn key(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Identity => "identity",
            Self::Boot => "boot",
            Self::Closed => "closed",
            Self::Forgotten => "forgotten",
            Self::Distrusted => "distrusted",
        }
    }

    pub(crate) fn get<T: FromSql>(self, conn: &Connection) -> Result<Option<T>, StoreError> {
        conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")
            .and_then(|mut statement| {
                statement
                    .query_row([self.key()], |row| row.get(0))
                    .optional()
            })
            .map_err(of_sqlite)
    }

    pub(crate) fn set(self, conn: &Connection, value: impl ToSql) -> rusqlite::Result<()> {
        conn.prepare_cached("INSERT OR REPLACE INTO meta (key, value) VALUES (?1, ?2)")?
            .execute((self.key(), value))?;
        Ok(())
    }

    pub(crate) fn unset(self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached("DELETE FROM meta WHERE key = ?1")?
            .execute([self.key()])?;
        Ok(())
    }
}

/// What is counted through all commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// Commits.
    pub(crate) commits: u64,
    /// Runs and loops, in the order of their acceptance.
    pub(crate) places: u64,
    /// Log lines.
    pub(crate) lines: u64,
}

impl Counters {
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let number = |number: i64| number.cast_unsigned();
        conn.query_row("SELECT commits, places, lines FROM counters", [], |row| {
            Ok(Self {
                commits: number(row.get(0)?),
                places: number(row.get(1)?),
                lines: number(row.get(2)?),
            })
        })
        .map_err(of_sqlite)
    }

    pub(crate) fn save(&self, conn: &Connection) -> rusqlite::Result<()> {
        conn.prepare_cached("UPDATE counters SET commits = ?1, places = ?2, lines = ?3")?
            .execute((
                self.commits.cast_signed(),
                self.places.cast_signed(),
                self.lines.cast_signed(),
            ))?;
        Ok(())
    }
}
