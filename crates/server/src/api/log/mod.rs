//! The run log, as it stands or as it grows.
//!
//! ```text
//!  store ─▶ what is there ────────▶ framing ─▶ body
//!  hub (`crate::watching`) ─▶ what comes ─▶ framing ─▶ body, when the viewer takes more
//! ```
//!
//! A follower holds a place in the log and nothing else: no queue, no lines. A viewer that stops
//! reading is not read for.

mod answer;
mod follow;
mod framing;
mod query;

pub(super) use answer::{Operations, routes};
