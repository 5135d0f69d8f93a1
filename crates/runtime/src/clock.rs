//! The one place that reads the clock.
//!
//! While the process lives, time goes by the monotonic clock from the moment it began, so that a
//! jump of the wall clock neither fires a delay early nor holds one back; after a restart the wall
//! clock counts (SPEC §9).

use std::time::Duration;

use tokio::time::Instant;
use velodrome_types::Timestamp;

/// The engine's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Timestamp,
    at: Instant,
}

impl Clock {
    /// A clock that begins with the wall clock's time.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the module that time comes from"
    )]
    pub(crate) fn start() -> Self {
        let wall = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| {
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            });
        Self {
            began: Timestamp::from_millis(wall),
            at: Instant::now(),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        self.began.plus(self.at.elapsed())
    }

    /// Waits until then; at once if it has passed. Never returns early.
    pub(crate) async fn sleep_until(&self, then: Timestamp) {
        loop {
            let left = then.since(self.now());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(Duration::from_secs(3600))).await;
        }
    }
}
