//! A one-time link that signs a browser in, as whoever asks for it.

use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use velodrome_types::{Role, Timestamp};

use crate::access::{Caller, Guarded};
use crate::answer::JsonAnswer;
use crate::app::App;

/// `/sign-in-links`.
pub(super) fn routes() -> Guarded {
    Guarded::new().post(Role::Read, "/sign-in-links", create)
}

/// A link, and when it is of no use any more.
#[derive(Debug, Serialize)]
struct Link {
    url: String,
    expires: Timestamp,
}

async fn create(State(app): State<Arc<App>>, caller: Caller) -> JsonAnswer<Link> {
    let options = &app.options;
    let (url, expires) =
        options
            .sign_in_links
            .link(&options.service_url, caller.holder(), options.now.read());
    JsonAnswer(Link { url, expires })
}
