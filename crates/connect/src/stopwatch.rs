//! How long one request takes.

use std::time::Duration;

use tokio::time::Instant;
use velodrome_types::Timestamp;

use crate::connect::Connect;

/// Measures by the monotonic clock; where a transport carries requests, by the clock that the process
/// was given, which may be a virtual one.
pub(crate) struct Stopwatch<'a> {
    connect: &'a Connect,
    began: Began,
}

enum Began {
    Really(Instant),
    Told(Timestamp),
}

impl<'a> Stopwatch<'a> {
    pub(crate) fn start(connect: &'a Connect) -> Self {
        let began = if connect.ways().is_carried() {
            Began::Told(connect.now())
        } else {
            Began::Really(Instant::now())
        };
        Self { connect, began }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        match &self.began {
            Began::Really(began) => began.elapsed(),
            Began::Told(began) => self.connect.now().since(*began),
        }
    }

    /// What is left of so much time.
    pub(crate) fn left(&self, of: Duration) -> Duration {
        of.saturating_sub(self.elapsed())
    }
}
