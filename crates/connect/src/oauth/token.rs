//! Tokens and where they live.

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use velodrome_types::{ConnectionId, Timestamp};

/// What sign-in brought. Sealed by whoever stores it; `Debug` shows no token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSet {
    /// Sent with each request.
    pub access_token: String,
    /// Brings the next access token; some APIs give none.
    pub refresh_token: Option<String>,
    /// When the access token ends, counted from before it was asked for.
    pub expires_at: Timestamp,
    /// What `callback_keep` and `token_keep` name, such as `api_domain`: `${auth.x}`.
    pub kept: BTreeMap<String, String>,
    /// What was granted, as the API writes it; `None` where it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// The API has refused them for good: only a new sign-in helps.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

impl fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSet")
            .field("refreshable", &self.refresh_token.is_some())
            .field("expires_at", &self.expires_at)
            .field("refused", &self.refused)
            .field("kept", &self.kept.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The token store could not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the token store failed: {0}")]
pub struct TokenStoreError(pub String);

/// What a [`TokenStore`] gives back.
pub type TokenFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, TokenStoreError>> + Send + 'a>>;

/// Where tokens live. Implemented by the runtime, which seals them.
pub trait TokenStore: fmt::Debug + Send + Sync {
    /// The connection's tokens, if somebody signed in.
    fn load<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, Option<TokenSet>>;
    /// Keeps tokens; done when they are durable.
    fn save<'a>(&'a self, connection: &'a ConnectionId, tokens: TokenSet) -> TokenFuture<'a, ()>;
    /// Forgets tokens; done when that is durable.
    fn delete<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, ()>;
}
