//! Script storage in the journal: values, what was deleted, and how many items a namespace has.
//!
//! A deleted key stays as a row without a value, with the commit that deleted it, until sled is known
//! to be past that commit ([`Forgetter`]). So sled catches up after a crash from one index: every row
//! whose `seq` is above its own, values and deletions alike.

use rusqlite::{Connection, OptionalExtension as _, params};
use velodrome_store::{StorageOp, StorageWrite, apply};
use velodrome_types::{Json, LoopId};

use super::unit::{Refusal, UnitWriter};
use crate::journal::{Meta, damaged, encode_namespace};

impl UnitWriter<'_> {
    pub(super) fn write_storage(&mut self, write: &StorageWrite) -> Result<(), Refusal> {
        let namespace = encode_namespace(&write.namespace);
        match &write.op {
            StorageOp::DeleteAll => self.delete_all(&namespace),
            StorageOp::Delete(key) => {
                apply(&write.op, None, self.limits)?;
                self.delete(&namespace, key)
            }
            StorageOp::Set(key, _) => {
                let value = apply(&write.op, None, self.limits)?;
                self.put(&namespace, key, value, write.by)
            }
            StorageOp::Increment(key, _) | StorageOp::Append(key, _) => {
                let current = self.current(&namespace, key)?;
                let value = apply(&write.op, current.as_ref(), self.limits)?;
                self.put(&namespace, key, value, write.by)
            }
        }
    }

    fn current(&self, namespace: &[u8], key: &str) -> Result<Option<Json>, Refusal> {
        let text: Option<Option<String>> = self
            .conn
            .prepare_cached("SELECT value FROM storage WHERE namespace = ?1 AND key = ?2")?
            .query_row((namespace, key), |row| row.get(0))
            .optional()?;
        let Some(Some(text)) = text else {
            return Ok(None);
        };
        let value = serde_json::from_str(&text)
            .map_err(|error| damaged("storage value", format!("`{key}`: {error}")))?;
        Ok(Some(value))
    }

    fn put(
        &mut self,
        namespace: &[u8],
        key: &str,
        value: Option<Json>,
        by: Option<LoopId>,
    ) -> Result<(), Refusal> {
        let Some(value) = value else {
            return self.delete(namespace, key);
        };
        let text = value.to_string();
        let seq = self.counters.commits.cast_signed();
        let writer = by.as_ref().map(LoopId::as_bytes);
        let updated = self
            .conn
            .prepare_cached(
                "UPDATE storage SET value = ?3, seq = ?4, loop = ?5
                 WHERE namespace = ?1 AND key = ?2 AND value IS NOT NULL",
            )?
            .execute(params![namespace, key, text, seq, writer])?;
        if updated == 0 {
            // Refused before anything is written.
            let items = self.items(namespace)?;
            self.limits.check_items(items.cast_unsigned() + 1, key)?;
            self.count_items(namespace, 1)?;
            self.conn
                .prepare_cached(
                    "INSERT OR REPLACE INTO storage (namespace, key, value, seq, loop)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![namespace, key, text, seq, writer])?;
        }
        self.sled.set(namespace, key, &text, by);
        Ok(())
    }

    fn delete(&mut self, namespace: &[u8], key: &str) -> Result<(), Refusal> {
        let deleted = self
            .conn
            .prepare_cached(
                "UPDATE storage SET value = NULL, seq = ?3, loop = NULL
                 WHERE namespace = ?1 AND key = ?2 AND value IS NOT NULL",
            )?
            .execute(params![namespace, key, self.counters.commits.cast_signed()])?;
        if deleted > 0 {
            self.count_items(namespace, -1)?;
            self.sled.delete(namespace, key);
        }
        Ok(())
    }

    fn delete_all(&mut self, namespace: &[u8]) -> Result<(), Refusal> {
        let mut statement = self.conn.prepare_cached(
            "UPDATE storage SET value = NULL, seq = ?2, loop = NULL
             WHERE namespace = ?1 AND value IS NOT NULL RETURNING key",
        )?;
        let mut rows = statement.query((namespace, self.counters.commits.cast_signed()))?;
        let mut any = false;
        while let Some(row) = rows.next()? {
            let key: String = row.get(0)?;
            self.sled.delete(namespace, &key);
            any = true;
        }
        if any {
            self.conn
                .prepare_cached("DELETE FROM namespaces WHERE namespace = ?1")?
                .execute([namespace])?;
        }
        Ok(())
    }

    fn items(&self, namespace: &[u8]) -> rusqlite::Result<i64> {
        let items = self
            .conn
            .prepare_cached("SELECT items FROM namespaces WHERE namespace = ?1")?
            .query_row([namespace], |row| row.get(0))
            .optional()?;
        Ok(items.unwrap_or(0))
    }

    /// Changes the number of items of a namespace. One that is empty is not kept.
    fn count_items(&self, namespace: &[u8], change: i64) -> rusqlite::Result<()> {
        let items: i64 = self
            .conn
            .prepare_cached(
                "INSERT INTO namespaces (namespace, items) VALUES (?1, ?2)
                 ON CONFLICT DO UPDATE SET items = items + ?2 RETURNING items",
            )?
            .query_row((namespace, change), |row| row.get(0))?;
        if items <= 0 {
            self.conn
                .prepare_cached("DELETE FROM namespaces WHERE namespace = ?1")?
                .execute([namespace])?;
        }
        Ok(())
    }
}

/// Deletions kept before it is worth flushing sled to be rid of them.
const KEEP: u64 = 10_000;
/// Rows that one commit forgets: few enough that nobody waits for it.
const SLICE: u64 = 500;

/// Removes the rows of deleted keys once sled is past them, some with each commit.
#[derive(Debug, Default)]
pub(super) struct Forgetter {
    kept: u64,
    /// Deletions up to this commit may go.
    up_to: Option<u64>,
}

impl Forgetter {
    /// Takes note of so many more deletions.
    pub(super) fn count(&mut self, deletions: u64) {
        self.kept += deletions;
    }

    pub(super) fn is_due(&self) -> bool {
        self.up_to.is_none() && self.kept >= KEEP
    }

    /// Sled has all up to this commit.
    pub(super) fn begin(&mut self, up_to: u64) {
        self.up_to = Some(up_to);
        self.kept = 0;
    }

    pub(super) fn forget_some(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        let Some(up_to) = self.up_to else {
            return Ok(());
        };
        Meta::Forgotten.set(conn, up_to.cast_signed())?;
        let gone = conn
            .prepare_cached(
                "DELETE FROM storage WHERE (namespace, key) IN
                 (SELECT namespace, key FROM storage WHERE value IS NULL AND seq <= ?1 LIMIT ?2)",
            )?
            .execute((up_to.cast_signed(), SLICE.cast_signed()))? as u64;
        if gone < SLICE {
            self.up_to = None;
            give_back(conn, Some(SLICE))?;
        }
        Ok(())
    }

    pub(super) fn forget_all(conn: &Connection, up_to: u64) -> rusqlite::Result<()> {
        Meta::Forgotten.set(conn, up_to.cast_signed())?;
        conn.execute("DELETE FROM storage WHERE value IS NULL", [])?;
        Ok(())
    }
}

/// Gives the file's free pages back to the file system, all or so many.
pub(super) fn give_back(conn: &Connection, pages: Option<u64>) -> rusqlite::Result<()> {
    // Zero is all. Each step of the statement gives back one page.
    let pages = pages.unwrap_or(0);
    let mut statement = conn.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(())
}
