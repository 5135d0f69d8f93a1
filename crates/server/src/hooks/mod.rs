//! Webhooks: what a request must be before the engine sees it.
//!
//! The order of the checks is SPEC §5's: size, type, address and origin here; then, in the engine,
//! parse, `before_webhook`, fields, idempotency, place, `after_webhook`, commit.

mod answer;
mod format;
mod receive;
mod request;

pub(crate) use receive::routes;
