//! A disk of a given size.

use std::fs;
use std::path::Path;

use libc::c_int;

use crate::control::control;
use crate::files::folder;
use crate::system;

/// How many of these bytes there is room for; all of them where nothing limits it.
pub(crate) fn room_for(file: c_int, at: u64, count: usize) -> usize {
    let Some(capacity) = control().capacity() else {
        return count;
    };
    let Some((_, length, _)) = system::status(file) else {
        return count;
    };
    let grows = (at + count as u64).saturating_sub(length.max(at));
    if grows == 0 {
        return count;
    }
    let used = folder().map_or(0, used_by);
    let free = capacity.saturating_sub(used);
    if grows <= free {
        return count;
    }
    control().found_no_room();
    count - (grows - free) as usize
}

/// The lengths of all files in a folder. A file that goes meanwhile needs no room.
fn used_by(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    let mut bytes = 0;
    for entry in entries.flatten() {
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes += used_by(&entry.path()),
            Ok(metadata) => bytes += metadata.len(),
            Err(_) => {}
        }
    }
    bytes
}
