//! Tokens: which there are, making and revoking them. Each is told once, when it is made.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::{Listing, NewToken, Problem, TokenMade, TokenView};
use velodrome_types::{Role, Timestamp, parse_duration};

use super::json_body::json_body;
use super::listing::part_backwards;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::openapi::{
    BadRequest, Conflict, Limit, NotFound, OfBody, PlaceByName, TokenInPath, Unacceptable,
};
use crate::problem::Refusal;

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, create, revoke))]
pub(super) struct Operations;

/// `/tokens`, `/tokens/{id}`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Admin, "/tokens", list)
        .post(Role::Admin, "/tokens", create)
        .delete(Role::Admin, "/tokens/{id}", revoke)
}

/// What is asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenAsked)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// What it allows.
    #[schema(value_type = Role)]
    role: String,
    /// What people call it; one is made up where it is left out.
    #[serde(default)]
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$")]
    name: Option<String>,
    /// From when on it is of no use: a duration from now, such as `30 days`, or a date that is still to come.
    #[serde(default)]
    #[schema(schema_with = crate::openapi::expiry)]
    expires: Option<String>,
}

#[utoipa::path(
    get,
    path = "/tokens",
    operation_id = "list_tokens",
    tag = "tokens",
    summary = "Tokens, newest first; never one itself",
    params(Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<TokenView>), BadRequest)
)]
async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<TokenView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), &["limit", "cursor"])?;
    let tokens = blocking(&app, |engine| engine.tokens()).await?;
    Ok(JsonAnswer(part_backwards(tokens, &parameters, |token| {
        token.id.to_string()
    })?))
}

#[utoipa::path(
    post,
    path = "/tokens",
    operation_id = "create_token",
    tag = "tokens",
    summary = "Makes a token",
    request_body(content = Asked),
    responses((status = 201, description = "The token, told this once.", body = TokenMade), OfBody, Conflict, Unacceptable)
)]
async fn create(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Refusal> {
    let form = r#"`{"role": "operate", "name": "ci", "expires": "30 days"}`; the last two may be left out"#;
    let asked: Asked = json_body(&app, request, form).await?;
    let bad = |what: String| Problem::new(400, "api.bad_body", what);
    let new = NewToken {
        name: asked.name,
        role: asked
            .role
            .parse()
            .map_err(|why| bad(format!("`role`: {why}")))?,
        expires: asked
            .expires
            .map(|text| expiry(&text, app.options.now.read()))
            .transpose()
            .map_err(|why| bad(format!("`expires`: {why}")))?,
    };
    let made = app.engine.by(&caller.name).create_token(new).await?;
    Ok((StatusCode::CREATED, JsonAnswer(made)).into_response())
}

#[utoipa::path(
    delete,
    path = "/tokens/{id}",
    operation_id = "revoke_token",
    tag = "tokens",
    summary = "Revokes a token",
    params(TokenInPath),
    responses((status = 204, description = "Done."), BadRequest, NotFound, Conflict)
)]
async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Segments(id): Segments<String>,
) -> Result<StatusCode, Refusal> {
    let id = blocking(&app, move |engine| engine.find_token(&id)).await?;
    app.engine.by(&caller.name).revoke_token(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// So long from now, or a date that is still to come.
fn expiry(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let until = match (Timestamp::parse(text), parse_duration(text)) {
        (Ok(date), _) => date,
        (_, Ok(duration)) => now.plus(duration),
        _ => {
            return Err(format!(
                "`{text}` is neither a duration such as `30 days` nor RFC 3339"
            ));
        }
    };
    match until > now {
        true => Ok(until),
        false => Err(format!("`{text}` is over already")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expires_some_time_from_now() {
        let now = Timestamp::from_millis(1_767_225_600_000);
        let day = std::time::Duration::from_secs(86_400);
        assert_eq!(expiry("1 day", now), Ok(now.plus(day)));
        assert_eq!(expiry("2026-01-02T00:00:00Z", now), Ok(now.plus(day)));
        for wrong in ["0 s", "2025-12-31T00:00:00Z", "soon", "7", ""] {
            assert!(expiry(wrong, now).is_err(), "{wrong}");
        }
    }
}
