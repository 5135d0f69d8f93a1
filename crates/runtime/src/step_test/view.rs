//! What a step test tells: the wire form.

use serde::Serialize;
use utoipa::ToSchema;
use velodrome_types::{Code, CycleId, Json, JsonMap, StepId, Timestamp};

use crate::api_lists::{FailureName, StorageDeed, StorageName};

/// What a step did.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StepTest)]
pub struct StepTestView {
    /// The cycle.
    pub cycle: CycleId,
    /// The version that was tested.
    pub version: String,
    /// The step.
    pub step: StepId,
    /// What it uses, `connection.method`.
    pub method: String,
    /// How it ended.
    pub status: StepTestStatus,
    /// What left, the last request where there were two; absent where none did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub request: Option<AskedView>,
    /// What came; absent where nothing did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub response: Option<AnsweredView>,
    /// How many records the API sent, of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub count: Option<u64>,
    /// The first of them, as later steps would have them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<Json>,
    /// Whether a run would ask for further pages.
    pub more_pages: bool,
    /// The fields that the method describes, of a list.
    #[serde(skip_serializing_if = "JsonMap::is_empty")]
    #[schema(value_type = Object)]
    pub fields: JsonMap,
    /// The body as handlers left it, of a request; the beginning of a long one, as a text.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub body: Json,
    /// What handlers logged.
    pub logs: Vec<String>,
    /// What handlers wrote to script storage: dropped.
    pub not_stored: Vec<NotStored>,
    /// The date that the list was filtered by; it is as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub last_successful_run_date: Option<Timestamp>,
    /// What went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub error: Option<StepErrorView>,
}

/// How a step test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepTestStatus {
    /// Well.
    Succeeded,
    /// By an error.
    Failed,
}

/// A request as it left, credentials hidden.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StepTestRequest)]
pub struct AskedView {
    /// The verb.
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Header names with their values.
    #[schema(value_type = Object)]
    pub headers: JsonMap,
    /// The body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub body: Option<Json>,
}

/// What came.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StepTestResponse)]
pub struct AnsweredView {
    /// The HTTP status.
    pub status: u16,
    /// Milliseconds from sending to the last byte; of a bad answer with the wait for its turn.
    pub ms: u64,
    /// Bytes of the body; of a bad answer as far as it was read.
    pub bytes: u64,
    /// Header names in lower case with their values.
    #[schema(value_type = Object)]
    pub headers: JsonMap,
}

/// A write to script storage that was dropped.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct NotStored {
    /// `cyclr`, `cycle` or `loop`.
    #[schema(value_type = StorageName)]
    pub storage: &'static str,
    /// `set`, `append`, `increment`, `delete`, `delete_all`.
    #[schema(value_type = StorageDeed)]
    pub does: &'static str,
    /// The key, where it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub key: Option<String>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = StepTestError)]
pub struct StepErrorView {
    /// `transient`, `permanent`, `unknown` or `held`: a run tries some of them again.
    #[schema(value_type = FailureName)]
    pub kind: &'static str,
    /// The stable code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// The file and line: of a script's fault, else of the step.
    pub at: String,
    /// The HTTP status, where an answer came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status: Option<u16>,
    /// The beginning of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub body: Option<Json>,
}
