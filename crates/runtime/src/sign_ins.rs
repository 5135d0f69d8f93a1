//! The engine's facade for connections: what they are, signing in, signing out.

use std::collections::BTreeMap;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use velodrome_connect::{Connection, TokenSet};
use velodrome_spec::connector::AuthDef;
use velodrome_types::{ConnectionId, Event, Level, LogLine};

use crate::accept;
use crate::api::{ConnectionView, Problem, SignInBegun};
use crate::connections::{Said, needs_person, sign_in_problem};
use crate::engine::Engine;
use crate::house::refreshed;
use crate::shared::Shared;

/// The longest client id or secret that is taken.
const CLIENT_LIMIT: usize = 4_096;

impl Engine {
    /// Every connection, declared or used by default. Tells of tokens, never shows one.
    pub async fn connections(&self) -> Vec<ConnectionView> {
        let mut views = Vec::new();
        for (connection, ready) in self.shared.connections.all() {
            views.push(view(&self.shared, &connection, ready).await);
        }
        views
    }

    /// One connection.
    ///
    /// # Errors
    ///
    /// `connection.unknown`.
    pub async fn connection(&self, id: &ConnectionId) -> Result<ConnectionView, Problem> {
        self.shared.connections.connection(id)?;
        let all = self.shared.connections.all();
        let found = all.into_iter().find(|(known, _)| known.id == *id);
        let (connection, ready) = found.ok_or_else(|| {
            Problem::new(
                404,
                "connection.unknown",
                format!("there is no connection `{id}`"),
            )
        })?;
        Ok(view(&self.shared, &connection, ready).await)
    }

    /// Begins to sign a connection in: a one-time URL of this server for a browser. A connection that signs
    /// in by itself does so at once.
    ///
    /// # Errors
    ///
    /// `connection.unknown`, `connection.no_sign_in`, `auth.missing_client`; where it signs in by itself,
    /// what the API said.
    pub async fn connect(&self, id: &ConnectionId) -> Result<SignInBegun, Problem> {
        let shared = &self.shared;
        let connection = shared.connections.of_a_client(id)?;
        if !needs_person(&connection.def) {
            let (shared, name) = (Arc::clone(shared), id.clone());
            self.spawned(async move {
                let tokens = shared.connect.sign_in_by_itself(&connection).await;
                tokens.map_err(sign_in_problem)?;
                ready(&shared, &name);
                Ok(())
            })
            .await?;
            return Ok(SignInBegun {
                url: None,
                connection: self.connection(id).await?,
            });
        }
        let ticket = shared.connections.ticket(id, &shared.clock)?;
        Ok(SignInBegun {
            url: Some(format!(
                "{}/connector/start?ticket={ticket}",
                shared.service_url
            )),
            connection: self.connection(id).await?,
        })
    }

    /// Keeps the client that a person was asked for, sealed. What velodrome.yaml says wins over it.
    ///
    /// # Errors
    ///
    /// `connection.unknown`, `connection.no_sign_in`, `auth.missing_client` for a blank id,
    /// `auth.client_declared` where velodrome.yaml names another, `store.unavailable`.
    pub async fn set_client(
        &self,
        id: &ConnectionId,
        client_id: String,
        client_secret: Option<SecretString>,
    ) -> Result<ConnectionView, Problem> {
        let shared = &self.shared;
        let connection = shared.connections.that_signs_in(id)?;
        let client_id = client_id.trim().to_owned();
        let secret = client_secret.map(|secret| secret.expose_secret().trim().to_owned());
        let long = |text: &str| text.len() > CLIENT_LIMIT || text.chars().any(char::is_control);
        if client_id.is_empty() || long(&client_id) || secret.as_deref().is_some_and(long) {
            let what = "`client_id` is blank, too long or holds control characters";
            return Err(Problem::new(422, "auth.missing_client", what));
        }
        let said = shared.connections.said(id);
        let other = connection.client_id.as_deref().map(str::trim) != Some(&client_id);
        if said == Said::Client || (said == Said::Id && other) {
            let what =
                format!("velodrome.yaml says which client connection `{id}` has: change it there");
            return Err(Problem::new(409, "auth.client_declared", what));
        }
        let tokens = shared.tokens.as_ref().ok_or_else(|| {
            Problem::new(503, "store.unavailable", "a simulation keeps no clients")
        })?;
        tokens
            .keep_client(id, client_id.clone(), secret.clone())
            .await
            .map_err(accept::uncommitted)?;
        let client = Connection {
            client_id: Some(client_id),
            client_secret: Some(SecretString::from(secret.unwrap_or_default())),
            ..(*connection).clone()
        };
        shared.connections.set_client(id, &client);
        shared.begin_all();
        self.connection(id).await
    }

    /// Revokes a connection's tokens at the API, where it can, and forgets them.
    ///
    /// # Errors
    ///
    /// `connection.unknown`, `connection.no_sign_in`, `auth.revoke_failed`; the tokens stay then.
    pub async fn revoke(&self, id: &ConnectionId) -> Result<ConnectionView, Problem> {
        let (shared, name) = (Arc::clone(&self.shared), id.clone());
        let connection = shared.connections.that_signs_in(id)?;
        self.spawned(async move {
            let out = shared.connect.sign_out(&connection).await;
            out.map_err(sign_in_problem)?;
            if needs_person(&connection.def) {
                shared.connections.set_ready(&name, false);
            }
            let message = format!("connection `{name}` was signed out by a person");
            let event = Event::ConnectionFailed;
            let mut line = LogLine::new(shared.clock.now(), Level::Warn, event, message);
            line.data = Some(serde_json::json!({ "connection": name.as_str() }));
            shared.note(line);
            Ok(())
        })
        .await?;
        self.connection(id).await
    }

    /// The browser opened the link: where to send it, and the cookie value that binds the state to it.
    ///
    /// # Errors
    ///
    /// `auth.ticket_used`, `auth.sign_in_failed`.
    pub async fn sign_in_begin(&self, ticket: &str) -> Result<(String, String), Problem> {
        self.shared
            .connections
            .open(&self.shared.connect, ticket, &self.shared.clock)
            .await
    }

    /// The browser came back to `/connector/callback` with this query and that cookie.
    ///
    /// # Errors
    ///
    /// `auth.*`.
    pub async fn sign_in_finish(
        &self,
        query: BTreeMap<String, String>,
        cookie: Option<String>,
    ) -> Result<ConnectionId, Problem> {
        // A code works once: what it brings is kept even if the browser goes away.
        let shared = Arc::clone(&self.shared);
        self.spawned(async move {
            let (id, until) = shared
                .connections
                .finish(&shared.connect, query, cookie, &shared.clock)
                .await?;
            let message = format!("connection `{id}` is signed in");
            shared.note(refreshed(shared.clock.now(), &id, message, until));
            ready(&shared, &id);
            Ok(id)
        })
        .await
    }
}

/// A connection can be used from here on: what waited for it begins.
fn ready(shared: &Arc<Shared>, id: &ConnectionId) {
    shared.connections.set_ready(id, true);
    shared.begin_all();
}

async fn view(shared: &Shared, connection: &Connection, ready: bool) -> ConnectionView {
    let oauth = matches!(connection.def.auth, AuthDef::OAuth2(_));
    let kept: Option<TokenSet> = match oauth {
        true => shared
            .connect
            .kept_tokens(connection)
            .await
            .ok()
            .flatten()
            .filter(|tokens| !tokens.refused),
        false => None,
    };
    let blank = |text: Option<&str>| text.is_none_or(|text| text.trim().is_empty());
    let mut asks = Vec::new();
    if oauth && blank(connection.client_id.as_deref()) {
        asks.push("client_id");
    }
    // One that is known to be empty is not asked for again.
    if oauth && connection.client_secret.is_none() {
        asks.push("client_secret");
    }
    let id = &connection.id;
    ConnectionView {
        id: id.to_string(),
        connector: connection.def.name.clone(),
        state: if ready { "ready" } else { "needs_sign_in" },
        auth: match &connection.def.auth {
            AuthDef::None => "none",
            AuthDef::Bearer { .. } => "bearer",
            AuthDef::ApiKey { .. } => "api_key",
            AuthDef::Basic { .. } => "basic",
            AuthDef::OAuth2(_) => "oauth2",
        },
        client_id: connection.client_id.clone().filter(|_| oauth),
        expires: kept.as_ref().map(|tokens| tokens.expires_at),
        scopes: kept
            .and_then(|tokens| tokens.scope)
            .or_else(|| shared.connect.scopes_asked(connection)),
        reason: (!ready).then(|| match asks.contains(&"client_id") {
            true => format!("it has no client id; run `velodrome connect {id}`"),
            false => format!("nobody has signed in to it; run `velodrome connect {id}`"),
        }),
        asks,
    }
}
