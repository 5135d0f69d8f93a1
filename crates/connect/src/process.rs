//! What a process lends to its requests: time, tasks that outlive whoever asked, and an ear.

use std::fmt;
use std::pin::Pin;

use velodrome_types::{ConnectionId, Timestamp};

use crate::error::RequestError;

/// Something that goes on by itself.
pub type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The process around [`crate::Connect`].
pub trait Process: fmt::Debug + Send + Sync {
    /// The time, for token expiry, dates, waits and rates; never for elapsed time.
    fn now(&self) -> Timestamp;
    /// Completes then; at once if it has passed.
    fn sleep_until(&self, then: Timestamp) -> Work;
    /// Carries work to its end, even if whoever asked for it goes away: a token that was granted and
    /// not kept is lost.
    fn carry(&self, work: Work);
    /// Hears what became of a connection's sign-in.
    fn heard(&self, connection: &ConnectionId, news: News);
}

/// What became of a connection's sign-in.
#[derive(Clone, Debug)]
pub enum News {
    /// New tokens are kept, good until then.
    Refreshed {
        /// When the access token ends.
        until: Timestamp,
    },
    /// No new token came.
    Failed(RequestError),
}
