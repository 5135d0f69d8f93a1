//! The server itself: how it is, and reading the cycle files again.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use serde::Serialize;

use crate::answer::JsonAnswer;
use crate::app::App;

/// `/status`, `/reload`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/status", get(status))
        .route("/reload", post(reload))
}

#[derive(Debug, Serialize)]
struct Status {
    version: &'static str,
    service_url: String,
    ready: bool,
}

/// What is wrong with the files, each diagnostic as a person reads it.
#[derive(Debug, Serialize)]
struct Reloaded {
    problems: Vec<String>,
}

async fn status(State(app): State<Arc<App>>) -> JsonAnswer<Status> {
    JsonAnswer(Status {
        version: env!("CARGO_PKG_VERSION"),
        service_url: app.options.service_url.clone(),
        ready: app.engine.is_ready(),
    })
}

async fn reload(State(app): State<Arc<App>>) -> JsonAnswer<Reloaded> {
    JsonAnswer(Reloaded {
        problems: app.engine.reload().await,
    })
}
