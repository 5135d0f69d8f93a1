//! Faults of the disk and of the clock, beneath the real binary (Linux).
//!
//! Loaded by `LD_PRELOAD`, it stands between the binary and the C library for the few calls by which a
//! process writes files and reads the time, and for files below one folder it can:
//!
//! - be a disk of a given size, full when that is reached (`space.rs`);
//! - fail an fsync, as a dying disk does (`control.rs`);
//! - move the wall clock, both ways (`control.rs`);
//! - write down every write and fsync, so that a loss of power can be made of them (`record.rs`).
//!
//! ```text
//!  test ──writes──▶ control file ◀──reads── calls.rs, in the server's process
//!  test ◀──reads─── record file ◀──writes──┘   └──system calls──▶ the kernel
//! ```
//!
//! A server knows nothing of it, nothing is built differently, and no privilege is needed. What it does
//! not see: writes through a mapping, which only `journal.db-shm` is written by, and a crash makes that
//! anew. The other side is `tests/src/faults.rs`.

#![cfg(target_os = "linux")]

mod calls;
mod control;
mod files;
mod record;
mod space;
mod system;
