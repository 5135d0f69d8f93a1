//! The keys of `velodrome.yaml`.

use super::callers::AUTH_TAKES;
use super::cycle::RETENTION;
use super::table::{Key, Table, Takes};

/// The top level of `velodrome.yaml`; every key may be left out.
pub const SETTINGS: Table = Table {
    name: "velodrome.yaml",
    keys: &[
        Key::new(
            "service_url",
            Takes::Text,
            "What this server's URLs begin with, as callers see it.",
        )
        .default("http:// and `listen`"),
        Key::new("listen", Takes::Text, "Where it listens.").default("127.0.0.1:7300"),
        Key::new("data", Takes::Text, "The data folder.").default("./data"),
        Key::new(
            "cycles",
            Takes::Text,
            "The folder of cycle files, with those below it.",
        )
        .default("./cycles"),
        Key::new(
            "connectors",
            Takes::Text,
            "The folder of your own connector definitions.",
        ),
        Key::new("store", Takes::Text, "`embedded`, or a `postgres://` URL.").default("embedded"),
        Key::new(
            "connections",
            Takes::Map(&Takes::Keys(&CONNECTION)),
            "Connections by name.",
        ),
        Key::new(
            "webhooks",
            Takes::Keys(&WEBHOOKS),
            "What holds for every webhook that says nothing else.",
        ),
        Key::new("egress", Takes::Keys(&EGRESS), "Where requests may go."),
        Key::new(
            "env_for_cycles",
            Takes::List(&Takes::Text),
            "Environment variables that cycles may read as `${env:X}`.",
        ),
        Key::new("body_limit", Takes::Size, "The largest webhook body.").default("1 MiB"),
        Key::new(
            "response_limit",
            Takes::Size,
            "The largest answer of an API.",
        )
        .default("32 MiB"),
        Key::new(
            "retention",
            Takes::Keys(&RETENTION),
            "How long finished runs are kept, for cycles that say nothing.",
        ),
        Key::new(
            "script_limits",
            Takes::Keys(&SCRIPT_LIMITS),
            "What one call of a script may use.",
        ),
        Key::new(
            "error_webhook",
            Takes::Value,
            "Where failed runs are POSTed to, for cycles that say nothing: a URL, `${hook:CYCLE}`, `${env:X}`.",
        )
        .default("nowhere"),
        Key::new("workers", Takes::Integer(1), "Requests in flight at once.").default("256"),
        Key::new(
            "secret_key",
            Takes::Text,
            "The file of the key that seals tokens and secrets.",
        )
        .default("secret.key in the data folder"),
        Key::new(
            "log_format",
            Takes::Choice(&["text", "json"]),
            "How `serve` writes its own log.",
        )
        .default("text"),
    ],
};

/// One of `connections:`.
pub(crate) const CONNECTION: Table = Table {
    name: "a connection",
    keys: &[
        Key::new(
            "connector",
            Takes::Text,
            "Its connector: a built-in one, or the name of a file of yours.",
        )
        .required(),
        Key::new(
            "settings",
            Takes::Map(&Takes::Value),
            "The connector's settings.",
        ),
        Key::new(
            "auth",
            Takes::Keys(&CONNECTION_AUTH),
            "Its client, for connectors that sign in by OAuth.",
        ),
    ],
};

/// `auth:` of a connection.
pub(crate) const CONNECTION_AUTH: Table = Table {
    name: "`auth`",
    keys: &[
        Key::new("client_id", Takes::Value, "The client's id."),
        Key::new(
            "client_secret",
            Takes::Value,
            "The client's secret: `${secret:NAME}` or `${env:X}`.",
        ),
    ],
};

/// `egress:`.
pub(crate) const EGRESS: Table = Table {
    name: "`egress`",
    keys: &[
        Key::new(
            "allow",
            Takes::List(&Takes::Text),
            "Hosts, `host:port`s and ranges that may be reached though they are private.",
        ),
        Key::new(
            "only",
            Takes::List(&Takes::Text),
            "If there are any, nothing else may be reached.",
        ),
        Key::new(
            "proxy",
            Takes::Text,
            "A proxy that every request goes through, but those to what `allow` names.",
        ),
    ],
};

/// `webhooks:`.
pub(crate) const WEBHOOKS: Table = Table {
    name: "`webhooks`",
    keys: &[
        Key::new(
            "auth",
            AUTH_TAKES,
            "Who may call a webhook that says nothing.",
        ),
        Key::new(
            "trusted_proxies",
            Takes::List(&Takes::Text),
            "Addresses and ranges of proxies whose `X-Forwarded-For` or `Forwarded` is believed.",
        ),
    ],
};

/// `script_limits:`.
pub(crate) const SCRIPT_LIMITS: Table = Table {
    name: "`script_limits`",
    keys: &[
        Key::new("time", Takes::Duration, "How long a call may take.").default("5 seconds"),
        Key::new(
            "operations",
            Takes::Integer(1),
            "How many operations it may make.",
        ),
        Key::new("memory", Takes::Size, "How much it may hold."),
        Key::new("depth", Takes::Integer(1), "How deep calls may be nested."),
        Key::new("text", Takes::Size, "The longest text."),
        Key::new("list", Takes::Integer(1), "The longest list."),
    ],
};
