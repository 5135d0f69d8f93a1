//! Room that is kept for deleting.
//!
//! To delete, the journal first writes: a page that changes stands in its write-ahead log, and what the
//! log holds has to be moved into the file before either gives room back. On a disk that is full to the
//! last byte nothing could be deleted any more, and so it would stay full. The reserve is a file of the
//! size that this takes. It is given up when a deletion finds no room, and from then on nothing but
//! deletions is written, until there is room for it again.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

const RESERVE_FILE: &str = "reserve";
/// A write-ahead log at its usual length of 4 MiB moved into a file that has no free page, once while it
/// is full of deletions, and once for what had grown behind it before that was noticed.
pub(crate) const RESERVE_BYTES: u64 = 8 << 20;

/// The file, there or given up.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// Makes the file, where it is not there already and there is room for it.
    pub(crate) fn take(folder: &Path) -> Self {
        let path = folder.join(RESERVE_FILE);
        let held = fs::metadata(&path).is_ok_and(|metadata| metadata.len() == RESERVE_BYTES);
        let mut reserve = Self { path, held };
        if !reserve.hold() {
            tracing::warn!(
                needs = RESERVE_BYTES,
                "the disk of the data folder is full: nothing is taken until there is room"
            );
        }
        reserve
    }

    /// Whether there is one, after trying to make it.
    pub(crate) fn hold(&mut self) -> bool {
        if self.held {
            return true;
        }
        match fill(&self.path) {
            Ok(()) => self.held = true,
            // What was written of it is room that something else may need.
            Err(_) => drop(fs::remove_file(&self.path)),
        }
        self.held
    }

    /// Gives the room back; says whether there was any.
    pub(crate) fn give_up(&mut self) -> bool {
        let held = std::mem::take(&mut self.held);
        held && fs::remove_file(&self.path).is_ok()
    }
}

/// Bytes that no file system makes smaller, nor leaves out as a hole.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::create(path)?;
    let mut block = vec![0_u8; 64 << 10];
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for _ in 0..RESERVE_BYTES / block.len() as u64 {
        for word in block.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        file.write_all(&block)?;
    }
    Ok(())
}
