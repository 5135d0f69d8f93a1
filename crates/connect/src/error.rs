//! Why a request was not made, not sent, or not answered well.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use velodrome_types::Code;

/// What may be done about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// May pass by itself; nothing was done at the other side, or it said to come again.
    Transient,
    /// Trying again changes nothing.
    Permanent,
    /// The request left and no answer came: whether it was done is not known. Never for GET and HEAD.
    Unknown,
    /// Nothing left: the connection's turn comes after `retry_after`.
    Held,
}

/// A request that did not bring what it was sent for.
///
/// Holds no credentials, neither in its text nor in `Debug`. The codes are listed in `docs/errors`:
/// `request.*` for requests and answers, `auth.*` for sign-in, `response.*` for bodies that cannot be
/// read, `reference.*` and `connector.*` for values that a definition cannot make.
#[derive(Clone, PartialEq, Error)]
#[error("{message}")]
pub struct RequestError {
    /// The stable code.
    pub code: Code,
    /// What may be done about it.
    pub kind: ErrorKind,
    /// A fragment for people.
    pub message: String,
    /// The HTTP status, where an answer came.
    pub status: Option<u16>,
    /// The answer's headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The answer's body, at most [`RequestError::BODY_LIMIT`] bytes of it. Never of a sign-in.
    pub body: Option<Bytes>,
    /// How long the other side asks to wait, at most a week.
    pub retry_after: Option<Duration>,
    /// The gaps that a connector's rule gives, in place of the step's `retry`.
    pub gaps: Option<Vec<Duration>>,
    /// Whether anything left without an answer to it; see [`RequestError::left`].
    pub(crate) left: bool,
}

impl RequestError {
    /// The most bytes of an error's body that are kept.
    pub const BODY_LIMIT: usize = 64 * 1024;

    pub(crate) fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code: Code::new(code),
            kind,
            message: message.into(),
            status: None,
            headers: Vec::new(),
            body: None,
            retry_after: None,
            gaps: None,
            left: false,
        }
    }

    /// Whether the request, or a first one of several that it takes, may have left this machine. Where no
    /// connection came about nothing did.
    pub fn left(&self) -> bool {
        self.left || self.status.is_some()
    }

    pub(crate) fn having_left(mut self) -> Self {
        self.left = true;
        self
    }

    pub(crate) fn permanent(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Permanent, code, message)
    }

    pub(crate) fn transient(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Transient, code, message)
    }

    pub(crate) fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// `auth.needs_connection`: only a person helps, by signing in.
    pub(crate) fn needs_connection(connection: &str, why: &str) -> Self {
        Self::permanent(
            "auth.needs_connection",
            format!("connection `{connection}` {why}: run `velodrome connect {connection}`"),
        )
    }
}

impl fmt::Debug for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestError")
            .field("code", &self.code)
            .field("kind", &self.kind)
            .field("message", &self.message)
            .field("status", &self.status)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("retry_after", &self.retry_after)
            .field("gaps", &self.gaps)
            .finish_non_exhaustive()
    }
}
