//! The server itself: how it is, and reading the cycle files again.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::Response;
use serde::Serialize;
use tokio_util::io::ReaderStream;
use utoipa::{OpenApi, ToSchema};

use crate::answer::JsonAnswer;
use velodrome_types::Role;

use crate::access::Guarded;
use crate::app::App;
use crate::blocking::{blocking, unreadable};
use crate::problem::Refusal;

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(status, reload, backup))]
pub(super) struct Operations;

/// `/status`, `/reload`, `/backup`.
pub(super) fn routes() -> Guarded {
    Guarded::new()
        .get(Role::Read, "/status", status)
        .post(Role::Operate, "/reload", reload)
        .get(Role::Admin, "/backup", backup)
}

#[derive(Debug, Serialize, ToSchema)]
struct Status {
    version: &'static str,
    service_url: String,
    ready: bool,
}

/// What is wrong with the files, each diagnostic as a person reads it.
#[derive(Debug, Serialize, ToSchema)]
struct Reloaded {
    problems: Vec<String>,
}

#[utoipa::path(
    get,
    path = "/status",
    operation_id = "show_status",
    tag = "server",
    summary = "How the server is",
    responses((status = 200, description = "As asked.", body = Status))
)]
async fn status(State(app): State<Arc<App>>) -> JsonAnswer<Status> {
    JsonAnswer(Status {
        version: env!("CARGO_PKG_VERSION"),
        service_url: app.options.service_url.clone(),
        ready: app.engine.is_ready(),
    })
}

#[utoipa::path(
    post,
    path = "/reload",
    operation_id = "reload",
    tag = "server",
    summary = "Reads the cycle files again now",
    responses((status = 200, description = "What is wrong with any file.", body = Reloaded))
)]
async fn reload(State(app): State<Arc<App>>) -> JsonAnswer<Reloaded> {
    JsonAnswer(Reloaded {
        problems: app.engine.reload().await,
    })
}

/// The data folder's journal as one moment has it. Without the key that seals what is secret in it.
#[utoipa::path(
    get,
    path = "/backup",
    operation_id = "backup",
    tag = "server",
    responses((status = 200, description = "An SQLite database.", body = Vec<u8>, content_type = "application/vnd.sqlite3"))
)]
async fn backup(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let file = blocking(&app, |engine| engine.backup().map_err(unreadable)).await?;
    let length = file.metadata().map(|meta| meta.len()).ok();
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), 64 << 10);
    let mut response = Response::new(Body::from_stream(stream));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.sqlite3"),
    );
    if let Some(length) = length {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Ok(response)
}
