//! A request's body as JSON.

use axum::body::Bytes;
use axum::extract::Request;
use serde::de::DeserializeOwned;
use velodrome_runtime::api::Problem;

use crate::app::App;
use crate::body::read_whole;

/// What may stand around JSON.
const BLANK: [u8; 4] = *b" \t\r\n";

/// Reads the body; `what` says in words what it must be. What is wrong with it is told without a word of
/// it: it may hold a secret.
pub(super) async fn json_body<T: DeserializeOwned>(
    app: &App,
    request: Request,
    what: &str,
) -> Result<T, Problem> {
    read(&body_of(app, request).await?, what)
}

/// The same where there may be none, or `null`.
pub(super) async fn json_body_if_any<T: DeserializeOwned>(
    app: &App,
    request: Request,
    what: &str,
) -> Result<Option<T>, Problem> {
    let body = body_of(app, request).await?;
    match body.iter().all(|byte| BLANK.contains(byte)) {
        true => Ok(None),
        false => read(&body, what),
    }
}

async fn body_of(app: &App, request: Request) -> Result<Bytes, Problem> {
    let (head, body) = request.into_parts();
    read_whole(&head.headers, body, app.options.body_limit).await
}

fn read<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let what =
            format!("the body must be {what}; it is not from line {line}, column {column} on");
        Problem::new(400, "api.bad_body", what)
    })
}
