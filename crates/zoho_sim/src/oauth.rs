//! The accounts server's token, revoke and server-list endpoints.
//!
//! Failure is reported with HTTP 200 and `{"error": …}`, as Zoho does; only `Access Denied` has a
//! status of its own. Parameters are taken from an urlencoded form and from the query; JSON is
//! `invalid_client`. Multipart forms are not read.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::crm::authorization;
use crate::grants::{Issued, TokenError};
use crate::query::Pairs;
use crate::world::{App, World};

pub(crate) async fn token(
    State(app): State<Arc<App>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut world = app.world();
    world.tally.token_asked();
    let given = if is_json(&headers) {
        Err(TokenError::InvalidClient)
    } else {
        give(&app, &mut world, &headers, &parameters(&uri, &body))
    };
    match given {
        Ok(issued) => {
            world.tally.token_issued();
            json_answer(StatusCode::OK, &tokens(&app.url, &issued))
        }
        Err(TokenError::AccessDenied) => json_answer(
            world.switches.access_denied_status,
            &json!({
                "error_description":
                    "You have made too many requests continuously. Please try again after some time.",
                "error": "Access Denied",
                "status": "failure",
            }),
        ),
        Err(error) => json_answer(StatusCode::OK, &json!({"error": name(error)})),
    }
}

/// A GET is refused.
pub(crate) async fn token_by_get() -> Response {
    (StatusCode::METHOD_NOT_ALLOWED, "server error").into_response()
}

pub(crate) async fn revoke(State(app): State<Arc<App>>, uri: Uri, body: Bytes) -> Response {
    let asked = parameters(&uri, &body);
    let revoked = asked
        .text("token")
        .is_some_and(|token| app.world().grants.revoke(token));
    if revoked {
        json_answer(StatusCode::OK, &json!({"status": "success"}))
    } else {
        let body = json!({"error": "invalid_token", "status": "failure"});
        json_answer(StatusCode::BAD_REQUEST, &body)
    }
}

/// The data centres and their accounts servers: all of them are this simulator.
pub(crate) async fn server_info(State(app): State<Arc<App>>) -> Response {
    let mut locations = serde_json::Map::new();
    for name in ["us", "eu", "in", "au", "jp", "ca", "cn", "sa", "uk"] {
        locations.insert(name.to_owned(), json!(app.url));
    }
    json_answer(
        StatusCode::OK,
        &json!({"result": "success", "locations": locations}),
    )
}

fn give(
    app: &App,
    world: &mut World,
    headers: &HeaderMap,
    asked: &Pairs,
) -> Result<Issued, TokenError> {
    let basic = basic_credentials(headers);
    let (basic_id, basic_secret) = basic.unzip();
    let id = asked.get("client_id").or(basic_id.as_deref());
    let secret = asked.get("client_secret").or(basic_secret.as_deref());
    if id != Some(app.options.client_id.as_str()) {
        return Err(TokenError::InvalidClient);
    }
    if secret != Some(app.options.client_secret.as_str()) {
        return Err(TokenError::InvalidClientSecret);
    }
    let now = world.now();
    match asked.get("grant_type") {
        Some("authorization_code") => {
            let code = asked.get("code").ok_or(TokenError::InvalidCode)?;
            let back = asked
                .get("redirect_uri")
                .ok_or(TokenError::InvalidRedirectUri)?;
            world
                .grants
                .exchange(code, back, asked.get("code_verifier"), now)
        }
        Some("refresh_token") => {
            let token = asked.get("refresh_token").ok_or(TokenError::InvalidCode)?;
            world.grants.refresh(token, now)
        }
        _ => Err(TokenError::UnsupportedGrant),
    }
}

/// The success body. A refresh carries no `refresh_token`.
pub(crate) fn tokens(url: &str, issued: &Issued) -> Value {
    let mut body = serde_json::Map::new();
    body.insert("access_token".to_owned(), json!(issued.access_token));
    if let Some(token) = &issued.refresh_token {
        body.insert("refresh_token".to_owned(), json!(token));
    }
    body.insert("api_domain".to_owned(), json!(url));
    body.insert("token_type".to_owned(), json!("Bearer"));
    body.insert("expires_in".to_owned(), json!(issued.life.as_secs()));
    Value::Object(body)
}

fn name(error: TokenError) -> &'static str {
    match error {
        TokenError::InvalidCode => "invalid_code",
        TokenError::InvalidClient => "invalid_client",
        TokenError::InvalidClientSecret => "invalid_client_secret",
        TokenError::InvalidRedirectUri => "invalid_redirect_uri",
        TokenError::UnsupportedGrant => "unsupported_grant_type",
        TokenError::AccessDenied => "Access Denied",
    }
}

fn parameters(uri: &Uri, body: &[u8]) -> Pairs {
    Pairs::parse(body).then(Pairs::parse(uri.query().unwrap_or_default().as_bytes()))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.to_ascii_lowercase().contains("json"))
}

/// `client_secret_basic`, which Zoho's discovery document offers too.
fn basic_credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let (scheme, encoded) = authorization(headers)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = text.split_once(':')?;
    Some((decoded(id), decoded(secret)))
}

/// The id and secret of Basic are form-encoded before they are joined.
fn decoded(text: &str) -> String {
    let pairs = url::form_urlencoded::parse(text.as_bytes());
    pairs
        .map(|(name, _)| name.into_owned())
        .next()
        .unwrap_or_default()
}

fn json_answer(status: StatusCode, body: &Value) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json;charset=UTF-8"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (status, headers, body.to_string()).into_response()
}
