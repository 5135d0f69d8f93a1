//! Signing in: to the browser, back from it, and out again.

use std::collections::BTreeMap;
use std::fmt;

use oauth2::{CsrfToken, PkceCodeChallenge};
use secrecy::{ExposeSecret, SecretString};
use velodrome_spec::connector::Grant as Granted;

use super::ask::{self, Grant};
use super::hooks::{Said, SignInEvent};
use super::{TokenSet, hosts};
use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::RequestError;
use crate::eval::{self, Scope};

/// What an error of a sign-in is called.
const FAILED: &str = "auth.sign_in_failed";

/// A sign-in under way.
pub struct SignIn {
    /// Where the browser goes.
    pub url: String,
    /// Comes back in the callback's query. Whoever keeps the sign-in compares it, in constant time,
    /// and binds it to the browser; [`Connect::finish_sign_in`] does not know it.
    pub state: String,
    /// PKCE's verifier: kept until the callback comes, never shown.
    pub verifier: SecretString,
}

impl fmt::Debug for SignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignIn").finish_non_exhaustive()
    }
}

impl Connect {
    /// Makes the URL that a browser is sent to.
    ///
    /// Errors: `auth.no_sign_in`, `auth.missing_client`, `auth.host_refused`, those of expressions and of the
    /// connector's scripts.
    pub async fn begin_sign_in(&self, connection: &Connection) -> Result<SignIn, RequestError> {
        let oauth = ask::definition(connection)?;
        let client_id = ask::client_id(connection)?;
        let scope = Scope::new(connection);
        let Granted::AuthorizationCode { authorize_url } = &oauth.grant else {
            return Err(RequestError::permanent(
                "auth.no_sign_in",
                format!("connection `{}` signs in by itself", connection.id),
            ));
        };
        let mut url = hosts::endpoint(connection, &eval::url(authorize_url, scope)?)?;
        let scopes = eval::text(&oauth.scopes, scope)?;
        let mut further = Vec::new();
        for (name, expr) in &oauth.authorize_params {
            if let Some(value) = eval::evaluate(expr, scope)?
                .as_ref()
                .and_then(eval::text_of)
            {
                further.push((name.as_str(), value));
            }
        }
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let state = CsrfToken::new_random_len(32).into_secret();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", &self.redirect_url())
            .append_pair("scope", &scopes)
            .append_pair("state", &state)
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method().as_str())
            .extend_pairs(further);
        if self.is_heard(connection, SignInEvent::BeforeAuthorise) {
            let said = Said {
                endpoint: url.into(),
                ..Said::default()
            };
            let said = self
                .hooked(connection, SignInEvent::BeforeAuthorise, said)
                .await?;
            url = hosts::endpoint(connection, &said.endpoint)?;
        }
        Ok(SignIn {
            url: url.into(),
            state,
            verifier: SecretString::from(verifier.into_secret()),
        })
    }

    /// Exchanges the callback's code and saves the tokens. The caller has compared the state.
    ///
    /// Errors: `auth.denied` if the person or the API said no, `auth.host_refused` if the callback or
    /// the answer names a foreign host, `auth.sign_in_failed`, `auth.needs_connection` for a code that
    /// is used up or too old, `auth.store_failed`.
    pub async fn finish_sign_in(
        &self,
        connection: &Connection,
        verifier: &SecretString,
        query: BTreeMap<String, String>,
    ) -> Result<TokenSet, RequestError> {
        let oauth = ask::definition(connection)?;
        if let Some(error) = query.get("error") {
            let shown: String = error
                .chars()
                .take(80)
                .flat_map(char::escape_debug)
                .collect();
            return Err(RequestError::permanent(
                "auth.denied",
                format!("sign-in was not granted: {shown}"),
            ));
        }
        let code = query
            .get("code")
            .filter(|code| !code.is_empty())
            .ok_or_else(|| RequestError::permanent(FAILED, "the callback brought no `code`"))?;
        let mut kept = BTreeMap::new();
        for keep in &oauth.callback_keep {
            let brought = query.get(&keep.parameter);
            let value = match brought.filter(|value| !value.is_empty()) {
                Some(value) => Some(value.clone()),
                None => match &keep.default {
                    Some(default) => eval::evaluate(default, Scope::new(connection))?
                        .as_ref()
                        .and_then(eval::text_of),
                    None => None,
                },
            };
            if let Some(value) = value {
                let value = hosts::kept(connection, oauth, &keep.name, &value)?;
                kept.insert(keep.name.clone(), value);
            }
        }
        let redirect = self.redirect_url();
        let grant = Grant {
            code: FAILED,
            form: vec![
                ("grant_type", "authorization_code"),
                ("code", code),
                ("redirect_uri", &redirect),
                ("code_verifier", verifier.expose_secret()),
            ],
            own: false,
            before: None,
            kept: &kept,
        };
        let tokens = ask::exchange(self, connection, grant)
            .await
            .map_err(|refused| refused.error)?;
        // A refresh of the old tokens must not write over the new ones.
        let state = self.token_state(&connection.id);
        let _alone = state.alone().await;
        self.keep_tokens(connection, tokens.clone()).await?;
        Ok(tokens)
    }

    /// Asks for tokens in the client's own name, where that is how the connection signs in; whether its id
    /// and secret are right is known then.
    pub async fn sign_in_by_itself(
        &self,
        connection: &Connection,
    ) -> Result<TokenSet, RequestError> {
        {
            let state = self.token_state(&connection.id);
            let _alone = state.alone().await;
            self.forget_all(connection).await?;
        }
        self.fresh_tokens(connection, None).await
    }

    async fn forget_all(&self, connection: &Connection) -> Result<(), RequestError> {
        let deleted = self.tokens().delete(&connection.id).await;
        deleted.map_err(store_failed)?;
        self.forget(&connection.id);
        Ok(())
    }

    /// What is kept of the connection's sign-in, as it is stored. Nothing is asked or refreshed.
    pub async fn kept_tokens(
        &self,
        connection: &Connection,
    ) -> Result<Option<TokenSet>, RequestError> {
        let kept = self.tokens().load(&connection.id).await;
        kept.map_err(store_failed)
    }

    /// The scopes that a sign-in asks for, as the API writes them.
    pub fn scopes_asked(&self, connection: &Connection) -> Option<String> {
        let oauth = ask::definition(connection).ok()?;
        let scopes = eval::evaluate(&oauth.scopes, Scope::new(connection)).ok()?;
        scopes.as_ref().and_then(eval::text_of)
    }

    /// Revokes the tokens at the API, where it can, and deletes them. If the API cannot be asked they
    /// stay, so that it can be tried again.
    pub async fn sign_out(&self, connection: &Connection) -> Result<(), RequestError> {
        let oauth = ask::definition(connection)?;
        let state = self.token_state(&connection.id);
        let _alone = state.alone().await;
        let store = self.tokens();
        if let (Some(revoke), Some(tokens)) = (
            &oauth.revoke_url,
            store.load(&connection.id).await.map_err(store_failed)?,
        ) {
            let scope = Scope::new(connection).kept(Some(&tokens.kept));
            let url = eval::url(revoke, scope)?;
            let token = tokens
                .refresh_token
                .as_ref()
                .unwrap_or(&tokens.access_token);
            let form = vec![("token", token.clone())];
            let (status, _) = ask::post(self, connection, &url, form, "auth.revoke_failed").await?;
            // A 400 says that the token is already void (facts: Zoho §1.4).
            if !(200..300).contains(&status) && status != 400 {
                return Err(RequestError::transient(
                    "auth.revoke_failed",
                    format!("the API did not revoke: status {status}"),
                ));
            }
        }
        self.forget_all(connection).await
    }
}

pub(super) fn store_failed(error: super::TokenStoreError) -> RequestError {
    RequestError::transient("auth.store_failed", error.to_string())
}
