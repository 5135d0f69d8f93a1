//! What came of one test, before anybody holds it against anything.

use velodrome_runtime::api::{HookAnswer, LoopView, Problem, RunView};
use velodrome_runtime::simulated::Seen;
use velodrome_types::{Json, LogLine};

/// How a test went.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// What each delivery was answered; `None` where the test ended before.
    pub(crate) answers: Vec<Option<Result<HookAnswer, Problem>>>,
    /// Every loop, in order of acceptance.
    pub(crate) loops: Vec<LoopView>,
    /// Runs that have not ended.
    pub(crate) open: Vec<RunView>,
    /// The first run that failed.
    pub(crate) failed: Option<RunView>,
    /// The run log.
    pub(crate) lines: Vec<LogLine>,
    /// Exits and hand-offs.
    pub(crate) seen: Seen,
    /// Every request that left.
    pub(crate) requests: Vec<Json>,
    /// Whether it made more laps than it may.
    pub(crate) too_many_laps: bool,
}

/// The answer as expectations see it.
pub(crate) fn answer_of(answer: &Result<HookAnswer, Problem>) -> Json {
    match answer {
        Ok(answer) => {
            let headers = answer
                .headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Json::String(value.clone())));
            serde_json::json!({
                "status": answer.status,
                "headers": Json::Object(headers.collect()),
                "body": answer.body,
            })
        }
        Err(problem) => serde_json::json!({
            "status": problem.status,
            "code": problem.code,
            "headers": {},
            "body": problem,
        }),
    }
}
