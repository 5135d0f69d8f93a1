//! The run log, as it stands or as it grows.
//!
//! ```text
//!  store ─▶ chunk (blocking thread) ─▶ framing ─▶ body, when the viewer takes more
//!    ▲                                              │
//!    └──── log_changed: something was committed ◀───┘
//! ```
//!
//! A follower holds a place in the log and nothing else: no queue, no lines. A viewer that stops
//! reading is not read for.

mod answer;
mod follow;
mod framing;
mod query;

pub(super) use answer::routes;
