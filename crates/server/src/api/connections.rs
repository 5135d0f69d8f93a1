//! Connections: which there are, and signing one in.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::routing::{get, post};
use serde::Serialize;
use velodrome_runtime::api::{ConnectionView, Listing};
use velodrome_types::ConnectionId;

use super::listing::part;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::blocking::blocking;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["limit", "cursor"];

/// `/connections`, `/connections/{id}/connect`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/connections", get(list))
        .route("/connections/{id}/connect", post(connect))
}

/// Where a browser signs the connection in.
#[derive(Debug, Serialize)]
struct SignIn {
    url: String,
}

async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<JsonAnswer<Listing<ConnectionView>>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let views = blocking(&app, |engine| Ok(engine.connections())).await?;
    Ok(JsonAnswer(part(views, &parameters, |view| {
        view.id.clone()
    })?))
}

async fn connect(
    State(app): State<Arc<App>>,
    Segments(id): Segments<String>,
) -> Result<JsonAnswer<SignIn>, Refusal> {
    let connection = ConnectionId::from(id.as_str());
    let url = blocking(&app, move |engine| engine.sign_in_url(&connection)).await?;
    Ok(JsonAnswer(SignIn { url }))
}
