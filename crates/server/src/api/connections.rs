//! Connections: which there are, their clients, signing in and out.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use secrecy::SecretString;
use serde::Deserialize;
use velodrome_runtime::api::{ConnectionView, Listing, SignInBegun};
use velodrome_types::{ConnectionId, Role};

use super::json_body::json_body;
use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["limit", "cursor"];

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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Client {
    client_id: String,
    #[serde(default)]
    client_secret: Option<String>,
}

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

async fn one(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<ConnectionView>, Refusal> {
    let id = ConnectionId::from(id.as_str());
    Ok(JsonAnswer(app.engine.connection(&id).await?))
}

async fn connect(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<SignInBegun>, Refusal> {
    let id = ConnectionId::from(id.as_str());
    Ok(JsonAnswer(app.engine.connect(&id).await?))
}

async fn revoke(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<ConnectionView>, Refusal> {
    let id = ConnectionId::from(id.as_str());
    Ok(JsonAnswer(app.engine.revoke(&id).await?))
}

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
