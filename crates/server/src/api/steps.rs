//! Testing a step: one method for real.

use std::sync::Arc;

use axum::Router;
use axum::extract::{RawQuery, Request, State};
use axum::routing::post;
use velodrome_runtime::api::{StepTest, StepTestView};
use velodrome_types::{CycleId, JsonMap, StepId};

use super::json_body::json_body;
use super::parameters::{Parameters, bad_parameter};
use super::segments::Segments;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::problem::Refusal;

const PARAMETERS: &[&str] = &["data"];

/// `/cycles/{id}/steps/{step}/test`.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new().route("/cycles/{id}/steps/{step}/test", post(test))
}

/// The body is the step's inputs; `data` is what else a run would have, as JSON.
async fn test(
    State(app): State<Arc<App>>,
    Segments((cycle, step)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<JsonAnswer<StepTestView>, Refusal> {
    let parameters = Parameters::read(query.as_deref(), PARAMETERS)?;
    let data: JsonMap = match parameters.text("data")? {
        None => JsonMap::new(),
        Some(text) => serde_json::from_str(text).map_err(|_| {
            let form =
                r#"it must be an object of steps' answers, such as `{"webhook": {"id": 7}}`"#;
            bad_parameter("data", form)
        })?,
    };
    let form = r#"an object of the step's inputs, such as `{"page": 1}`, or `{}`"#;
    let inputs: JsonMap = json_body(&app, request, form).await?;
    let (cycle, step) = (CycleId::from(cycle.as_str()), StepId::from(step.as_str()));
    let test = StepTest { inputs, data };
    Ok(JsonAnswer(app.engine.test_step(cycle, step, test).await?))
}
