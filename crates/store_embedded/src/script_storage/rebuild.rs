//! Filling an empty sled from the journal, a slice at a time, between commits.
//!
//! The committer does it, and it also writes each commit's values, so a slice can only bring what is
//! there already or what sled lacks.

use rusqlite::Connection;
use velodrome_store::StoreError;

use super::opening::add_row;
use super::side::{MARKER, OWNER, SledSide};
use super::writes::SledWrites;
use crate::journal::of_sqlite;

/// Rows that one slice brings: few, because a commit may have to wait for them.
const SLICE: usize = 256;

/// How far it has come.
#[derive(Debug)]
pub(crate) struct Rebuild {
    owner: Vec<u8>,
    namespace: Vec<u8>,
    key: String,
}

impl Rebuild {
    pub(super) fn new(owner: Vec<u8>) -> Self {
        // No namespace is empty, so this is before every row.
        Self {
            owner,
            namespace: Vec::new(),
            key: String::new(),
        }
    }

    /// Brings over the next slice; true when sled has all that the journal has at this commit.
    pub(crate) fn further(
        &mut self,
        conn: &Connection,
        side: &SledSide,
        commit: u64,
    ) -> Result<bool, StoreError> {
        let mut writes = SledWrites::default();
        let mut statement = conn
            .prepare_cached(
                "SELECT namespace, key, value, loop FROM storage
                 WHERE (namespace, key) > (?1, ?2) ORDER BY namespace, key LIMIT ?3",
            )
            .map_err(of_sqlite)?;
        let mut rows = statement
            .query((&self.namespace, &self.key, SLICE as i64))
            .map_err(of_sqlite)?;
        let mut count = 0;
        let mut reached = None;
        while let Some(row) = rows.next().map_err(of_sqlite)? {
            add_row(&mut writes, row)?;
            count += 1;
            if count == SLICE {
                let last: (Vec<u8>, String) = row.try_into().map_err(of_sqlite)?;
                reached = Some(last);
            }
        }
        let done = reached.is_none();
        if done {
            let commit = commit.to_be_bytes();
            side.write(writes, &[(&OWNER, &self.owner), (&MARKER, &commit)]);
            // Without its owner in the file, a crash would have all of it built once more.
            side.flush_all();
        } else {
            side.write(writes, &[]);
        }
        if let Some((namespace, key)) = reached {
            self.namespace = namespace;
            self.key = key;
        } else {
            side.set_ready();
        }
        Ok(done)
    }
}
