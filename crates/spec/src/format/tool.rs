//! The keys of the tools.

use super::table::{Key, Table, Takes};

/// `use: decision`.
pub(crate) const DECISION: Table = Table {
    name: "a decision",
    keys: &[Key::new("if", Takes::Condition, "The condition.").required()],
};

/// `if:`, and what stands in `all`, `any` and `not`.
pub const CONDITION: Table = Table {
    name: "a condition",
    keys: &[
        Key::new("left", Takes::Value, "What is looked at."),
        Key::new(
            "is",
            Takes::Choice(&[
                "exists",
                "not_exists",
                "equals",
                "not_equals",
                "contains",
                "not_contains",
                "starts_with",
                "ends_with",
                "greater_than",
                "less_than",
                "greater_or_equal",
                "less_or_equal",
                "in",
                "not_in",
                "matches",
                "empty",
                "not_empty",
            ]),
            "How.",
        ),
        Key::new(
            "right",
            Takes::Value,
            "What it is held against; `exists`, `not_exists`, `empty` and `not_empty` need none.",
        ),
        Key::new(
            "all",
            Takes::List(&Takes::Condition),
            "Holds where each of these does; instead of `left`.",
        ),
        Key::new(
            "any",
            Takes::List(&Takes::Condition),
            "Holds where one of these does; instead of `left`.",
        ),
        Key::new(
            "not",
            Takes::Condition,
            "Holds where this does not; instead of `left`.",
        ),
    ],
};

/// `use: switch`.
pub(crate) const SWITCH: Table = Table {
    name: "a switch",
    keys: &[
        Key::new("value", Takes::Value, "What is looked at.").required(),
        Key::new(
            "cases",
            Takes::Map(&Takes::Step),
            "The step for each text, without regard to case; `else` where none fits.",
        )
        .required(),
    ],
};

/// `use: delay`.
pub(crate) const DELAY: Table = Table {
    name: "a delay",
    keys: &[Key::new("for", Takes::Duration, "How long; zero is allowed.").required()],
};

/// `use: wait_until`.
pub(crate) const WAIT_UNTIL: Table = Table {
    name: "a wait",
    keys: &[Key::new(
        "at",
        Takes::Value,
        "The date; one that has passed waits no time.",
    )
    .required()],
};

/// `use: wait_all`.
pub(crate) const WAIT_ALL: Table = Table {
    name: "a wait for all",
    keys: &[Key::new(
        "scope",
        Takes::Choice(&["lap", "cycle"]),
        "Whose runs are waited for: this lap's, or, as Cyclr does, the whole cycle's.",
    )
    .default("lap")],
};

/// `use: respond`.
pub(crate) const RESPOND: Table = Table {
    name: "an answer",
    keys: &[
        Key::new("status", Takes::Value, "The status.").default("200"),
        Key::new("headers", Takes::Map(&Takes::Value), "Headers."),
        Key::new(
            "body",
            Takes::Value,
            "The body: an object or a list is sent as JSON, text as it is.",
        ),
    ],
};

/// `use: script`: its script is among the common keys.
pub(crate) const SCRIPT_TOOL: Table = Table {
    name: "a script step",
    keys: &[],
};

/// `use: stop`.
pub(crate) const STOP: Table = Table {
    name: "a stop",
    keys: &[
        Key::new("message", Takes::Value, "What the log says."),
        Key::new(
            "as",
            Takes::Choice(&["succeeded", "failed"]),
            "How the run ends.",
        )
        .default("succeeded"),
    ],
};
