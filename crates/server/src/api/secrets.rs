//! Secrets by name, and the key that seals them. No value is ever answered.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::{KeyView, Listing, SecretView};

use velodrome_types::Role;

use super::json_body::json_body;
use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::openapi::{BadRequest, Limit, NotFound, OfBody, PlaceByName, SecretInPath};
use crate::problem::Refusal;

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, set, delete, rotate))]
pub(super) struct Operations;

/// `/secrets`, `/secrets/{name}`, `/key/rotate`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Admin, "/secrets", list)
        .put(Role::Admin, "/secrets/{name}", set)
        .delete(Role::Admin, "/secrets/{name}", delete)
        .post(Role::Admin, "/key/rotate", rotate)
}

#[derive(Deserialize, ToSchema)]
#[schema(as = SecretValue)]
#[serde(deny_unknown_fields)]
struct Given {
    /// Not empty.
    #[schema(min_length = 1)]
    value: String,
}

#[utoipa::path(
    get,
    path = "/secrets",
    operation_id = "list_secrets",
    tag = "secrets",
    summary = "The names of all secrets",
    params(Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<SecretView>), BadRequest)
)]
async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<SecretView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), &["cursor", "limit"])?;
    let all = blocking(&app, |engine| engine.secrets()).await?;
    Ok(JsonAnswer(part(all, &parameters, |secret| {
        secret.name.clone()
    })?))
}

#[utoipa::path(
    put,
    path = "/secrets/{name}",
    operation_id = "set_secret",
    tag = "secrets",
    summary = "Sets a secret",
    params(SecretInPath),
    request_body(content = Given),
    responses((status = 200, description = "The secret, without its value.", body = SecretView), OfBody)
)]
async fn set(
    State(app): State<Arc<App>>,
    Segments(name): Segments<String>,
    request: Request,
) -> Result<JsonAnswer<SecretView>, Refusal> {
    let given: Given = json_body(&app, request, "`{\"value\": \"…\"}`").await?;
    Ok(JsonAnswer(app.engine.set_secret(name, given.value).await?))
}

#[utoipa::path(
    delete,
    path = "/secrets/{name}",
    operation_id = "delete_secret",
    tag = "secrets",
    summary = "Deletes a secret",
    params(SecretInPath),
    responses((status = 204, description = "Done."), BadRequest, NotFound)
)]
async fn delete(
    State(app): State<Arc<App>>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Refusal> {
    app.engine.delete_secret(name).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(
    post,
    path = "/key/rotate",
    operation_id = "rotate_key",
    tag = "secrets",
    summary = "Seals everything anew with another key",
    responses((status = 200, description = "What came of it.", body = KeyView))
)]
async fn rotate(State(app): State<Arc<App>>) -> Result<JsonAnswer<KeyView>, Refusal> {
    Ok(JsonAnswer(app.engine.rotate_key().await?))
}
