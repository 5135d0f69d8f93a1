//! The clock that ends scripts: monotonic, read nowhere else.

use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time since some fixed moment; never goes back.
pub(crate) type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The machine's own.
pub(crate) fn monotonic() -> Clock {
    let began = instant();
    Arc::new(move || instant().duration_since(began))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time limit of a script in progress; no decision of a run depends on it"
)]
fn instant() -> Instant {
    Instant::now()
}
