//! Executes connector definitions: builds requests, signs them in, sends them through a guard and
//! reads their answers.
//!
//! ```text
//!  inputs ──build──▶ HttpRequest ──send──▶ Response ──scan──▶ Scanned
//!           pure     committed as   guard,            one pass over the body
//!                    it is          credentials,
//!                                   error rules
//! ```
//!
//! A request as built holds no credentials: they are added as it leaves. Knows nothing of runs,
//! cycles, stores or scripts; time, tokens and addresses come in through [`Connect::new`].
//! Requests of all runs leave in turn (`turns`), as the connections' limits let them.

#![expect(
    clippy::result_large_err,
    reason = "an error carries what the other side answered; beside a request its size is nothing"
)]

mod builtin;
mod connect;
mod connection;
pub mod egress;
mod error;
mod eval;
pub mod oauth;
mod options;
mod paging;
mod process;
mod request;
mod scan;
mod send;
mod stopwatch;
mod transport;
mod turns;
mod ways;

pub use builtin::BUILT_IN;
pub use connect::Connect;
pub use connection::{Connection, Late, SecretUnset};
pub use egress::{EgressRules, Looking, Lookup};
pub use error::{ErrorKind, RequestError};
pub use oauth::{
    HookFault, HookFuture, Said, SignIn, SignInEvent, SignInHooks, TokenFuture, TokenSet,
    TokenStore, TokenStoreError,
};
pub use options::{ConnectError, ConnectOptions};
pub use paging::{Behind, PageAt, PageCursor, PageSeen, next_page, way_on};
pub use process::{News, Process, Work};
pub use request::{HttpRequest, MethodCall, asked_page, page_asks_token};
pub use scan::{Scanned, Want, retain_records, scan};
pub use send::{AsSent, Response, SendOptions, Verdict};
pub use transport::{Asker, Carrying, Errand, Incoming, Outgoing, Transport, TransportFault};
