//! Which open files are those below the folder.

use std::collections::HashMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libc::c_int;

use crate::system;

/// An open file below the folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Watched {
    /// Its number on the file system.
    pub(crate) inode: u64,
    /// Whether plain writes go to its end.
    pub(crate) appends: bool,
}

type Open = HashMap<c_int, Watched>;

/// The open files. Held over a call and its record, so that both have one order.
pub(crate) fn open_files() -> MutexGuard<'static, Open> {
    static OPEN: OnceLock<Mutex<Open>> = OnceLock::new();
    OPEN.get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// The folder, without links.
pub(crate) fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOLDER
        .get_or_init(|| std::env::var_os("VELODROME_FAULTS_UNDER").map(PathBuf::from))
        .as_deref()
}

/// A path as it was given, if it leads below the folder.
pub(crate) fn below_folder(path: &[u8]) -> Option<PathBuf> {
    let path = std::path::absolute(OsString::from_vec(path.to_vec())).ok()?;
    // The last part of it may not be there (any more).
    let parent = path.parent()?.canonicalize().ok()?;
    let whole = parent.join(path.file_name()?);
    whole.starts_with(folder()?).then_some(whole)
}

/// What is to be known of a file that was just opened, if it is one to watch.
pub(crate) fn watch(file: c_int, path: &[u8], flags: c_int) -> Option<(Watched, PathBuf)> {
    if path.ends_with(b"-shm") {
        return None;
    }
    let path = below_folder(path)?;
    let (inode, _, plain) = system::status(file)?;
    let appends = flags & libc::O_APPEND != 0;
    plain.then_some((Watched { inode, appends }, path))
}
