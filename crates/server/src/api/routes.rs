//! The resources' routes together.

use super::{
    connections, cycles, log, loops, runs, secrets, server, sign_in_links, steps, storage, tokens,
    watermarks,
};
use crate::access::Guarded;

use utoipa::OpenApi;

/// The document's part of each resource.
pub(crate) fn operations() -> impl Iterator<Item = utoipa::openapi::OpenApi> {
    [
        cycles::Operations::openapi(),
        steps::Operations::openapi(),
        runs::Operations::openapi(),
        loops::Operations::openapi(),
        storage::Operations::openapi(),
        watermarks::Operations::openapi(),
        connections::Operations::openapi(),
        secrets::Operations::openapi(),
        tokens::Operations::openapi(),
        sign_in_links::Operations::openapi(),
        log::Operations::openapi(),
        server::Operations::openapi(),
    ]
    .into_iter()
}

/// Everything below `/api/v1`, each with the role that it asks for.
pub(crate) fn routes() -> Guarded {
    Guarded::new()
        .merge(cycles::routes())
        .merge(steps::routes())
        .merge(runs::routes())
        .merge(loops::routes())
        .merge(storage::routes())
        .merge(watermarks::routes())
        .merge(connections::routes())
        .merge(secrets::routes())
        .merge(tokens::routes())
        .merge(sign_in_links::routes())
        .merge(log::routes())
        .merge(server::routes())
}
