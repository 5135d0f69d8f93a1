//! A request's body as JSON of a known form.

use axum::extract::Request;
use serde::de::DeserializeOwned;
use velodrome_runtime::api::Problem;

use crate::app::App;
use crate::body::{BodyFault, read_body};

/// Reads the body, not more of it than is taken. What it held is not told: it may be a secret.
pub(super) async fn json_body<T: DeserializeOwned>(
    app: &App,
    request: Request,
    form: &str,
) -> Result<T, Problem> {
    let (head, body) = request.into_parts();
    let limit = app.options.body_limit;
    let body = read_body(&head.headers, body, limit)
        .await
        .map_err(|why| match why {
            BodyFault::TooLarge => Problem::new(
                413,
                "api.too_large",
                format!("the body is over {limit} bytes"),
            ),
            BodyFault::Broken => Problem::new(400, "api.bad_body", "the body broke off"),
            BodyFault::Slow => Problem::new(408, "api.body_slow", "the body took too long to come"),
        })?;
    serde_json::from_slice(&body)
        .map_err(|_| Problem::new(400, "api.bad_body", format!("the body must be {form}")))
}
