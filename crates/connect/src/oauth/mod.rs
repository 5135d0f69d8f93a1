//! Sign-in by OAuth 2.0: authorization code with PKCE, client credentials, kept values, refresh.
//!
//! ```text
//!  begin_sign_in ──▶ browser ──▶ callback ──▶ finish_sign_in ──▶ TokenStore
//!                                                                    │
//!  send ──▶ fresh_tokens ── still good? ──yes──▶ headers   ◀─────────┤
//!                     └──no──▶ one refresh a connection ──▶ save ────┘
//! ```
//!
//! PKCE and the state come from the `oauth2` crate. Its token client is not used: it takes a status
//! other than 2xx as the only sign of failure, while token endpoints answer 200 with an `error`
//! (Zoho), and it drops the answer's other fields, which hold the API's address.

mod answer;
mod ask;
mod hooks;
mod hosts;
mod refresh;
mod sign_in;
mod token;

pub use hooks::{HookFault, HookFuture, Said, SignInEvent, SignInHooks};
pub(crate) use hosts::is_own_host;
pub(crate) use refresh::TokenState;
pub use sign_in::SignIn;
pub use token::{TokenFuture, TokenSet, TokenStore, TokenStoreError};
