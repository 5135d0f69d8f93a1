//! The keys of a connector definition.

use super::step::SCRIPT_TAKES;
use super::table::{Key, Table, Takes};

/// The top level of a connector file.
pub const CONNECTOR: Table = Table {
    name: "a connector",
    keys: &[
        Key::new(
            "connector",
            Takes::Name,
            "Its name: what `connector:` of a connection says.",
        )
        .required(),
        Key::new("title", Takes::Text, "Its title for people.").default("the name"),
        Key::new("docs", Takes::Text, "Where the API is documented."),
        Key::new(
            "settings",
            Takes::Map(&Takes::Keys(&SETTING)),
            "What a connection is asked for.",
        ),
        Key::new(
            "auth",
            Takes::Either(&[Takes::Choice(&["none"]), Takes::Keys(&AUTH)]),
            "How requests are signed in.",
        )
        .default("none"),
        Key::new("base_url", Takes::Value, "What `path` is appended to."),
        Key::new(
            "request",
            Takes::Keys(&REQUEST),
            "Headers and query of every method.",
        ),
        Key::new(
            "error_fields",
            Takes::Keys(&ERROR_FIELDS),
            "Where the body of an error says what went wrong.",
        ),
        Key::new(
            "errors",
            Takes::List(&Takes::Keys(&ERROR_RULE)),
            "Rules for answers; the first that fits decides.",
        ),
        Key::new(
            "limits",
            Takes::Keys(&RATE_LIMITS),
            "How much may be asked of the API, for each connection.",
        ),
        Key::new(
            "script",
            SCRIPT_TAKES,
            "Handlers of every method, and of signing in.",
        ),
        Key::new(
            "methods",
            Takes::Map(&Takes::Keys(&METHOD)),
            "Its methods by name.",
        )
        .required(),
    ],
};

const ONE_OR_MORE: Takes = Takes::Either(&[Takes::Text, Takes::List(&Takes::Text)]);
const VALUES: Takes = Takes::Map(&Takes::Value);
const NAMES: Takes = Takes::Map(&Takes::Text);

const SETTING: Table = Table {
    name: "a setting",
    keys: &[
        Key::new("title", Takes::Text, "Its title for people.").default("the name"),
        Key::new(
            "default",
            Takes::Literal,
            "What it is when nothing is said; without one it must be said.",
        ),
        Key::new(
            "values",
            Takes::List(&Takes::Literal),
            "The only values taken.",
        )
        .default("any"),
        Key::new(
            "secret",
            Takes::Boolean,
            "Never shown, and read by `auth` alone.",
        )
        .default("false"),
    ],
};

const AUTH: Table = Table {
    name: "`auth`",
    keys: &[
        Key::new(
            "type",
            Takes::Choice(&["none", "bearer", "api_key", "basic", "oauth2"]),
            "The kind of sign-in.",
        )
        .required(),
        Key::new("token", Takes::Value, "`bearer`: the token."),
        Key::new(
            "headers",
            VALUES,
            "`api_key`, `oauth2`: headers that carry it.",
        ),
        Key::new(
            "query",
            VALUES,
            "`api_key`: query parameters that carry it.",
        ),
        Key::new(
            "body",
            VALUES,
            "`api_key`: fields of the JSON body that carry it.",
        ),
        Key::new("user", Takes::Value, "`basic`: the user."),
        Key::new("password", Takes::Value, "`basic`: the password."),
        Key::new(
            "grant",
            Takes::Choice(&["authorization_code", "client_credentials"]),
            "`oauth2`: who signs in, a person or the client itself.",
        )
        .default("authorization_code"),
        Key::new(
            "client_auth",
            Takes::Choice(&["body", "basic"]),
            "`oauth2`: where the client's id and secret stand in a token request.",
        )
        .default("body"),
        Key::new(
            "authorize_url",
            Takes::Value,
            "`oauth2`: where the browser is sent.",
        ),
        Key::new(
            "authorize_params",
            VALUES,
            "`oauth2`: further parameters of that URL.",
        ),
        Key::new(
            "scopes",
            Takes::Value,
            "`oauth2`: the scopes, as one text in the API's own form.",
        ),
        Key::new(
            "token_url",
            Takes::Value,
            "`oauth2`: where codes and refresh tokens are exchanged.",
        ),
        Key::new(
            "revoke_url",
            Takes::Value,
            "`oauth2`: where tokens are revoked.",
        ),
        Key::new(
            "callback_keep",
            Takes::Map(&Takes::Either(&[Takes::Text, Takes::Keys(&CALLBACK_KEEP)])),
            "`oauth2`: kept of the callback's query, our name: theirs.",
        ),
        Key::new(
            "token_keep",
            NAMES,
            "`oauth2`: kept of token answers, our name: theirs.",
        ),
        Key::new(
            "hosts_allowed",
            Takes::Map(&ONE_OR_MORE),
            "`oauth2`: hosts that kept URLs may name; the setting `hosts` adds to them.",
        ),
        Key::new(
            "refresh_before",
            Takes::Duration,
            "`oauth2`: refreshed when less than this is left.",
        )
        .default("60 seconds"),
        Key::new(
            "errors",
            Takes::List(&Takes::Keys(&TOKEN_ERROR)),
            "`oauth2`: what errors of the token endpoint mean.",
        ),
    ],
};

const TOKEN_ERROR: Table = Table {
    name: "a token error",
    keys: &[
        Key::new(
            "error",
            ONE_OR_MORE,
            "The body's `error`, whatever its case.",
        )
        .required(),
        Key::new(
            "do",
            Takes::Choice(&["wait", "reconnect", "fail"]),
            "What is done.",
        )
        .required(),
        Key::new("for", Takes::Duration, "How long `wait` waits.").default("60 seconds"),
    ],
};

const REQUEST: Table = Table {
    name: "`request`",
    keys: &[
        Key::new("headers", VALUES, "Headers."),
        Key::new("query", VALUES, "Query parameters."),
    ],
};

/// `limits:`.
pub(crate) const RATE_LIMITS: Table = Table {
    name: "`limits`",
    keys: &[
        Key::new(
            "concurrent",
            Takes::Integer(1),
            "Requests under way at once.",
        )
        .default("no bound"),
        Key::new(
            "rate",
            ONE_OR_MORE,
            "Requests in a length of time: `10 per second`, `100 per 10 seconds`.",
        )
        .default("no bound"),
    ],
};

/// One of `callback_keep:`.
pub(crate) const CALLBACK_KEEP: Table = Table {
    name: "what is kept of a callback",
    keys: &[
        Key::new("query", Takes::Text, "The query parameter that brings it.").required(),
        Key::new(
            "default",
            Takes::Value,
            "What it is where the callback lacks it; `hosts_allowed` holds for it too.",
        ),
    ],
};

/// `error_fields:`.
pub(crate) const ERROR_FIELDS: Table = Table {
    name: "`error_fields`",
    keys: &[
        Key::new(
            "code",
            ONE_OR_MORE,
            "Paths of its code, such as `error.code` or `errors[0].code`; a rule's `code` may stand at any of them, the first that is there is shown.",
        )
        .default("code"),
        Key::new("message", ONE_OR_MORE, "Paths of its message, likewise.").default("message"),
    ],
};

const ERROR_RULE: Table = Table {
    name: "an error rule",
    keys: &[
        Key::new("status", ONE_OR_MORE, "Statuses: 429, `4xx`, or a list.").default("any but 2xx"),
        Key::new(
            "code",
            ONE_OR_MORE,
            "Codes that the body has, where `error_fields` says.",
        )
        .default("any"),
        Key::new(
            "do",
            Takes::Choice(&[
                "empty",
                "fail",
                "retry",
                "refresh_then_retry",
                "reconnect",
                "wait",
                "restart_paging",
            ]),
            "What the answer means.",
        )
        .required(),
        Key::new(
            "message",
            ONE_OR_MORE,
            "Parts of the body's message, where `error_fields` says, whatever their case.",
        )
        .default("any"),
        Key::new(
            "header",
            NAMES,
            "Headers and the texts that they must be; `*` is any text.",
        )
        .default("any"),
        Key::new(
            "until_header",
            Takes::Text,
            "`wait`: the header that says, in seconds since 1970, when it is over.",
        ),
        Key::new(
            "gaps",
            ONE_OR_MORE,
            "The waits of `wait`, the last again and again.",
        ),
    ],
};

/// One of `methods:`.
pub(crate) const METHOD: Table = Table {
    name: "a method",
    keys: &[
        Key::new("title", Takes::Text, "Its title for people.").default("the name"),
        Key::new(
            "kind",
            Takes::Choice(&["webhook", "list", "request", "update_watermark", "storage"]),
            "What it is to the engine.",
        )
        .required(),
        Key::new(
            "does",
            Takes::Choice(&[
                "set",
                "append",
                "get",
                "delete",
                "get_all",
                "delete_all",
                "increment",
                "decrement",
            ]),
            "What it does to the connection's script storage; of `storage`, whose inputs and answer follow from it.",
        ),
        Key::new(
            "verb",
            Takes::Choice(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]),
            "HTTP's verb; of `list` and `request`.",
        ),
        Key::new(
            "path",
            Takes::Value,
            "Appended to `base_url`; without it the step gives a whole `url`.",
        ),
        Key::new("headers", VALUES, "Headers."),
        Key::new(
            "query",
            VALUES,
            "Query parameters; a null is left out, a list is sent once an item.",
        ),
        Key::new(
            "body",
            Takes::Value,
            "The JSON body; a form where `content-type` says so.",
        ),
        Key::new(
            "inputs",
            Takes::Map(&Takes::Keys(&INPUT)),
            "What a step maps.",
        ),
        Key::new(
            "open_body",
            Takes::Boolean,
            "Whether a step may map any name into the JSON body.",
        )
        .default("false"),
        Key::new(
            "response",
            Takes::Keys(&RESPONSE),
            "What is read of an answer.",
        )
        .default("any path may be read"),
        Key::new(
            "limits",
            Takes::Keys(&RATE_LIMITS),
            "The same for this method alone, beside the connector's.",
        ),
        Key::new(
            "paging",
            Takes::Either(&[Takes::Choice(&["none", "by_hand"]), Takes::Keys(&PAGING)]),
            "How the pages of a list follow each other.",
        )
        .default("none"),
        Key::new(
            "incremental",
            Takes::Keys(&INCREMENTAL),
            "How a list asks only for what is new.",
        ),
        Key::new(
            "errors",
            Takes::List(&Takes::Keys(&ERROR_RULE)),
            "Rules that come before the connector's.",
        ),
        Key::new("script", SCRIPT_TAKES, "Handlers of this method."),
        Key::new(
            "two_exits",
            Takes::Boolean,
            "Whether it has a false exit, for no records. One with an `action_condition` has it always.",
        )
        .default("lists have"),
    ],
};

/// One of `inputs:`.
pub(crate) const INPUT: Table = Table {
    name: "an input",
    keys: &[
        Key::new("title", Takes::Text, "Its title for people.").default("the name"),
        Key::new(
            "type",
            Takes::Choice(&[
                "text", "integer", "number", "boolean", "datetime", "object", "list", "any",
            ]),
            "What it takes.",
        )
        .default("any"),
        Key::new("required", Takes::Boolean, "Whether a step must map it.").default("false"),
        Key::new("default", Takes::Literal, "What it is when not mapped."),
        Key::new("query", Takes::Text, "The query parameter it is sent as."),
        Key::new("header", Takes::Text, "The header it is sent as."),
        Key::new(
            "field",
            Takes::Text,
            "The field of the JSON body it is sent as, `a.b` inside another.",
        ),
        Key::new(
            "script",
            Takes::Text,
            "The name it has in `script_parameters`: it goes to scripts alone.",
        ),
    ],
};

/// `response:`.
pub(crate) const RESPONSE: Table = Table {
    name: "`response`",
    keys: &[
        Key::new(
            "records",
            Takes::Text,
            "Dotted path of the list of records; `[]` is the body itself.",
        ),
        Key::new(
            "fields",
            Takes::Map(&Takes::Keys(&RESPONSE_FIELD)),
            "Fields that later steps may read.",
        ),
        Key::new("open", Takes::Boolean, "Whether any path may be read.").default("false"),
    ],
};

/// One of `fields:` of a response.
pub(crate) const RESPONSE_FIELD: Table = Table {
    name: "a field",
    keys: &[
        Key::new("title", Takes::Text, "Its title for people.").default("the name"),
        Key::new(
            "path",
            Takes::Text,
            "Dotted path: `info.more`, `a[0].b`, `[\"odd.key\"]`.",
        )
        .required(),
        Key::new("type", Takes::Text, "Its type, for people."),
        Key::new(
            "when_empty",
            Takes::Literal,
            "What it is where the answer lacks it; also its type.",
        )
        .default("null"),
    ],
};

/// `paging:`.
pub(crate) const PAGING: Table = Table {
    name: "`paging`",
    keys: &[
        Key::new(
            "style",
            Takes::Choice(&[
                "none",
                "by_hand",
                "page",
                "offset",
                "cursor",
                "last_record",
                "link_header",
                "next_url",
                "keyset",
                "handoff",
            ]),
            "How the next page is asked for; by the engine, but for `by_hand`: one page a run.",
        )
        .required(),
        Key::new(
            "send",
            Takes::Keys(&PAGE_SEND),
            "Where the number or token is sent.",
        ),
        Key::new(
            "start",
            Takes::Integer(0),
            "`page`, `offset`, `handoff`: what the first page is asked with.",
        )
        .default("1 (page), 0 (offset)"),
        Key::new(
            "first",
            Takes::Choice(&["send", "omit"]),
            "Whether the first request sends it.",
        )
        .default("send"),
        Key::new(
            "step",
            Takes::Choice(&["records", "size"]),
            "`offset`: what it grows by, the records that came or the size asked.",
        )
        .default("records"),
        Key::new(
            "size",
            Takes::Either(&[Takes::Integer(1), Takes::Keys(&PAGE_SIZE)]),
            "Records a page.",
        ),
        Key::new(
            "next",
            Takes::Either(&[Takes::Text, Takes::Keys(&PAGE_TOKEN)]),
            "`cursor`: the token's path, or `{header: X}`; `last_record`: a field of the last record; `next_url`, `link_header`: a URL's path.",
        ),
        Key::new("rel", Takes::Text, "`link_header`: the relation.").default("next"),
        Key::new(
            "last",
            ONE_OR_MORE,
            "`keyset`: fields of the last record, which the request reads as `${last.x}`.",
        ),
        Key::new(
            "handoff",
            Takes::Keys(&PAGE_HANDOFF),
            "From page numbers to a token.",
        ),
        Key::new(
            "more",
            Takes::Text,
            "Path of what says whether there are more pages; false ends the list whatever else is said. `none`, `by_hand`: more to which nothing leads is an error.",
        ),
        Key::new(
            "total",
            Takes::Text,
            "Path of how many records there are in all.",
        ),
        Key::new(
            "total_pages",
            Takes::Text,
            "`page`: path of how many pages there are.",
        ),
        Key::new(
            "maximum",
            Takes::Integer(0),
            "`page`, `offset`: the greatest number asked for.",
        ),
        Key::new(
            "short_page",
            Takes::Choice(&["stop", "continue"]),
            "Whether a page with fewer records than `size` is the last.",
        )
        .default("continue"),
        Key::new(
            "empty_page",
            Takes::Choice(&["stop", "continue"]),
            "Whether a page without records is the last; at most 20 in a row are passed.",
        )
        .default("continue where the API tells of more"),
        Key::new(
            "max_records",
            Takes::Integer(1),
            "Where a walk stops though there is more.",
        )
        .default("10000"),
    ],
};

/// `send:`.
pub(crate) const PAGE_SEND: Table = Table {
    name: "`send`",
    keys: &[
        Key::new("query", Takes::Text, "A query parameter."),
        Key::new("header", Takes::Text, "A header."),
        Key::new(
            "field",
            Takes::Text,
            "A field of the body, `a.b` inside another.",
        ),
    ],
};

/// `size:`.
pub(crate) const PAGE_SIZE: Table = Table {
    name: "`size`",
    keys: &[
        Key::new("value", Takes::Integer(1), "How many.").required(),
        Key::new("query", Takes::Text, "The query parameter that says it."),
        Key::new("header", Takes::Text, "The header that says it."),
        Key::new("field", Takes::Text, "The field of the body that says it."),
    ],
};

/// `next:` of a cursor.
pub(crate) const PAGE_TOKEN: Table = Table {
    name: "`next`",
    keys: &[Key::new("header", Takes::Text, "The header that holds it.").required()],
};

/// `handoff:`.
pub(crate) const PAGE_HANDOFF: Table = Table {
    name: "`handoff`",
    keys: &[
        Key::new(
            "reach",
            Takes::Integer(1),
            "The last record that page numbers reach.",
        )
        .required(),
        Key::new(
            "token",
            Takes::Text,
            "Dotted path of the token in an answer.",
        )
        .required(),
        Key::new(
            "send",
            Takes::Text,
            "The query parameter that carries it in place of the page.",
        )
        .required(),
        Key::new(
            "page",
            Takes::Text,
            "`by_hand`: the input that carries the page number.",
        ),
        Key::new("per_page", Takes::Integer(1), "`by_hand`: records a page."),
        Key::new(
            "when",
            Takes::Keys(&PAGE_WHEN),
            "Only while a setting has one of these values.",
        )
        .default("always"),
    ],
};

/// `when:`.
pub(crate) const PAGE_WHEN: Table = Table {
    name: "`when`",
    keys: &[
        Key::new("setting", Takes::Text, "The setting.").required(),
        Key::new("in", Takes::List(&Takes::Literal), "Its values."),
    ],
};

/// `incremental:`.
pub(crate) const INCREMENTAL: Table = Table {
    name: "`incremental`",
    keys: &[
        Key::new("by", Takes::Text, "The records' field that the API filters by.").required(),
        Key::new("query", Takes::Text, "The query parameter that carries the date."),
        Key::new("header", Takes::Text, "The header that carries it."),
        Key::new("field", Takes::Text, "The field of the body that carries it, `a.b` inside another. None of these: `${since}` stands in the request."),
        Key::new("format", Takes::Choice(&["iso8601_offset_seconds", "iso8601_utc_seconds", "iso8601_utc_millis", "unix_seconds", "unix_millis", "http_date", "date"]), "How it is written.").required(),
        Key::new("key", ONE_OR_MORE, "Fields that tell one state of a record from another: repeats are dropped by them.").default("the whole record"),
        Key::new("inclusive", Takes::Boolean, "Whether the API takes what equals the date; if not, it is sent one unit earlier.").default("true"),
        Key::new("overlap", Takes::Duration, "How far before the first answer's `Date` the watermark is put.").default("0 seconds"),
        Key::new("advance", Takes::Choice(&["by_step", "on_success"]), "Who moves the watermark: an `update_last_successful_run_date` step, or the run's success.").default("on_success"),
    ],
};
