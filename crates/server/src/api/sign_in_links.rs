//! A one-time link that signs a browser in, as whoever asks for it.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_types::{Role, Timestamp};

use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(create))]
pub(super) struct Operations;

/// `/sign-in-links`.
pub(super) fn routes() -> Guarded {
    Guarded::new().post(Role::Read, "/sign-in-links", create)
}

/// A link, and when it is of no use any more.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SignInLink)]
struct Link {
    /// To be opened once.
    url: String,
    /// From when on it is of no use.
    expires: Timestamp,
}

#[utoipa::path(
    post,
    path = "/sign-in-links",
    operation_id = "create_sign_in_link",
    tag = "tokens",
    summary = "Makes a link that signs a browser in once, as whoever asks",
    responses((status = 200, description = "The link.", body = Link))
)]
async fn create(State(app): State<Arc<App>>, caller: Caller) -> JsonAnswer<Link> {
    let options = &app.options;
    let (url, expires) =
        options
            .sign_in_links
            .link(&options.service_url, caller.holder(), options.now.read());
    JsonAnswer(Link { url, expires })
}
