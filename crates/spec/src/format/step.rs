//! The keys of steps: those that every step has, and those of webhooks and methods.

use super::callers::AUTH_TAKES;
use super::cycle::{ON_ERROR, RETRY_TAKES};
use super::table::{Key, Table, Takes};
use super::tool;

/// A kind of step and the keys it has beside the common ones.
#[derive(Clone, Copy, Debug)]
pub struct StepTable {
    /// What `use` says: a tool's name, or a description of methods.
    pub uses: &'static str,
    /// Whether `uses` is a tool that is written so.
    pub tool: bool,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Its keys.
    pub table: &'static Table,
}

/// Every kind of step.
pub const KINDS: &[StepTable] = &[
    method(
        "`<connection>.webhook`",
        "Takes requests. As the trigger it starts a run; in the middle of a cycle a run waits at it.",
        &WEBHOOK,
    ),
    method(
        "a list method",
        "Asks an API for records, a page at a time or all of them.",
        &LIST,
    ),
    method("any other method", "Sends one request.", &SEND),
    method(
        "`<connection>.update_last_successful_run_date`",
        "Commits the date that a list step holds, so that the next loop asks for what is newer.",
        &WATERMARK,
    ),
    method(
        "a storage method",
        "Reads or writes the connection's script storage, inside the engine.",
        &STORAGE,
    ),
    tool(
        "decision",
        "Goes on by `then` if the condition holds, else by `else`.",
        &tool::DECISION,
    ),
    tool("switch", "Goes on by the case that fits.", &tool::SWITCH),
    tool("delay", "Waits so long; survives restarts.", &tool::DELAY),
    tool("wait_until", "Waits until a date.", &tool::WAIT_UNTIL),
    tool(
        "wait_all",
        "Goes on once, when the lap has no other unfinished run.",
        &tool::WAIT_ALL,
    ),
    tool("respond", "Answers the webhook's caller.", &tool::RESPOND),
    tool(
        "script",
        "Runs `fn run()`; what it returns is the step's data.",
        &tool::SCRIPT_TOOL,
    ),
    tool("stop", "Ends the run.", &tool::STOP),
];

const fn method(uses: &'static str, doc: &'static str, table: &'static Table) -> StepTable {
    StepTable {
        uses,
        tool: false,
        doc,
        table,
    }
}

const fn tool(uses: &'static str, doc: &'static str, table: &'static Table) -> StepTable {
    StepTable {
        uses,
        tool: true,
        doc,
        table,
    }
}

/// What every step may have.
pub const COMMON: Table = Table {
    name: "a step",
    keys: &[
        Key::new("use", Takes::Text, "A tool, or `<connection>.<method>`.").required(),
        Key::new("name", Takes::Text, "Its name for people.").default("the id"),
        Key::new("note", Takes::Text, "A remark; nothing reads it."),
        Key::new("map", Takes::Map(&Takes::Value), "The inputs by their names. `ignore` leaves one out."),
        Key::new("script", SCRIPT_TAKES, "Handlers such as `fn before_action()`."),
        Key::new("then", Takes::Either(&[Takes::Step, Takes::List(&Takes::Step)]), "Where the run goes on. A list is a fork: the first goes on in this run, each other is a child run.").default("the run ends well"),
        Key::new("else", Takes::Either(&[Takes::Step, Takes::List(&Takes::Step)]), "Where the run goes on by the false exit: of a decision, of a list that is empty, or of a webhook in the middle of a cycle that nobody called in time.").default("the run ends well"),
        Key::new("catch", Takes::Either(&[Takes::Step, Takes::List(&Takes::Step)]), "Where the run goes on after an error."),
        Key::new("on_error", ON_ERROR, "What an error does that neither a retry nor `catch` took.").default("the cycle's"),
        Key::new("retry", RETRY_TAKES, "How transient failures are tried again.").default("the cycle's"),
        Key::new("timeout", Takes::Duration, "How long one request may take; for a webhook in the middle of a cycle, how long the run waits before it leaves by `else`.").default("30 seconds; such a webhook waits for ever"),
        Key::new("split", Takes::Boolean, "Makes a child run of each item of the list that the step gives, which goes on separately to the end; the item is `${item}`.").default("false"),
        Key::new("for_each", Takes::Value, "Runs the step once for each item of this list, as `${item}` and `${index}`."),
        Key::new("parallel", Takes::Integer(1), "How many items of `for_each` are under way at once.").default("1"),
        Key::new("skip_failures", Takes::Boolean, "Whether `for_each` goes on where an item failed.").default("false"),
        Key::new("if_unknown", Takes::Choice(&["resend", "fail"]), "What is done when nobody knows whether a request arrived.").default("resend"),
    ],
};

pub(super) const SCRIPT_TAKES: Takes = Takes::Either(&[Takes::Text, Takes::Keys(&SCRIPT)]);

/// `script:` as a map.
pub(crate) const SCRIPT: Table = Table {
    name: "`script`",
    keys: &[
        Key::new(
            "language",
            Takes::Choice(&["rhai", "javascript"]),
            "The language.",
        )
        .default("the cycle's `script_language`; of a connector `rhai`"),
        Key::new("code", Takes::Text, "The text; either this or `file`."),
        Key::new(
            "file",
            Takes::Text,
            "A file below the cycles folder, or of a connector below its file's; `.js` is JavaScript.",
        ),
    ],
};

/// A webhook that starts runs, and what both kinds of webhook have.
pub(crate) const WEBHOOK: Table = Table {
    name: "a webhook",
    keys: &[
        Key::new(
            "fields",
            Takes::Map(&Takes::Field),
            "What a body must have; fields not named are kept.",
        ),
        Key::new("auth", AUTH_TAKES, "Who may call: `none`, or one kind.")
            .default("that of `webhooks` in velodrome.yaml"),
        Key::new(
            "allow_ips",
            Takes::List(&Takes::Text),
            "Addresses and ranges that may call.",
        )
        .default("any"),
        Key::new(
            "dedupe",
            Takes::Either(&[Takes::Text, Takes::Keys(&DEDUPE)]),
            "The field that names a delivery: a repeat gets the first answer and starts nothing.",
        ),
        Key::new(
            "origins",
            Takes::List(&Takes::Text),
            "Web pages that may call, as `https://example.com`.",
        )
        .default("none without `auth`"),
        Key::new(
            "respond_within",
            Takes::Duration,
            "How long a caller is held for a `respond`.",
        )
        .default("30 seconds"),
        Key::new(
            "match",
            Takes::Map(&Takes::Value),
            "In the middle of a cycle: fields of the request, each with what the waiting run has for it. The newest waiting run that fits goes on.",
        )
        .default("any request fits"),
        Key::new(
            "repeat",
            Takes::Boolean,
            "In the middle of a cycle: each request makes a child run that goes on from here, and the run goes on waiting.",
        )
        .default("false"),
    ],
};

/// `dedupe:` as a map.
pub(crate) const DEDUPE: Table = Table {
    name: "`dedupe`",
    keys: &[
        Key::new("key", Takes::Text, "The field.").required(),
        Key::new(
            "within",
            Takes::Duration,
            "How long a delivery is remembered.",
        )
        .default("24 hours"),
    ],
};

/// A field of a body.
pub const FIELD: Table = Table {
    name: "a field",
    keys: &[
        Key::new(
            "type",
            Takes::Choice(&[
                "text", "integer", "number", "boolean", "datetime", "object", "list", "any",
            ]),
            "Its type; a literal of it is converted (`\"7\"` is 7).",
        )
        .required(),
        Key::new(
            "required",
            Takes::Boolean,
            "Whether a body without it is refused.",
        )
        .default("false"),
        Key::new("default", Takes::Literal, "What a missing one becomes."),
        Key::new("minimum", Takes::Number, "The least number."),
        Key::new("maximum", Takes::Number, "The greatest number."),
        Key::new(
            "min_length",
            Takes::Integer(0),
            "The fewest characters of a text, items of a list.",
        ),
        Key::new("max_length", Takes::Integer(0), "The most."),
        Key::new(
            "pattern",
            Takes::Text,
            "A regular expression that a text must match somewhere.",
        ),
        Key::new(
            "values",
            Takes::List(&Takes::Literal),
            "The only values taken.",
        ),
        Key::new(
            "fields",
            Takes::Map(&Takes::Field),
            "The fields of an object.",
        ),
        Key::new("items", Takes::Field, "What each item of a list must be."),
    ],
};

/// A list step.
pub(crate) const LIST: Table = Table {
    name: "a list step",
    keys: &[Key::new(
        "first_run",
        Takes::Either(&[Takes::Choice(&["now"]), Takes::Date]),
        "The filter date while none is set: `now` skips all that is there already.",
    )
    .default("no filter: everything")],
};

/// A step that sends one request.
pub(crate) const SEND: Table = Table {
    name: "a sending step",
    keys: &[
        Key::new(
            "url",
            Takes::Value,
            "Where it is sent, for methods such as `generic_webhook.post`. A webhook of this server that the file names is a hand-off.",
        ),
        Key::new(
            "query",
            Takes::Map(&Takes::Value),
            "What is added to the URL behind `?`.",
        ),
        Key::new("headers", Takes::Map(&Takes::Value), "Headers."),
        Key::new(
            "ok",
            Takes::Either(&[
                Takes::Integer(100),
                Takes::Text,
                Takes::List(&Takes::Either(&[Takes::Integer(100), Takes::Text])),
            ]),
            "Statuses that are no error beside 2xx: `404`, `4xx`, or a list of such.",
        ),
        Key::new(
            "handoff",
            Takes::Choice(&["direct", "http"]),
            "Whether a hand-off needs a real request.",
        )
        .default("direct"),
    ],
};

/// A step that reads or writes script storage: all it takes stands in `map`.
pub(crate) const STORAGE: Table = Table {
    name: "a storage step",
    keys: &[],
};

/// A step that commits a list step's date.
pub(crate) const WATERMARK: Table = Table {
    name: "a watermark step",
    keys: &[Key::new("of", Takes::Step, "The list step.").required()],
};
