//! What the engine lends to requests: its clock, its tasks, and its log for what becomes of sign-ins.

use std::fmt;
use std::sync::{Arc, OnceLock, Weak};

use velodrome_connect::{News, Process, Work};
use velodrome_types::{ConnectionId, Event, Level, LogLine, Timestamp};

use crate::clock::Clock;
use crate::shared::Shared;
use crate::tasks::{Task, Tasks};

/// The engine, as requests see it.
pub(crate) struct House {
    clock: Clock,
    tasks: Tasks,
    /// The engine itself, once it is there. Weak: the engine holds this.
    shared: OnceLock<Weak<Shared>>,
}

impl House {
    pub(crate) fn new(clock: Clock, tasks: Tasks) -> Self {
        Self {
            clock,
            tasks,
            shared: OnceLock::new(),
        }
    }

    /// From here on news are heard.
    pub(crate) fn is_of(&self, shared: &Arc<Shared>) {
        // Told once, by whoever puts the engine together.
        let _ = self.shared.set(Arc::downgrade(shared));
    }
}

impl fmt::Debug for House {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("House").finish_non_exhaustive()
    }
}

impl Process for House {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep_until(&self, then: Timestamp) -> Work {
        let clock = self.clock.clone();
        Box::pin(async move { clock.sleep_until(then).await })
    }

    fn carry(&self, work: Work) {
        self.tasks.start(Task::Refresh, work);
    }

    fn heard(&self, connection: &ConnectionId, news: News) {
        let Some(shared) = self.shared.get().and_then(Weak::upgrade) else {
            return;
        };
        match news {
            News::Refreshed { until } => {
                let message = format!("connection `{connection}` has a new token");
                shared.note(refreshed(self.clock.now(), connection, message, until));
            }
            News::Failed(error) => {
                if error.code.as_str() == "auth.needs_connection" {
                    shared.connections.set_ready(connection, false);
                }
                let (now, event) = (self.clock.now(), Event::ConnectionFailed);
                let mut line = LogLine::new(now, Level::Error, event, error.message);
                line.code = Some(error.code);
                line.status = error.status;
                line.data = Some(serde_json::json!({ "connection": connection.as_str() }));
                shared.note(line);
            }
        }
    }
}

/// The line that tells of new tokens.
pub(crate) fn refreshed(
    now: Timestamp,
    connection: &ConnectionId,
    message: String,
    until: Timestamp,
) -> LogLine {
    let mut line = LogLine::new(now, Level::Info, Event::ConnectionRefreshed, message);
    line.data = Some(serde_json::json!({ "connection": connection.as_str(), "until": until }));
    line
}
