//! Read-only connections, kept for the next reader. No reader waits for another or for the committer.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use velodrome_store::StoreError;

use crate::journal::open_reader;

/// Connections kept open; each has a cache. More readers at once open their own for the time.
const KEPT: usize = 4;

#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    /// `None` when the store is closed.
    idle: Mutex<Option<Vec<Connection>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            idle: Mutex::new(Some(Vec::new())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads with a connection of one's own.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let idle = match &mut *self.lock() {
            Some(idle) => idle.pop(),
            None => return Err(StoreError::Backend("it is closed".to_owned())),
        };
        let conn = match idle {
            Some(conn) => conn,
            None => open_reader(&self.path)?,
        };
        let result = read(&conn);
        if let Some(idle) = &mut *self.lock()
            && idle.len() < KEPT
        {
            idle.push(conn);
        }
        result
    }

    /// Lets go of the file. Readers at work finish.
    pub(crate) fn close(&self) {
        self.lock().take();
    }
}
