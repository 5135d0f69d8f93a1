//! Style and scripts of the pages, from the program itself: no host but this one is asked for anything.
//!
//! htmx 2.0.11 with its extension for server-sent events 2.2.4, and idiomorph 0.8.0, as their authors publish
//! them (all 0BSD); the rest is ours.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use sha2::{Digest, Sha256};

use crate::access::Guarded;
use crate::answer::KeptByBrowsers;
use crate::problem::Refusal;
use velodrome_runtime::api::Problem;

/// Changes whenever an asset has, so that a browser may keep what it has.
pub(super) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = ASSETS.iter().fold(Sha256::new(), |hash, (_, _, bytes)| {
        hash.chain_update(bytes)
    });
    let hash: [u8; 32] = hash.finalize().into();
    hash[..6].iter().map(|byte| format!("{byte:02x}")).collect()
});

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

const ASSETS: &[(&str, &str, &[u8])] = &[
    (
        "console.css",
        CSS,
        include_bytes!("../../assets/console.css"),
    ),
    (
        "console.js",
        SCRIPT,
        include_bytes!("../../assets/console.js"),
    ),
    (
        "htmx.min.js",
        SCRIPT,
        include_bytes!("../../assets/htmx.min.js"),
    ),
    (
        "htmx-sse.min.js",
        SCRIPT,
        include_bytes!("../../assets/htmx-sse.min.js"),
    ),
    (
        "idiomorph.min.js",
        SCRIPT,
        include_bytes!("../../assets/idiomorph.min.js"),
    ),
    ("icon.svg", SVG, include_bytes!("../../assets/icon.svg")),
];

/// `/assets/{name}`, open to all.
pub(crate) fn routes() -> Guarded {
    let why = "what pages are made of, and nothing of what they show";
    Guarded::new().open(&["GET"], "/assets/{name}", why, get(show))
}

async fn show(Path(name): Path<String>) -> Response {
    let Some((_, kind, bytes)) = ASSETS.iter().find(|(known, _, _)| *known == name) else {
        let what = format!("there is no asset `{name}`");
        return Refusal(Problem::new(404, "api.unknown_path", what)).into_response();
    };
    let headers: [(HeaderName, HeaderValue); 2] = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (
            CACHE_CONTROL,
            HeaderValue::from_static("public, max-age=86400"),
        ),
    ];
    let mut response = (StatusCode::OK, headers, *bytes).into_response();
    response.extensions_mut().insert(KeptByBrowsers);
    response
}
