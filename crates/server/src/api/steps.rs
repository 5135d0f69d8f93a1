//! Testing a step: one method for real.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State};
use velodrome_runtime::api::{Problem, StepTest, StepTestView};
use velodrome_types::{CycleId, Json, JsonMap, Role, StepId};

use super::json_body::json_body_if_any;
use super::parameters::Parameters;
use super::segments::Segments;
use crate::access::Guarded;
use crate::answer::JsonAnswer;
use crate::app::App;
use crate::problem::Refusal;

const FORM: &str =
    r#"`{"inputs": {"page": 1}, "data": {"webhook": {"id": 7}}}`, either or none of them"#;

/// `/cycles/{id}/steps/{step}/test`.
pub(super) fn routes() -> Guarded {
    Guarded::new().post(Role::Operate, "/cycles/{id}/steps/{step}/test", test)
}

/// The body is the step's `inputs` and, as `data`, what else a run would have. Both stand there and not
/// in the URL, which others write down.
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
