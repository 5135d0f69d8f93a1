//! What the handle, the readers and the committer have in common.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::commit::Queue;
use crate::journal::NameTable;
use crate::lock::FolderLock;
use crate::read::Readers;
use crate::script_storage::SledSide;

/// One open store.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Where everything is.
    pub(crate) folder: PathBuf,
    /// Units on their way to the committer.
    pub(crate) queue: Queue,
    /// Names that rows refer to.
    pub(crate) names: NameTable,
    /// The newest line's `seq`, of what has been committed.
    pub(crate) last_seq: AtomicU64,
    /// Connections for reading.
    pub(crate) readers: Readers,
    /// What scripts read.
    pub(crate) sled: SledSide,
    /// Taken out when the store is closed.
    pub(crate) lock: Mutex<Option<FolderLock>>,
}
