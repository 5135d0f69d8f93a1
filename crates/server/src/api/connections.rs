//! Connections: which there are, their clients, signing in and out.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use secrecy::SecretString;
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::{ConnectionView, Listing, SignInBegun};
use velodrome_types::{ConnectionId, Role};

use super::json_body::json_body;
use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::openapi::{
    BadGateway, BadRequest, Conflict, ConnectionInPath, Limit, NotFound, OfBody, PlaceByName,
    Unacceptable,
};
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["limit", "cursor"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(list, one, connect, revoke, set_client))]
pub(super) struct Operations;

/// `/connections`, `/connections/{id}`, and what is done to one.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/connections", list)
        .get(Role::Read, "/connections/{id}", one)
        .post(Role::Operate, "/connections/{id}/connect", connect)
        .post(Role::Admin, "/connections/{id}/revoke", revoke)
        .put(Role::Admin, "/connections/{id}/client", set_client)
}

/// The client that a person was asked for.
#[derive(Deserialize, ToSchema)]
#[schema(as = ConnectionClient)]
#[serde(deny_unknown_fields)]
struct Client {
    /// Not blank.
    #[schema(
        max_length = 4096,
        pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*[^\\s\\x00-\\x1f\\x7f-\\x9f][^\\x00-\\x1f\\x7f-\\x9f]*$"
    )]
    client_id: String,
    /// Left out, or empty, where the client has none.
    #[serde(default)]
    #[schema(max_length = 4096, pattern = "^[^\\x00-\\x1f\\x7f-\\x9f]*$")]
    client_secret: Option<String>,
}

#[utoipa::path(
    get,
    path = "/connections",
    operation_id = "list_connections",
    tag = "connections",
    summary = "Connections, by name",
    params(Limit, PlaceByName),
    responses((status = 200, description = "As asked.", body = Listing<ConnectionView>), BadRequest)
)]
async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<ConnectionView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let views = app.engine.connections().await;
    Ok(JsonAnswer(part(views, &parameters, |view| {
        view.id.clone()
    })?))
}

#[utoipa::path(
    get,
    path = "/connections/{id}",
    operation_id = "show_connection",
    tag = "connections",
    summary = "One connection",
    params(ConnectionInPath),
    responses((status = 200, description = "As asked.", body = ConnectionView), BadRequest, NotFound)
)]
async fn one(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<ConnectionView>, Refusal> {
    let id = ConnectionId::from(id.as_str());
    Ok(JsonAnswer(app.engine.connection(&id).await?))
}

#[utoipa::path(
    post,
    path = "/connections/{id}/connect",
    operation_id = "connect",
    tag = "connections",
    summary = "Begins to sign a connection in, or does it where nobody is asked",
    params(ConnectionInPath),
    responses((status = 200, description = "Where a browser signs in, or that it is done.", body = SignInBegun), BadRequest, NotFound, Conflict, BadGateway)
)]
async fn connect(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<SignInBegun>, Refusal> {
    let id = ConnectionId::from(id.as_str());
    Ok(JsonAnswer(app.engine.connect(&id).await?))
}

#[utoipa::path(
    post,
    path = "/connections/{id}/revoke",
    operation_id = "revoke",
    tag = "connections",
    summary = "Revokes a connection's tokens and forgets them",
    params(ConnectionInPath),
    responses((status = 200, description = "The connection as it is now.", body = ConnectionView), BadRequest, NotFound, Conflict, BadGateway)
)]
async fn revoke(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<ConnectionView>, Refusal> {
    let id = ConnectionId::from(id.as_str());
    Ok(JsonAnswer(app.engine.revoke(&id).await?))
}

#[utoipa::path(
    put,
    path = "/connections/{id}/client",
    operation_id = "set_client",
    tag = "connections",
    summary = "Sets the client that a person was asked for",
    params(ConnectionInPath),
    request_body(content = Client),
    responses((status = 200, description = "The connection as it is now.", body = ConnectionView), OfBody, NotFound, Conflict, Unacceptable)
)]
async fn set_client(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
    request: Request,
) -> Result<JsonAnswer<ConnectionView>, Refusal> {
    let form = r#"`{"client_id": "…", "client_secret": "…"}`; the secret may be left out"#;
    let client: Client = json_body(&app, request, form).await?;
    let id = ConnectionId::from(id.as_str());
    let secret = client.client_secret.map(SecretString::from);
    let view = app.engine.set_client(&id, client.client_id, secret).await?;
    Ok(JsonAnswer(view))
}
