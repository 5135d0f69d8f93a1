//! The keys of a cycle's tests, `x.test.yaml`.

use super::table::{Key, Table, Takes};

/// The top level of a test file.
pub const TEST_FILE: Table = Table {
    name: "a test file",
    keys: &[
        Key::new("cycle", Takes::Name, "The cycle under test.")
            .default("that of the file beside it"),
        Key::new(
            "settings",
            Takes::Map(&Takes::Map(&Takes::Literal)),
            "Settings of connections, in place of those of `velodrome.yaml`.",
        ),
        Key::new(
            "coverage",
            Takes::Text,
            "The file fails where its tests take less of the cycle's exits: `100%`.",
        ),
        Key::new(
            "tests",
            Takes::Map(&Takes::Keys(&TEST)),
            "The tests; any text names one.",
        )
        .required(),
    ],
};

/// One of `tests:`.
pub const TEST: Table = Table {
    name: "a test",
    keys: &[
        Key::new(
            "start",
            Takes::Date,
            "What the clock says at the beginning.",
        )
        .default("2026-01-01T00:00:00Z"),
        Key::new(
            "body",
            Takes::Literal,
            "What is POSTed to the cycle's webhook.",
        )
        .default("{}"),
        Key::new(
            "headers",
            Takes::Map(&Takes::Text),
            "Headers of that request.",
        ),
        Key::new(
            "query",
            Takes::Map(&Takes::Text),
            "Query parameters of its URL.",
        ),
        Key::new(
            "send",
            Takes::List(&Takes::Keys(&DELIVERY)),
            "Several requests to the cycle's webhooks, in place of `body`, `headers` and `query`.",
        ),
        Key::new(
            "storage",
            STORAGE,
            "What `cyclr_storage_*` holds before: connection, key, value.",
        ),
        Key::new(
            "cycle_storage",
            STORAGE,
            "What `cycle_storage_*` of the cycle holds before.",
        ),
        Key::new(
            "watermark",
            Takes::Map(&Takes::Date),
            "Last successful run dates before, by list step.",
        ),
        Key::new(
            "answers",
            Takes::Map(&Takes::Either(&[
                Takes::Keys(&ANSWER),
                Takes::List(&Takes::Keys(&ANSWER)),
            ])),
            "What each step's requests are answered: a list in order, or one answer for all.",
        ),
        Key::new(
            "limits",
            Takes::Keys(&LIMITS),
            "How far a test may go before it counts as endless.",
        ),
        Key::new("expect", Takes::Keys(&EXPECT), "What must have come of it.")
            .default("every loop succeeds"),
    ],
};

const STORAGE: Takes = Takes::Map(&Takes::Map(&Takes::Literal));

/// One of `send:`.
pub const DELIVERY: Table = Table {
    name: "a request to the webhook",
    keys: &[
        Key::new("body", Takes::Literal, "What is POSTed.").default("{}"),
        Key::new("headers", Takes::Map(&Takes::Text), "Headers."),
        Key::new("query", Takes::Map(&Takes::Text), "Query parameters."),
        Key::new(
            "step",
            Takes::Step,
            "The webhook in the middle of the cycle that it is sent to.",
        )
        .default("the trigger"),
        Key::new(
            "after",
            Takes::Duration,
            "How long after the beginning it comes.",
        )
        .default("0s"),
    ],
};

/// One of a step's `answers:`.
pub const ANSWER: Table = Table {
    name: "an answer",
    keys: &[
        Key::new("status", Takes::Integer(100), "The HTTP status.").default("200"),
        Key::new(
            "headers",
            Takes::Map(&Takes::Text),
            "Headers. `Date` is the virtual time, `Content-Type` fits the body, where they are not said.",
        ),
        Key::new(
            "body",
            Takes::Literal,
            "The body: JSON, or a text that is sent as it stands.",
        ),
        Key::new(
            "records",
            Takes::Integer(0),
            "So many made-up records, put where the list's method looks for them.",
        ),
        Key::new("takes", Takes::Duration, "How long it takes to come.").default("0s"),
        Key::new(
            "error",
            Takes::Choice(&["timeout", "connection_refused"]),
            "No answer, but a fault of the network.",
        ),
    ],
};

/// `limits:` of a test.
pub const LIMITS: Table = Table {
    name: "`limits` of a test",
    keys: &[
        Key::new("laps", Takes::Integer(1), "Laps, of all loops together.").default("20000"),
        Key::new("time", Takes::Duration, "Virtual time.").default("3650 days"),
    ],
};

/// `expect:` of a test.
pub const EXPECT: Table = Table {
    name: "`expect`",
    keys: &[
        Key::new(
            "answer",
            Takes::Either(&[
                Takes::Keys(&EXPECTED_ANSWER),
                Takes::List(&Takes::Keys(&EXPECTED_ANSWER)),
            ]),
            "What the webhook answers; a list where several requests are sent.",
        ),
        Key::new("status", STATUS, "How the first loop ends.").default("succeeded"),
        Key::new("laps", Takes::Integer(0), "How many laps it makes."),
        Key::new(
            "records",
            Takes::Integer(0),
            "How many records its lists bring.",
        ),
        Key::new(
            "elapsed",
            Takes::Duration,
            "How long it takes, in virtual time, to the millisecond.",
        ),
        Key::new(
            "loops",
            Takes::List(&Takes::Keys(&EXPECTED_LOOP)),
            "Every loop, in order of acceptance; the number must fit.",
        ),
        Key::new(
            "error",
            Takes::Keys(&EXPECTED_ERROR),
            "The error of the first run that failed; `none` where none may fail.",
        ),
        Key::new(
            "requests",
            Takes::List(&Takes::Keys(&EXPECTED_REQUEST)),
            "Every request that left, in order; the number must fit.",
        ),
        Key::new(
            "handoffs",
            Takes::List(&Takes::Literal),
            "Every body that was posted to a webhook of this server, in order; the number must fit.",
        ),
        Key::new(
            "storage",
            STORAGE,
            "What `cyclr_storage_*` holds after; `null` is no such key.",
        ),
        Key::new(
            "cycle_storage",
            STORAGE,
            "What `cycle_storage_*` of the cycle holds after.",
        ),
        Key::new(
            "loop_storage",
            STORAGE,
            "What `loop_storage_*` of the first loop holds after.",
        ),
        Key::new(
            "watermark",
            Takes::Map(&Takes::Date),
            "Last successful run dates after, by list step; `none` is none.",
        ),
        Key::new(
            "log",
            Takes::List(&Takes::Either(&[Takes::Text, Takes::Keys(&EXPECTED_LINE)])),
            "Lines of the run log that come in this order; others may stand between.",
        ),
    ],
};

const STATUS: Takes = Takes::Choice(&[
    "queued",
    "running",
    "waiting",
    "succeeded",
    "failed",
    "stopped",
]);

/// `answer:` of `expect`.
pub const EXPECTED_ANSWER: Table = Table {
    name: "an expected answer",
    keys: &[
        Key::new("status", Takes::Integer(100), "The HTTP status."),
        Key::new("code", Takes::Text, "The code of a refusal."),
        Key::new(
            "headers",
            Takes::Map(&Takes::Text),
            "Headers, names in lower case.",
        ),
        Key::new("body", Takes::Literal, "The body, or what must be in it."),
    ],
};

/// One of `loops:`.
pub const EXPECTED_LOOP: Table = Table {
    name: "an expected loop",
    keys: &[
        Key::new("cycle", Takes::Name, "Its cycle."),
        Key::new("status", STATUS, "How it ends."),
        Key::new("laps", Takes::Integer(0), "How many laps it makes."),
        Key::new(
            "records",
            Takes::Integer(0),
            "How many records its lists bring.",
        ),
        Key::new("elapsed", Takes::Duration, "How long it takes."),
    ],
};

/// `error:` of `expect`.
pub const EXPECTED_ERROR: Table = Table {
    name: "an expected error",
    keys: &[
        Key::new("code", Takes::Text, "The stable code."),
        Key::new("step", Takes::Step, "The step that failed."),
        Key::new("message", Takes::Text, "A part of what happened."),
        Key::new("status", Takes::Integer(100), "The HTTP status."),
        Key::new(
            "kind",
            Takes::Choice(&["transient", "permanent", "unknown"]),
            "Whether it may pass.",
        ),
        Key::new(
            "attempts",
            Takes::Integer(1),
            "How many attempts were made.",
        ),
        Key::new(
            "body",
            Takes::Literal,
            "The answer's body, or what must be in it.",
        ),
    ],
};

/// One of `requests:`.
pub const EXPECTED_REQUEST: Table = Table {
    name: "an expected request",
    keys: &[
        Key::new("cycle", Takes::Name, "The cycle that asks."),
        Key::new("step", Takes::Step, "Its step."),
        Key::new("lap", Takes::Integer(1), "The lap that asks."),
        Key::new("method", Takes::Text, "The verb, in upper case."),
        Key::new("url", Takes::Text, "The URL without its query."),
        Key::new("path", Takes::Text, "The path of the URL."),
        Key::new(
            "query",
            Takes::Map(&Takes::Text),
            "Query parameters; `null` is none of this name.",
        ),
        Key::new(
            "headers",
            Takes::Map(&Takes::Text),
            "Headers, names in lower case; `null` is none of this name.",
        ),
        Key::new("body", Takes::Literal, "The body, or what must be in it."),
        Key::new(
            "at",
            Takes::Duration,
            "How long after the beginning it leaves.",
        ),
    ],
};

/// One of `log:`.
pub const EXPECTED_LINE: Table = Table {
    name: "an expected line of the log",
    keys: &[
        Key::new("event", Takes::Text, "The event."),
        Key::new("cycle", Takes::Name, "The cycle it is about."),
        Key::new("step", Takes::Step, "The step it is about."),
        Key::new("lap", Takes::Integer(1), "The lap it is about."),
        Key::new(
            "level",
            Takes::Choice(&["debug", "info", "warn", "error"]),
            "How much it matters.",
        ),
        Key::new("code", Takes::Text, "The code of what went wrong."),
        Key::new("message", Takes::Text, "A part of what a person reads."),
    ],
};
