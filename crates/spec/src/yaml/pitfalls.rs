//! Traps of YAML that a first hour meets, each with a hint of its own.

use super::read::error;
use crate::diagnostic::{Diagnostic, Span};

/// An unquoted `${…}` inside `{ }` or `[ ]` on this line: YAML reads its brace as a map.
pub(super) fn reference_in_flow(text: &str, line: u32) -> Option<Diagnostic> {
    // The parser may notice only on the line after.
    (line.saturating_sub(1).max(1)..=line)
        .rev()
        .find_map(|number| in_line(text, number))
}

fn in_line(text: &str, number: u32) -> Option<Diagnostic> {
    let (start, line) = line_of(text, number)?;
    let (mut quote, mut open) = (None, 0_i32);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '$') if line[at..].starts_with("${") && open > 0 => {
                let end = line[at..].find('}').map_or(line.len(), |end| at + end + 1);
                let found = &line[at..end];
                let column = line[..at].chars().count() as u32 + 1;
                let span = Span {
                    start: start + at,
                    end: start + end,
                    line: number,
                    column,
                };
                let hint = format!("put it into quotes: \"{found}\"");
                let message = format!("`{found}` must be quoted inside {{ }} and [ ]");
                return Some(error("yaml.reference_in_flow", message, span, Some(&hint)));
            }
            (None, '{' | '[') => open += 1,
            (None, '}' | ']') => open -= 1,
            (None, _) => {}
        }
    }
    None
}

/// A ` #` that cuts a plain value off without looking like a comment.
pub(super) fn value_cut(text: &str, span: Span) -> Option<Diagnostic> {
    let rest = text.get(span.end..)?.lines().next()?;
    let blanks = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    let comment = rest[blanks..]
        .strip_prefix('#')
        .filter(|_| blanks > 0 && span.end > span.start)?;
    let looks_like_one = comment.is_empty() || comment.starts_with(' ');
    if looks_like_one && !comment.contains("${") && !comment.contains("#{") {
        return None;
    }
    let start = span.end + blanks;
    let before = text.get(..start)?.rsplit('\n').next().unwrap_or_default();
    let at = Span {
        start,
        end: start + 1 + comment.len(),
        line: span.line + text.get(span.start..start)?.matches('\n').count() as u32,
        column: before.chars().count() as u32 + 1,
    };
    let message = "` #` begins a comment here and cuts the value off".to_owned();
    Some(error(
        "yaml.value_cut",
        message,
        at,
        Some("put the value into quotes, or write the comment as ` # …`"),
    ))
}

/// A syntax error in the parser's words, with what usually causes it.
pub(super) fn syntax(message: String, at: Span) -> Diagnostic {
    let hint = [
        ("tab", "indent with blanks: YAML takes no tabs there"),
        ("unclosed quote", "the quote begins here and ends nowhere"),
        (
            "did not find expected key",
            "a line is indented otherwise than the keys beside it, or a value above needs quotes",
        ),
        (
            "mapping values are not allowed",
            "a value with `: ` in it needs quotes; or a line is indented too far",
        ),
        (
            "did not find expected ',' or",
            "a bracket or brace above has no end",
        ),
    ]
    .into_iter()
    .find(|(part, _)| message.contains(part))
    .map(|(_, hint)| hint);
    error("yaml.syntax", message, at, hint)
}

/// The tag or anchor that stands before a node.
pub(super) fn before(text: &str, span: Span, sign: char) -> Span {
    let Some(start) = text.get(..span.start).and_then(|before| before.rfind(sign)) else {
        return span;
    };
    // `!!str` is one tag.
    let start = start - usize::from(text[..start].ends_with(sign));
    let word = text[start..].split_whitespace().next().unwrap_or_default();
    let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
    Span {
        start,
        end: start + word.len(),
        line: text[..start].matches('\n').count() as u32 + 1,
        column: text[line_start..start].chars().count() as u32 + 1,
    }
}

fn line_of(text: &str, number: u32) -> Option<(usize, &str)> {
    let mut start = 0;
    for (at, line) in text.split('\n').enumerate() {
        if at as u32 + 1 == number {
            return Some((start, line));
        }
        start += line.len() + 1;
    }
    None
}
