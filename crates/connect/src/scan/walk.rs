//! The pass itself: the parser and the tree of wanted paths, side by side.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::value::RawValue;
use twox_hash::XxHash3_64;
use velodrome_spec::connector::MethodDef;
use velodrome_types::Json;

use super::Want;
use super::depth::too_deep;
use super::path::{Node, Slot};
use super::records::Records;
use crate::error::RequestError;

/// Why a body cannot be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is no JSON.
    NotJson { cut: bool, why: String },
    /// Nested too deep.
    TooDeep,
    /// What stands at the records' path is no list.
    NoList,
}

impl Fault {
    pub(super) fn into_error(self, method: &MethodDef) -> RequestError {
        match self {
            Self::NotJson { cut, why } => {
                let message = format!("the answer is no JSON: {why}");
                if cut && matches!(method.verb.as_str(), "GET" | "HEAD") {
                    RequestError::transient("response.not_json", message)
                } else {
                    RequestError::permanent("response.not_json", message)
                }
            }
            Self::TooDeep => RequestError::permanent(
                "response.too_deep",
                "the answer is nested deeper than 128 levels",
            ),
            Self::NoList => RequestError::permanent(
                "response.records",
                format!(
                    "`{}` in the answer is no list of records",
                    method.response.records.as_deref().unwrap_or_default()
                ),
            ),
        }
    }
}

/// What one pass has found so far.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) records: Records<'a>,
    built: Vec<(Slot, Json)>,
    fault: Option<Fault>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(method: &'a MethodDef, want: &Want) -> Self {
        let key_of = || method.incremental.as_ref().map_or(&[][..], |def| &def.key);
        Self {
            records: Records {
                key_of: want.keys.then(key_of),
                build: want.records,
                want_last: want.last,
                ..Records::default()
            },
            built: Vec::new(),
            fault: None,
        }
    }

    /// Walks a whole body.
    pub(super) fn run(&mut self, tree: &Node, body: &str) -> Result<(), Fault> {
        let mut parser = serde_json::Deserializer::from_str(body);
        let place = Place {
            node: tree,
            depth: 0,
            body,
            walk: self,
        };
        let done = place.deserialize(&mut parser).and_then(|()| parser.end());
        match (self.fault.take(), done) {
            (Some(fault), _) => Err(fault),
            (None, Ok(())) => Ok(()),
            // The parser's own limit, met where a tree was built.
            (None, Err(error)) if error.to_string().starts_with("recursion limit") => {
                Err(Fault::TooDeep)
            }
            (None, Err(error)) => Err(Fault::NotJson {
                cut: error.classify() == Category::Eof,
                why: error.to_string(),
            }),
        }
    }

    /// Takes what was built for a slot. Of two values under one name the later counts.
    pub(super) fn take(&mut self, slot: Slot) -> Option<Json> {
        let at = self.built.iter().rposition(|(known, _)| *known == slot)?;
        Some(self.built.swap_remove(at).1)
    }

    fn fail<E: Error>(&mut self, fault: Fault) -> E {
        self.fault = Some(fault);
        E::custom("stopped")
    }

    fn checked<E: Error>(&mut self, text: &str, depth: usize) -> Result<(), E> {
        if too_deep(text, depth) {
            return Err(self.fail(Fault::TooDeep));
        }
        Ok(())
    }
}

/// A place of the body with its node of the tree.
struct Place<'n, 'w, 'a, 'de> {
    node: &'n Node,
    /// How many lists and objects are around it.
    depth: usize,
    body: &'de str,
    walk: &'w mut Walk<'a>,
}

impl<'n, 'a, 'de> Place<'n, '_, 'a, 'de> {
    fn at<'s>(&'s mut self, node: &'n Node) -> Place<'n, 's, 'a, 'de> {
        Place {
            node,
            depth: self.depth + 1,
            body: self.body,
            walk: self.walk,
        }
    }

    /// Reads on below this place, from its own text.
    fn below(self, text: &'de str) -> Result<(), serde_json::Error> {
        serde_json::Deserializer::from_str(text).deserialize_any(self)
    }

    fn skip<'m, A: MapAccess<'de>>(&mut self, map: &'m mut A) -> Result<(), A::Error> {
        let raw: &RawValue = map.next_value()?;
        self.walk.checked(raw.get(), self.depth + 1)
    }
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.node.slots.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let raw = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
        self.walk.checked(raw.get(), self.depth)?;
        for slot in &self.node.slots {
            let value = serde_json::from_str(raw.get()).map_err(D::Error::custom)?;
            self.walk.built.push((*slot, value));
        }
        if self.node.records || !self.node.children.is_empty() {
            self.below(raw.get()).map_err(D::Error::custom)?;
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        if self.node.records {
            return Err(self.walk.fail(Fault::NoList));
        }
        let node = self.node;
        while let Some(child) = map.next_key_seed(Child(node))? {
            match child {
                Some(child) => map.next_value_seed(self.at(child))?,
                None => self.skip(&mut map)?,
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<(), A::Error> {
        let node = self.node;
        if node.records {
            self.walk.records.clear();
        }
        let mut at = 0;
        let mut span: Option<(usize, usize)> = None;
        let mut last: Option<&'de RawValue> = None;
        while let Some(raw) = seq.next_element::<&'de RawValue>()? {
            let text = raw.get();
            self.walk.checked(text, self.depth + 1)?;
            if node.records {
                // Both texts are slices of the body, so their distance is a place in it.
                let start = text.as_ptr() as usize - self.body.as_ptr() as usize;
                let first = span.map_or(start, |(first, _)| first);
                span = Some((first, start + text.len()));
                self.walk.records.take(raw).map_err(A::Error::custom)?;
                last = Some(raw);
            }
            if let Some(child) = node.index(at) {
                let mut parser = serde_json::Deserializer::from_str(text);
                self.at(child)
                    .deserialize(&mut parser)
                    .map_err(A::Error::custom)?;
            }
            at += 1;
        }
        if let Some(record) = last.filter(|_| self.walk.records.want_last) {
            let record = serde_json::from_str(record.get()).map_err(A::Error::custom)?;
            self.walk.records.last = Some(record);
        }
        if let Some((first, last)) = span {
            let bytes = self.body.as_bytes().get(first..last).unwrap_or_default();
            self.walk.records.hash = XxHash3_64::oneshot(bytes);
        }
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.scalar()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.scalar()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.scalar()
    }
}

impl Place<'_, '_, '_, '_> {
    fn scalar<E: Error>(self) -> Result<(), E> {
        if self.node.records {
            return Err(self.walk.fail(Fault::NoList));
        }
        Ok(())
    }
}

/// The node below a name.
struct Child<'n>(&'n Node);

impl<'n, 'de> DeserializeSeed<'de> for Child<'n> {
    type Value = Option<&'n Node>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'n> Visitor<'_> for Child<'n> {
    type Value = Option<&'n Node>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.key(name))
    }
}
