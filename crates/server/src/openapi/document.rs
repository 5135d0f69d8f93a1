//! The document: every operation, and what holds for all of them.

use std::sync::OnceLock;

use axum::http::StatusCode;
use axum::response::Response;
use utoipa::OpenApi;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{PathItem, RefOr, Required};

use velodrome_types::Role;

use super::Open;
use super::refusals::problem;
use super::schemas::Problem;
use crate::access::{Guarded, Who};
use crate::answer::json_response;
use crate::router::route_table;
use crate::{api, metrics, watching};

const DESCRIPTION: &str = "Cycles, their runs and loops, script storage, watermarks, connections, secrets and the run log. \
Listings give `items`, newest first by commit where they have an age, and `next`, to be sent as `cursor` for what follows. \
Errors are problem details (RFC 9457) with a stable `code`.";

/// What webhooks take besides JSON.
const FORM: &str = "application/x-www-form-urlencoded";

/// The name of the one way to authenticate.
const BEARER: &str = "bearer";

#[derive(OpenApi)]
#[openapi(
    info(title = "Velodrome", description = DESCRIPTION, license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0")),
    components(schemas(Problem)),
    paths(show),
    tags(
        (name = "cycles", description = "Cycles, and what a person does to one"),
        (name = "runs", description = "Runs"),
        (name = "loops", description = "Loops"),
        (name = "log", description = "The run log"),
        (name = "storage", description = "What scripts keep"),
        (name = "watermarks", description = "Last successful run dates"),
        (name = "connections", description = "Installations of connectors"),
        (name = "secrets", description = "Secrets, and the key that seals them"),
        (name = "tokens", description = "Who may use this API, and signing a browser in"),
        (name = "server", description = "The server itself"),
        (name = "webhooks", description = "What begins cycles; open, each by its own rules"),
    )
)]
struct Whole;

/// The document of this version of the server.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut whole = Whole::openapi();
    for operations in api::operations() {
        whole = whole.nest("/api/v1", operations);
    }
    whole.merge(watching::Operations::openapi());
    whole.merge(metrics::Operations::openapi());
    whole.merge(Open::openapi());
    let table = route_table();
    each_operation(&mut whole, |method, path, operation| {
        let rule = table
            .iter()
            .find(|rule| rule.method == method && rule.path == path);
        // What the table does not know is found by a test; until then nothing is said of who may ask.
        if let Some(Who::Role(_, role)) = rule.map(|rule| rule.who) {
            protect(operation, role);
        }
        // A webhook may be called with nothing, which is a body without fields.
        if let Some(RefOr::T(body)) = &mut operation.request_body
            && body.content.contains_key(FORM)
        {
            body.required = Some(Required::False);
        }
        let fault = "A fault of this server: please report it.";
        answered(operation, 500, fault);
        let not_now = "The server is shutting down, or the store cannot read or write now.";
        answered(operation, 503, not_now);
    });
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "A token: that of `<data>/admin.token`, or one that `velodrome token create` made.",
        ));
    let components = whole.components.get_or_insert_default();
    components.security_schemes.insert(
        BEARER.to_owned(),
        RefOr::T(SecurityScheme::Http(bearer.build())),
    );
    whole
}

/// A token is asked for, with this role or one above it.
fn protect(operation: &mut Operation, role: Role) {
    operation.security = Some(vec![SecurityRequirement::new(BEARER, [role.as_str()])]);
    answered(
        operation,
        401,
        "There is no token, or one that is not known or has expired.",
    );
    let not_allowed = format!(
        "The token's role is less than `{role}`, or `Host` names another server. Of what a browser sends with its session: not from this server's own pages."
    );
    answered(operation, 403, &not_allowed);
    let attempts = "Too many wrong tokens came from this address.";
    match operation.responses.responses.get_mut("429") {
        Some(RefOr::T(queue_full)) => {
            let either = format!("{} Or: {attempts}", queue_full.description);
            queue_full.description = either;
        }
        _ => answered(operation, 429, attempts),
    }
}

/// It may be answered with problem details of this status, unless it says so itself.
fn answered(operation: &mut Operation, status: u16, description: &str) {
    let answers = &mut operation.responses.responses;
    answers
        .entry(status.to_string())
        .or_insert_with(|| problem(status, description).into());
}

fn each_operation(
    whole: &mut utoipa::openapi::OpenApi,
    change: impl Fn(&str, &str, &mut Operation),
) {
    for (path, item) in &mut whole.paths.paths {
        let PathItem {
            get,
            put,
            post,
            delete,
            ..
        } = item;
        let methods = [
            ("GET", get),
            ("PUT", put),
            ("POST", post),
            ("DELETE", delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                change(method, path, operation);
            }
        }
    }
}

/// `/openapi.json`.
pub(crate) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/openapi.json", show)
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    operation_id = "show_document",
    tag = "server",
    responses((status = 200, description = "The document.", body = super::AnyJson))
)]
async fn show() -> Response {
    static WRITTEN: OnceLock<Vec<u8>> = OnceLock::new();
    let written = WRITTEN
        .get_or_init(|| serde_json::to_vec(&document()).expect("the document has only text keys"));
    json_response(StatusCode::OK, written.clone())
}
