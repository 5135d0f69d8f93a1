//! The counters of requests, by connection and method.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use velodrome_connect::{ErrorKind, RequestError, Response};
use velodrome_types::{ConnectionId, Metric};

use super::{Metrics, class};

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// This status.
    Answered(u16),
    /// No answer.
    None,
    /// It was not sent: its turn comes later.
    Held,
}

impl Outcome {
    pub(crate) fn of(sent: &Result<Response, RequestError>) -> Self {
        match sent {
            Ok(response) => Self::Answered(response.status),
            Err(error) => match error.status {
                Some(status) => Self::Answered(status),
                None if error.kind == ErrorKind::Held => Self::Held,
                None => Self::None,
            },
        }
    }

    fn label(self) -> (usize, &'static str) {
        match self {
            Self::Answered(status) => class(status),
            Self::None => (5, "none"),
            Self::Held => (6, "held"),
        }
    }
}

/// The counters of one connection.
#[derive(Debug)]
pub(super) struct ConnectionMetrics {
    name: String,
    duration: Histogram,
    methods: RwLock<HashMap<String, Arc<MethodMetrics>>>,
}

#[derive(Debug, Default)]
struct MethodMetrics {
    by_status: [OnceLock<IntCounter>; 7],
}

impl ConnectionMetrics {
    fn method(&self, method: &str) -> Arc<MethodMetrics> {
        let known = self.methods.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(method) {
            return Arc::clone(metrics);
        }
        drop(known);
        let mut known = self.methods.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(method.to_owned()).or_default())
    }
}

impl Metrics {
    fn of_connection(&self, connection: &ConnectionId) -> Arc<ConnectionMetrics> {
        let known = self
            .connections
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(connection) {
            return Arc::clone(metrics);
        }
        drop(known);
        let mut known = self
            .connections
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || {
            let name = connection.as_str();
            Arc::new(ConnectionMetrics {
                name: name.to_owned(),
                duration: self.all().histogram(Metric::RequestDuration, &[name]),
                methods: RwLock::default(),
            })
        };
        Arc::clone(known.entry(connection.clone()).or_insert_with(new))
    }

    /// A request has come to its end.
    pub(crate) fn request(
        &self,
        connection: &ConnectionId,
        method: &str,
        outcome: Outcome,
        took: Duration,
    ) {
        let connection = self.of_connection(connection);
        let (at, status) = outcome.label();
        let counter = || {
            let labels = [connection.name.as_str(), method, status];
            self.counter(Metric::Requests, &labels)
        };
        connection.method(method).by_status[at]
            .get_or_init(counter)
            .inc();
        if outcome != Outcome::Held {
            connection.duration.observe(took.as_secs_f64());
        }
    }
}
