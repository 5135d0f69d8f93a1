//! What the engine shows to the network: webhooks, the HTTP API and the pages of a sign-in.
//!
//! ```text
//!  TcpListener ─ serve ─▶ router ─┬─ hooks ──────▶ Engine::receive
//!                                 ├─ api (access) ▶ Engine, its store's read side
//!                                 ├─ console (access)
//!                                 ├─ watching (access): the store's log, one reader for all
//!                                 ├─ sign_in ────▶ Engine::sign_in_*
//!                                 ├─ metrics (token)
//!                                 └─ health
//! ```
//!
//! It looks at sizes, types, hosts, origins and tokens, and turns problems into answers. It decides
//! nothing about runs, and does not know which store the engine has.

#![expect(
    clippy::result_large_err,
    reason = "a problem is the rare way out, and its text costs more than moving it"
)]

mod access;
mod answer;
mod api;
mod app;
mod blocking;
mod body;
mod console;
mod health;
mod hooks;
mod metrics;
mod openapi;
mod origin;
mod page;
mod patience;
mod problem;
mod requests;
mod router;
mod serve;
mod sign_in;
mod token;
mod watching;

pub use access::{Asker, Gate, RouteRule, SignInLinks, Verdict, Who};
pub use app::{DEFAULT_BODY_LIMIT, Now, ServerOptions};
pub use openapi::document;
pub use router::{route_table, router};
pub use serve::serve;
pub use token::{ADMIN_TOKEN_FILE, TokenHash, load_or_create_admin_token};
