//! The open sled database and how far it is trusted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{PoisonError, RwLock};

use super::writes::SledWrites;

/// The commit that sled stands at, as eight bytes, the highest first. No namespace begins so.
pub(super) const MARKER: [u8; 1] = [0xff];
/// The journal it belongs to.
pub(super) const OWNER: [u8; 1] = [0xfe];

const REBUILDING: u8 = 0;
const READY: u8 = 1;
const DISTRUSTED: u8 = 2;

/// sled as readers and the committer use it.
#[derive(Debug)]
pub(crate) struct SledSide {
    folder: PathBuf,
    db: RwLock<Option<sled::Db>>,
    state: AtomicU8,
}

/// Calls sled. What it reports, or panics about (0.34 does, on damaged files), comes back as text.
pub(super) fn guarded<T>(call: impl FnOnce() -> sled::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("sled panicked".to_owned()),
    }
}

impl SledSide {
    /// A database that has everything, or one that is to be rebuilt.
    pub(super) fn new(folder: PathBuf, db: sled::Db, ready: bool) -> Self {
        Self {
            folder,
            db: RwLock::new(Some(db)),
            state: AtomicU8::new(if ready { READY } else { REBUILDING }),
        }
    }

    /// No database: reads go to the journal until the next start.
    pub(super) fn absent(folder: PathBuf) -> Self {
        Self {
            folder,
            db: RwLock::new(None),
            state: AtomicU8::new(DISTRUSTED),
        }
    }

    /// Reads from sled; `None` when the journal is to be read instead.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&sled::Db) -> Result<T, String>) -> Option<T> {
        if self.state.load(Ordering::Acquire) != READY {
            return None;
        }
        let result = self.with(|db| Ok(read(db)))?;
        match result.and_then(|inner| inner) {
            Ok(value) => Some(value),
            Err(why) => {
                self.distrust(&why);
                None
            }
        }
    }

    fn with<T>(
        &self,
        call: impl FnOnce(&sled::Db) -> sled::Result<T>,
    ) -> Option<Result<T, String>> {
        let db = self.db.read().unwrap_or_else(PoisonError::into_inner);
        db.as_ref().map(|db| guarded(|| call(db)))
    }

    /// From now on the journal is read, and the next start sets sled aside.
    pub(crate) fn distrust(&self, why: &str) {
        if self.state.swap(DISTRUSTED, Ordering::AcqRel) != DISTRUSTED {
            tracing::warn!(
                why,
                "sled is not read any more; script storage is read from the journal until the next start"
            );
        }
    }

    pub(crate) fn is_distrusted(&self) -> bool {
        self.state.load(Ordering::Acquire) == DISTRUSTED
    }

    /// It has everything: reads come here from now on.
    pub(super) fn set_ready(&self) {
        let _unless_distrusted =
            self.state
                .compare_exchange(REBUILDING, READY, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Writes a group, with the commit it stands at then. `None` while it is being rebuilt.
    pub(crate) fn apply(&self, writes: SledWrites, commit: Option<u64>) {
        if writes.is_empty() || self.is_distrusted() {
            return;
        }
        match commit {
            Some(commit) => self.write(writes, &[(&MARKER, &commit.to_be_bytes())]),
            None => self.write(writes, &[]),
        }
    }

    pub(super) fn write(&self, writes: SledWrites, last: &[(&[u8], &[u8])]) {
        if let Some(Err(why)) = self.with(|db| writes.write(db, last)) {
            self.distrust(&why);
        }
    }

    /// Hands everything to the operating system, at this commit; false when it did not work.
    pub(crate) fn flush(&self, commit: u64) -> bool {
        self.write(SledWrites::default(), &[(&MARKER, &commit.to_be_bytes())]);
        self.flush_all()
    }

    pub(super) fn flush_all(&self) -> bool {
        if self.is_distrusted() {
            return false;
        }
        match self.with(|db| db.flush()) {
            Some(Ok(_)) => true,
            Some(Err(why)) => {
                self.distrust(&why);
                false
            }
            None => false,
        }
    }

    /// Removes what was built so far; it is of no use to the next start.
    pub(crate) fn discard(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.folder) {
            tracing::warn!(%error, "an unfinished sled could not be removed");
        }
    }

    /// Lets go of the files; true when all is on the disk, at this commit.
    pub(crate) fn close(&self, commit: u64) -> bool {
        let ready = self.state.load(Ordering::Acquire) == READY;
        let flushed = ready && self.flush(commit);
        let mut db = self.db.write().unwrap_or_else(PoisonError::into_inner);
        let db = db.take();
        let dropped = guarded(|| {
            drop(db);
            Ok(())
        });
        flushed && dropped.is_ok() && sync_all(&self.folder).is_ok()
    }
}

/// sled's own flush leaves the data in the operating system's hands; this brings them to the disk.
fn sync_all(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            std::fs::File::open(entry.path())?.sync_all()?;
        }
    }
    std::fs::File::open(folder)?.sync_all()
}
