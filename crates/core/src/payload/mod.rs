//! What the log keeps of requests, answers and writes to storage, as the cycle's `log:` says.
//!
//! ```text
//!  exchange, storage ──▶ LogLine.data {kept, request, response, storage}
//!                             │ a little more than may stay
//!      what is secret is hidden in it (the engine's vault)
//!                             │
//!                          shorten ──▶ what is stored
//! ```
//!
//! In this order: what has been cut off in the middle of a secret is not found any more. Bodies are taken from the
//! bytes that are there, no tree is built for a preview (I9), and a line's part is bounded, so that what a lap
//! stores does not grow with its page (I5). With `payloads: none` nothing is added.

mod text;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use velodrome_spec::plan::{LogPolicy, Payloads};
use velodrome_types::{Json, JsonMap, LogLine};

use crate::eval::text_of;

/// Bytes of a body that a preview keeps: the first fields of most answers. Two of them and a URL are the few
/// hundred bytes that a line may take.
const PREVIEW_BODY: usize = 200;
/// Bytes of a URL that a preview keeps.
const PREVIEW_URL: usize = 200;
/// Writes to storage that a preview tells of one line.
const PREVIEW_WRITES: usize = 8;
/// Bytes that a preview keeps of a key or a value that was written.
const PREVIEW_VALUE: usize = 48;

/// Bytes that `full` keeps of a request's body: a row of the log must stay one that is read in one go.
const FULL_REQUEST: usize = 32 * 1024;
/// Bytes that `full` keeps of an answer's body; most pages of a list are smaller.
const FULL_RESPONSE: usize = 64 * 1024;
/// Bytes that `full` keeps of a URL.
const FULL_URL: usize = 8 * 1024;
/// Bytes of header names and values that `full` keeps, of each side.
const FULL_HEADERS: usize = 8 * 1024;
/// Writes to storage that `full` tells of one line.
const FULL_WRITES: usize = 100;
/// Bytes that `full` keeps of a value that was written.
const FULL_VALUE: usize = 1024;

/// What is kept beyond the bound until it is cut: a secret that stands across the bound is found whole in it.
const SLACK: usize = 1024;

/// What stands in place of a value that `redact` names.
pub(crate) const REDACTED: &str = "[redacted]";
/// What stands in place of a credential.
const HIDDEN: &str = "•••";
/// Headers that would sign somebody in.
const CREDENTIALS: &[&str] = &[
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "velodrome-handoff",
];
/// Data of a line that stand deeper are stored as text (`crates/store_embedded`), which nobody could read by name.
const DEEPEST: usize = 100;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A body.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// There is none, or it is not to be told.
    None,
    /// A value that is there anyway.
    Tree(&'a Json),
    /// As it came.
    Bytes(&'a [u8]),
}

/// A request, sent or received.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// `GET`, `POST` …; empty of one that was received.
    pub method: &'a str,
    /// Where it went; empty of one that was received.
    pub url: &'a str,
    /// The query beside what stands in the URL.
    pub query: &'a JsonMap,
    /// Header names in lower case with their values; only `full` tells them.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: Body<'a>,
}

/// An answer.
#[derive(Clone, Copy, Debug)]
pub struct Answered<'a> {
    /// The HTTP status.
    pub status: u16,
    /// Header names in lower case with their values; only `full` tells them.
    pub headers: &'a [(String, String)],
    /// The body.
    pub body: Body<'a>,
}

/// A write to script storage.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    /// `set`, `append`, `increment`, `delete`, `delete_all`.
    pub op: &'static str,
    /// `cyclr`, `cycle` or `loop`.
    pub scope: &'static str,
    /// The connection whose storage it is.
    pub connection: &'a str,
    /// The key; none where it is about all keys.
    pub key: Option<&'a str>,
    /// What was written.
    pub value: Body<'a>,
}

/// How a line says how much it kept.
const fn word(payloads: Payloads) -> Option<&'static str> {
    match payloads {
        Payloads::Preview => Some("preview"),
        Payloads::Full => Some("full"),
        Payloads::None => None,
    }
}

/// What a line keeps of a request and what came of it; `None` where nothing is kept.
pub fn exchange(
    policy: &LogPolicy,
    asked: Option<Asked<'_>>,
    answered: Option<Answered<'_>>,
) -> Option<Box<JsonMap>> {
    let kept = word(policy.payloads)?;
    let mut data = JsonMap::new();
    data.insert("kept".to_owned(), Json::from(kept));
    let full = policy.payloads == Payloads::Full;
    if let Some(asked) = asked {
        let mut told = JsonMap::new();
        if !asked.method.is_empty() {
            told.insert("method".to_owned(), Json::from(asked.method));
        }
        let url = url(
            &asked,
            &policy.redact,
            if full { FULL_URL } else { PREVIEW_URL },
        );
        if !url.is_empty() {
            told.insert("url".to_owned(), Json::from(url));
        }
        if full {
            headers(&mut told, asked.headers, &policy.redact);
        }
        let most = if full { FULL_REQUEST } else { PREVIEW_BODY };
        body(&mut told, asked.body, policy, most);
        data.insert("request".to_owned(), Json::Object(told));
    }
    if let Some(answered) = answered {
        let mut told = JsonMap::new();
        if full {
            told.insert("status".to_owned(), Json::from(answered.status));
            headers(&mut told, answered.headers, &policy.redact);
        }
        let most = if full { FULL_RESPONSE } else { PREVIEW_BODY };
        body(&mut told, answered.body, policy, most);
        data.insert("response".to_owned(), Json::Object(told));
    }
    Some(Box::new(data))
}

/// What a line keeps of a body that came to a webhook.
pub(crate) fn received(policy: &LogPolicy, delivery: &crate::Delivery) -> Option<Box<JsonMap>> {
    let headers: Vec<(String, String)> = match policy.payloads {
        Payloads::Full => delivery
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), text_of(value)?)))
            .collect(),
        _ => Vec::new(),
    };
    let asked = Asked {
        method: "",
        url: "",
        query: &delivery.query,
        headers: &headers,
        body: Body::Tree(&delivery.body),
    };
    exchange(policy, Some(asked), None)
}

/// What a line keeps of writes to storage; `None` where there are none, or nothing is kept.
pub fn storage<'w>(
    policy: &LogPolicy,
    writes: impl ExactSizeIterator<Item = Written<'w>>,
) -> Option<Box<JsonMap>> {
    let kept = word(policy.payloads)?;
    let (number, full) = (writes.len(), policy.payloads == Payloads::Full);
    if number == 0 {
        return None;
    }
    let (count, most) = match full {
        true => (FULL_WRITES, FULL_VALUE),
        false => (PREVIEW_WRITES, PREVIEW_VALUE),
    };
    let one = |write: Written<'_>| {
        let mut told = JsonMap::new();
        told.insert("op".to_owned(), Json::from(write.op));
        told.insert("scope".to_owned(), Json::from(write.scope));
        told.insert("connection".to_owned(), Json::from(write.connection));
        let mut hidden = false;
        if let Some(key) = write.key {
            hidden = is_redacted(key, &policy.redact);
            told.insert("key".to_owned(), Json::from(key));
        }
        match (write.value, hidden) {
            (Body::None, _) => {}
            (_, true) => {
                told.insert("value".to_owned(), Json::from(REDACTED));
            }
            (Body::Tree(value), false) if full && text::length(value) <= most => {
                told.insert("value".to_owned(), masked(value, &policy.redact));
            }
            (value, false) => {
                let (text, _) = text::of(value, most + SLACK, &policy.redact);
                told.insert("value".to_owned(), Json::from(text));
            }
        }
        Json::Object(told)
    };
    let mut data = JsonMap::new();
    data.insert("kept".to_owned(), Json::from(kept));
    data.insert(
        "storage".to_owned(),
        Json::Array(writes.take(count).map(one).collect()),
    );
    if number > count {
        data.insert("storage_more".to_owned(), Json::from(number - count));
    }
    Some(Box::new(data))
}

/// Adds what was kept to a line's data.
pub fn add(line: &mut LogLine, kept: Option<Box<JsonMap>>) {
    let Some(kept) = kept else { return };
    match &mut line.data {
        Some(Json::Object(data)) => {
            for (name, value) in *kept {
                match (name.as_str(), value, data.get_mut(&name)) {
                    // One move may tell writes twice, of the step and of what it handed to.
                    ("storage", Json::Array(more), Some(Json::Array(known))) => known.extend(more),
                    ("storage_more", more, Some(known)) => {
                        let sum = more.as_u64().unwrap_or(0) + known.as_u64().unwrap_or(0);
                        *known = Json::from(sum);
                    }
                    (_, value, _) => {
                        data.insert(name, value);
                    }
                }
            }
        }
        data => *data = Some(Json::Object(*kept)),
    }
}

/// Cuts what a line keeps to its bounds, and says whether something was. What has secrets in it may not come here; of
/// one that was longer than the slack a beginning may be left at a cut.
pub fn shorten(line: &mut LogLine) -> bool {
    let Some(Json::Object(data)) = &mut line.data else {
        return false;
    };
    let mut any = false;
    let full = match data.get("kept").and_then(Json::as_str) {
        Some("preview") => false,
        Some("full") => true,
        _ => return false,
    };
    let bounds = match full {
        true => [("request", FULL_REQUEST), ("response", FULL_RESPONSE)],
        false => [("request", PREVIEW_BODY), ("response", PREVIEW_BODY)],
    };
    for (side, most) in bounds {
        let Some(Json::Object(told)) = data.get_mut(side) else {
            continue;
        };
        if let Some(Json::String(url)) = told.get_mut("url") {
            any |= cut(url, if full { FULL_URL } else { PREVIEW_URL }) > 0;
        }
        let before = told.get("cut").and_then(Json::as_u64).unwrap_or(0);
        let mut gone = 0;
        if let Some(Json::String(body)) = told.get_mut("body") {
            gone = cut(body, most);
            any |= gone > 0 || before > 0;
            if gone == 0 && before > 0 {
                body.push('…');
            }
        }
        if gone > 0 {
            told.insert("cut".to_owned(), Json::from(before + gone as u64));
        }
    }
    let most = if full { FULL_VALUE } else { PREVIEW_VALUE };
    if let Some(Json::Array(writes)) = data.get_mut("storage") {
        for write in writes {
            for name in ["key", "value"] {
                if let Some(Json::String(text)) = write.get_mut(name) {
                    any |= cut(text, most) > 0;
                }
            }
        }
    }
    any
}

/// Cuts a text and says how many bytes are gone.
fn cut(text: &mut String, most: usize) -> usize {
    if text.len() <= most {
        return 0;
    }
    let at = (0..=most).rev().find(|at| text.is_char_boundary(*at));
    let at = at.unwrap_or(0);
    let gone = text.len() - at;
    text.truncate(at);
    text.push('…');
    gone
}

/// Whether the values of fields of this name are never shown. Upper and lower case are one: `Email` is hidden
/// where `email` is to be.
pub(crate) fn is_redacted(name: &str, redact: &[String]) -> bool {
    redact
        .iter()
        .any(|hidden| hidden.eq_ignore_ascii_case(name))
}

/// An answer's body as people may see it; none where nothing is kept.
pub fn shown(body: &Json, policy: &LogPolicy) -> Option<Json> {
    match (policy.payloads, body) {
        (Payloads::None, _) => None,
        (_, Json::String(text)) => Some(masked_text(text, &policy.redact)),
        (_, tree) => Some(masked(tree, &policy.redact)),
    }
}

/// A value without those of fields that are never shown.
pub(crate) fn masked(value: &Json, redact: &[String]) -> Json {
    match value {
        _ if redact.is_empty() => value.clone(),
        Json::Object(fields) => {
            let fields = fields.iter().map(|(name, field)| {
                let field = match is_redacted(name, redact) {
                    true => Json::from(REDACTED),
                    false => masked(field, redact),
                };
                (name.clone(), field)
            });
            Json::Object(fields.collect())
        }
        Json::Array(items) => items.iter().map(|item| masked(item, redact)).collect(),
        other => other.clone(),
    }
}

/// A text without the values of fields that are never shown, as far as it can be told which it has.
pub(crate) fn masked_text(text: &str, redact: &[String]) -> Json {
    match redact.is_empty() {
        true => Json::from(text),
        false => Json::from(text::of(Body::Bytes(text.as_bytes()), text.len(), redact).0),
    }
}

fn headers(told: &mut JsonMap, all: &[(String, String)], redact: &[String]) {
    let mut kept = JsonMap::new();
    let (mut bytes, mut gone) = (0, 0);
    for (name, value) in all {
        bytes += name.len() + value.len();
        if bytes > FULL_HEADERS {
            gone += 1;
            continue;
        }
        let value = match () {
            () if CREDENTIALS.contains(&name.as_str()) => HIDDEN,
            () if is_redacted(name, redact) => REDACTED,
            () => value,
        };
        match kept.get_mut(name) {
            Some(Json::String(known)) => {
                known.push_str(", ");
                known.push_str(value);
            }
            _ => {
                kept.insert(name.clone(), Json::from(value));
            }
        }
    }
    if !kept.is_empty() {
        told.insert("headers".to_owned(), Json::Object(kept));
    }
    if gone > 0 {
        told.insert("headers_cut".to_owned(), Json::from(gone));
    }
}

fn body(told: &mut JsonMap, body: Body<'_>, policy: &LogPolicy, most: usize) {
    let redact = &policy.redact;
    if policy.payloads == Payloads::Full
        && let Some(whole) = whole(body, redact, most)
    {
        told.insert("body".to_owned(), whole);
        return;
    }
    let (text, gone) = text::of(body, most + SLACK, redact);
    if !text.is_empty() {
        told.insert("body".to_owned(), Json::from(text));
    }
    if gone > 0 {
        told.insert("cut".to_owned(), Json::from(gone));
    }
}

/// A body of JSON that may stay as it is.
fn whole(body: Body<'_>, redact: &[String], most: usize) -> Option<Json> {
    match body {
        Body::Tree(tree @ (Json::Object(_) | Json::Array(_))) => {
            let fits = text::length(tree) <= most && is_flat(tree, DEEPEST);
            fits.then(|| masked(tree, redact))
        }
        Body::Bytes(bytes) if bytes.len() <= most => {
            let tree: Json = serde_json::from_slice(bytes).ok()?;
            let fits = (tree.is_object() || tree.is_array()) && is_flat(&tree, DEEPEST);
            fits.then(|| masked(&tree, redact))
        }
        Body::None | Body::Tree(_) | Body::Bytes(_) => None,
    }
}

fn is_flat(value: &Json, room: usize) -> bool {
    match value {
        Json::Object(fields) => room > 0 && fields.values().all(|field| is_flat(field, room - 1)),
        Json::Array(items) => room > 0 && items.iter().all(|item| is_flat(item, room - 1)),
        _ => true,
    }
}

/// A URL with its query, without a name and a password.
fn url(asked: &Asked<'_>, redact: &[String], most: usize) -> String {
    let (base, query) = match asked.url.split_once('?') {
        Some((base, query)) => (base, query),
        None => (asked.url, ""),
    };
    let mut url = match base.split_once("://") {
        Some((scheme, rest)) => {
            let host = rest.find('/').unwrap_or(rest.len());
            let named = rest[..host].rfind('@').map_or(0, |at| at + 1);
            format!("{scheme}://{}", &rest[named..])
        }
        None => base.to_owned(),
    };
    let mut separator = '?';
    if !query.is_empty() {
        url.push('?');
        url.push_str(&text::form(query, redact));
        separator = '&';
    }
    for (name, value) in asked.query {
        let values = match value {
            Json::Array(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values.iter().filter_map(text_of) {
            if url.len() > most + SLACK {
                return url;
            }
            url.push(separator);
            separator = '&';
            url.extend(utf8_percent_encode(name, ENCODED));
            url.push('=');
            match is_redacted(name, redact) {
                true => url.push_str(REDACTED),
                false => url.extend(utf8_percent_encode(&value, ENCODED)),
            }
        }
    }
    url
}

#[cfg(test)]
mod tests;
