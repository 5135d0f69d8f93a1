//! What the engine's callers say and are told: the types of the facade, none of the engine's own.

pub use crate::remedy::remedy;
pub use crate::step_test::{
    AnsweredView, AskedView, NotStored, StepErrorView, StepTest, StepTestStatus, StepTestView,
};
use bytes::Bytes;
pub use ipnet::IpNet;
use secrecy::SecretString;
use serde::Serialize;
use thiserror::Error;
use utoipa::ToSchema;
pub use velodrome_spec::callers::{
    HmacAlgorithm, HmacScheme, SignatureEncoding, Signed, SignedTime, TOLERANCE,
};
/// A cycle as a picture, and where its boxes and lines stand.
pub use velodrome_spec::graph;
use velodrome_types::{
    Code, CycleId, CycleState, Json, JsonMap, LoopId, LoopStatus, Role, RunId, RunStatus, StepId,
    Timestamp, TokenId,
};

use crate::api_lists::{AuthKind, ClientPart, ConnectionState, LoopError, RunError, StepKindName};

/// A request to a webhook, after the server looked at its size, its type and where it came from.
#[derive(Clone, Debug)]
pub struct HookRequest {
    /// The cycle of the URL.
    pub cycle: String,
    /// The step of the URL, if it names one.
    pub step: Option<String>,
    /// The last part of the URL, where it is the link of a waiting run.
    pub resume: Option<String>,
    /// How the body is to be read.
    pub format: BodyFormat,
    /// The raw body.
    pub body: Bytes,
    /// Header names in lower case with their values; credentials already taken out.
    pub headers: JsonMap,
    /// The query's parameters.
    pub query: JsonMap,
    /// `Idempotency-Key` or `webhook-id`.
    pub idempotency_key: Option<String>,
    /// Whether an operator sends it, who may begin a run of a cycle without a webhook too.
    pub by_operator: bool,
}

/// What the page of a waiting run's link shows.
#[derive(Clone, Debug)]
pub struct WaitView {
    /// The cycle's name.
    pub cycle: String,
    /// The step's name.
    pub step: String,
    /// What a person may fill in.
    pub fields: Vec<LinkField>,
    /// Whether that is all that must be there.
    pub by_hand: bool,
    /// Until when the run waits, if not for ever.
    pub until: Option<Timestamp>,
}

/// A field of such a page.
#[derive(Clone, Debug)]
pub struct LinkField {
    /// Its name.
    pub name: String,
    /// How it is filled in.
    pub input: LinkInput,
    /// Whether it must be.
    pub required: bool,
    /// What stands there.
    pub default: Option<String>,
}

/// How a field is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkInput {
    /// With any text.
    Text,
    /// With a number.
    Number,
    /// With one of these.
    Choice(Vec<String>),
}

/// Who may call a webhook.
#[derive(Clone, Debug)]
pub enum HookAuth {
    /// Anybody who can reach it.
    Anybody,
    /// Whoever shows, in this way, that they know one of these secrets.
    Required {
        /// How they show it.
        scheme: Scheme,
        /// The secrets.
        secrets: Vec<HookSecret>,
    },
}

/// A secret, or why there is none: for the operator, not for the caller.
pub type HookSecret = Result<SecretString, String>;

/// How a request shows that its sender knows a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `Authorization: Bearer`.
    Bearer,
    /// `Authorization: Basic`; the secret is the password.
    Basic {
        /// Who it must be.
        user: String,
    },
    /// A signature as the cycle's file describes it.
    Hmac(HmacScheme),
    /// Standard Webhooks 1.0.
    StandardWebhooks,
    /// GitHub's.
    Github,
    /// Stripe's.
    Stripe,
    /// Slack's.
    Slack,
    /// Shopify's.
    Shopify,
}

/// Which version a failed run is taken up again on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that it began on.
    Original,
    /// The present one.
    Latest,
}

/// How a webhook's body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFormat {
    /// `application/json` and `+json`.
    Json,
    /// `application/x-www-form-urlencoded`; one that is itself a JSON object is taken as JSON.
    Form,
}

/// The answer to a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct HookAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Further headers: `location`, `retry-after`, `idempotency-replayed`, and what the cycle adds.
    pub headers: Vec<(String, String)>,
    /// The body; problem details where the status is an error and the engine's own.
    pub body: Json,
    /// How the body is written.
    pub written: Written,
}

/// How the body of an answer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// As JSON, whatever it is.
    #[default]
    Json,
    /// As a `respond` says it: null is no body, text stands as it is, anything else is JSON.
    Plain,
}

/// An error as RFC 9457 problem details.
#[derive(Clone, Debug, PartialEq, Serialize, Error)]
#[error("{detail}")]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// The stable code.
    pub code: Code,
    /// What the status means.
    pub title: String,
    /// What is wrong and what to do.
    pub detail: String,
    /// Further members, such as `errors`.
    #[serde(flatten)]
    pub more: JsonMap,
}

impl Problem {
    /// A problem with this status and code.
    pub fn new(status: u16, code: &'static str, detail: impl Into<String>) -> Self {
        let title = match status {
            400 => "Bad request",
            401 => "Not authenticated",
            403 => "Not allowed",
            404 => "Not found",
            405 => "Method not allowed",
            409 => "Conflict",
            413 => "Too large",
            415 => "Media type not taken",
            422 => "Not acceptable as it is",
            429 => "Too many requests",
            503 => "Not available now",
            504 => "No answer in time",
            _ => "Error",
        };
        Self {
            status,
            code: Code::new(code),
            title: title.to_owned(),
            detail: detail.into(),
            more: JsonMap::new(),
        }
    }
}

/// A cycle as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Cycle)]
pub struct CycleView {
    /// Its id.
    pub id: CycleId,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: CycleState,
    /// Why it is `invalid` or `needs_connection`, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// The version new runs begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub version: Option<String>,
    /// The file, relative to the cycles folder.
    pub file: String,
    /// The URL of the webhook that begins its runs, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub webhook: Option<String>,
    /// Loops in progress.
    pub running: u64,
    /// Loops queued.
    pub queued: u64,
    /// Loops at a time; absent without bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub concurrency: Option<u32>,
    /// When it starts by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub schedule: Option<ScheduleView>,
    /// Its steps, in file order.
    pub steps: Vec<StepView>,
}

/// A cycle's schedule as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Schedule)]
pub struct ScheduleView {
    /// When it starts the cycle, in words.
    pub when: String,
    /// The next moment; absent while the cycle takes no starts, and where there is none any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub next: Option<Timestamp>,
}

/// A step as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Step)]
pub struct StepView {
    /// Its id.
    pub id: StepId,
    /// What it is: `webhook`, `list`, `request`, `decision`, `delay`, `watermark`, `stop`.
    #[schema(value_type = StepKindName)]
    pub kind: &'static str,
    /// The 1-based line of the step in the cycle's file.
    pub line: u32,
    /// Where `then` leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub then: Option<StepId>,
    /// Where `else` leads.
    #[serde(rename = "else", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub otherwise: Option<StepId>,
    /// Where `catch` leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub catch: Option<StepId>,
}

/// What a cycle's runs have done and where they are, as its present version draws it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FlowView {
    /// Every edge of the graph, by step in file order. A fork has one for each of its branches.
    pub edges: Vec<EdgeFlow>,
    /// Every step, in file order.
    pub steps: Vec<StepFlow>,
    /// Whether what was under way before the server started is counted in `steps`: it is soon after the start.
    pub counted: bool,
}

/// An edge of a cycle's graph, with how many runs went along it since the server started, whatever version they
/// were on. Of a list that is split it is one run for each item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EdgeFlow {
    /// Where it begins.
    pub step: StepId,
    /// The exit: `then`, `else`, `catch`, `case`, or `end` of a `stop`.
    pub exit: &'static str,
    /// The text of a switch's case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<String>,
    /// Where it leads; null is the end of the run.
    pub to: Option<StepId>,
    /// How many runs.
    pub runs: u64,
}

/// What is at a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepFlow {
    /// The step.
    pub step: StepId,
    /// Runs at it with something under way.
    pub running: u64,
    /// Runs that wait at it: for a timer, the next attempt, a request, or other runs.
    pub waiting: u64,
    /// Runs that failed at it since the server started.
    pub failed: u64,
}

/// A run as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Run)]
pub struct RunView {
    /// Its id.
    pub id: RunId,
    /// Its cycle.
    pub cycle: CycleId,
    /// The version it is on.
    pub version: String,
    /// Its loop.
    #[serde(rename = "loop")]
    pub loop_id: LoopId,
    /// Its lap.
    pub lap: u64,
    /// The run that handed off to it.
    #[schema(required)]
    pub parent: Option<RunId>,
    /// The run at the very beginning.
    pub root: RunId,
    /// Hand-offs to another cycle on the way.
    pub hops: u64,
    /// Where it is.
    pub status: RunStatus,
    /// The step it is at, or failed at.
    #[schema(required)]
    pub step: Option<StepId>,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// When its timer is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub due: Option<Timestamp>,
    /// What it failed with: `kind code message status headers body attempts`.
    #[schema(value_type = Option<RunError>, required)]
    pub error: Option<Json>,
}

/// A loop as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Loop)]
pub struct LoopView {
    /// Its id.
    pub id: LoopId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Laps accepted.
    pub laps: u64,
    /// Records its lists brought.
    pub records: u64,
    /// Where it is.
    pub status: LoopStatus,
    /// When its first lap was accepted.
    pub started: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Milliseconds from `started` to the end, or to now.
    pub elapsed_ms: u64,
    /// Laps a second, over its whole life.
    pub rate: f64,
    /// The run of its first lap.
    pub first_run: RunId,
    /// The loop that handed off to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parent: Option<LoopId>,
    /// The run that failed and its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = LoopError, nullable = false)]
    pub error: Option<Json>,
}

/// A connection as the API shows it; never a credential.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Connection)]
pub struct ConnectionView {
    /// Its name.
    pub id: String,
    /// Its connector.
    pub connector: String,
    /// Whether it can be used: `ready` or `needs_sign_in`.
    #[schema(value_type = ConnectionState)]
    pub state: &'static str,
    /// How it signs in: `none`, `api_key`, `basic`, `bearer`, `oauth2`.
    #[schema(value_type = AuthKind)]
    pub auth: &'static str,
    /// The client that signs in, where it is known.
    #[schema(required)]
    pub client_id: Option<String>,
    /// What `velodrome connect` would ask for: `client_id`, `client_secret`.
    #[schema(value_type = Vec<ClientPart>)]
    pub asks: Vec<&'static str>,
    /// When its token ends; a token that can be refreshed is, before that.
    #[schema(required)]
    pub expires: Option<Timestamp>,
    /// The scopes that were granted, or else that are asked for.
    #[schema(required)]
    pub scopes: Option<String>,
    /// What keeps it from being used, and what helps.
    #[schema(required)]
    pub reason: Option<String>,
}

/// What `velodrome connect` begins.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SignInBegun {
    /// Where a browser signs in, once; `None` where the connection signed in by itself.
    #[schema(required)]
    pub url: Option<String>,
    /// The connection as it is now.
    pub connection: ConnectionView,
}

/// A secret as the API shows it; never its value.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Secret)]
pub struct SecretView {
    /// Its name.
    pub name: String,
    /// When it was last set; absent where it does not open with the present key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub changed: Option<Timestamp>,
}

/// A token that is to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What people call it; one is made up where nobody says.
    pub name: Option<String>,
    /// What it allows.
    pub role: Role,
    /// From when on it is of no use.
    pub expires: Option<Timestamp>,
}

/// A token as the API shows it; never the token itself.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Token)]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// What people call it; null, as what follows, where it does not open with the present key.
    #[schema(required = true)]
    pub name: Option<String>,
    /// What it allows.
    #[schema(required = true)]
    pub role: Option<Role>,
    /// When it was made.
    #[schema(required = true)]
    pub created: Option<Timestamp>,
    /// From when on it is of no use; null if it does not expire.
    #[schema(required = true)]
    pub expires: Option<Timestamp>,
}

impl TokenView {
    /// One that does not open.
    pub(crate) fn unopened(id: TokenId) -> Self {
        Self {
            id,
            name: None,
            role: None,
            created: None,
            expires: None,
        }
    }
}

/// A token that was made, told this once.
#[derive(Clone, PartialEq, Serialize, ToSchema)]
pub struct TokenMade {
    /// What is known of it.
    #[serde(flatten)]
    pub view: TokenView,
    /// The token.
    pub token: String,
}

impl std::fmt::Debug for TokenMade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenMade")
            .field("view", &self.view)
            .finish_non_exhaustive()
    }
}

/// What came of changing the key.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Key)]
pub struct KeyView {
    /// How many secrets, tokens and keys of records were sealed anew.
    pub sealed: u64,
}

/// What a person does to a cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CycleCommand {
    /// Take webhooks and run.
    Start,
    /// Take webhooks, queue them.
    Pause,
    /// Begin no further step; end what runs.
    Stop,
    /// Take nothing new; let what runs and queues go on.
    Finish,
    /// Empty the queue.
    Purge,
}

/// What went with a cycle that was deleted.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct CycleDeleted {
    /// The cycle.
    pub cycle: CycleId,
    /// How many loops, with their runs and log lines; queued ones included.
    pub loops: u64,
    /// How many watermarks.
    pub watermarks: u64,
    /// How many connections' `cycle_storage_*` held something of it.
    pub storages: u64,
}

/// One answer of a listing.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Listing<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// What to send as `cursor` for the next part; null at the end.
    #[schema(required)]
    pub next: Option<String>,
}
