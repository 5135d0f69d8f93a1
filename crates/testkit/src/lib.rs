//! What tests of the engine are made of; a dev-dependency only.
//!
//! ```text
//!  cycles/*.yaml ─▶ shipped ─▶ Case ─▶ Clean (a pass in which nothing goes wrong, written down)
//!                                │        │ Outcome, exchanges, commits
//!                                ▼        ▼
//!                              Pass ── lives of one process after the other
//!                                │        over Faulty (commits that crash, are refused, are slow)
//!                                │        with Outside (answers of the clean pass, or a fate)
//!                                ▼
//!                             Outcome, held against the clean one
//! ```
//!
//! The engine is the one that serves, in virtual time ([`velodrome_runtime::simulated`]). Nothing here
//! says what must hold: that stands in the tests.

mod chance;
mod clean;
mod faulty;
mod outcome;
mod outside;
mod pass;
mod shipped;

pub use chance::Chance;
pub use clean::Clean;
pub use faulty::{Faults, Faulty, Objection, Verdict};
pub use outcome::{LoopEnd, Outcome, Told, lines, loops};
pub use outside::{Asked, Exchange, Fate, Outside, Request};
pub use pass::Pass;
pub use shipped::{Case, Shipped, shipped};
