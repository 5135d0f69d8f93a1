//! Sends a request as it was built, and says what the answer means.

mod body;
mod credentials;
mod fault;
mod hops;
mod notice;
mod retry_after;
mod rules;
mod said;
mod shown;
mod wire;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use velodrome_spec::connector::{AuthDef, ErrorAction, MethodDef, StatusMatch};
use velodrome_types::{Timestamp, TraceContext};

pub(crate) use body::read_at_most;
pub(crate) use fault::{refused_address, told};
pub use shown::AsSent;

use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::RequestError;
use crate::oauth::TokenSet;
use crate::request::HttpRequest;
use crate::stopwatch::Stopwatch;
use crate::transport::Asker;
use crate::turns::Turn;
use hops::{Answer, Leaving};

/// How a request is sent.
#[derive(Clone, Debug)]
pub struct SendOptions {
    /// How long one attempt may take, from its leaving to the last byte of the answer. Waiting for its
    /// turn, and signing in, do not count.
    pub timeout: Duration,
    /// Sent as `Idempotency-Key` with every verb but GET and HEAD.
    pub idempotency_key: Option<String>,
    /// Statuses that are no error beside 2xx; no rule is asked of them.
    pub ok: Vec<StatusMatch>,
    /// Who asks: turns are shared between cycles, then loops.
    pub asker: Option<Asker>,
    /// The trace that the request is part of, where its host is told: sent as `traceparent` and `tracestate`.
    pub trace: Option<TraceContext>,
}

/// An answer.
#[derive(Clone)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The status in words.
    pub reason: String,
    /// Header names in lower case with their values, in the order they came.
    pub headers: Vec<(String, String)>,
    /// The body, decompressed. Empty where the verdict is `Empty`.
    pub body: Bytes,
    /// The other side's clock, from `Date`.
    pub date: Option<Timestamp>,
    /// Where the answer came from, after redirects: without query and credentials.
    pub url_shown: String,
    /// How long the last attempt took.
    pub millis: u64,
    /// What it means.
    pub verdict: Verdict,
}

/// What an answer means that is no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Read it.
    Ok,
    /// No records, no more.
    Empty,
    /// The paging token is void: begin again at the first page, dropping repeats.
    RestartPaging,
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("url_shown", &self.url_shown)
            .field("body_bytes", &self.body.len())
            .field("millis", &self.millis)
            .field("verdict", &self.verdict)
            .finish_non_exhaustive()
    }
}

impl Connect {
    /// Sends a request with the connection's credentials and judges the answer by the method's error
    /// rules, then the connector's, then the usual ones.
    ///
    /// Credentials go to the connector's own hosts and to those of the setting `hosts`; a URL
    /// elsewhere is asked without them. `RefreshThenRetry` refreshes and sends once more; a second
    /// refusal goes on to the next rule. An API that asks to wait (429, a `wait` rule) holds back all
    /// requests of the connection; `request.held` is a request that was not sent for it.
    pub async fn send(
        &self,
        connection: &Connection,
        method: &MethodDef,
        request: &HttpRequest,
        how: SendOptions,
    ) -> Result<Response, RequestError> {
        let mut stale: Option<String> = None;
        loop {
            // The first of two has left and was refused.
            let again = stale.is_some();
            let failed = |error: RequestError| match again {
                true => error.having_left(),
                false => error,
            };
            let (turn, tokens) = self
                .turn(connection, Some(method), &how, stale.as_deref())
                .await
                .map_err(failed)?;
            let answer = self
                .attempt(connection, request, tokens.as_ref(), &how)
                .await
                .map_err(failed)?;
            if how.ok.iter().any(|ok| ok.matches(answer.status)) {
                self.turns().taken(&connection.id, &turn);
                return Ok(answer.into_response(Verdict::Ok));
            }
            let may_refresh = tokens.is_some() && stale.is_none();
            let rule = rules::judge(&answer, method, &connection.def, may_refresh);
            let action = rule.map(|rule| &rule.action);
            if let (Some(ErrorAction::RefreshThenRetry), Some(tokens)) = (action, &tokens) {
                stale = Some(tokens.access_token.clone());
                continue;
            }
            let pause = rules::pause(&answer, rule, self.now());
            match (&pause, action) {
                (Some(pause), _) => {
                    let turns = self.turns();
                    turns.hold(&connection.id, &turn, pause.said, pause.gaps);
                }
                (None, Some(ErrorAction::Reconnect)) => {
                    drop(turn);
                    self.refused(connection, tokens.as_ref()).await;
                }
                (None, _) if answer.status < 400 => self.turns().taken(&connection.id, &turn),
                (None, _) => {}
            }
            return rules::outcome(answer, rule, connection, request, self.now());
        }
    }

    /// Sends a request with the connection's credentials and gives whatever is answered: no rule
    /// judges it, the verdict is always `Ok`. For scripts that ask by themselves.
    pub async fn fetch(
        &self,
        connection: &Connection,
        request: &HttpRequest,
        how: SendOptions,
    ) -> Result<Response, RequestError> {
        let (_turn, tokens) = self.turn(connection, None, &how, None).await?;
        let answer = self
            .attempt(connection, request, tokens.as_ref(), &how)
            .await?;
        Ok(answer.into_response(Verdict::Ok))
    }

    /// The connection's tokens, refreshed if they are about to end; `None` where it signs in otherwise.
    pub async fn current_tokens(
        &self,
        connection: &Connection,
    ) -> Result<Option<TokenSet>, RequestError> {
        self.tokens_for(connection, None).await
    }

    /// Sends a request to this process's own `service_url`, which the guard otherwise counts as
    /// private: the hand-off of a step whose file names its own webhook. Without credentials.
    pub async fn send_home(
        &self,
        connection: &Connection,
        method: &MethodDef,
        request: &HttpRequest,
        how: SendOptions,
    ) -> Result<Response, RequestError> {
        let turns = self.turns();
        let _turn = turns
            .enter(connection, Some(method), how.asker.as_ref())
            .await?;
        let answer = self
            .leave_for_home(wire::write(request, None)?, how.timeout)
            .await?;
        let rule = rules::judge(&answer, method, &connection.def, false);
        rules::outcome(answer, rule, connection, request, self.now())
    }

    /// A request's turn, and tokens that are good in it. Nothing is held while tokens are waited for.
    async fn turn(
        &self,
        connection: &Connection,
        method: Option<&MethodDef>,
        how: &SendOptions,
        stale: Option<&str>,
    ) -> Result<(Turn, Option<TokenSet>), RequestError> {
        let mut tokens = self.tokens_for(connection, stale).await?;
        loop {
            let turns = self.turns();
            let turn = turns.enter(connection, method, how.asker.as_ref()).await?;
            let ended = |tokens: &TokenSet| tokens.expires_at <= self.now();
            if !tokens.as_ref().is_some_and(ended) {
                return Ok((turn, tokens));
            }
            // They ended while the turn was waited for.
            drop(turn);
            tokens = self.tokens_for(connection, stale).await?;
        }
    }

    async fn tokens_for(
        &self,
        connection: &Connection,
        stale: Option<&str>,
    ) -> Result<Option<TokenSet>, RequestError> {
        match &connection.def.auth {
            AuthDef::OAuth2(_) => Ok(Some(self.fresh_tokens(connection, stale).await?)),
            _ => Ok(None),
        }
    }

    async fn attempt(
        &self,
        connection: &Connection,
        request: &HttpRequest,
        tokens: Option<&TokenSet>,
        how: &SendOptions,
    ) -> Result<Answer, RequestError> {
        let signer = credentials::Signer::new(connection, tokens)?;
        let leaving = Leaving {
            wire: wire::write(&signer.with_body(request), how.idempotency_key.as_deref())?
                .taking(&how.ok)
                .traced(how.trace.as_ref())?,
            signer,
            timeout: how.timeout,
            watch: Stopwatch::start(self),
            asker: how.asker.as_ref(),
        };
        self.follow(leaving).await
    }
}
