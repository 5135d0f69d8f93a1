//! `GET /metrics`: what Prometheus reads.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use utoipa::OpenApi;
use velodrome_types::Role;

use crate::access::Guarded;
use crate::app::App;
use crate::blocking::blocking;
use crate::problem::Refusal;

/// The text format that every Prometheus reads.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// `/metrics`.
pub(crate) fn routes() -> Guarded {
    Guarded::new().get(Role::Metrics, "/metrics", show)
}

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(show))]
pub(crate) struct Operations;

#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "show_metrics",
    tag = "server",
    summary = "All metrics, for Prometheus",
    responses((status = 200, description = "Prometheus' text format 0.0.4.", body = String, content_type = "text/plain"))
)]
async fn show(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let viewers = app.hub.viewers();
    let text = blocking(&app, move |engine| Ok(engine.metrics(viewers))).await?;
    Ok(([(CONTENT_TYPE, TEXT)], text).into_response())
}
