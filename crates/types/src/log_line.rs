//! One line of the run log.

use serde::{Deserialize, Serialize};

use crate::{Code, CycleId, Event, Json, Level, LoopId, RunId, StepId, Timestamp};

/// A line of the run log, with the keys of SPEC §11. Keys are added, never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// Rises by commit for ever; 0 until the line is committed.
    pub seq: u64,
    /// When it happened, by the engine's clock.
    pub time: Timestamp,
    /// How much it matters.
    pub level: Level,
    /// What happened.
    pub event: Event,
    /// The cycle it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub cycle: Option<CycleId>,
    /// The version of the cycle the run is on: the first 12 characters of the plan's hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub version: Option<String>,
    /// The run it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub run: Option<RunId>,
    /// The run's loop.
    #[serde(rename = "loop", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub loop_id: Option<LoopId>,
    /// The run's lap, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub lap: Option<u64>,
    /// The step it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub step: Option<StepId>,
    /// What a person reads.
    pub message: String,
    /// Which attempt at the request, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub attempt: Option<u32>,
    /// Which item of a `for_each`, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub item: Option<u64>,
    /// The stable code of what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub code: Option<Code>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub ms: Option<u64>,
    /// The HTTP status received.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub status: Option<u16>,
    /// How many records an answer held, as the API sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub records: Option<u64>,
    /// Where a request went, without its query and credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub url: Option<String>,
    /// Where the run goes: a step, or the run of a hand-off.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub to: Option<String>,
    /// Whatever else belongs to the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(nullable = false))]
    pub data: Option<Json>,
}

impl LogLine {
    /// A line that tells only what happened; the rest is filled in by whoever knows it.
    pub fn new(time: Timestamp, level: Level, event: Event, message: impl Into<String>) -> Self {
        Self {
            seq: 0,
            time,
            level,
            event,
            cycle: None,
            version: None,
            run: None,
            loop_id: None,
            lap: None,
            step: None,
            message: message.into(),
            attempt: None,
            item: None,
            code: None,
            ms: None,
            status: None,
            records: None,
            url: None,
            to: None,
            data: None,
        }
    }
}
