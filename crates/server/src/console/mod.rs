//! The console: pages for people, behind [`crate::access`].

use axum::response::Response;
use velodrome_types::Role;

use crate::access::{Caller, Guarded};
use crate::page::{escape, own_page};

/// The console's pages.
pub(crate) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/", overview)
}

async fn overview(caller: Caller) -> Response {
    let csrf = escape(caller.csrf.as_deref().unwrap_or_default());
    let markup = format!(
        "<p>Signed in with the token {}.</p><form method=\"post\" action=\"/sign-out\">\
         <input type=\"hidden\" name=\"csrf\" value=\"{csrf}\"><button>Sign out</button></form>",
        escape(&caller.name)
    );
    own_page(axum::http::StatusCode::OK, "Velodrome", &markup)
}
