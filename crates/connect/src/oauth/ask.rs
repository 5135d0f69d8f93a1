//! One request to a token endpoint.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use reqwest::header::{HeaderName, HeaderValue};
use secrecy::ExposeSecret;
use velodrome_spec::connector::{AuthDef, ClientAuth, OAuth2Def};
use velodrome_types::{Json, JsonMap, Timestamp};

use super::answer::{self, Granted, Refusal};
use super::hooks::{Said, SignInEvent};
use super::{TokenSet, hosts};
use crate::connect::Connect;
use crate::connection::Connection;
use crate::error::RequestError;
use crate::eval::{self, Scope};
use crate::send::read_at_most;

/// How long a token endpoint may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of a token endpoint's answer.
const LIMIT: u64 = 1024 * 1024;

/// The most bytes of a granted scope that are kept, to be shown.
const SCOPE_LIMIT: usize = 4_096;

/// The connector's OAuth definition.
pub(crate) fn definition(connection: &Connection) -> Result<&OAuth2Def, RequestError> {
    match &connection.def.auth {
        AuthDef::OAuth2(oauth) => Ok(oauth),
        _ => Err(RequestError::permanent(
            "auth.no_sign_in",
            format!("connection `{}` needs no sign-in", connection.id),
        )),
    }
}

/// The client id; without one nobody can sign in.
pub(super) fn client_id(connection: &Connection) -> Result<&str, RequestError> {
    match connection.client_id.as_deref().map(str::trim) {
        Some(id) if !id.is_empty() => Ok(id),
        _ => Err(RequestError::permanent(
            "auth.missing_client",
            format!("connection `{}` has no `client_id`", connection.id),
        )),
    }
}

/// The client's secret; public clients have none.
fn client_secret(connection: &Connection) -> Option<&str> {
    let secret = connection.client_secret.as_ref()?.expose_secret();
    Some(secret).filter(|secret| !secret.is_empty())
}

/// What is exchanged for tokens.
pub(super) struct Grant<'a> {
    /// What an error is called.
    pub(super) code: &'static str,
    /// The form's fields besides the client's.
    pub(super) form: Vec<(&'static str, &'a str)>,
    /// Whether the client asks in its own name: then it says for what.
    pub(super) own: bool,
    /// What sign-in kept so far.
    pub(super) before: Option<&'a TokenSet>,
    /// What the callback kept, for the first exchange.
    pub(super) kept: &'a std::collections::BTreeMap<String, String>,
}

/// How an exchange failed.
pub(super) struct Refused {
    /// What is told.
    pub(super) error: RequestError,
    /// What the endpoint said, where it said something.
    pub(super) refusal: Option<Refusal>,
}

impl From<RequestError> for Refused {
    fn from(error: RequestError) -> Self {
        Self {
            error,
            refusal: None,
        }
    }
}

/// Exchanges a code or a refresh token. Nothing is saved yet.
pub(super) async fn exchange(
    connect: &Connect,
    connection: &Connection,
    grant: Grant<'_>,
) -> Result<TokenSet, Refused> {
    let oauth = definition(connection)?;
    let scope = Scope::new(connection).kept(Some(grant.kept));
    let url = eval::url(&oauth.token_url, scope).map_err(RequestError::from)?;
    let mut form: Vec<(&str, String)> = grant
        .form
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    if grant.own {
        form.extend(wishes(oauth, scope)?);
    }
    client_id(connection)?;
    let asked = connect.now();
    let letter = Letter::to(connection, url, form)?;
    let refreshes = grant.form.contains(&("grant_type", "refresh_token"));
    let (status, body) = told_of(connect, connection, letter, (grant.code, refreshes)).await?;
    let has_refresh = grant.before.is_some_and(|old| old.refresh_token.is_some());
    match answer::read(oauth, status, &body, has_refresh) {
        Ok(granted) => Ok(tokens(connection, oauth, &grant, granted, asked)?),
        Err(refusal) => Err(Refused {
            error: told(connection, grant.code, &refusal),
            refusal: Some(refusal),
        }),
    }
}

/// What a client in its own name asks for: scopes, and what else the definition says.
fn wishes<'a>(
    oauth: &'a OAuth2Def,
    scope: Scope<'_>,
) -> Result<Vec<(&'a str, String)>, RequestError> {
    let mut wishes = Vec::new();
    let all = [("scope", &oauth.scopes)].into_iter();
    let further = oauth.authorize_params.iter();
    for (name, expr) in all.chain(further.map(|(name, expr)| (name.as_str(), expr))) {
        let value = eval::evaluate(expr, scope)?;
        let value = value.as_ref().and_then(eval::text_of);
        wishes.extend(
            value
                .filter(|text| !text.is_empty())
                .map(|text| (name, text)),
        );
    }
    Ok(wishes)
}

/// The client's id and secret as `Authorization: Basic` has them (RFC 6749 §2.3.1).
fn basic(connection: &Connection) -> Result<String, RequestError> {
    let encoded =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let secret = client_secret(connection).unwrap_or_default();
    let pair = format!("{}:{}", encoded(client_id(connection)?), encoded(secret));
    Ok(format!("Basic {}", BASE64_STANDARD.encode(pair)))
}

/// A request to the token endpoint as it leaves.
struct Letter {
    url: String,
    headers: JsonMap,
    /// The form, the client's id and secret among its fields.
    form: Vec<(String, String)>,
    /// What stands in its place, where a script wrote another body.
    body: Option<String>,
}

impl Letter {
    /// A form in the client's name.
    fn to(
        connection: &Connection,
        url: String,
        form: Vec<(&str, String)>,
    ) -> Result<Self, RequestError> {
        let by_header = definition(connection)?.client_auth == ClientAuth::Basic
            && client_secret(connection).is_some();
        let mut headers = JsonMap::new();
        let mut form: Vec<(String, String)> = form
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        if by_header {
            headers.insert("authorization".to_owned(), basic(connection)?.into());
        } else {
            form.push(("client_id".to_owned(), client_id(connection)?.to_owned()));
            let secret = client_secret(connection);
            form.extend(secret.map(|secret| ("client_secret".to_owned(), secret.to_owned())));
        }
        headers.insert("content-type".to_owned(), FORM.into());
        headers.insert("accept".to_owned(), "application/json".into());
        Ok(Self {
            url,
            headers,
            form,
            body: None,
        })
    }

    /// As a script sees it.
    fn said(self) -> Said {
        let fields = self.form.into_iter();
        let fields = fields.map(|(name, value)| (name, Json::String(value)));
        Said {
            endpoint: self.url,
            headers: self.headers,
            request: Json::Object(fields.collect()),
            ..Said::default()
        }
    }

    /// As a script left it.
    fn of_said(said: &Said) -> Self {
        let typed = said.headers.iter().any(|(name, value)| {
            let json = value.as_str().is_some_and(|value| value.contains("json"));
            name.eq_ignore_ascii_case("content-type") && json
        });
        let (form, body) = match &said.request {
            Json::Object(fields) if !typed => {
                let fields = fields.iter();
                let form =
                    fields.filter_map(|(name, value)| Some((name.clone(), eval::text_of(value)?)));
                (form.collect(), None)
            }
            Json::String(text) => (Vec::new(), Some(text.clone())),
            other => (Vec::new(), Some(other.to_string())),
        };
        Self {
            url: said.endpoint.clone(),
            headers: said.headers.clone(),
            form,
            body,
        }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Sends it, with the connector's handlers around it.
async fn told_of(
    connect: &Connect,
    connection: &Connection,
    letter: Letter,
    (code, refreshes): (&'static str, bool),
) -> Result<(u16, bytes::Bytes), RequestError> {
    let (before, after) = match refreshes {
        true => (SignInEvent::BeforeRefresh, SignInEvent::AfterRefresh),
        false => (SignInEvent::BeforeToken, SignInEvent::AfterToken),
    };
    if !connect.is_heard(connection, before) && !connect.is_heard(connection, after) {
        return deliver(connect, connection, &letter, code).await;
    }
    let said = connect.hooked(connection, before, letter.said()).await?;
    let letter = Letter::of_said(&said);
    let (status, body) = deliver(connect, connection, &letter, code).await?;
    if !connect.is_heard(connection, after) {
        return Ok((status, body));
    }
    let response = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(&body).into_owned()));
    let said = Said {
        response,
        status: Some(status),
        ..said
    };
    let said = connect.hooked(connection, after, said).await?;
    Ok((
        said.status.unwrap_or(status),
        said.response.to_string().into(),
    ))
}

/// Posts a form in the client's name.
pub(super) async fn post(
    connect: &Connect,
    connection: &Connection,
    url: &str,
    form: Vec<(&str, String)>,
    code: &'static str,
) -> Result<(u16, bytes::Bytes), RequestError> {
    let letter = Letter::to(connection, url.to_owned(), form)?;
    deliver(connect, connection, &letter, code).await
}

/// Redirects are not followed: a secret goes nowhere else.
async fn deliver(
    connect: &Connect,
    connection: &Connection,
    letter: &Letter,
    code: &'static str,
) -> Result<(u16, bytes::Bytes), RequestError> {
    let url = hosts::endpoint(connection, &letter.url)?;
    let body = match &letter.body {
        Some(body) => body.clone(),
        None => serde_urlencoded::to_string(&letter.form)
            .map_err(|_| RequestError::permanent(code, "the form cannot be written"))?,
    };
    let client = connect.ways().client_for(&url).await?;
    let failed = |error: reqwest::Error| {
        crate::send::refused_address(&error).unwrap_or_else(|| {
            let why = crate::send::told(error);
            RequestError::transient(code, format!("the token endpoint did not answer: {why}"))
        })
    };
    let mut request = client.post(url);
    for (name, value) in &letter.headers {
        let Some(value) = eval::text_of(value) else {
            continue;
        };
        // One that no request can have a script has made.
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_str(&value);
        let (Ok(name), Ok(value)) = (name, value) else {
            let what = "a header of the token request holds what no header can";
            return Err(RequestError::permanent("request.bad_header", what));
        };
        request = request.header(name, value);
    }
    let answer = request
        .timeout(TIMEOUT)
        .body(body)
        .send()
        .await
        .map_err(failed)?;
    let status = answer.status().as_u16();
    match read_at_most(answer, LIMIT).await {
        Ok((body, true)) => Ok((status, body)),
        Ok((_, false)) => Err(RequestError::permanent(
            code,
            "the token endpoint's answer is too large",
        )),
        Err(error) => Err(failed(error)),
    }
}

/// The tokens of a good answer; what it leaves out stays as it was.
fn tokens(
    connection: &Connection,
    oauth: &OAuth2Def,
    grant: &Grant<'_>,
    granted: Granted,
    asked: Timestamp,
) -> Result<TokenSet, RequestError> {
    let mut kept = grant.kept.clone();
    for (name, field) in &oauth.token_keep {
        match granted.fields.get(field) {
            Some(Json::String(value)) if !value.is_empty() => {
                kept.insert(name.clone(), hosts::kept(connection, oauth, name, value)?);
            }
            Some(Json::Number(number)) => {
                kept.insert(name.clone(), number.to_string());
            }
            _ => {}
        }
    }
    let old = grant.before.and_then(|old| old.refresh_token.clone());
    let scope = match granted.fields.get("scope") {
        Some(Json::String(scope)) if !scope.is_empty() && scope.len() <= SCOPE_LIMIT => {
            Some(scope.clone())
        }
        _ => grant.before.and_then(|old| old.scope.clone()),
    };
    Ok(TokenSet {
        scope,
        refused: false,
        access_token: granted.access_token,
        refresh_token: granted.refresh_token.or(old),
        expires_at: asked.plus(granted.life),
        kept,
    })
}

fn told(connection: &Connection, code: &'static str, refusal: &Refusal) -> RequestError {
    match refusal {
        Refusal::Passes(wait, error) => {
            let told = RequestError::transient(
                code,
                format!("the token endpoint refused for now: {error}"),
            );
            match wait {
                Some(wait) => told.after(*wait),
                None => told,
            }
        }
        Refusal::Reconnect(error) => RequestError::needs_connection(
            connection.id.as_str(),
            &format!("was refused by the token endpoint ({error})"),
        ),
        Refusal::Fails(error) => {
            RequestError::permanent(code, format!("the token endpoint refused: {error}"))
        }
    }
}
