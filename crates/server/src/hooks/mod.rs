//! Webhooks: what a request must be before the engine sees it.
//!
//! The order of the checks is SPEC §5's: size, type, address and origin, `auth` here; then, in the
//! engine, parse, `before_webhook`, fields, idempotency, place, `after_webhook`, commit.

mod address;
mod answer;
mod auth;
mod format;
mod link;
mod pages;
mod receive;
mod request;

pub(crate) use address::{Peer, caller};
pub(crate) use receive::{Operations, by_operator, routes};
