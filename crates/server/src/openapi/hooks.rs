//! What asks for no token: webhooks and the two questions of health.

use utoipa::OpenApi;

use crate::{health, hooks};

/// Operations that are open to all.
#[derive(Debug)]
pub(crate) struct Open;

impl OpenApi for Open {
    fn openapi() -> utoipa::openapi::OpenApi {
        let mut open = hooks::Operations::openapi();
        open.merge(health::Operations::openapi());
        open
    }
}
