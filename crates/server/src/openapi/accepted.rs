//! What a webhook answers that took a request.

use utoipa::ToSchema;
use velodrome_types::{CycleId, LoopId, RunId};

/// What a webhook answers that took a request.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it only says what the engine answers as JSON")]
pub(crate) struct Accepted {
    /// The run that began.
    run: RunId,
    /// Its cycle.
    cycle: CycleId,
    /// Its loop.
    #[schema(rename = "loop")]
    loop_id: LoopId,
    /// Its lap.
    lap: u64,
    /// `accepted`, or `ignored` where `after_webhook` returned false.
    status: AcceptedStatus,
}

/// What became of a request that was taken.
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "it only says what the engine answers as JSON")]
enum AcceptedStatus {
    Accepted,
    Ignored,
}
