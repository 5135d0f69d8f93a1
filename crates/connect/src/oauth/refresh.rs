//! Tokens that are good now: one refresh at a time for each connection, however many ask.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use velodrome_types::Timestamp;

use super::TokenSet;
use super::answer::Refusal;
use super::ask::{self, Grant};
use super::sign_in::store_failed;
use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::{ErrorKind, RequestError};

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
    /// A refresh token that the endpoint called void; it is not sent again.
    void: Option<Void>,
}

/// A void refresh token.
#[derive(PartialEq, Eq)]
struct Void(String);

impl std::fmt::Debug for Void {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Void")
    }
}

impl TokenState {
    fn with<T>(&self, look: impl FnOnce(&mut Known) -> T) -> T {
        look(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner))
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
        let state = self.state(&connection.id);
        let state = &state.tokens;
        let (known, ended) = state.with(|known| {
            let tokens = known.tokens.clone().filter(|_| !known.unsaved);
            (tokens, known.ended)
        });
        let good = |tokens: &TokenSet| {
            stale != Some(tokens.access_token.as_str())
                && tokens.expires_at > self.now().plus(margin)
        };
        if let Some(tokens) = known.filter(|tokens| good(tokens)) {
            return Ok(tokens);
        }

        let _flight = state.flight.lock().await;
        let tokens = self.present(connection, ended).await?;
        if good(&tokens) {
            return Ok(tokens);
        }
        // Within the margin the token still works, if it is not the refused one.
        let works = stale.is_none() && tokens.expires_at > self.now();
        match self.refresh(connection, &tokens).await {
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
    ) -> Result<TokenSet, RequestError> {
        let state = self.state(&connection.id);
        let state = &state.tokens;
        let unsaved = state.with(|known| known.tokens.clone().filter(|_| known.unsaved));
        if let Some(tokens) = unsaved {
            self.keep_tokens(connection, tokens.clone()).await?;
            return Ok(tokens);
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
        stored.ok_or_else(|| {
            RequestError::needs_connection(connection.id.as_str(), "is not signed in")
        })
    }

    async fn refresh(
        &self,
        connection: &Connection,
        old: &TokenSet,
    ) -> Result<TokenSet, RequestError> {
        let state = self.state(&connection.id);
        let state = &state.tokens;
        let Some(refresh_token) = &old.refresh_token else {
            return Err(RequestError::needs_connection(
                connection.id.as_str(),
                "has a token that ended and cannot be refreshed",
            ));
        };
        let void = state.with(|known| {
            known
                .void
                .as_ref()
                .is_some_and(|void| void.0 == *refresh_token)
        });
        if void {
            return Err(RequestError::needs_connection(
                connection.id.as_str(),
                "has a refresh token that the API called void",
            ));
        }
        if let Some(left) = self.banned(state) {
            return Err(RequestError::transient(
                "auth.refresh_failed",
                "the token endpoint asked to wait",
            )
            .after(left));
        }
        let grant = Grant {
            code: "auth.refresh_failed",
            form: vec![
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token),
            ],
            before: Some(old),
            kept: &old.kept,
        };
        let done = ask::exchange(self, connection, grant).await;
        let now = self.now();
        match done {
            Ok(tokens) => {
                state.with(|known| known.ended += 1);
                self.keep_tokens(connection, tokens.clone()).await?;
                tracing::info!(connection = %connection.id, "access token refreshed");
                Ok(tokens)
            }
            Err(refused) => {
                tracing::warn!(connection = %connection.id, code = %refused.error.code, "refresh failed");
                state.with(|known| {
                    known.ended += 1;
                    known.failure = Some(refused.error.clone());
                    match &refused.refusal {
                        Some(Refusal::Passes(Some(wait), _)) => {
                            known.not_before = Some(now.plus(*wait));
                        }
                        Some(Refusal::Reconnect(_)) => {
                            known.void = Some(Void(refresh_token.clone()));
                        }
                        _ => {}
                    }
                });
                Err(refused.error)
            }
        }
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
        let state = self.state(&connection.id);
        let state = &state.tokens;
        state.set(Some(tokens.clone()));
        state.with(|known| known.unsaved = true);
        let saved = self.tokens().save(&connection.id, tokens).await;
        saved.map_err(store_failed)?;
        state.with(|known| known.unsaved = false);
        Ok(())
    }
}
