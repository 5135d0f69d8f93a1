//! The keys of a cycle itself.

use super::table::{Key, Table, Takes};

/// The top level of a cycle file.
pub const CYCLE: Table = Table {
    name: "a cycle",
    keys: &[
        Key::new("cycle", Takes::Name, "The cycle's id: its webhook is `/hooks/<id>`.").required(),
        Key::new("name", Takes::Text, "Its name for people.").default("the id"),
        Key::new("description", Takes::Text, "What it is for."),
        Key::new("steps", Takes::Steps, "The steps by their ids. The one that no exit leads to is the trigger.").required(),
        Key::new("variables", Takes::Map(&Takes::Literal), "Values that `${var:x}` gives."),
        Key::new("concurrency", Takes::Integer(1), "Loops of this cycle in progress at a time; others queue in the order of their acceptance.").default("no bound"),
        Key::new("queue_limit", Takes::Integer(0), "Loops that may queue; one more is answered 429.").default("10000"),
        Key::new("on_error", ON_ERROR, "What an error does that neither a retry nor `catch` took.").default("stop_run"),
        Key::new("retry", RETRY_TAKES, "How transient failures are tried again.").default("5 times, 1 second, doubled up to 1 minute"),
        Key::new("loop", Takes::Keys(&LOOP), "Bounds of a loop."),
        Key::new("split", Takes::Choice(&["none", "first_step", "all_steps"]), "Which steps make a child run of each item of their list: none that does not say so, the trigger, or the trigger and every list step.").default("none"),
        Key::new("schedule", Takes::Keys(&SCHEDULE), "Starts the cycle by the clock as well."),
        Key::new("time_zone", Takes::Text, "The zone of dates without an offset and of `schedule`: an IANA name such as `Europe/Berlin`.").default("UTC"),
        Key::new("autostart", Takes::Boolean, "Whether the cycle runs as soon as its file is there.").default("true"),
        Key::new("retention", Takes::Keys(&RETENTION), "How long finished runs are kept."),
        Key::new("log", Takes::Keys(&LOG), "What of payloads the log shows."),
        Key::new("script_language", Takes::Choice(&["rhai", "javascript"]), "The language of scripts that do not say one.").default("rhai"),
        Key::new("error_webhook", Takes::Value, "Where failed runs are POSTed to: a URL, or `${hook:CYCLE}`; `${env:X}` and `${var:x}` may stand in it.").default("what `velodrome.yaml` says"),
    ],
};

pub(super) const ON_ERROR: Takes = Takes::Choice(&["stop_run", "ignore", "stop_cycle"]);

pub(super) const RETRY_TAKES: Takes = Takes::Either(&[
    Takes::Integer(0),
    Takes::Choice(&["cyclr"]),
    Takes::Keys(&RETRY),
]);

/// `retry:`.
pub(crate) const RETRY: Table = Table {
    name: "`retry`",
    keys: &[
        Key::new("times", Takes::Integer(0), "How often it is tried again.").default("5"),
        Key::new("first", Takes::Duration, "The wait before the first.").default("1 second"),
        Key::new(
            "factor",
            Takes::Number,
            "What each wait is longer than the one before by.",
        )
        .default("2"),
        Key::new("max", Takes::Duration, "The longest wait.").default("1 minute"),
    ],
};

const OR_NONE: Takes = Takes::Either(&[Takes::Integer(1), Takes::Choice(&["none"])]);

/// `loop:`.
pub(crate) const LOOP: Table = Table {
    name: "`loop`",
    keys: &[
        Key::new("max_laps", OR_NONE, "Laps of one loop; past it the loop fails with `loop.max_laps`.").default("10000"),
        Key::new("max_hops", OR_NONE, "Hand-offs from cycle to cycle; past it the loop fails with `loop.max_hops`.").default("10000"),
        Key::new("same_page_limit", OR_NONE, "Laps in a row that asked for another page and got the same records; past it the loop fails with `loop.same_page`.").default("5"),
        Key::new("fork", Takes::Boolean, "Whether one lap may post to its own webhook more than once.").default("false"),
        Key::new("remember", Takes::Integer(0), "Records of a loop that are remembered, so that repeats are dropped.").default("200000"),
    ],
};

/// `log:`.
pub(crate) const LOG: Table = Table {
    name: "`log`",
    keys: &[
        Key::new(
            "payloads",
            Takes::Choice(&["preview", "full", "none"]),
            "How much of bodies the log shows.",
        )
        .default("preview"),
        Key::new(
            "redact",
            Takes::List(&Takes::Text),
            "Names of fields whose values are never shown, at any depth.",
        ),
    ],
};

/// `retention:`.
pub(crate) const RETENTION: Table = Table {
    name: "`retention`",
    keys: &[
        Key::new(
            "succeeded",
            Takes::Duration,
            "How long runs are kept that ended well.",
        )
        .default("7 days"),
        Key::new(
            "failed",
            Takes::Duration,
            "How long runs are kept that failed.",
        )
        .default("31 days"),
        Key::new(
            "laps",
            Takes::Integer(1),
            "Of one loop the newest so many finished laps are kept.",
        )
        .default("10000"),
    ],
};

/// `schedule:`.
pub(crate) const SCHEDULE: Table = Table {
    name: "`schedule`",
    keys: &[
        Key::new(
            "every",
            Takes::Duration,
            "The time from one start to the next; either this or `cron`.",
        ),
        Key::new(
            "cron",
            Takes::Text,
            "A cron expression of five fields, or of six with seconds first, in the cycle's `time_zone`; either this or `every`.",
        ),
        Key::new(
            "send",
            Takes::Map(&Takes::Value),
            "What a webhook trigger gets as its body.",
        )
        .default("{}"),
        Key::new(
            "if_running",
            Takes::Choice(&["skip", "queue"]),
            "What happens while a loop of the cycle is in progress or queued.",
        )
        .default("skip"),
        Key::new(
            "catch_up",
            Takes::Choice(&["once", "none"]),
            "What happens with starts that were missed while the server was down.",
        )
        .default("once"),
    ],
};
