//! Tokens that are good now: one refresh at a time for each connection, however many ask.
//!
//! A refresh is work of its own: it goes on when whoever asked for it is stopped, because an endpoint
//! that rotates refresh tokens has spent the old one. What it brings is durable before it is used. A
//! process that dies between the answer and that moment begins again with the old refresh token; if the
//! endpoint no longer takes it, a person must sign in.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::oneshot;
use velodrome_spec::connector::Grant as Granted;
use velodrome_types::Timestamp;

use super::TokenSet;
use super::answer::Refusal;
use super::ask::{self, Grant};
use super::sign_in::store_failed;
use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::{ErrorKind, RequestError};
use crate::process::News;

/// What is known of a connection's tokens in this process.
#[derive(Debug, Default)]
pub(crate) struct TokenState {
    known: Mutex<Known>,
    /// Held over a refresh; an async mutex because that waits for an answer.
    flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    tokens: Option<TokenSet>,
    /// Tokens that could not be saved yet; no further refresh before they are.
    unsaved: bool,
    /// Refreshes that have ended, and how the last one failed.
    ended: u64,
    failure: Option<RequestError>,
    /// No refresh before this: asking again would prolong the ban.
    not_before: Option<Timestamp>,
}

impl TokenState {
    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until no refresh is under way, and lets none begin.
    pub(super) async fn alone(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.flight.lock().await
    }

    /// The present ones, as far as memory knows.
    pub(crate) fn known(&self) -> Option<TokenSet> {
        self.with(|known| known.tokens.clone())
    }

    /// Takes tokens as the present ones, saved; earlier failures are forgotten.
    pub(crate) fn set(&self, tokens: Option<TokenSet>) {
        self.with(|known| {
            *known = Known {
                tokens,
                ended: known.ended,
                ..Known::default()
            }
        });
    }
}

impl Connect {
    /// Tokens that are good for a request now, refreshed if need be. `stale` is an access token that
    /// the API has just refused.
    pub(crate) async fn fresh_tokens(
        &self,
        connection: &Connection,
        stale: Option<&str>,
    ) -> Result<TokenSet, RequestError> {
        let margin = ask::definition(connection)?.refresh_before;
        let state = self.token_state(&connection.id);
        let (known, ended) = state.with(|known| {
            let tokens = known.tokens.clone().filter(|_| !known.unsaved);
            (tokens, known.ended)
        });
        if let Some(tokens) = known.filter(|tokens| self.are_good(tokens, stale, margin)) {
            return Ok(tokens);
        }
        let (tell, told) = oneshot::channel();
        let (this, connection) = (self.clone(), connection.clone());
        let stale = stale.map(str::to_owned);
        self.process().carry(Box::pin(async move {
            let got = this
                .renewed(&connection, stale.as_deref(), margin, ended)
                .await;
            // Whoever asked may be gone; what came is kept all the same.
            let _ = tell.send(got);
        }));
        told.await.unwrap_or_else(|_| {
            let message = "the refresh did not come to its end";
            Err(RequestError::transient("auth.refresh_failed", message))
        })
    }

    /// Refreshes the tokens that a request was sent with, though they may be good by the clock: the API takes
    /// them for void, as a script has found out. One refresh, however many ask at once: where these are no
    /// longer the present ones, nothing is asked. `used` is `None` where nobody knows: the present ones.
    ///
    /// Errors: `auth.no_sign_in` where the connection has no tokens, and those of a refresh.
    pub async fn renew_tokens(
        &self,
        connection: &Connection,
        used: Option<&TokenSet>,
    ) -> Result<(), RequestError> {
        ask::definition(connection)?;
        let known = self.token_state(&connection.id).known();
        let stale = used.or(known.as_ref());
        let stale = stale.map(|tokens| tokens.access_token.as_str());
        self.fresh_tokens(connection, stale).await?;
        Ok(())
    }

    fn are_good(&self, tokens: &TokenSet, stale: Option<&str>, margin: Duration) -> bool {
        !tokens.refused
            && stale != Some(tokens.access_token.as_str())
            && tokens.expires_at > self.now().plus(margin)
    }

    /// The same with the flight held: one after the other.
    async fn renewed(
        &self,
        connection: &Connection,
        stale: Option<&str>,
        margin: Duration,
        ended: u64,
    ) -> Result<TokenSet, RequestError> {
        let state = self.token_state(&connection.id);
        let _flight = state.alone().await;
        let Some(tokens) = self.present(connection, ended).await? else {
            return match ask::definition(connection)?.grant {
                Granted::ClientCredentials => self.refresh(connection, None).await,
                Granted::AuthorizationCode { .. } => Err(RequestError::needs_connection(
                    connection.id.as_str(),
                    "is not signed in",
                )),
            };
        };
        if self.are_good(&tokens, stale, margin) {
            return Ok(tokens);
        }
        if tokens.refused {
            return Err(RequestError::needs_connection(
                connection.id.as_str(),
                "was signed out by the API",
            ));
        }
        // Within the margin the token still works, if it is not the refused one.
        let works = stale.is_none() && tokens.expires_at > self.now();
        match self.refresh(connection, Some(&tokens)).await {
            Err(error) if works && error.kind == ErrorKind::Transient => Ok(tokens),
            Err(error) if works && tokens.refresh_token.is_none() => {
                tracing::debug!(connection = %connection.id, code = %error.code, "no refresh token");
                Ok(tokens)
            }
            other => other,
        }
    }

    /// What the store has now, looked at while holding the flight: another caller, or another
    /// process, may have been first. A refresh that failed while this caller waited is its failure too.
    async fn present(
        &self,
        connection: &Connection,
        ended_before: u64,
    ) -> Result<Option<TokenSet>, RequestError> {
        let state = self.token_state(&connection.id);
        let unsaved = state.with(|known| known.tokens.clone().filter(|_| known.unsaved));
        if let Some(tokens) = unsaved {
            self.keep_tokens(connection, tokens.clone()).await?;
            return Ok(Some(tokens));
        }
        let failure = state.with(|known| {
            let waited = known.ended != ended_before;
            known.failure.clone().filter(|_| waited)
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
        let stored = self.tokens().load(&connection.id).await;
        let stored = stored.map_err(store_failed)?;
        state.with(|known| known.tokens.clone_from(&stored));
        Ok(stored)
    }

    /// Asks for tokens: with the refresh token, or with the client's own name.
    async fn refresh(
        &self,
        connection: &Connection,
        old: Option<&TokenSet>,
    ) -> Result<TokenSet, RequestError> {
        let state = self.token_state(&connection.id);
        let oauth = ask::definition(connection)?;
        let refresh_token = old.and_then(|old| old.refresh_token.as_ref());
        let (form, own) = match (&oauth.grant, refresh_token) {
            (_, Some(token)) => {
                let form = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
                (form, false)
            }
            (Granted::ClientCredentials, None) => {
                (vec![("grant_type", "client_credentials")], true)
            }
            (Granted::AuthorizationCode { .. }, None) => {
                return Err(RequestError::needs_connection(
                    connection.id.as_str(),
                    "has a token that ended and cannot be refreshed",
                ));
            }
        };
        if let Some(left) = self.banned(&state) {
            return Err(RequestError::transient(
                "auth.refresh_failed",
                "the token endpoint asked to wait",
            )
            .after(left));
        }
        let nothing = Default::default();
        let grant = Grant {
            code: "auth.refresh_failed",
            form,
            own,
            before: old,
            kept: old.map_or(&nothing, |old| &old.kept),
        };
        let done = ask::exchange(self, connection, grant).await;
        let now = self.now();
        match done {
            Ok(tokens) => {
                state.with(|known| known.ended += 1);
                self.keep_tokens(connection, tokens.clone()).await?;
                tracing::info!(connection = %connection.id, "access token refreshed");
                let until = tokens.expires_at;
                self.process()
                    .heard(&connection.id, News::Refreshed { until });
                Ok(tokens)
            }
            Err(refused) => {
                tracing::warn!(connection = %connection.id, code = %refused.error.code, "refresh failed");
                state.with(|known| {
                    known.ended += 1;
                    known.failure = Some(refused.error.clone());
                    if let Some(Refusal::Passes(Some(wait), _)) = &refused.refusal {
                        known.not_before = Some(now.plus(*wait));
                    }
                });
                if let (Some(Refusal::Reconnect(_)), Some(old)) = (&refused.refusal, old) {
                    self.void(connection, old).await;
                }
                let news = News::Failed(refused.error.clone());
                self.process().heard(&connection.id, news);
                Err(refused.error)
            }
        }
    }

    /// Notes for good that only a person helps: nothing is asked with these tokens again.
    async fn void(&self, connection: &Connection, tokens: &TokenSet) {
        let refused = TokenSet {
            refused: true,
            ..tokens.clone()
        };
        let state = self.token_state(&connection.id);
        state.with(|known| known.tokens = Some(refused.clone()));
        if let Err(error) = self.tokens().save(&connection.id, refused).await {
            tracing::error!(connection = %connection.id, %error, "a refusal was not stored");
        }
    }

    /// The API refuses this sign-in: a person must sign in again, unless one has just done so.
    pub(crate) async fn refused(&self, connection: &Connection, used: Option<&TokenSet>) {
        let Some(used) = used else {
            return;
        };
        let state = self.token_state(&connection.id);
        let _flight = state.alone().await;
        let same = match self.tokens().load(&connection.id).await {
            Ok(stored) => stored
                .is_some_and(|stored| stored.access_token == used.access_token && !stored.refused),
            Err(_) => false,
        };
        let person = matches!(
            ask::definition(connection).map(|oauth| &oauth.grant),
            Ok(Granted::AuthorizationCode { .. })
        );
        if !same || !person {
            return;
        }
        self.void(connection, used).await;
        let why = "was refused by the API";
        let error = RequestError::needs_connection(connection.id.as_str(), why);
        self.process().heard(&connection.id, News::Failed(error));
    }

    fn banned(&self, state: &TokenState) -> Option<Duration> {
        let now = self.now();
        let until = state.with(|known| known.not_before)?;
        (until > now).then(|| until.since(now))
    }

    /// Saves tokens and makes them the present ones. If the store fails they are kept in memory, and
    /// saved before anything else is done with them.
    pub(super) async fn keep_tokens(
        &self,
        connection: &Connection,
        tokens: TokenSet,
    ) -> Result<(), RequestError> {
        let state = self.token_state(&connection.id);
        state.set(Some(tokens.clone()));
        state.with(|known| known.unsaved = true);
        let saved = self.tokens().save(&connection.id, tokens).await;
        saved.map_err(store_failed)?;
        state.with(|known| known.unsaved = false);
        Ok(())
    }
}
