//! Testing a step: one method for real.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use serde::Deserialize;
use utoipa::{OpenApi, ToSchema};
use velodrome_runtime::api::{Problem, StepTest, StepTestView};
use velodrome_types::{CycleId, Json, JsonMap, Role, StepId};

use super::json_body::json_body_if_any;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::openapi::{Conflict, CycleInPath, NotFound, OfBody, StepInPath, Unacceptable};
use crate::problem::Refusal;

/// What a step is tested with.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = StepTestInput)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it only says what the body may be")]
struct StepTestGiven {
    /// The step's inputs, in place of what its `map` gives.
    #[schema(value_type = Object, required = false)]
    inputs: JsonMap,
    /// What else the step reads of a run, by step, and the `item` of a `for_each`.
    #[schema(value_type = Object, required = false)]
    data: JsonMap,
}

const FORM: &str =
    r#"`{"inputs": {"page": 1}, "data": {"webhook": {"id": 7}}}`, either or none of them"#;

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(test))]
pub(super) struct Operations;

/// `/cycles/{id}/steps/{step}/test`.
pub(super) fn routes() -> Guarded {
    Guarded::new().post(Role::Operate, "/cycles/{id}/steps/{step}/test", test)
}

/// The body is the step's `inputs` and, as `data`, what else a run would have. Both stand there and not
/// in the URL, which others write down.
#[utoipa::path(
    post,
    path = "/cycles/{id}/steps/{step}/test",
    operation_id = "test_step",
    tag = "cycles",
    params(CycleInPath, StepInPath),
    request_body(content = Option<StepTestGiven>, description = "The inputs of the step, in place of what its `map` gives, and what else a run would have."),
    responses((status = 200, description = "What the step did.", body = StepTestView), OfBody, NotFound, Conflict, Unacceptable)
)]
async fn test(
    State(app): State<Arc<App>>,
    Segments((cycle, step)): Segments<(String, String)>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<JsonAnswer<StepTestView>, Refusal> {
    Parameters::read(query.as_deref(), &[])?;
    let given = json_body_if_any(&app, request, FORM).await?;
    let test = given.map_or_else(|| Ok(StepTest::default()), read)?;
    let (cycle, step) = (CycleId::from(cycle.as_str()), StepId::from(step.as_str()));
    Ok(JsonAnswer(app.engine.test_step(cycle, step, test).await?))
}

fn read(given: JsonMap) -> Result<StepTest, Problem> {
    let bad = |what: String| Problem::new(400, "api.bad_body", what);
    let mut test = StepTest::default();
    for (name, value) in given {
        let place = match name.as_str() {
            "inputs" => &mut test.inputs,
            "data" => &mut test.data,
            _ => {
                let what =
                    format!("`{name}` is neither `inputs` nor `data`: the body must be {FORM}");
                return Err(bad(what));
            }
        };
        *place = match value {
            Json::Object(fields) => fields,
            _ => {
                return Err(bad(format!(
                    "`{name}` must be an object: the body must be {FORM}"
                )));
            }
        };
    }
    Ok(test)
}
