//! The C library's functions that are answered here.
//!
//! `open` has a third argument only where a file may be made; where it is not given, what arrives in its
//! place is passed on and looked at by nobody, as on every Linux that Rust runs on.

use std::cmp::Ordering;

use libc::{c_char, c_int, c_void, clockid_t, mode_t, off_t, size_t, ssize_t, timespec};

use crate::control::control;
use crate::files::{Watched, below_folder, open_files, watch};
use crate::record;
use crate::space::room_for;
use crate::system;

const BOOT_ID: &[u8] = b"/proc/sys/kernel/random/boot_id";

fn opening(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    let name = system::text(path);
    if name == BOOT_ID
        && let Some(other) = std::env::var_os("VELODROME_FAULTS_BOOT")
        && let Ok(other) = std::ffi::CString::new(other.into_encoded_bytes())
    {
        return system::open(other.as_ptr(), flags, mode);
    }
    let mut open = open_files();
    let file = system::open(path, flags, mode);
    if file < 0 {
        return file;
    }
    if let Some((watched, path)) = watch(file, name, flags) {
        let length = system::status(file).map_or(0, |(_, length, _)| length);
        record::opened(watched.inode, length, &path);
        open.insert(file, watched);
    }
    file
}

#[unsafe(no_mangle)]
extern "C" fn open(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opening(path, flags, mode)
}

#[unsafe(no_mangle)]
extern "C" fn open64(path: *const c_char, flags: c_int, mode: mode_t) -> c_int {
    opening(path, flags | libc::O_LARGEFILE, mode)
}

#[unsafe(no_mangle)]
extern "C" fn close(file: c_int) -> c_int {
    let mut open = open_files();
    open.remove(&file);
    system::close(file)
}

/// A write to a watched file, of as many bytes as there is room for.
fn writing(
    file: c_int,
    watched: Watched,
    at: u64,
    bytes: &[u8],
    write: impl Fn(usize) -> ssize_t,
) -> ssize_t {
    let room = room_for(file, at, bytes.len());
    if room == 0 && !bytes.is_empty() {
        system::fail(libc::ENOSPC);
        return -1;
    }
    let written = write(room);
    if let Ok(count) = usize::try_from(written) {
        record::written(watched.inode, at, &bytes[..count]);
    }
    written
}

#[unsafe(no_mangle)]
extern "C" fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    let open = open_files();
    let Some(watched) = open.get(&file).copied() else {
        // A socket may make its writer wait.
        drop(open);
        return system::write(file, bytes, count);
    };
    let at = if watched.appends {
        system::status(file).map_or(0, |(_, length, _)| length)
    } else {
        system::position(file)
    };
    let write = |count| system::write(file, bytes, count);
    writing(file, watched, at, system::bytes(bytes, count), write)
}

fn writing_at(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    let open = open_files();
    let write = |count| system::pwrite(file, bytes, count, at);
    match (open.get(&file).copied(), u64::try_from(at)) {
        (Some(watched), Ok(at)) => writing(file, watched, at, system::bytes(bytes, count), write),
        _ => write(count),
    }
}

#[unsafe(no_mangle)]
extern "C" fn pwrite(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    writing_at(file, bytes, count, at)
}

#[unsafe(no_mangle)]
extern "C" fn pwrite64(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    writing_at(file, bytes, count, at)
}

fn resizing(file: c_int, length: off_t) -> c_int {
    let open = open_files();
    let result = system::ftruncate(file, length);
    if result == 0
        && let Some(watched) = open.get(&file)
    {
        record::resized(watched.inode, length.cast_unsigned());
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate(file: c_int, length: off_t) -> c_int {
    resizing(file, length)
}

#[unsafe(no_mangle)]
extern "C" fn ftruncate64(file: c_int, length: off_t) -> c_int {
    resizing(file, length)
}

fn syncing(file: c_int, sync: impl Fn(c_int) -> c_int) -> c_int {
    let open = open_files();
    let Some(watched) = open.get(&file) else {
        drop(open);
        return sync(file);
    };
    if control().fails_sync() {
        system::fail(libc::EIO);
        return -1;
    }
    let result = sync(file);
    if result == 0 {
        record::synced(watched.inode);
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn fsync(file: c_int) -> c_int {
    syncing(file, system::fsync)
}

#[unsafe(no_mangle)]
extern "C" fn fdatasync(file: c_int) -> c_int {
    syncing(file, system::fdatasync)
}

#[unsafe(no_mangle)]
extern "C" fn unlink(path: *const c_char) -> c_int {
    let _order = open_files();
    let below = below_folder(system::text(path));
    let result = system::unlink(path);
    if result == 0
        && let Some(below) = below
    {
        record::unlinked(&below);
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn rename(from: *const c_char, to: *const c_char) -> c_int {
    let _order = open_files();
    let both = (
        below_folder(system::text(from)),
        below_folder(system::text(to)),
    );
    let result = system::rename(from, to);
    if result == 0
        && let (Some(from), Some(to)) = &both
    {
        record::renamed(from, to);
    }
    result
}

#[unsafe(no_mangle)]
extern "C" fn clock_gettime(clock: clockid_t, time: *mut timespec) -> c_int {
    let result = system::clock_gettime(clock, time);
    let moved = control().moved();
    if result == 0 && clock == libc::CLOCK_REALTIME && moved != 0 {
        // SAFETY: the call that succeeded has written there.
        let time = unsafe { &mut *time };
        let nanos = time.tv_nsec + moved % 1_000 * 1_000_000;
        let (carry, nanos) = match nanos.cmp(&0) {
            Ordering::Less => (-1, nanos + 1_000_000_000),
            _ => (nanos / 1_000_000_000, nanos % 1_000_000_000),
        };
        time.tv_sec += moved / 1_000 + carry;
        time.tv_nsec = nanos;
    }
    result
}
