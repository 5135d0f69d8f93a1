//! How stores fail.

use thiserror::Error;

/// A unit was not committed, or nobody knows.
#[derive(Clone, Debug, Error)]
pub enum CommitError {
    /// Something the unit took for granted is not so; nothing was written. Compute it again.
    #[error("the commit was refused: {0}")]
    Conflict(String),
    /// A script's write cannot be applied (its text says why); nothing was written. Permanent.
    #[error("{message}")]
    Storage {
        /// The stable code, such as `storage.not_a_number` or `storage.too_many_items`.
        code: &'static str,
        /// What is wrong, naming the key.
        message: String,
    },
    /// The disk refuses writes (full, read-only); nothing was written. May pass.
    #[error("the store cannot write: {0}")]
    Refused(String),
    /// Reading back is the only way to know: the process must stop taking and exit (I8).
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// A read, or opening, failed.
#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// Another process holds the data folder.
    #[error(
        "the data folder `{folder}` is in use by another process: stop it, or set `data` to another folder"
    )]
    Locked {
        /// The folder.
        folder: String,
    },
    /// The data is of a newer format than this program knows.
    #[error(
        "the data folder is of format {found}, this program knows up to {known}: use a newer velodrome"
    )]
    Newer {
        /// What the folder says.
        found: u32,
        /// The newest this program reads.
        known: u32,
    },
    /// A stored record is damaged.
    #[error("a stored {what} is damaged: {why}")]
    Damaged {
        /// Which record.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The backend failed.
    #[error("the store failed: {0}")]
    Backend(String),
}
