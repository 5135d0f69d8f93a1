//! The kernel's own calls, past the C library: its functions of these names are ours here.

use std::ffi::{CStr, CString};

use libc::{c_char, c_int, c_long, c_void, off_t, size_t, ssize_t};

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {
        // SAFETY: the arguments are those of the C library's function of the same name, passed on as its
        // caller gave them.
        unsafe { libc::syscall(libc::$number $(, $argument)*) }
    };
}

pub(crate) fn open(path: *const c_char, flags: c_int, mode: libc::mode_t) -> c_int {
    call!(SYS_openat, libc::AT_FDCWD, path, flags, mode) as c_int
}

/// Opens a file that a variable of the environment names. Not as the standard library would, whose way
/// leads here again.
pub(crate) fn open_named(variable: &str, flags: c_int) -> Option<c_int> {
    let path = CString::new(std::env::var_os(variable)?.into_encoded_bytes()).ok()?;
    let file = open(path.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC | flags, 0);
    (file >= 0).then_some(file)
}

pub(crate) fn close(file: c_int) -> c_int {
    call!(SYS_close, file) as c_int
}

pub(crate) fn write(file: c_int, bytes: *const c_void, count: size_t) -> ssize_t {
    call!(SYS_write, file, bytes, count) as ssize_t
}

pub(crate) fn pwrite(file: c_int, bytes: *const c_void, count: size_t, at: off_t) -> ssize_t {
    call!(SYS_pwrite64, file, bytes, count, at) as ssize_t
}

pub(crate) fn ftruncate(file: c_int, length: off_t) -> c_int {
    call!(SYS_ftruncate, file, length) as c_int
}

pub(crate) fn fsync(file: c_int) -> c_int {
    call!(SYS_fsync, file) as c_int
}

pub(crate) fn fdatasync(file: c_int) -> c_int {
    call!(SYS_fdatasync, file) as c_int
}

pub(crate) fn unlink(path: *const c_char) -> c_int {
    call!(SYS_unlinkat, libc::AT_FDCWD, path, 0) as c_int
}

pub(crate) fn rename(from: *const c_char, to: *const c_char) -> c_int {
    call!(SYS_renameat2, libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as c_int
}

pub(crate) fn clock_gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> c_int {
    call!(SYS_clock_gettime, clock, time) as c_int
}

/// Where the next plain write goes.
pub(crate) fn position(file: c_int) -> u64 {
    let at: c_long = call!(SYS_lseek, file, 0, libc::SEEK_CUR);
    u64::try_from(at).unwrap_or(0)
}

/// What is known of an open file: its number on the file system, its length, and whether it is a file.
pub(crate) fn status(file: c_int) -> Option<(u64, u64, bool)> {
    // SAFETY: all zeros is a `stat`, and the kernel fills it.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `status` outlives the call.
    let failed = unsafe { libc::fstat(file, &raw mut status) } != 0;
    let plain = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    let length = u64::try_from(status.st_size).unwrap_or(0);
    (!failed).then_some((status.st_ino, length, plain))
}

pub(crate) fn fail(why: c_int) {
    // SAFETY: the pointer is this thread's `errno`.
    unsafe { *libc::__errno_location() = why };
}

pub(crate) fn text<'a>(path: *const c_char) -> &'a [u8] {
    if path.is_null() {
        return b"";
    }
    // SAFETY: a path is a string that ends with a zero, by the contract of the calls it is given to; it is
    // not kept past them.
    unsafe { CStr::from_ptr(path) }.to_bytes()
}

pub(crate) fn bytes<'a>(bytes: *const c_void, count: usize) -> &'a [u8] {
    if bytes.is_null() || count == 0 {
        return b"";
    }
    // SAFETY: `write` is given this many bytes at this address; they are not kept past the call.
    unsafe { std::slice::from_raw_parts(bytes.cast(), count) }
}
