//! What every other crate of Velodrome speaks in: ids, names, time, codes, states and log lines.
//!
//! Plain data and the conversions that belong to it. No clock is read, no randomness is drawn and
//! nothing is stored or sent here: whoever makes an id brings the time and the random bits.

mod code;
mod duration;
mod event;
mod id;
mod log_line;
mod metric;
mod name;
#[cfg(feature = "openapi")]
mod openapi;
mod retry;
mod size;
mod state;
mod time;
mod trace;
mod zone;

pub use code::Code;
pub use duration::{DurationError, format_duration, parse_duration};
pub use event::{Event, Level};
pub use id::{IdError, LoopId, RunId, TokenId, short_id};
pub use log_line::LogLine;
pub use metric::{BATCH_UNITS, Label, Metric, MetricDef, MetricKind};
pub use name::{ConnectionId, CycleId, NameError, StepId, check_name, is_secret_name};
pub use retry::{OnError, RetryPolicy, RetryTimes};
pub use size::format_bytes;
pub use state::{CycleState, LoopStatus, Role, RunStatus};
pub use time::{TimeError, Timestamp};
pub use trace::{TraceContext, TraceParent, TraceParentError};
pub use zone::Zone;

/// A JSON value, as it arrives in webhooks, leaves in requests and stands in script storage.
pub type Json = serde_json::Value;
/// A JSON object that keeps the order its fields came in.
pub type JsonMap = serde_json::Map<String, Json>;
