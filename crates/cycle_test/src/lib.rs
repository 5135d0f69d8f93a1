//! Runs a cycle's tests: the engine that serves, in virtual time, its requests answered from the file.
//!
//! ```text
//!  TestFile ─▶ run (one engine a test) ─▶ Outcome ─▶ judge ─▶ failures, each with its place
//!                 │  ▲                        │
//!     deliveries ─┘  └─ World: canned answers └─▶ exits ─▶ Coverage
//! ```
//!
//! Files are read and results shown elsewhere. Two runs of one file give the same, to the last id.

mod bench;
mod connection;
mod coverage;
mod exact;
mod judge;
mod outcome;
mod record;
mod report;
mod run;
mod world;

pub use bench::Bench;
pub use connection::{PLACEHOLDER, connection};
pub use coverage::{Coverage, NeverTaken};
pub use exact::exact;
pub use report::{FileReport, TestReport};
pub use run::{before, request, run};
pub use world::world;
