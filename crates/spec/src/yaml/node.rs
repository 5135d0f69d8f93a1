//! The nodes of the tree.

use velodrome_types::{Json, JsonMap};

use super::place::{self, Stretch};
use crate::diagnostic::Span;

/// A node and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) value: Value,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

/// A scalar as it is written.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
    /// Where the parts of the text stand in the file.
    pub(super) stretches: Vec<Stretch>,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Quoted,
    Block,
}

impl Scalar {
    /// The scalar's value: typed only where it is plain and wholly a JSON literal.
    pub(crate) fn typed(&self) -> Json {
        if self.style == Style::Plain {
            match self.text.as_str() {
                "" | "null" => return Json::Null,
                "true" => return Json::Bool(true),
                "false" => return Json::Bool(false),
                text => {
                    if let Ok(number @ Json::Number(_)) = serde_json::from_str(text) {
                        return number;
                    }
                }
            }
        }
        Json::String(self.text.clone())
    }
}

impl Node {
    /// The node as plain JSON, references and all.
    pub(crate) fn to_json(&self) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.typed(),
            Value::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Map(entries) => {
                let fields = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_json()));
                Json::Object(fields.collect::<JsonMap>())
            }
        }
    }

    /// What people call such a node.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
            Value::Scalar(scalar) => match scalar.typed() {
                Json::Null => "nothing",
                Json::Bool(_) => "a boolean",
                Json::Number(_) => "a number",
                _ => "text",
            },
        }
    }

    /// The place of a part of a scalar's text, `len` bytes from `offset` on; of any other node its own.
    pub(crate) fn inside(&self, offset: usize, len: usize) -> Span {
        match self.scalar() {
            Some(scalar) => place::inside(&scalar.stretches, &scalar.text, offset, len),
            None => self.span,
        }
    }

    pub(crate) fn scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }
}
