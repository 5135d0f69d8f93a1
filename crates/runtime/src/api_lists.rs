//! What the API's document says of what views hold as plain text or JSON: closed lists and errors.
//!
//! None of these is ever made: a view names one as the schema of a field.

use utoipa::ToSchema;
use velodrome_types::{Code, Json, RunId};

macro_rules! lists {
    ($($(#[$doc:meta])* $name:ident { $($variant:ident),+ $(,)? })+) => {$(
        $(#[$doc])*
        #[derive(Debug, ToSchema)]
        #[schema(rename_all = "snake_case")]
        #[expect(dead_code, reason = "it only says what a text may be")]
        pub(crate) enum $name { $($variant),+ }
    )+};
}

lists! {
    /// What a step is.
    StepKindName {
        Webhook, List, Request, Storage, Script, Watermark, Decision, Respond, Switch, Delay, WaitUntil, WaitAll,
        Stop,
    }
    /// Whether a connection can be used.
    ConnectionState { Ready, NeedsSignIn }
    /// How a connection signs in.
    AuthKind { None, Bearer, ApiKey, Basic, Oauth2 }
    /// What a person is asked for of a client.
    ClientPart { ClientId, ClientSecret }
    /// Whether a failure may pass by itself.
    FailureName { Transient, Permanent, Unknown, Held }
    /// Whose script storage it is.
    StorageName { Cyclr, Cycle, Loop }
    /// What a script does to its storage.
    StorageDeed { Set, Append, Increment, Delete, DeleteAll }
}

/// What a run failed with.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it only says what the JSON of a view holds")]
pub(crate) struct RunError {
    /// Whether it may pass by itself.
    kind: FailureName,
    /// The stable code.
    code: Code,
    /// What happened, and where in a file a script failed.
    message: String,
    /// The HTTP status, where an answer came.
    #[schema(nullable = false)]
    status: Option<u16>,
    /// The answer's headers, where one came.
    #[schema(value_type = Object, required = false)]
    headers: Json,
    /// The beginning of the answer's body, where one came.
    #[schema(required = false)]
    body: Json,
    /// How many attempts were made.
    attempts: u32,
}

/// What a loop failed with.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "it only says what the JSON of a view holds")]
pub(crate) struct LoopError {
    /// The first run that failed.
    run: RunId,
    /// The code of its error.
    code: Code,
}
