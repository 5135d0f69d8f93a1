//! Inline scripts: values that begin with `=`, expressions over the names that references begin with.
//!
//! The expression becomes the one function of a script: each name that it uses is a variable there, whose value
//! comes as `method_request`. What it reads of steps is found in its text, so that it is checked and kept like
//! what a reference reads.

use std::sync::Arc;

use crate::diagnostic::Span;
use crate::expr::{Expr, Inline, Segment};
use crate::keys::Faults;
use crate::plan::{Language, StepScript};
use crate::script_text::{ScriptPlace, offset, told};
use crate::yaml::Node;

/// A name in the text of an expression, and the field that follows it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Used<'t> {
    pub(super) name: &'t str,
    /// `None` where none is written: `webhook` alone, or `webhook[x]`.
    pub(super) field: Option<&'t str>,
    /// Where it stands in the text, in bytes, and how long both are.
    pub(super) at: (usize, usize),
}

/// Every name that stands free in an expression: no field of something, no key of an object, not in a text or a
/// comment.
pub(super) fn names(code: &str) -> Vec<Used<'_>> {
    let mut found = Vec::new();
    scan(code, 0, &mut found);
    found
}

fn scan<'t>(code: &'t str, base: usize, found: &mut Vec<Used<'t>>) {
    let bytes = code.as_bytes();
    let is_word = |byte: u8| byte == b'_' || byte.is_ascii_alphanumeric();
    let mut at = 0;
    // The last byte before that is no blank.
    let mut before = b' ';
    while at < bytes.len() {
        let byte = bytes[at];
        match byte {
            b'"' | b'\'' => at = behind_text(bytes, at, byte),
            b'`' => {
                let end = behind_text(bytes, at, byte);
                for (start, inner) in interpolated(&code[at..end]) {
                    scan(inner, base + at + start, found);
                }
                at = end;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = code[at..].find('\n').map_or(bytes.len(), |end| at + end);
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'*') => {
                at = code[at..]
                    .find("*/")
                    .map_or(bytes.len(), |end| at + end + 2);
                continue;
            }
            _ if is_word(byte) => {
                let end = bytes[at..].iter().position(|byte| !is_word(*byte));
                let end = end.map_or(bytes.len(), |end| at + end);
                let name = &code[at..end];
                let next = code[end..].trim_start();
                let key = matches!(before, b'{' | b',')
                    && next.starts_with(':')
                    && !next.starts_with("::");
                let property = before == b'.';
                if !property && !key && !byte.is_ascii_digit() {
                    let (field, len) = field(&code[end..]);
                    found.push(Used {
                        name,
                        field,
                        at: (base + at, end - at + len),
                    });
                }
                at = end;
            }
            _ => at += 1,
        }
        if !byte.is_ascii_whitespace() {
            before = byte;
        }
    }
}

/// `.name`, `?.name` or `["name"]` right behind a name, and how long that is.
fn field(rest: &str) -> (Option<&str>, usize) {
    let is_word = |c: char| c == '_' || c.is_ascii_alphanumeric();
    let word = |from: usize| {
        let text = &rest[from..];
        let end = text.find(|c: char| !is_word(c)).unwrap_or(text.len());
        (end > 0).then(|| (Some(&text[..end]), from + end))
    };
    let dotted = rest.strip_prefix('?').unwrap_or(rest).starts_with('.');
    if dotted && let Some(found) = word(rest.len() - rest.trim_start_matches(['?', '.']).len()) {
        return found;
    }
    for quote in ['"', '\''] {
        let open = format!("[{quote}");
        let close = format!("{quote}]");
        if let Some(inner) = rest.strip_prefix(&open)
            && let Some(end) = inner.find(&close)
        {
            return (Some(&inner[..end]), open.len() + end + close.len());
        }
    }
    (None, 0)
}

/// The place behind a text that begins here.
fn behind_text(bytes: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What stands in `${…}` of a text in back-ticks, with its place.
fn interpolated(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(open) = text[from..].find("${") {
        let start = from + open + 2;
        let end = text[start..]
            .find('}')
            .map_or(text.len(), |end| start + end);
        found.push((start, &text[start..end]));
        from = end;
    }
    found
}

/// Makes a script of an expression that uses these names.
pub(super) fn compile(
    (text, node): (&str, &Node),
    used: &[String],
    place: ScriptPlace<'_>,
    faults: &mut Faults,
) -> Option<StepScript> {
    // Behind `=`; a `;` at the end is Cyclr's habit.
    let expression = text[1..].trim_end().trim_end_matches(';');
    let (word, open, close) = match place.language {
        Language::Rhai => ("let", "fn run() { ", "\n}"),
        Language::JavaScript => ("const", "function run() { ", "\n); }"),
    };
    let mut code = open.to_owned();
    for name in used {
        code.push_str(&format!("{word} {name} = method_request.{name}; "));
    }
    if place.language == Language::JavaScript {
        code.push_str("return (");
    }
    let before = code.len();
    code.push_str(expression);
    code.push_str(close);
    match place.analyser.analyse(place.language, &code) {
        Ok(analysis) => Some(StepScript {
            language: place.language,
            code: Arc::from(code),
            path: place.path.to_owned(),
            line: node.inside(1, 0).line,
            indent: 0,
            analysis,
        }),
        Err(found) => {
            for fault in found {
                let at = offset(&code, fault.line, fault.column);
                let at = at.saturating_sub(before).min(expression.len());
                let len = expression[at..].chars().next().map_or(0, char::len_utf8);
                told(fault, node.inside(1 + at, len), faults);
            }
            None
        }
    }
}

/// Functions that write, or ask the world: an expression only computes.
pub(super) fn is_refused(name: &str) -> bool {
    name == "http_request" || name.contains("_storage_")
}

/// The expression of a compiled script.
pub(super) fn expr(node: &Node, script: StepScript, names: Vec<String>, reads: Reads) -> Expr {
    Expr::Script(Arc::new(Inline {
        id: u32::try_from(node.span.start).unwrap_or(u32::MAX),
        script,
        names,
        reads,
    }))
}

/// What it reads of steps, by name.
pub(super) type Reads = Vec<(crate::plan::StepIx, String)>;

/// The path of a name and its field, as a reference would have it.
pub(super) fn path(field: Option<&str>) -> Vec<Segment> {
    field
        .map(|field| Segment::Key(field.to_owned()))
        .into_iter()
        .collect()
}

/// Where a used name stands in the file.
pub(super) fn span(node: &Node, used: &Used<'_>) -> Span {
    node.inside(1 + used.at.0, used.at.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_free_with_the_field_behind_them() {
        let check = |code: &str, expect: &[(&str, Option<&str>)]| {
            let found: Vec<_> = names(code)
                .into_iter()
                .map(|used| (used.name, used.field))
                .collect();
            assert_eq!(found, expect, "{code}");
        };
        check("webhook.page + 1", &[("webhook", Some("page"))]);
        check(
            "a?.b + c[\"d\"] + e['f'] + g[h]",
            &[
                ("a", Some("b")),
                ("c", Some("d")),
                ("e", Some("f")),
                ("g", None),
                ("h", None),
            ],
        );
        check("x.webhook.y", &[("x", Some("webhook"))]);
        check(
            "#{page: one.n, b: two.m}",
            &[("one", Some("n")), ("two", Some("m"))],
        );
        check("a ? b : c", &[("a", None), ("b", None), ("c", None)]);
        check(
            "'webhook.x' + \"it's\" /* a.b */ + c.d // e.f",
            &[("c", Some("d"))],
        );
        check("`of ${a.b} webhook ${c}`", &[("a", Some("b")), ("c", None)]);
        check("1e5 + 0x1f + a1.b", &[("a1", Some("b"))]);
    }
}
