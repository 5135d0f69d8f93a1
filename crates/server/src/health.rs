//! Whether the process lives, and whether it takes webhooks.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::Problem;

use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::problem::Refusal;

#[derive(Debug, Serialize, ToSchema)]
struct Health {
    status: &'static str,
}

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(healthy, ready))]
pub(crate) struct Operations;

/// `/healthz` and `/readyz`, open to all.
pub(crate) fn routes() -> Guarded {
    let why = "tells that it lives, and nothing else";
    Guarded::new()
        .open(&["GET"], "/healthz", why, get(healthy))
        .open(&["GET"], "/readyz", why, get(ready))
}

#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "health",
    tag = "server",
    summary = "Whether the process lives",
    responses((status = 200, description = "As asked.", body = Health))
)]
async fn healthy() -> JsonAnswer<Health> {
    JsonAnswer(Health { status: "ok" })
}

#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "readiness",
    tag = "server",
    summary = "Whether webhooks are taken",
    responses((status = 200, description = "As asked.", body = Health))
)]
async fn ready(State(app): State<Arc<App>>) -> Result<JsonAnswer<Health>, Refusal> {
    if app.engine.is_ready() {
        return Ok(JsonAnswer(Health { status: "ready" }));
    }
    Err(Problem::new(503, "server.shutting_down", "the server is shutting down").into())
}
