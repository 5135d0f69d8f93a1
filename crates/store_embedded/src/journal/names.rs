//! Names that occur in every row (cycles, steps, plan hashes, versions) are stored once and referred
//! to by number.
//!
//! There are as many as files and their versions give, not as many as runs; all of them are in memory.
//! Only the committer adds to them; what a rolled back unit added is taken out again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;
use velodrome_store::StoreError;

use super::error::{damaged, of_sqlite};

/// The number of a name, from 1.
pub(crate) type NameId = i64;

/// All names of a journal.
#[derive(Debug, Default)]
pub(crate) struct NameTable {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    texts: Vec<Arc<str>>,
    ids: HashMap<Arc<str>, NameId>,
}

impl NameTable {
    pub(crate) fn load(conn: &Connection) -> Result<Self, StoreError> {
        let mut inner = Inner::default();
        let mut statement = conn
            .prepare("SELECT id, text FROM names ORDER BY id")
            .map_err(of_sqlite)?;
        let mut rows = statement.query([]).map_err(of_sqlite)?;
        while let Some(row) = rows.next().map_err(of_sqlite)? {
            let id: NameId = row.get(0).map_err(of_sqlite)?;
            let text: Arc<str> = row.get(1).map_err(of_sqlite)?;
            if id != inner.add(text) {
                return Err(damaged("name", format!("there is none before number {id}")));
            }
        }
        Ok(Self {
            inner: RwLock::new(inner),
        })
    }

    /// The name of this number.
    pub(crate) fn text(&self, id: NameId) -> Result<Arc<str>, StoreError> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let place = usize::try_from(id).ok().and_then(|id| id.checked_sub(1));
        let text = place.and_then(|place| inner.texts.get(place)).cloned();
        text.ok_or_else(|| damaged("record", format!("it names number {id}, which is no name")))
    }

    /// The number of a name; `None` if no row has ever had it.
    pub(crate) fn find(&self, text: &str) -> Option<NameId> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.ids.get(text).copied()
    }

    /// The number of a name, given now if it has none.
    pub(crate) fn intern(&self, conn: &Connection, text: &str) -> rusqlite::Result<NameId> {
        if let Some(id) = self.find(text) {
            return Ok(id);
        }
        let id = self.count() as NameId + 1;
        conn.prepare_cached("INSERT INTO names (id, text) VALUES (?1, ?2)")?
            .execute((id, text))?;
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        Ok(inner.add(text.into()))
    }

    pub(crate) fn count(&self) -> usize {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.texts.len()
    }

    /// Takes out what was added since there were so many, as the journal's rollback has.
    pub(crate) fn truncate(&self, count: usize) {
        if self.count() <= count {
            return;
        }
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        for text in inner.texts.split_off(count) {
            inner.ids.remove(&text);
        }
    }
}

impl Inner {
    fn add(&mut self, text: Arc<str>) -> NameId {
        self.texts.push(text.clone());
        let id = self.texts.len() as NameId;
        self.ids.insert(text, id);
        id
    }
}
