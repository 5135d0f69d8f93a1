//! Makes runs go: accepts webhooks, drives loops, performs actions, fires timers, recovers.
//!
//! ```text
//!  server ─▶ Engine ─▶ accept ─┐                     ┌─▶ store.commit
//!                              ├─▶ Actor (one a loop)┤
//!  Timers, Reload, Recovery ───┘    core::advance    └─▶ perform ─▶ connect, script
//! ```
//!
//! Decisions are `velodrome-core`'s; this crate brings time, randomness and outcomes to them, commits
//! what they say and only then acts. It does not know which store it has, nor HTTP's server side.

#![expect(
    clippy::result_large_err,
    reason = "an error is made once a failed request and carries what people need; a box would be one more thing to read past"
)]

mod accept;
mod access;
mod actor;
pub mod api;
mod api_lists;
mod callers;
mod clock;
mod command;
mod connections;
mod cycle_files;
mod cycles;
mod delete_cycle;
mod engine;
mod flows;
mod gather;
mod handlers;
mod handoff;
mod held;
mod house;
mod inline;
mod metrics;
mod midway;
mod outbox;
mod overlay;
mod payloads;
mod perform;
mod plans;
mod random;
mod records;
mod redact;
mod refusals;
mod registry;
mod reload;
mod remedy;
mod replies;
mod resume;
mod resume_link;
mod retention;
mod schedules;
mod script_requests;
mod script_threads;
mod secrets;
mod seen;
mod shared;
mod sign_in_scripts;
mod sign_ins;
pub mod simulated;
mod start;
mod step_test;
mod stored_run;
mod tasks;
mod timers;
mod tokens;
mod traces;
mod unit;
mod vault;
mod watermark;
mod webhook;

pub use access::{KnownToken, TOKEN_PREFIX};
pub use callers::Hook;
pub use cycle_files::{CycleFiles, EditedFiles, HeldFiles, read_below};
pub use engine::Engine;
pub use handoff::HANDOFF_HEADER;
pub use redact::{MARK, RedactedWriter, Redactor, SHORTEST};
pub use start::{Reconfigure, StartError, StartOptions, start};
pub use traces::{LoopTrace, SendTo, TraceRules, span_of_loop, span_of_run};
