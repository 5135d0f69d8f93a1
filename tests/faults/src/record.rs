//! Everything that happens to the files below the folder, in order, for a loss of power.
//!
//! Each entry: what (1 byte), the file's number, a place, a count of bytes (8 each, little endian), the
//! bytes.
//!
//! | what | place | bytes |
//! |---|---|---|
//! | `o` the file has this name | its length | the name below the folder |
//! | `w` written | where | what |
//! | `t` cut or made longer | its new length | |
//! | `s` fsync succeeded | | |
//! | `u` the name is gone | | the name |
//! | `r` the name leads to this file from now on | | the old name, a zero, the new one |
//!
//! An entry is written behind what it tells of and before the caller hears of it: what is not in the
//! record was promised to nobody.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::OnceLock;

use libc::c_int;

use crate::files::folder;
use crate::system;

fn file() -> Option<c_int> {
    static FILE: OnceLock<Option<c_int>> = OnceLock::new();
    *FILE.get_or_init(|| system::open_named("VELODROME_FAULTS_RECORD", libc::O_APPEND))
}

fn entry(what: u8, inode: u64, place: u64, bytes: &[u8]) {
    let Some(file) = file() else {
        return;
    };
    let mut entry = Vec::with_capacity(25 + bytes.len());
    entry.push(what);
    for number in [inode, place, bytes.len() as u64] {
        entry.extend(number.to_le_bytes());
    }
    entry.extend(bytes);
    let mut rest = entry.as_slice();
    while !rest.is_empty() {
        match system::write(file, rest.as_ptr().cast(), rest.len()) {
            written @ 1.. => rest = &rest[written as usize..],
            // A record with a hole would make a loss of power that never was.
            _ => std::process::abort(),
        }
    }
}

fn name(path: &Path) -> &[u8] {
    let below = folder().and_then(|folder| path.strip_prefix(folder).ok());
    below.unwrap_or(path).as_os_str().as_bytes()
}

pub(crate) fn opened(inode: u64, length: u64, path: &Path) {
    entry(b'o', inode, length, name(path));
}

pub(crate) fn written(inode: u64, at: u64, bytes: &[u8]) {
    entry(b'w', inode, at, bytes);
}

pub(crate) fn resized(inode: u64, length: u64) {
    entry(b't', inode, length, b"");
}

pub(crate) fn synced(inode: u64) {
    entry(b's', inode, 0, b"");
}

pub(crate) fn unlinked(path: &Path) {
    entry(b'u', 0, 0, name(path));
}

pub(crate) fn renamed(from: &Path, to: &Path) {
    entry(b'r', 0, 0, &[name(from), name(to)].join(&0));
}
