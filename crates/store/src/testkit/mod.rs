//! What every backend's tests run: the same checks, each also after the store was closed and after it
//! crashed, and random units fed to two stores that must not differ in any read.
//!
//! A backend implements [`Subject`] and calls [`crate::conformance_suite`], which makes one test of
//! each check, and [`differential`].

mod bench;
mod build;
pub mod checks;
mod compare;
mod random;

pub use bench::{Bench, Reopen, Subject, wait};
pub use build::{at, line, loop_id, loop_row, run_id, run_row, storage_write};
pub use compare::{everything, outcome};
pub use random::{Random, differential};
