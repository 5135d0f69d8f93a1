//! Script storage: from sled, or from the journal while sled is not ready and for long values.

use std::ops::Bound;

use rusqlite::{Connection, OptionalExtension as _, Row};
use velodrome_store::{Namespace, ScriptStorage, StoreError, StoredValue};
use velodrome_types::LoopId;

use super::listing::count_bound;
use crate::journal::{damaged, decode_namespace, encode_namespace, of_sqlite};
use crate::open::EmbeddedStore;
use crate::script_storage::{SledValue, sled_key};

fn stored_value(row: &Row<'_>) -> rusqlite::Result<(String, Option<[u8; 16]>)> {
    Ok((row.get("value")?, row.get("loop")?))
}

fn parse(key: &str, text: &str, by: Option<[u8; 16]>) -> Result<StoredValue, StoreError> {
    let value = serde_json::from_str(text)
        .map_err(|error| damaged("storage value", format!("`{key}`: {error}")))?;
    Ok(StoredValue {
        value,
        written_by: by.map(LoopId::from_bytes),
    })
}

fn get_from_journal(
    conn: &Connection,
    namespace: &[u8],
    key: &str,
) -> Result<Option<StoredValue>, StoreError> {
    let stored = conn
        .prepare_cached(
            "SELECT value, loop FROM storage
             WHERE namespace = ?1 AND key = ?2 AND value IS NOT NULL",
        )
        .and_then(|mut statement| {
            statement
                .query_row((namespace, key), stored_value)
                .optional()
        })
        .map_err(of_sqlite)?;
    stored.map(|(text, by)| parse(key, &text, by)).transpose()
}

fn list_from_journal(
    conn: &Connection,
    namespace: &[u8],
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, StoredValue)>, StoreError> {
    // The empty key is a key too: only a key given is left out.
    let sql = if after.is_some() {
        "SELECT key, value, loop FROM storage
         WHERE namespace = ?1 AND key > ?2 AND value IS NOT NULL ORDER BY key LIMIT ?3"
    } else {
        "SELECT key, value, loop FROM storage
         WHERE namespace = ?1 AND key >= ?2 AND value IS NOT NULL ORDER BY key LIMIT ?3"
    };
    let mut statement = conn.prepare_cached(sql).map_err(of_sqlite)?;
    let mut rows = statement
        .query((namespace, after.unwrap_or_default(), count_bound(limit)))
        .map_err(of_sqlite)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(of_sqlite)? {
        let key: String = row.get("key").map_err(of_sqlite)?;
        let (text, by) = stored_value(row).map_err(of_sqlite)?;
        let value = parse(&key, &text, by)?;
        found.push((key, value));
    }
    Ok(found)
}

fn list_from_sled(
    db: &sled::Db,
    namespace: &[u8],
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<(String, SledValue)>, String> {
    let start = match after {
        Some(key) => Bound::Excluded(sled_key(namespace, key)),
        None => Bound::Included(namespace.to_vec()),
    };
    let mut found = Vec::new();
    for entry in db.range((start, Bound::Unbounded)).take(limit) {
        let (key, value) = entry.map_err(|error| error.to_string())?;
        let Some(key) = key.strip_prefix(namespace) else {
            break;
        };
        let key = std::str::from_utf8(key).map_err(|error| error.to_string())?;
        found.push((key.to_owned(), SledValue::decode(&value)?));
    }
    Ok(found)
}

impl ScriptStorage for EmbeddedStore {
    fn get(&self, namespace: &Namespace, key: &str) -> Result<Option<StoredValue>, StoreError> {
        let namespace = encode_namespace(namespace);
        let from_sled = self.shared().sled.read(|db| {
            let bytes = db
                .get(sled_key(&namespace, key))
                .map_err(|error| error.to_string())?;
            bytes.map(|bytes| SledValue::decode(&bytes)).transpose()
        });
        match from_sled {
            Some(None) => Ok(None),
            Some(Some(SledValue::Here(value))) => Ok(Some(value)),
            Some(Some(SledValue::InJournal)) | None => self
                .shared()
                .readers
                .read(|conn| get_from_journal(conn, &namespace, key)),
        }
    }

    fn list(
        &self,
        namespace: &Namespace,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, StoredValue)>, StoreError> {
        let namespace = encode_namespace(namespace);
        let readers = &self.shared().readers;
        let from_sled = self
            .shared()
            .sled
            .read(|db| list_from_sled(db, &namespace, after, limit));
        let Some(entries) = from_sled else {
            return readers.read(|conn| list_from_journal(conn, &namespace, after, limit));
        };
        let mut found = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let value = match value {
                SledValue::Here(value) => Some(value),
                SledValue::InJournal => {
                    readers.read(|conn| get_from_journal(conn, &namespace, &key))?
                }
            };
            // A long value may have been deleted since.
            found.extend(value.map(|value| (key, value)));
        }
        Ok(found)
    }

    fn namespaces(&self) -> Result<Vec<Namespace>, StoreError> {
        let mut found = self.shared().readers.read(|conn| {
            let mut statement = conn
                .prepare_cached("SELECT namespace FROM namespaces")
                .map_err(of_sqlite)?;
            let mut rows = statement.query([]).map_err(of_sqlite)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let bytes: Vec<u8> = row.get(0).map_err(of_sqlite)?;
                found.push(decode_namespace(&bytes)?);
            }
            Ok(found)
        })?;
        found.sort_unstable();
        Ok(found)
    }

    fn namespaces_after(
        &self,
        after: Option<&Namespace>,
        limit: usize,
    ) -> Result<Vec<Namespace>, StoreError> {
        // No namespace is written as no bytes at all.
        let behind = after.map(encode_namespace).unwrap_or_default();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.shared().readers.read(|conn| {
            let sql =
                "SELECT namespace FROM namespaces WHERE namespace > ?1 ORDER BY namespace LIMIT ?2";
            let mut statement = conn.prepare_cached(sql).map_err(of_sqlite)?;
            let mut rows = statement.query((behind, limit)).map_err(of_sqlite)?;
            let mut found = Vec::new();
            while let Some(row) = rows.next().map_err(of_sqlite)? {
                let bytes: Vec<u8> = row.get(0).map_err(of_sqlite)?;
                found.push(decode_namespace(&bytes)?);
            }
            Ok(found)
        })
    }
}
