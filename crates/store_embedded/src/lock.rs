//! The data folder is one process's: a lock that the operating system lets go when the process ends.

use std::fs::{File, TryLockError};
use std::path::Path;

use velodrome_store::StoreError;

const LOCK_FILE: &str = "lock";

/// Held while the store is open; dropping it lets the next process in.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(LOCK_FILE);
        let failed = |error: std::io::Error| {
            StoreError::Backend(format!("`{}` cannot be locked: {error}", path.display()))
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked {
                folder: folder.display().to_string(),
            }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}
