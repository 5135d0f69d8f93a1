//! A connector definition, checked: an API described as data (SPEC §12).
//!
//! One file an application, in the same reference syntax as cycles: `${settings.x}`, `${auth.x}`,
//! `${input.x}`. What executes it is `velodrome-connect`.

use std::collections::BTreeMap;
use std::time::Duration;

use velodrome_types::Json;

use crate::expr::{Expr, Segment};
use crate::plan::StepScript;

/// A connector.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectorDef {
    /// Its name: what `connector:` says, and its default connection's name.
    pub name: String,
    /// What its file is called, for messages.
    pub path: String,
    /// Its title for people.
    pub title: String,
    /// Where the API is documented.
    pub docs: Option<String>,
    /// What a connection is asked for.
    pub settings: BTreeMap<String, SettingDef>,
    /// How requests are signed in.
    pub auth: AuthDef,
    /// What paths are appended to; `None` where methods take whole URLs.
    pub base_url: Option<Expr>,
    /// Headers and query of every method.
    pub request: RequestDefaults,
    /// Where the body of an error says what went wrong.
    pub error_fields: ErrorFields,
    /// Ordered; the first that matches an answer decides. A method's own come before.
    pub errors: Vec<ErrorRule>,
    /// How much may be asked, for each connection.
    pub limits: Limits,
    /// Methods by name.
    pub methods: BTreeMap<String, MethodDef>,
    /// Handlers of every method.
    pub script: Option<StepScript>,
    /// The script files that it names: path and text, for they are part of it.
    pub script_files: Vec<(String, String)>,
    /// SHA-256 of the definition's text and its script files, in hex.
    pub hash: String,
}

impl ConnectorDef {
    /// Whether it or one of its methods has a script.
    pub fn has_scripts(&self) -> bool {
        self.script.is_some() || self.methods.values().any(|method| method.script.is_some())
    }

    /// Whether a connection works with nothing said: no required setting and no sign-in.
    pub fn needs_nothing(&self) -> bool {
        self.auth == AuthDef::None
            && self
                .settings
                .values()
                .all(|setting| setting.default.is_some())
    }
}

/// How much may be asked of an API by one connection, all runs together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way at once; `None` is without bound.
    pub concurrent: Option<u32>,
    /// Requests that may leave within a length of time; all of them hold.
    pub rates: Vec<Rate>,
}

/// So many requests in any stretch of so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many, from 1.
    pub requests: u32,
    /// In how long; never zero.
    pub per: Duration,
}

/// A setting of a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct SettingDef {
    /// Its title for people.
    pub title: String,
    /// What it is when nothing is said; `None` must be said.
    pub default: Option<Json>,
    /// The only values taken; empty is any.
    pub values: Vec<Json>,
    /// Never shown.
    pub secret: bool,
}

/// Headers and query parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestDefaults {
    /// Header names and values.
    pub headers: Vec<(String, Expr)>,
    /// Query names and values.
    pub query: Vec<(String, Expr)>,
}

/// How requests are signed in.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthDef {
    /// Not at all.
    None,
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Expr,
    },
    /// A key in headers, query or body.
    ApiKey {
        /// Header names and values.
        headers: Vec<(String, Expr)>,
        /// Query names and values.
        query: Vec<(String, Expr)>,
        /// Fields of the body, of requests that have one.
        body: Vec<(String, Expr)>,
    },
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        user: Expr,
        /// The password.
        password: Expr,
    },
    /// OAuth 2.0.
    OAuth2(Box<OAuth2Def>),
}

/// How the first token comes.
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// A person signs in, with PKCE.
    AuthorizationCode {
        /// Where the browser is sent.
        authorize_url: Expr,
    },
    /// The client signs in by itself: nobody is asked.
    ClientCredentials,
}

/// Where the client's id and secret go in a request for tokens (RFC 6749 §2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// In the form.
    #[default]
    Body,
    /// In `Authorization: Basic`.
    Basic,
}

/// OAuth 2.0 with refresh.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuth2Def {
    /// How the first token comes.
    pub grant: Grant,
    /// Where the client's id and secret go.
    pub client_auth: ClientAuth,
    /// Further parameters of the authorize URL; of the token request, where the client signs in by itself.
    pub authorize_params: Vec<(String, Expr)>,
    /// The scopes, as one text in the API's own form.
    pub scopes: Expr,
    /// Where codes and refresh tokens are exchanged. May use `${auth.x}` of `callback_keep`.
    pub token_url: Expr,
    /// Where tokens are revoked, if anywhere.
    pub revoke_url: Option<Expr>,
    /// Kept from the callback's query.
    pub callback_keep: Vec<CallbackKept>,
    /// Kept from token answers: our name, the field's name. A later answer without it keeps the old.
    pub token_keep: Vec<(String, String)>,
    /// Hosts that kept URLs may name: our name, the hosts (`host` or `host:port`). Anything else is
    /// refused unless the connection's `hosts` setting lists it.
    pub hosts_allowed: Vec<(String, Vec<String>)>,
    /// Headers that carry the token.
    pub headers: Vec<(String, Expr)>,
    /// Refresh when less than this is left.
    pub refresh_before: Duration,
    /// What token errors mean, in order; matched on the body's `error`, lower-cased.
    pub errors: Vec<(Vec<String>, TokenErrorAction)>,
}

/// What is kept from a callback's query.
#[derive(Clone, Debug, PartialEq)]
pub struct CallbackKept {
    /// Our name: `${auth.name}`.
    pub name: String,
    /// The parameter's name.
    pub parameter: String,
    /// What it is where the callback lacks it; held to `hosts_allowed` too.
    pub default: Option<Expr>,
}

/// What an error of the token endpoint means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenErrorAction {
    /// Passes by itself; wait so long.
    Wait(Duration),
    /// A person must sign in again.
    Reconnect,
    /// The settings are wrong.
    Fail,
}

/// Where the body of an error says what went wrong: paths, of which each is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorFields {
    /// Of its code. A rule's `code` may stand at any of them; the first that is there is shown.
    pub code: Vec<Vec<Segment>>,
    /// Of its message, likewise.
    pub message: Vec<Vec<Segment>>,
}

impl Default for ErrorFields {
    /// `code` and `message` at the top.
    fn default() -> Self {
        let top = |name: &str| vec![vec![Segment::Key(name.to_owned())]];
        Self {
            code: top("code"),
            message: top("message"),
        }
    }
}

/// A rule for answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorRule {
    /// Which HTTP statuses; empty is any that is not 2xx.
    pub status: Vec<StatusMatch>,
    /// Which codes in the body, where `error_fields` says; empty is any.
    pub code: Vec<String>,
    /// Parts of the body's message, in lower case; one must be in it. Empty is any.
    pub message: Vec<String>,
    /// Which texts of which headers, names in lower case; all must fit, and `*` is any text. Empty is any.
    pub header: Vec<(String, String)>,
    /// What is done.
    pub action: ErrorAction,
    /// For `wait`: the header, in lower case, that tells until when; before `Retry-After`.
    pub until_header: Option<String>,
}

/// A status or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusMatch {
    /// `429`.
    Is(u16),
    /// `4xx`.
    Class(u8),
}

impl StatusMatch {
    /// Whether the status is meant.
    pub const fn matches(self, status: u16) -> bool {
        match self {
            Self::Is(wanted) => wanted == status,
            Self::Class(class) => status / 100 == class as u16,
        }
    }
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorAction {
    /// No records, no more.
    Empty,
    /// A permanent error.
    Fail,
    /// A transient error, tried again by the step's `retry`.
    Retry,
    /// Refresh the token and send once more.
    RefreshThenRetry,
    /// A person must sign in again.
    Reconnect,
    /// A transient error with gaps of its own, `Retry-After` before them: the connection as a whole waits.
    /// Tried until it passes, the last gap again and again.
    Wait(Vec<Duration>),
    /// The paging token is void: begin again at the first page, dropping repeats.
    RestartPaging,
}

/// A method.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodDef {
    /// Its name.
    pub name: String,
    /// Its title for people.
    pub title: String,
    /// What it is to the engine.
    pub kind: MethodKind,
    /// `GET`, `POST` …; empty for webhooks and engine methods.
    pub verb: String,
    /// Appended to the base URL; `None` where the step gives a whole `url`.
    pub path: Option<Expr>,
    /// Headers and query beside the connector's.
    pub request: RequestDefaults,
    /// The body's fields, where the definition builds one.
    pub body: Option<Expr>,
    /// What a step maps.
    pub inputs: BTreeMap<String, InputDef>,
    /// Whether a step may map any name into the JSON body (`generic_webhook`).
    pub open_body: bool,
    /// What is read from an answer.
    pub response: ResponseDef,
    /// How the pages of a list follow each other.
    pub paging: PagingDef,
    /// How a list asks only for what is new.
    pub incremental: Option<IncrementalDef>,
    /// Rules that come before the connector's.
    pub errors: Vec<ErrorRule>,
    /// How much of it may be asked, beside the connector's own limits.
    pub limits: Limits,
    /// Handlers of this method.
    pub script: Option<StepScript>,
    /// Whether the method has two exits: true when records came back, or as `action_condition` says.
    pub two_exits: bool,
}

/// What a method is to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// Takes requests.
    Webhook,
    /// Brings records.
    List,
    /// One request, one answer.
    Request,
    /// `update_last_successful_run_date`: done by the engine itself.
    UpdateWatermark,
    /// Reads or writes the connection's script storage; asks nobody.
    Storage(StorageDoes),
}

/// What a storage method does to its connection's script storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StorageDoes {
    /// Keeps a value under a key, in place of the one before.
    Set,
    /// Puts a value behind the one that is kept.
    Append,
    /// Reads one value.
    Get,
    /// Forgets one value.
    Delete,
    /// Reads all values.
    GetAll,
    /// Forgets all values.
    DeleteAll,
    /// Adds to a number.
    Increment,
    /// Takes from a number.
    Decrement,
}

impl StorageDoes {
    /// Every one with its name in a definition.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Set, "set"),
        (Self::Append, "append"),
        (Self::Get, "get"),
        (Self::Delete, "delete"),
        (Self::GetAll, "get_all"),
        (Self::DeleteAll, "delete_all"),
        (Self::Increment, "increment"),
        (Self::Decrement, "decrement"),
    ];
}

/// Whose values a storage step reaches: `scope`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageScope {
    /// Those that all cycles on the connection share, as `cyclr_storage_*` does.
    Connection,
    /// Those of one cycle on it, as `cycle_storage_*` does.
    Cycle,
    /// Those of one loop on it, as `loop_storage_*` does.
    Loop,
}

impl StorageScope {
    /// Every one with its name in a file.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Connection, "connection"),
        (Self::Cycle, "cycle"),
        (Self::Loop, "loop"),
    ];

    /// The one of this name.
    pub fn named(name: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(_, known)| *known == name);
        found.map(|(scope, _)| *scope)
    }
}

/// An input of a method.
#[derive(Clone, Debug, PartialEq)]
pub struct InputDef {
    /// Its title for people.
    pub title: String,
    /// `text`, `integer`, `number`, `boolean`, `datetime`, `object`, `list`, `any`.
    pub kind: crate::plan::FieldKind,
    /// Whether a step must map it.
    pub required: bool,
    /// What it is when not mapped.
    pub default: Option<Json>,
    /// Where it goes.
    pub send_as: SendAs,
}

/// Where an input goes; the name there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendAs {
    /// A query parameter.
    Query(String),
    /// A header.
    Header(String),
    /// A field of the JSON body, inside others where there are dots.
    Body(String),
    /// To scripts alone, as `script_parameters`.
    Script(String),
    /// Nowhere by itself: `${input.x}`, or of a filter date `${since}`, uses it.
    Nowhere,
}

/// What is read from an answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResponseDef {
    /// Dotted path to the list of records, such as `data`; `None` if there is none.
    pub records: Option<String>,
    /// Fields that later steps may name; empty with `open` where nothing is described.
    pub fields: BTreeMap<String, ResponseField>,
    /// Whether any path of the body may be named.
    pub open: bool,
}

/// A described field of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct ResponseField {
    /// Its title for people.
    pub title: String,
    /// Dotted path in the body.
    pub path: String,
    /// What it is when the answer is empty or lacks it.
    pub when_empty: Json,
}

/// How the pages of a list follow each other.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PagingDef {
    /// One page, one answer.
    #[default]
    None,
    /// One page that must be the whole list: more than it is an error.
    Whole {
        /// Path of what says whether there is more.
        more: String,
    },
    /// One page a run: the cycle loops. Past the reach of page numbers the loop carries a token.
    ByHand {
        /// The hand-off from page numbers to a token, where the API needs one.
        handoff: Option<TokenHandoff>,
        /// Path of what says whether there is more; more to which nothing leads is an error.
        more: Option<String>,
    },
    /// All pages inside one step, one request after the other.
    Engine(Box<Pager>),
}

impl PagingDef {
    /// What pages, where the engine does.
    pub fn pager(&self) -> Option<&Pager> {
        match self {
            Self::Engine(pager) => Some(pager),
            Self::None | Self::Whole { .. } | Self::ByHand { .. } => None,
        }
    }

    /// Whether the list can have further pages, whoever asks for them.
    pub const fn has_pages(&self) -> bool {
        matches!(self, Self::ByHand { .. } | Self::Engine(_))
    }
}

/// How the engine walks a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Pager {
    /// How the next page is asked for.
    pub style: PagingStyle,
    /// How many records a page has.
    pub size: Option<PageSize>,
    /// What tells that a page was the last.
    pub end: PagingEnd,
    /// Where a walk stops though there is more.
    pub max_records: u64,
}

/// How many records a page has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageSize {
    /// Where it is said to the API, if anywhere.
    pub send: Option<SendAs>,
    /// How many.
    pub value: u64,
}

/// How the next page of a list is asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum PagingStyle {
    /// By its number.
    Page(Counted),
    /// By how many records come before it.
    Offset {
        /// The number that is sent.
        count: Counted,
        /// What it grows by.
        step: OffsetStep,
    },
    /// By a token of the answer before.
    Cursor {
        /// Where the token stands.
        next: TokenAt,
        /// Where it is sent.
        send: SendAs,
    },
    /// By a field of the last record.
    LastRecord {
        /// The field's path in the record.
        next: String,
        /// Where it is sent.
        send: SendAs,
    },
    /// By the `Link` header (RFC 8288).
    LinkHeader {
        /// The relation, `next`.
        rel: String,
        /// The path of a URL in the body, asked where the header has no such link.
        next: Option<String>,
    },
    /// By a URL in the body.
    NextUrl {
        /// Its path.
        next: String,
    },
    /// By fields of the last record that the request's own values read as `${last.x}`.
    Keyset {
        /// The fields' names.
        last: Vec<String>,
    },
    /// By its number as far as numbers reach, then by a token.
    Handoff {
        /// The number that is sent.
        count: Counted,
        /// The last record that numbers reach.
        reach: u64,
        /// Dotted path of the token.
        token: String,
        /// Where the token is sent in place of the number.
        send: SendAs,
        /// Only while this setting has one of these values; `None` is always.
        when: Option<(String, Vec<Json>)>,
    },
}

/// A number that asks for a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// What the first page is asked with.
    pub start: u64,
    /// Whether the first request sends it.
    pub first: bool,
    /// Where it is sent.
    pub send: SendAs,
}

/// What an offset grows by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OffsetStep {
    /// By the records that came: nothing is passed over where a page is smaller than was asked.
    #[default]
    Records,
    /// By the size that was asked.
    Size,
}

/// Where a token stands in an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenAt {
    /// Dotted path in the body.
    Body(String),
    /// A header.
    Header(String),
}

/// What tells that a page was the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PagingEnd {
    /// Path of what says whether there are more.
    pub more: Option<String>,
    /// Path of how many records there are in all.
    pub total: Option<String>,
    /// Path of how many pages there are.
    pub total_pages: Option<String>,
    /// The greatest number, or offset, that is asked for.
    pub maximum: Option<u64>,
    /// Whether a page with fewer records than asked is the last.
    pub short_page: bool,
    /// Whether the walk goes on behind a page without records.
    pub past_empty: bool,
}

/// From page numbers to a token: the answer's token is kept in the loop and asks for the page after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenHandoff {
    /// The input that carries the page number.
    pub page: String,
    /// The last record that page numbers reach: 2,000.
    pub reach: u64,
    /// Records a page.
    pub per_page: u64,
    /// Dotted path of the token in an answer.
    pub token: String,
    /// The query parameter that carries it in place of the page.
    pub send: String,
    /// Only while this setting has one of these values; `None` is always.
    pub when: Option<(String, Vec<Json>)>,
}

/// How a list asks only for what is new.
#[derive(Clone, Debug, PartialEq)]
pub struct IncrementalDef {
    /// The records' field that the filter goes by.
    pub field: String,
    /// Where the filter date goes; nowhere by itself where `${since}` stands in the request.
    pub send_as: SendAs,
    /// How the date is written.
    pub format: DateFormat,
    /// Fields that tell one state of a record from another; repeats are dropped on them.
    pub key: Vec<String>,
    /// Whether the API's filter takes what equals the date. Where it does not, the date is sent one unit
    /// of its format earlier.
    pub inclusive: bool,
    /// How far before the answer's `Date` the watermark is put.
    pub overlap: Duration,
    /// Who moves the watermark.
    pub advance: Advance,
}

/// How a filter date is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateFormat {
    /// `2026-11-23T12:00:00+00:00`.
    Iso8601OffsetSeconds,
    /// `2026-11-23T12:00:00Z`.
    Iso8601UtcSeconds,
    /// `2026-11-23T12:00:00.000Z`.
    Iso8601UtcMillis,
    /// Seconds since 1970.
    UnixSeconds,
    /// Milliseconds since 1970.
    UnixMillis,
    /// `Mon, 23 Nov 2026 12:00:00 GMT`.
    HttpDate,
    /// `2026-11-23`, in UTC.
    Date,
}

/// Who moves a watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Only an `update_last_successful_run_date` step.
    ByStep,
    /// The run's success.
    OnSuccess,
}
