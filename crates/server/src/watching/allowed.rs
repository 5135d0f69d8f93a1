//! Whether who watches still may: an answer without an end outlives the token that it was asked for with.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::access::Caller;
use crate::app::App;

/// How often it is looked at, where there is something to send.
const LOOK: Duration = Duration::from_secs(1);

/// Looks now and then whether a viewer may go on.
pub(crate) struct Allowed {
    ask: Box<dyn Fn() -> bool + Send + Sync>,
    next: Instant,
}

impl fmt::Debug for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Allowed(…)")
    }
}

impl Allowed {
    /// As long as this says so.
    pub(crate) fn while_(ask: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            ask: Box::new(ask),
            next: Instant::now() + LOOK,
        }
    }

    /// As long as the token is not revoked and has not expired, and the session has not ended.
    pub(crate) fn caller(app: &Arc<App>, caller: Caller) -> Self {
        let app = Arc::clone(app);
        Self::while_(move || caller.stays(&app))
    }

    /// Whether it may go on, as of a second ago.
    pub(crate) fn still(&mut self) -> bool {
        let now = Instant::now();
        if now < self.next {
            return true;
        }
        self.next = now + LOOK;
        (self.ask)()
    }
}
