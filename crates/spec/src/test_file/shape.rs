//! An expected value with the place of each of its parts, and what does not fit it.

use velodrome_types::Json;

use crate::diagnostic::Span;
use crate::yaml::{Node, Value};

/// An expected value. Objects expect the fields that they name and no others.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    /// Where it stands.
    pub span: Span,
    /// What is expected.
    pub kind: ShapeKind,
}

/// What is expected.
#[derive(Clone, Debug, PartialEq)]
pub enum ShapeKind {
    /// This scalar; null also where there is nothing.
    Scalar(Json),
    /// A list of so many, each as its shape says.
    List(Vec<Shape>),
    /// An object with these fields, whatever else it has.
    Object(Vec<(String, Shape)>),
    /// A text that contains this.
    Containing(String),
}

/// One part that is not as it was expected.
#[derive(Clone, Debug, PartialEq)]
pub struct Misfit {
    /// Where the expected part stands.
    pub span: Span,
    /// Which part: `query.page`, `[2].id`; empty for the whole.
    pub path: String,
    /// What was expected, as the file could say it.
    pub expected: String,
    /// What there is.
    pub got: String,
}

/// How scalars are held against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalars {
    /// By value and type.
    Typed,
    /// As their texts: what stands in a URL or a header has no type.
    AsText,
}

/// How much of a value a message shows.
const SHOWN: usize = 200;

impl Shape {
    pub(super) fn of(node: &Node) -> Self {
        let kind = match &node.value {
            Value::Scalar(scalar) => ShapeKind::Scalar(scalar.typed()),
            Value::List(items) => ShapeKind::List(items.iter().map(Self::of).collect()),
            Value::Map(entries) => ShapeKind::Object(
                entries
                    .iter()
                    .map(|entry| (entry.key.clone(), Self::of(&entry.value)))
                    .collect(),
            ),
        };
        Self {
            span: node.span,
            kind,
        }
    }

    /// The field of this name.
    pub fn field(&self, name: &str) -> Option<&Self> {
        match &self.kind {
            ShapeKind::Object(fields) => fields
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, shape)| shape),
            _ => None,
        }
    }

    pub(super) fn field_mut(&mut self, name: &str) -> Option<&mut Self> {
        match &mut self.kind {
            ShapeKind::Object(fields) => fields
                .iter_mut()
                .find(|(known, _)| known == name)
                .map(|(_, shape)| shape),
            _ => None,
        }
    }

    /// The text that is expected, where it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            ShapeKind::Scalar(Json::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Everything in which a value differs.
    pub fn misfits(&self, got: &Json, scalars: Scalars) -> Vec<Misfit> {
        let mut found = Vec::new();
        self.compare(got, scalars, "", &mut found);
        found
    }

    fn compare(&self, got: &Json, scalars: Scalars, path: &str, found: &mut Vec<Misfit>) {
        let fits = match (&self.kind, got) {
            (ShapeKind::Object(fields), Json::Object(_)) => {
                for (name, shape) in fields {
                    let inner = match path {
                        "" => name.clone(),
                        path => format!("{path}.{name}"),
                    };
                    shape.compare(got.get(name).unwrap_or(&Json::Null), scalars, &inner, found);
                }
                true
            }
            (ShapeKind::List(items), Json::Array(values)) if items.len() == values.len() => {
                for (at, (shape, value)) in items.iter().zip(values).enumerate() {
                    shape.compare(value, scalars, &format!("{path}[{at}]"), found);
                }
                true
            }
            (ShapeKind::Scalar(expected), got) => same(expected, got, scalars),
            (ShapeKind::Containing(part), Json::String(text)) => text.contains(part.as_str()),
            _ => false,
        };
        if !fits {
            found.push(Misfit {
                span: self.span,
                path: path.to_owned(),
                expected: self.shown(),
                got: shown(got),
            });
        }
    }

    fn shown(&self) -> String {
        match &self.kind {
            ShapeKind::Scalar(value) => shown(value),
            ShapeKind::List(items) => format!("a list of {}", items.len()),
            ShapeKind::Object(_) => "an object".to_owned(),
            ShapeKind::Containing(part) => {
                format!("a text with {}", shown(&Json::String(part.clone())))
            }
        }
    }
}

fn same(expected: &Json, got: &Json, scalars: Scalars) -> bool {
    match (expected, got) {
        // 1 and 1.0 are one number.
        (Json::Number(a), Json::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Json::Null, Json::Null) => true,
        (Json::Null, _) | (_, Json::Null) => false,
        _ if scalars == Scalars::AsText => match (text_of(expected), text_of(got)) {
            (Some(a), Some(b)) => a == b,
            _ => false,
        },
        _ => expected == got,
    }
}

fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A value as a message shows it: JSON, nothing where there is none, cut where it is long.
pub fn shown(value: &Json) -> String {
    if value.is_null() {
        return "nothing".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
