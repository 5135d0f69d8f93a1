//! What a connector's scripts may see and change of a sign-in: a narrow border, for this crate runs none.
//!
//! ```text
//!  before_oauth2_authorise ─▶ browser … callback ─▶ before_oauth2_token ─▶ endpoint ─▶ after_oauth2_token
//!                                        a refresh ─▶ before_oauth2_refresh ─▶ endpoint ─▶ after_oauth2_refresh
//! ```
//!
//! Secrets and tokens pass here: nothing of it has a `Debug` that shows them.

use std::fmt;
use std::pin::Pin;

use velodrome_types::{Code, Json, JsonMap};

use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::{ErrorKind, RequestError};

/// A moment of a sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignInEvent {
    /// A browser is about to be sent to the API.
    BeforeAuthorise,
    /// A code, or the client's own name, is about to be exchanged for tokens.
    BeforeToken,
    /// The endpoint has answered that.
    AfterToken,
    /// A refresh token is about to be exchanged.
    BeforeRefresh,
    /// The endpoint has answered that.
    AfterRefresh,
}

impl SignInEvent {
    /// The handler of this event, as Cyclr calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BeforeAuthorise => "before_oauth2_authorise",
            Self::BeforeToken => "before_oauth2_token",
            Self::AfterToken => "after_oauth2_token",
            Self::BeforeRefresh => "before_oauth2_refresh",
            Self::AfterRefresh => "after_oauth2_refresh",
        }
    }
}

/// What is said at such a moment; a handler may change all of it.
#[derive(Clone, Default, PartialEq)]
pub struct Said {
    /// The URL, of the browser's way or of the token endpoint. Whatever it becomes is held to the hosts that
    /// secrets may go to.
    pub endpoint: String,
    /// The request's headers.
    pub headers: JsonMap,
    /// The form's fields, the client's id and secret among them; null of the browser's way. Sent as JSON where
    /// the header `content-type` says so.
    pub request: Json,
    /// The answer, JSON or a text; null before.
    pub response: Json,
    /// The answer's status.
    pub status: Option<u16>,
    /// Handed on from before to after.
    pub action_data: Json,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Said")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

/// A handler that did not let a sign-in go on. The message holds nothing secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFault {
    /// The stable code.
    pub code: Code,
    /// What happened, and where.
    pub message: String,
}

/// What [`SignInHooks::call`] gives back.
pub type HookFuture<'a> = Pin<Box<dyn Future<Output = Result<Said, HookFault>> + Send + 'a>>;

/// Runs the handlers of a connector around its sign-in. Implemented by whoever runs scripts.
pub trait SignInHooks: fmt::Debug + Send + Sync {
    /// Calls the connector's handler of this event, which is there.
    fn call<'a>(
        &'a self,
        connection: &'a Connection,
        event: SignInEvent,
        said: Said,
    ) -> HookFuture<'a>;
}

impl Connect {
    /// Whether the connection's connector hears of this event.
    pub(super) fn is_heard(&self, connection: &Connection, event: SignInEvent) -> bool {
        let script = connection.def.script.as_ref();
        self.hooks().is_some() && script.is_some_and(|script| script.analysis.has(event.as_str()))
    }

    /// What the connector's handler makes of it; as it is where there is none.
    pub(super) async fn hooked(
        &self,
        connection: &Connection,
        event: SignInEvent,
        said: Said,
    ) -> Result<Said, RequestError> {
        let Some(hooks) = self.hooks().filter(|_| self.is_heard(connection, event)) else {
            return Ok(said);
        };
        let called = hooks.call(connection, event, said).await;
        called.map_err(|HookFault { code, message }| RequestError {
            code,
            ..RequestError::new(ErrorKind::Permanent, "script.failed", message)
        })
    }
}
