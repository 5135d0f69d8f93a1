//! Another way out than sockets, for simulations: everything up to the wire and everything behind it
//! stays the real code.

use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;
use velodrome_types::{CycleId, LoopId, StepId};

use crate::error::{ErrorKind, RequestError};

/// Carries requests in place of sockets ([`crate::Connect::carried_by`]).
pub trait Transport: fmt::Debug + Send + Sync {
    /// Carries one request and brings its answer. Time passes by the clock that the process was given;
    /// keeping to `timeout` is the transport's.
    fn carry(&self, request: Outgoing) -> Carrying<'_>;
}

/// What [`Transport::carry`] gives back.
pub type Carrying<'a> = Pin<Box<dyn Future<Output = Result<Incoming, TransportFault>> + Send + 'a>>;

/// Who asks: told to a transport, never sent. Turns go by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The cycle.
    pub cycle: CycleId,
    /// Its step.
    pub step: StepId,
    /// Its loop.
    pub loop_id: LoopId,
    /// The lap of its loop.
    pub lap: u64,
}

/// A request on its way, credentials included.
#[derive(Clone)]
pub struct Outgoing {
    /// Who asks, where the caller says so.
    pub asker: Option<Asker>,
    /// The verb, in upper case.
    pub verb: String,
    /// The whole URL, with its query.
    pub url: Url,
    /// Header names in lower case with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Option<Bytes>,
    /// How long it may take from now.
    pub timeout: Duration,
    /// What it is for.
    pub errand: Errand,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// It asks an API.
    Ask,
    /// It goes to this process's own server.
    Home,
    /// It tells of a failed run.
    Notice,
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing")
            .field("asker", &self.asker)
            .field("verb", &self.verb)
            .field("url", &crate::request::shown(self.url.as_str()))
            .finish_non_exhaustive()
    }
}

/// An answer as it comes from the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    /// The HTTP status.
    pub status: u16,
    /// Header names with their values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// No answer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportFault {
    /// Sent, and nothing came in time.
    Timeout,
    /// Nobody listens there; nothing was sent.
    ConnectionRefused,
}

impl TransportFault {
    /// The error that a socket's fault of this kind is.
    pub(crate) fn told(self, safe: bool, shown: &str) -> RequestError {
        match self {
            Self::Timeout => RequestError::new(
                if safe {
                    ErrorKind::Transient
                } else {
                    ErrorKind::Unknown
                },
                "request.timeout",
                format!("`{shown}` did not answer in time"),
            )
            .having_left(),
            Self::ConnectionRefused => {
                RequestError::transient("request.network", format!("`{shown}`: connection refused"))
            }
        }
    }
}

impl Outgoing {
    pub(crate) fn headers_of(headers: &HeaderMap) -> Vec<(String, String)> {
        headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect()
    }
}

impl Incoming {
    /// The answer as the client of sockets would give it. What HTTP does not allow is left out.
    pub(crate) fn into_response(self) -> reqwest::Response {
        let mut response = http::Response::new(reqwest::Body::from(self.body));
        *response.status_mut() =
            http::StatusCode::from_u16(self.status).unwrap_or(http::StatusCode::BAD_GATEWAY);
        for (name, value) in &self.headers {
            let name = HeaderName::from_bytes(name.as_bytes());
            let value = HeaderValue::from_str(value);
            if let (Ok(name), Ok(value)) = (name, value) {
                response.headers_mut().append(name, value);
            }
        }
        response.into()
    }
}
