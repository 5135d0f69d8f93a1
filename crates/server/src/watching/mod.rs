//! Watching the run log as it grows: many viewers, one reader.
//!
//! ```text
//!            engine: something was committed
//!                 │
//!  store ─▶ head read, one at a time ─▶ recent lines ─┬─▶ viewer: matching lines ─▶ body, when it takes more
//!    │                                                ├─▶ viewer …
//!    │                                                └─▶ `/live`: the newest matching line's `seq`
//!    └────▶ catching up, one at a time ─▶ a viewer that is further behind
//! ```
//!
//! A viewer is a place in the log and nothing else: no queue, no task. Lines are read when a viewer wants them, so
//! nothing is read where nobody watches, or where those who do have stopped reading. All viewers together cost a
//! bounded part of the machine: what they are sent in a second is shared among them (`Viewer::pace`), and reads of
//! those who are behind rest three times as long as they took. Who cannot follow falls behind and misses nothing.

mod allowed;
#[cfg(test)]
pub(crate) mod growing;
mod hub;
mod live;
mod recent;

pub(crate) use allowed::Allowed;
pub(crate) use hub::{Hub, Viewer};
pub(crate) use live::{Operations, routes};
pub(crate) use recent::Line;
