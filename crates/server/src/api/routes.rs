//! The resources' routes together.

use std::sync::Arc;

use axum::Router;

use super::{connections, cycles, log, loops, runs, secrets, server, steps, storage, watermarks};
use crate::app::App;

/// Everything below `/api/v1`; who may use it is looked at above.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(cycles::routes())
        .merge(steps::routes())
        .merge(runs::routes())
        .merge(loops::routes())
        .merge(storage::routes())
        .merge(watermarks::routes())
        .merge(connections::routes())
        .merge(secrets::routes())
        .merge(log::routes())
        .merge(server::routes())
}
