//! The resources' routes together.

use super::{
    connections, cycles, log, loops, runs, secrets, server, sign_in_links, steps, storage, tokens,
    watermarks,
};
use crate::access::Guarded;

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
