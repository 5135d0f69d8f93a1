//! The keys of `auth`, at a webhook and under `webhooks:` in `velodrome.yaml`.

use super::table::{Key, Table, Takes};

/// What stands behind `auth:`.
pub(super) const AUTH_TAKES: Takes = Takes::Either(&[Takes::Choice(&["none"]), Takes::Keys(&AUTH)]);

/// `auth:` as a map: exactly one of these.
pub(crate) const AUTH: Table = Table {
    name: "`auth`",
    keys: &[
        Key::new(
            "bearer",
            Takes::Keys(&SECRET),
            "`Authorization: Bearer SECRET`.",
        ),
        Key::new(
            "basic",
            Takes::Keys(&BASIC),
            "`Authorization: Basic`, with user and password.",
        ),
        Key::new(
            "hmac",
            Takes::Keys(&HMAC),
            "A signature in a header, as these keys describe it.",
        ),
        Key::new(
            "standard_webhooks",
            Takes::Keys(&SECRET),
            "Standard Webhooks 1.0, a `whsec_` secret.",
        ),
        Key::new(
            "github",
            Takes::Keys(&SECRET),
            "GitHub's `X-Hub-Signature-256`.",
        ),
        Key::new(
            "stripe",
            Takes::Keys(&SECRET),
            "Stripe's `Stripe-Signature`.",
        ),
        Key::new(
            "slack",
            Takes::Keys(&SECRET),
            "Slack's `X-Slack-Signature`.",
        ),
        Key::new(
            "shopify",
            Takes::Keys(&SECRET),
            "Shopify's `X-Shopify-Hmac-Sha256`.",
        ),
    ],
};

const SECRET_TAKES: Takes = Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]);
const SECRET_KEY: Key = Key::new(
    "secret",
    SECRET_TAKES,
    "A reference such as `${secret:hook}`, or several: any that fits will do.",
)
.required();

/// What kinds take that need a secret only.
pub(crate) const SECRET: Table = Table {
    name: "a secret",
    keys: &[SECRET_KEY],
};

/// `basic:`.
pub(crate) const BASIC: Table = Table {
    name: "`basic`",
    keys: &[
        Key::new("user", Takes::Value, "Who it must be.").required(),
        SECRET_KEY,
    ],
};

/// `hmac:`.
pub(crate) const HMAC: Table = Table {
    name: "`hmac`",
    keys: &[
        SECRET_KEY,
        Key::new(
            "header",
            Takes::Text,
            "The header that holds the signature.",
        )
        .required(),
        Key::new(
            "algorithm",
            Takes::Choice(&["sha1", "sha256", "sha384", "sha512"]),
            "The hash.",
        )
        .default("sha256"),
        Key::new(
            "encoding",
            Takes::Choice(&["hex", "base64"]),
            "How the signature is written.",
        )
        .default("hex"),
        Key::new(
            "prefix",
            Takes::Text,
            "What stands before it, such as `sha256=`.",
        ),
        Key::new(
            "signed",
            Takes::Choice(&["body", "timestamp.body"]),
            "What is signed: the body, or the time, a dot and the body.",
        )
        .default("body"),
        Key::new(
            "timestamp",
            Takes::Keys(&SIGNED_TIME),
            "The time that is signed.",
        ),
    ],
};

/// `timestamp:`.
pub(crate) const SIGNED_TIME: Table = Table {
    name: "`timestamp`",
    keys: &[
        Key::new(
            "header",
            Takes::Text,
            "Its header: seconds or milliseconds since 1970, or a date.",
        )
        .required(),
        Key::new(
            "tolerance",
            Takes::Duration,
            "How far it may be from now, either way.",
        )
        .default("5 minutes"),
    ],
};
