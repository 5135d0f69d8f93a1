//! Who may do what: tokens with roles, sessions of browsers, and the one table of all routes.
//!
//! ```text
//!  request ─▶ gate ─┬─ Host? Bearer, or cookie (a change: Origin and CSRF too) ─▶ Caller
//!                   └─ nobody: 401, a page to the sign-in
//!  Caller ──▶ the route's own role (Guarded) ─▶ handler
//!
//!  /sign-in: a token or the ticket of a one-time link ─▶ cookie with a signed session, which names its token
//! ```
//!
//! A route is declared with its role or it is not declared at all: [`Guarded`] is the only way into the server's
//! router, and a route that stands behind no gate finds no [`Caller`] and refuses everybody.

mod address;
mod admit;
mod attempts;
mod audit;
mod caller;
mod cookie;
mod gate;
mod guarded;
mod links;
mod refusal;
mod session;
mod sign_in;
mod verdict;

pub(crate) use admit::Keys;
pub(crate) use caller::Caller;
pub(crate) use gate::{api_guard, beside_guard, console_guard};
pub(crate) use guarded::Guarded;
pub use guarded::{Gate, RouteRule, Who};
pub use links::SignInLinks;
pub(crate) use sign_in::{routes, sign_out_routes};
pub use verdict::{Asker, Verdict};
