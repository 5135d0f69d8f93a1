//! From events to nodes.

use std::borrow::Cow;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span as Range, StrInput};
use velodrome_types::Code;

use super::node::{Entry, Node, Scalar, Style, Value};
use super::{pitfalls, place};
use crate::diagnostic::{Diagnostic, Severity, Span};

/// Nodes below nodes; a cycle file needs a handful.
const DEPTH: usize = 64;
/// Bytes of a file; a large cycle has a few thousand.
const SIZE: usize = 1024 * 1024;

/// Reads a file's one document. After a syntax error there is only that error.
pub(crate) fn parse(text: &str) -> Result<Node, Vec<Diagnostic>> {
    if text.len() > SIZE {
        let span = Span {
            start: 0,
            end: 0,
            line: 1,
            column: 1,
        };
        return Err(vec![error(
            "yaml.too_large",
            "the file is larger than 1 MiB".into(),
            span,
            None,
        )]);
    }
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        text,
        lines: std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect(),
        faults: Vec::new(),
    };
    let read = reader.document();
    match read {
        Ok(_) if !reader.faults.is_empty() => Err(reader.faults),
        Ok(node) => Ok(node),
        Err(fault) => Err(vec![*fault]),
    }
}

pub(super) fn error(
    code: &'static str,
    message: String,
    span: Span,
    hint: Option<&str>,
) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: Code::new(code),
        message,
        span,
        hint: hint.map(str::to_owned),
    }
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    /// Faults after which reading goes on.
    faults: Vec<Diagnostic>,
}

type Read<T> = Result<T, Box<Diagnostic>>;

impl<'a> Reader<'a> {
    fn next(&mut self) -> Read<(Event<'a>, Range)> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(found)) => return Ok(found),
                Some(Err(fault)) => return Err(Box::new(self.syntax(&fault))),
                None => return Ok((Event::StreamEnd, Range::empty(Marker::default()))),
            }
        }
    }

    fn syntax(&self, fault: &granit_parser::ScanError) -> Diagnostic {
        let at = self.place(fault.marker());
        pitfalls::reference_in_flow(self.text, at.line)
            .unwrap_or_else(|| pitfalls::syntax(fault.info(), at))
    }

    fn document(&mut self) -> Read<Node> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (Event::StreamEnd | Event::DocumentEnd, _) => {
                    let span = Span {
                        start: 0,
                        end: 0,
                        line: 1,
                        column: 1,
                    };
                    return Err(Box::new(error(
                        "yaml.empty",
                        "the file is empty".into(),
                        span,
                        None,
                    )));
                }
                (event, range) => {
                    let node = self.node(event, range, 0, false)?;
                    self.end()?;
                    return Ok(node);
                }
            }
        }
    }

    fn end(&mut self) -> Read<()> {
        loop {
            match self.next()? {
                (Event::DocumentEnd, _) => {}
                (Event::StreamEnd, _) => return Ok(()),
                (_, range) => {
                    let fault = error(
                        "yaml.documents",
                        "a second document begins here".into(),
                        self.span(range),
                        Some("one file holds one cycle: move it into a file of its own"),
                    );
                    return Err(Box::new(fault));
                }
            }
        }
    }

    fn node(&mut self, event: Event<'a>, range: Range, depth: usize, flow: bool) -> Read<Node> {
        let span = self.span(range);
        if depth > DEPTH {
            let fault = error(
                "yaml.too_deep",
                format!("more than {DEPTH} levels of nesting"),
                span,
                None,
            );
            return Err(Box::new(fault));
        }
        if event.tag().is_some() {
            self.refuse(
                "yaml.tag",
                "tags are not taken",
                pitfalls::before(self.text, span, '!'),
                "write the value itself; text is quoted, not tagged",
            );
        }
        if event.anchor_id().is_some() {
            self.refuse(
                "yaml.anchor",
                "anchors are not taken",
                pitfalls::before(self.text, span, '&'),
                "write the value out where it is used",
            );
        }
        match event {
            Event::Scalar(text, style, ..) => Ok(self.scalar(text, style, range, flow)),
            Event::SequenceStart(style, ..) => {
                let flow = flow || style == granit_parser::StructureStyle::Flow;
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => {
                            return Ok(Node {
                                span,
                                value: Value::List(items),
                            });
                        }
                        (event, range) => items.push(self.node(event, range, depth + 1, flow)?),
                    }
                }
            }
            Event::MappingStart(style, ..) => {
                let flow = flow || style == granit_parser::StructureStyle::Flow;
                self.map(span, depth, flow)
            }
            _ => {
                self.refuse(
                    "yaml.anchor",
                    "aliases are not taken",
                    span,
                    "write the value out where it is used",
                );
                let scalar = Scalar {
                    text: String::new(),
                    style: Style::Quoted,
                    stretches: place::stretches(self.text, span, Style::Plain, ""),
                };
                Ok(Node {
                    span,
                    value: Value::Scalar(scalar),
                })
            }
        }
    }

    fn map(&mut self, span: Span, depth: usize, flow: bool) -> Read<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, range) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Node {
                    span,
                    value: Value::Map(entries),
                });
            }
            let key = self.node(event, range, depth + 1, flow)?;
            let (event, range) = self.next()?;
            let value = self.node(event, range, depth + 1, flow)?;
            let Some(scalar) = key.scalar() else {
                self.refuse(
                    "yaml.key",
                    "a key must be text",
                    key.span,
                    "lists and maps cannot be keys",
                );
                continue;
            };
            if scalar.text == "<<" && scalar.style == Style::Plain {
                self.refuse(
                    "yaml.merge",
                    "merge keys are not taken",
                    key.span,
                    "write the keys out",
                );
                continue;
            }
            if let Some(first) = entries.iter().find(|entry| entry.key == scalar.text) {
                let message = format!("`{}` stands here a second time", scalar.text);
                let hint = format!(
                    "the first is in line {}: remove one of them",
                    first.key_span.line
                );
                self.faults
                    .push(error("yaml.duplicate_key", message, key.span, Some(&hint)));
                continue;
            }
            entries.push(Entry {
                key: scalar.text.clone(),
                key_span: key.span,
                value,
            });
        }
    }

    fn scalar(&mut self, text: Cow<'a, str>, style: ScalarStyle, range: Range, flow: bool) -> Node {
        let span = self.span(range);
        // An empty value comes as `~`, which is text where it is written.
        let text = if span.start == span.end {
            Cow::Borrowed("")
        } else {
            text
        };
        let style = match style {
            ScalarStyle::Plain => Style::Plain,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
            ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
        };
        if style == Style::Plain {
            if flow
                && text.ends_with('$')
                && self
                    .text
                    .get(span.end..)
                    .is_some_and(|rest| rest.starts_with('{'))
            {
                self.faults
                    .extend(pitfalls::reference_in_flow(self.text, span.line));
            }
            self.faults.extend(pitfalls::value_cut(self.text, span));
        }
        Node {
            span,
            value: Value::Scalar(Scalar {
                stretches: place::stretches(self.text, span, style, &text),
                text: text.into_owned(),
                style,
            }),
        }
    }

    fn refuse(&mut self, code: &'static str, message: &str, span: Span, hint: &str) {
        self.faults
            .push(error(code, message.to_owned(), span, Some(hint)));
    }

    fn place(&self, mark: &Marker) -> Span {
        let start = mark.byte_offset().unwrap_or(0).min(self.text.len());
        // Lines as editors and `render` count them; YAML also ends one at a lone carriage return.
        let line = self.lines.partition_point(|begin| *begin <= start);
        let begin = self.lines[line - 1];
        let before = self.text.get(begin..start).unwrap_or_default();
        Span {
            start,
            end: start,
            line: line as u32,
            column: before.trim_start_matches('\u{feff}').chars().count() as u32 + 1,
        }
    }

    fn span(&self, range: Range) -> Span {
        let start = self.place(&range.start);
        let end = range
            .end
            .byte_offset()
            .unwrap_or(start.start)
            .clamp(start.start, self.text.len());
        Span { end, ..start }
    }
}
