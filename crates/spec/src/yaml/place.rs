//! Where each part of a scalar's text stands in the file.
//!
//! A text and its writing differ by quotes, escapes, indentation and folded lines. Both are walked side
//! by side once, and a *stretch* is noted wherever they part: from there on, up to the next stretch, one
//! character of the text is one character of the file.

use super::node::Style;
use crate::diagnostic::Span;

/// From this byte of the text on, text and file run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Byte offset in the text.
    text: usize,
    /// The same character's place in the file.
    file: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    offset: usize,
    line: u32,
    column: u32,
}

impl Place {
    fn step(&mut self, c: char) {
        self.offset += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
    }
}

/// The stretches of a scalar that is written at `span` of `source`.
pub(super) fn stretches(source: &str, span: Span, style: Style, text: &str) -> Vec<Stretch> {
    let mut raw = Raw {
        source,
        quote: source
            .get(span.start..)
            .and_then(|rest| rest.chars().next())
            .filter(|_| style == Style::Quoted),
        place: Place {
            offset: span.start,
            line: span.line,
            column: span.column,
        },
    };
    raw.begin(style);
    let mut found = Vec::new();
    let mut expected: Option<Place> = None;
    let mut chars = text.char_indices().peekable();
    loop {
        // Folding and indentation change blanks only: a run of them on one side is a run on the other.
        let mut blanks = chars.peek().map(|(at, _)| *at);
        if !raw.at_escape()
            && (chars.peek().is_some_and(|(_, c)| c.is_whitespace())
                || raw.peek().is_some_and(char::is_whitespace))
        {
            let from = raw.place;
            raw.blanks();
            let run = source.get(from.offset..raw.place.offset).unwrap_or("");
            // In quotes a blank of the text may also come from an escape behind the run.
            let mut most = match (style, run.matches('\n').count()) {
                (Style::Plain | Style::Block, _) => usize::MAX,
                (Style::Quoted, 0) => run.chars().count(),
                (Style::Quoted, lines) => (lines - 1).max(1),
            };
            let mut newline = false;
            while most > 0
                && let Some((_, c)) = chars.next_if(|(_, c)| c.is_whitespace())
            {
                newline |= c == '\n';
                most -= 1;
            }
            let same = chars
                .peek()
                .zip(blanks)
                .is_some_and(|((end, _), start)| text.get(start..*end) == Some(run));
            if !same || newline {
                if let Some(at) = blanks {
                    found.push(Stretch {
                        text: at,
                        file: from,
                    });
                }
                expected = None;
            } else if expected.is_some() {
                expected = Some(raw.place);
            }
            blanks = chars.peek().map(|(at, _)| *at);
        }
        let (Some((_, wanted)), Some(at)) = (chars.next(), blanks) else {
            break;
        };
        if expected != Some(raw.place) {
            found.push(Stretch {
                text: at,
                file: raw.place,
            });
        }
        let escaped = raw.character(wanted);
        expected = (!escaped).then_some(raw.place);
    }
    // What is said of the end stands behind the last character: the file may have no line after it.
    let end = text.trim_end().len();
    if end < text.len() && !found.is_empty() {
        let last = point(&found, text, end);
        found.push(Stretch {
            text: text.len(),
            file: last,
        });
    }
    if found.is_empty() {
        found.push(Stretch {
            text: 0,
            file: raw.place,
        });
    }
    found
}

/// The place of `len` bytes from `offset` of the text on.
pub(super) fn inside(stretches: &[Stretch], text: &str, offset: usize, len: usize) -> Span {
    let (start, end) = (
        point(stretches, text, offset),
        point(stretches, text, offset + len),
    );
    Span {
        start: start.offset,
        end: end.offset.max(start.offset),
        line: start.line,
        column: start.column,
    }
}

fn point(stretches: &[Stretch], text: &str, offset: usize) -> Place {
    let at = stretches.partition_point(|stretch| stretch.text <= offset);
    let stretch = stretches[at.saturating_sub(1)];
    let between = text.get(stretch.text..offset).unwrap_or("");
    let mut place = stretch.file;
    for c in between.chars() {
        place.step(c);
    }
    place
}

/// The writing of a scalar, read character by character.
struct Raw<'a> {
    source: &'a str,
    /// `'` or `"` around the text.
    quote: Option<char>,
    place: Place,
}

impl Raw<'_> {
    fn peek(&self) -> Option<char> {
        self.source.get(self.place.offset..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.place.step(c);
        Some(c)
    }

    /// To the first character of the text.
    fn begin(&mut self, style: Style) {
        match style {
            Style::Plain => {}
            Style::Quoted => {
                self.next();
            }
            Style::Block => {
                if matches!(self.peek(), Some('|' | '>')) {
                    while self.next().is_some_and(|c| c != '\n') {}
                }
            }
        }
    }

    fn blanks(&mut self) {
        while let Some(c) = self.peek() {
            let blank = c.is_whitespace() || (c == '\\' && self.continued());
            if !blank {
                return;
            }
            self.next();
        }
    }

    /// Whether the line ends in this backslash and goes on with the next one (in double quotes).
    fn continued(&self) -> bool {
        let rest = self.source.get(self.place.offset + 1..);
        rest.is_some_and(|rest| rest.starts_with('\n') || rest.starts_with("\r\n"))
    }

    fn at_escape(&self) -> bool {
        self.quote == Some('"') && self.peek() == Some('\\') && !self.continued()
    }

    /// Passes the writing of one character; tells whether it was written otherwise than it is.
    fn character(&mut self, wanted: char) -> bool {
        let Some(c) = self.next() else { return true };
        match (self.quote, c) {
            // `''` is one quote.
            (Some('\''), '\'') => {
                self.next();
                true
            }
            (Some('"'), '\\') => {
                let digits = match self.next() {
                    Some('x') => 2,
                    Some('u') => 4,
                    Some('U') => 8,
                    _ => 0,
                };
                for _ in 0..digits {
                    self.next();
                }
                true
            }
            _ => c != wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Node, Value, parse};

    /// Finds `needle` in the text of `key`'s value and tells the line and what stands there in the file.
    fn check(source: &str, needle: &str, line: u32, column: u32) {
        let root = parse(source).unwrap();
        let Value::Map(entries) = &root.value else {
            panic!("{root:?}")
        };
        let node: &Node = &entries[0].value;
        let text = &node.scalar().unwrap().text;
        let at = text.find(needle).unwrap_or_else(|| panic!("{text:?}"));
        let span = node.inside(at, needle.len());
        assert_eq!(
            (span.line, span.column),
            (line, column),
            "{source}\n{text:?}"
        );
        assert_eq!(&source[span.start..span.end], needle, "{source}");
    }

    #[test]
    fn every_way_to_write_a_text() {
        check("a: one ${two} three", "${two}", 1, 8);
        check("a: 'one ${two} three'", "${two}", 1, 9);
        check("a: 'it''s ${two}'", "${two}", 1, 11);
        check("a: \"it's ${two}\"", "${two}", 1, 10);
        check(r#"a: "\u00e4\t\"é ${two}""#, "${two}", 1, 17);
        check("a: one\n  and ${two}\n", "${two}", 2, 7);
        check("a: \"x \\t \\n\\n${two}\"", "${two}", 1, 14);
        check(r#"a: "\\ \\\\n ${two}""#, "${two}", 1, 14);
        check("a: 'back\\slash ${two}'", "${two}", 1, 16);
        check("a: \"one\n  and\n\n  ${two}\"\n", "${two}", 4, 3);
        check("a: \"one \\\n  and ${two}\"\n", "${two}", 2, 7);
    }

    #[test]
    fn blocks() {
        check("a: |\n  one\n    ${two}\n", "${two}", 3, 5);
        check("a: |-\n\n\n  one\n\n   x ${two}\n", "${two}", 6, 6);
        check("a: |2\n     one\n  ${two}\n", "${two}", 3, 3);
        check("a: >\n  one\n  ${two}\n\n  b\n", "${two}", 3, 3);
        check("a: | # why\n\n    éé ${two}\n", "${two}", 3, 8);
        check("a: |+\n  one\n  ${two}\n\n", "${two}", 3, 3);
        check("a: |\r\n  one\r\n  if ${two}\r\n", "${two}", 3, 6);
    }

    #[test]
    fn a_byte_order_mark_moves_nothing() {
        check("\u{feff}a: one ${two}", "${two}", 1, 8);
    }
}
