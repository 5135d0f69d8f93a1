//! What is secret is not shown: every known secret value is replaced wherever something is told.
//!
//! Known are the secrets of the store, tokens, client secrets, and settings that a connector marks as
//! secret, with the values that they had before. Each is looked for as it is, as it stands in JSON, as it
//! is encoded in a URL or a form, and within base64, wherever in the encoded text it begins. Tokens for the API
//! and the links of waiting runs are known by their form. Nothing else is found: what a script makes of a secret is
//! another value.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use memchr::memmem;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use velodrome_core::StepFailure;
use velodrome_types::{Json, LogLine};

use crate::access::{TOKEN_LENGTH, TOKEN_PREFIX};
use crate::api::Problem;
use crate::resume_link::{LENGTH, RESUME};

/// What stands in place of a secret.
pub const MARK: &str = "•••";
/// Shorter values are not looked for: they would be found everywhere.
pub const SHORTEST: usize = 6;
/// The beginning of a secret that was cut off is looked for from so many bytes on.
const SHORTEST_BEGINNING: usize = 4;
/// Values that are remembered of one source, the newest.
const REMEMBERED: usize = 8;

/// Knows what may not be shown; cheap to clone, all clones know the same.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Arc<Known>>>);

#[derive(Default)]
struct Known {
    /// Values by where they come from, the newest last.
    sources: BTreeMap<String, Vec<String>>,
    search: Option<AhoCorasick>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(…)")
    }
}

impl Redactor {
    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds the present values of a source, such as `secret/a`. Earlier ones stay known.
    pub fn learn<'v>(&self, source: &str, values: impl IntoIterator<Item = &'v str>) {
        let known = self.known();
        let known = known.sources.get(source);
        let is_new = |value: &&str| {
            let told = known.is_some_and(|all| all.iter().any(|one| one == value));
            value.len() >= SHORTEST && !told
        };
        let new: Vec<&str> = values.into_iter().filter(is_new).collect();
        if new.is_empty() {
            return;
        }
        let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut sources = place.sources.clone();
        let all = sources.entry(source.to_owned()).or_default();
        all.extend(new.into_iter().map(str::to_owned));
        let over = all.len().saturating_sub(REMEMBERED);
        all.drain(..over);
        let search = search(sources.values().flatten());
        *place = Arc::new(Known { sources, search });
    }

    /// Whether bytes hold something secret.
    pub fn finds(&self, bytes: &[u8]) -> bool {
        let known = self.known();
        let knows = known
            .search
            .as_ref()
            .is_some_and(|search| search.is_match(bytes));
        knows || Links::of(bytes).next().is_some()
    }

    /// A text without what is secret.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let known = self.known();
        let mut told = without_links(text);
        let Some(search) = &known.search else {
            return told;
        };
        if search.is_match(&*told) {
            let text = told;
            let mut hidden = String::with_capacity(text.len());
            search.replace_all_with(&text, &mut hidden, |_, _, hidden| {
                hidden.push_str(MARK);
                true
            });
            told = Cow::Owned(hidden);
        }
        if told.contains('…')
            && let Some(hidden) = known.without_beginnings(&told)
        {
            told = Cow::Owned(hidden);
        }
        told
    }

    /// Bytes without what is secret.
    pub fn bytes<'b>(&self, bytes: &'b [u8]) -> Cow<'b, [u8]> {
        let known = self.known();
        let told = bytes_without_links(bytes);
        match &known.search {
            Some(search) if search.is_match(&*told) => {
                let bytes = told;
                let mut hidden = Vec::with_capacity(bytes.len());
                search.replace_all_with_bytes(&bytes, &mut hidden, |_, _, hidden| {
                    hidden.extend_from_slice(MARK.as_bytes());
                    true
                });
                Cow::Owned(hidden)
            }
            _ => told,
        }
    }

    fn hide(&self, text: &mut String) {
        if let Cow::Owned(hidden) = self.text(text) {
            *text = hidden;
        }
    }

    /// Takes what is secret out of a value, names of fields included.
    pub fn json(&self, value: &mut Json) {
        match value {
            Json::String(text) => self.hide(text),
            Json::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Json::Object(fields) => {
                fields.values_mut().for_each(|field| self.json(field));
                if fields.keys().any(|name| self.finds(name.as_bytes())) {
                    *fields = std::mem::take(fields)
                        .into_iter()
                        .map(|(name, field)| (self.text(&name).into_owned(), field))
                        .collect();
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }

    pub(crate) fn line(&self, line: &mut LogLine) {
        self.hide(&mut line.message);
        for text in [&mut line.url, &mut line.to].into_iter().flatten() {
            self.hide(text);
        }
        line.data.iter_mut().for_each(|data| self.json(data));
    }

    pub(crate) fn failure(&self, failure: &mut StepFailure) {
        self.hide(&mut failure.message);
        failure.logs.iter_mut().for_each(|text| self.hide(text));
        failure.body.iter_mut().for_each(|body| self.json(body));
        failure
            .headers
            .values_mut()
            .for_each(|value| self.json(value));
    }

    pub(crate) fn problem(&self, problem: &mut Problem) {
        self.hide(&mut problem.detail);
        problem.more.values_mut().for_each(|value| self.json(value));
    }

    /// A place to write to that lets nothing secret pass. What is written in one go is looked at whole.
    pub fn writer<W: io::Write>(&self, inner: W) -> RedactedWriter<W> {
        RedactedWriter {
            redactor: self.clone(),
            inner,
        }
    }
}

/// What is known by its form, whoever made it: the links of waiting runs, and tokens for the API.
const FORMS: [(&str, usize); 2] = [(RESUME, LENGTH), (TOKEN_PREFIX, TOKEN_LENGTH)];

/// Where the secret parts of what is known by its form stand, in order.
struct Links<'b> {
    bytes: &'b [u8],
    /// Where each form stands next: what is looked for is passed over once, however often the other is there.
    next: [Option<Range<usize>>; FORMS.len()],
}

impl<'b> Links<'b> {
    fn of(bytes: &'b [u8]) -> Self {
        let next = FORMS.map(|form| form_in(bytes, 0, form));
        Self { bytes, next }
    }
}

impl Iterator for Links<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let found = self.next.iter().flatten().min_by_key(|range| range.start);
        let found = found?.clone();
        for (next, form) in self.next.iter_mut().zip(FORMS) {
            if next.as_ref().is_some_and(|next| next.start < found.end) {
                *next = form_in(self.bytes, found.end, form);
            }
        }
        Some(found)
    }
}

fn form_in(bytes: &[u8], mut from: usize, (begins, length): (&str, usize)) -> Option<Range<usize>> {
    while let Some(at) = memmem::find(&bytes[from..], begins.as_bytes()) {
        let at = from + at + begins.len();
        let is_of_it = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let rest = bytes[at..].iter().take(length);
        if rest.len() == length && rest.clone().all(is_of_it) {
            return Some(at..at + length);
        }
        from = at;
    }
    None
}

fn without_links(text: &str) -> Cow<'_, str> {
    let mut links = Links::of(text.as_bytes()).peekable();
    if links.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let (mut told, mut from) = (String::with_capacity(text.len()), 0);
    for at in links {
        told.push_str(&text[from..at.start]);
        told.push_str(MARK);
        from = at.end;
    }
    told.push_str(&text[from..]);
    Cow::Owned(told)
}

fn bytes_without_links(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut links = Links::of(bytes).peekable();
    if links.peek().is_none() {
        return Cow::Borrowed(bytes);
    }
    let (mut told, mut from) = (Vec::with_capacity(bytes.len()), 0);
    for at in links {
        told.extend_from_slice(&bytes[from..at.start]);
        told.extend_from_slice(MARK.as_bytes());
        from = at.end;
    }
    told.extend_from_slice(&bytes[from..]);
    Cow::Owned(told)
}

impl Known {
    /// Takes out what was cut off in the middle of a secret: what stands before `…` and begins one.
    fn without_beginnings(&self, text: &str) -> Option<String> {
        let mut hidden = String::new();
        let mut rest = text;
        let mut found = false;
        while let Some(at) = rest.find('…') {
            let before = rest[..at].trim_end_matches('"');
            let cut = self
                .sources
                .values()
                .flatten()
                .filter_map(|value| beginning(before, value))
                .max();
            match cut {
                Some(length) => {
                    hidden.push_str(&before[..before.len() - length]);
                    hidden.push_str(MARK);
                    hidden.push_str(&rest[before.len()..at]);
                    found = true;
                }
                None => hidden.push_str(&rest[..at]),
            }
            hidden.push('…');
            rest = &rest[at + '…'.len_utf8()..];
        }
        hidden.push_str(rest);
        found.then_some(hidden)
    }
}

/// How many bytes at the end of a text are the beginning of a value.
fn beginning(text: &str, value: &str) -> Option<usize> {
    let longest = text.len().min(value.len());
    (SHORTEST_BEGINNING..=longest)
        .rev()
        .find(|length| value.is_char_boundary(*length) && text.ends_with(&value[..*length]))
}

/// What stays as it is in a URL (RFC 3986, *unreserved*).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn search<'v>(values: impl Iterator<Item = &'v String>) -> Option<AhoCorasick> {
    let forms: BTreeSet<String> = values.flat_map(|value| forms(value)).collect();
    if forms.is_empty() {
        return None;
    }
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(forms)
        .inspect_err(|error| tracing::error!(%error, "secrets cannot be looked for"))
        .ok()
}

/// A value as it may stand in something else.
fn forms(value: &str) -> Vec<String> {
    let quoted = Json::String(value.to_owned()).to_string();
    let percent = utf8_percent_encode(value, ENCODED).to_string();
    let form: String = url::form_urlencoded::byte_serialize(value.as_bytes()).collect();
    let mut all = vec![
        value.to_owned(),
        quoted[1..quoted.len() - 1].to_owned(),
        lower_escapes(&percent),
        lower_escapes(&form),
        percent,
        form,
    ];
    for offset in 0..3 {
        all.extend(within_base64(value.as_bytes(), offset));
    }
    all
}

/// `%2F` as `%2f`: both are written.
fn lower_escapes(text: &str) -> String {
    let mut escape = 0;
    text.chars()
        .map(|c| {
            if c == '%' {
                escape = 2;
                return c;
            }
            if escape > 0 {
                escape -= 1;
                return c.to_ascii_lowercase();
            }
            c
        })
        .collect()
}

/// The characters that stand for these bytes alone where base64 has so many bytes before them in their
/// group of three, in both alphabets.
fn within_base64(bytes: &[u8], before: usize) -> [String; 2] {
    let mut padded = vec![0; before];
    padded.extend_from_slice(bytes);
    // The first characters hold bits of what stands before, the last one those of what follows.
    let begin = [0, 2, 3][before];
    let end = if padded.len().is_multiple_of(3) { 0 } else { 1 };
    let inner = |text: String| text[begin..text.len() - end].to_owned();
    [
        inner(STANDARD_NO_PAD.encode(&padded)),
        inner(URL_SAFE_NO_PAD.encode(&padded)),
    ]
}

/// A writer that lets nothing secret pass.
#[derive(Debug)]
pub struct RedactedWriter<W> {
    redactor: Redactor,
    inner: W,
}

impl<W: io::Write> io::Write for RedactedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&self.redactor.bytes(bytes))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    const VALUE: &str = "s3cr+t/va\"lue=";

    fn redactor() -> Redactor {
        let redactor = Redactor::default();
        redactor.learn("secret/a", [VALUE]);
        redactor
    }

    #[test]
    fn links_of_waiting_runs_are_hidden_and_what_only_looks_like_one_is_not() {
        let long = format!("{RESUME}{}", "aB3_-".repeat(9));
        let (link, rest) = long.split_at(RESUME.len() + LENGTH);
        let check = |text: &str, expect: &str| {
            for redactor in [Redactor::default(), redactor()] {
                assert_eq!(redactor.text(text), expect, "{text}");
                assert_eq!(&*redactor.bytes(text.as_bytes()), expect.as_bytes());
                assert_eq!(redactor.finds(text.as_bytes()), text != expect);
            }
        };
        check(&format!("<{link}>"), "<resume_•••>");
        check(
            &format!("{link}{rest} {link}"),
            &format!("resume_•••{rest} resume_•••"),
        );
        check("resume_", "resume_");
        let token = format!("vdt_{}", "a-_Z".repeat(11).split_at(43).0);
        check(&format!("Bearer {token}."), "Bearer vdt_•••.");
        check(&format!("{token} {link}"), "vdt_••• resume_•••");
        check("vdt_short", "vdt_short");
        let short = &link[..link.len() - 1];
        check(short, short);
        // As often as it stands there, in one go.
        let many = format!("{link} ").repeat(50_000);
        assert_eq!(
            Redactor::default().text(&many).matches(MARK).count(),
            50_000
        );
    }

    #[test]
    fn a_value_is_hidden_in_every_form() {
        let redactor = redactor();
        let check = |text: &str, expect: &str| assert_eq!(redactor.text(text), expect, "{text}");
        check("nothing here", "nothing here");
        check(&format!("<{VALUE}>"), "<•••>");
        check(&format!("{VALUE}{VALUE}"), "••••••");
        check(&json!({"a": VALUE}).to_string(), "{\"a\":\"•••\"}");
        check("x=s3cr%2Bt%2Fva%22lue%3D&y", "x=•••&y");
        check("x=s3cr%2bt%2fva%22lue%3d&y", "x=•••&y");
    }

    #[test]
    fn base64_is_seen_through_wherever_it_begins() {
        let redactor = redactor();
        for before in ["", "u", "us", "user", "user:", "a longer user:"] {
            for after in ["", "1", "12", "123"] {
                let encoded = STANDARD.encode(format!("{before}{VALUE}{after}"));
                let shown = redactor.text(&encoded).into_owned();
                assert!(shown.contains(MARK), "{before}/{after}: {shown}");
                // What is left over holds at most two bytes of it.
                assert!(
                    shown.len() <= encoded.len() - VALUE.len() + MARK.len() + 4,
                    "{shown}"
                );
            }
        }
    }

    #[test]
    fn what_was_cut_off_is_hidden_too() {
        let redactor = redactor();
        let check = |text: &str, expect: &str| assert_eq!(redactor.text(text), expect, "{text}");
        check("token=\"s3cr+t/v\"… page=3", "token=\"•••\"… page=3");
        check("s3cr…", "•••…");
        check("s3c…", "s3c…");
        check("page=\"s\"…", "page=\"s\"…");
    }

    #[test]
    fn short_values_are_left_alone_and_old_ones_are_remembered() {
        let redactor = Redactor::default();
        redactor.learn("secret/a", ["short"]);
        assert_eq!(redactor.text("a short text"), "a short text");
        redactor.learn("secret/a", ["first-value"]);
        redactor.learn("secret/a", ["second-value"]);
        assert_eq!(redactor.text("first-value, second-value"), "•••, •••");
    }

    #[test]
    fn values_and_writers_let_nothing_pass() {
        let redactor = redactor();
        let mut value = json!({"a": [VALUE, 7], VALUE: {"b": format!("x{VALUE}")}});
        redactor.json(&mut value);
        assert_eq!(value, json!({"a": ["•••", 7], "•••": {"b": "x•••"}}));
        let mut written = Vec::new();
        let line = format!("key {VALUE}\n");
        redactor
            .writer(&mut written)
            .write_all(line.as_bytes())
            .unwrap();
        assert_eq!(written, "key •••\n".as_bytes());
    }
}
