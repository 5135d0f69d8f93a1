//! A webhook's `fields`.

use regex::Regex;
use velodrome_types::{Json, Timestamp};

use super::form::WEBHOOK_NAMES;
use crate::diagnostic::Span;
use crate::format;
use crate::keys::{Faults, Keys, choice, text, truth, whole};
use crate::plan::{Field, FieldKind, Pattern};
use crate::yaml::{Node, Value};

/// The types of fields and of inputs, by name.
pub(crate) const KINDS: &[(&str, FieldKind)] = &[
    ("text", FieldKind::Text),
    ("integer", FieldKind::Integer),
    ("number", FieldKind::Number),
    ("boolean", FieldKind::Boolean),
    ("datetime", FieldKind::Datetime),
    ("object", FieldKind::Object),
    ("list", FieldKind::List),
    ("any", FieldKind::Any),
];

/// What people call such a value.
pub(super) fn word(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Integer => "a whole number",
        FieldKind::Number => "a number",
        FieldKind::Boolean => "true or false",
        FieldKind::Datetime => "a date such as `2026-11-23T12:00:00Z`",
        FieldKind::Object => "an object",
        FieldKind::List => "a list",
        FieldKind::Any => "anything",
    }
}

/// A literal as this type, where it is one or is text that wholly is one.
pub(super) fn convert(kind: FieldKind, literal: &Json) -> Option<Json> {
    let typed = || match literal {
        Json::String(text) => serde_json::from_str(text).unwrap_or(Json::Null),
        other => other.clone(),
    };
    let wanted = |ok: fn(&Json) -> bool| Some(typed()).filter(ok);
    match kind {
        FieldKind::Any => Some(literal.clone()),
        FieldKind::Text => match literal {
            Json::String(_) => Some(literal.clone()),
            Json::Number(_) | Json::Bool(_) => Some(Json::String(literal.to_string())),
            _ => None,
        },
        FieldKind::Integer => wanted(|value| value.is_i64() || value.is_u64()),
        FieldKind::Number => wanted(Json::is_number),
        FieldKind::Boolean => wanted(Json::is_boolean),
        FieldKind::Datetime => {
            let date = literal
                .as_str()
                .is_some_and(|text| Timestamp::parse(text).is_ok());
            date.then(|| literal.clone())
        }
        FieldKind::Object => wanted(Json::is_object),
        FieldKind::List => wanted(Json::is_array),
    }
}

/// The fields of a webhook's body.
pub(super) fn read(node: &Node, faults: &mut Faults) -> Vec<Field> {
    if let Value::Map(entries) = &node.value {
        for entry in entries {
            if WEBHOOK_NAMES.contains(&entry.key.as_str()) {
                let name = &entry.key;
                let message = format!("`{name}` is one of a webhook's own names");
                faults
                    .error("field.own_name", entry.key_span, message)
                    .hint(format!(
                        "fields not declared are kept: leave it out here and read it as `${{webhook.body.{name}}}`"
                    ));
            }
        }
    }
    of(node, "`fields`", faults)
}

fn of(node: &Node, what: &str, faults: &mut Faults) -> Vec<Field> {
    let Value::Map(entries) = &node.value else {
        let message = format!("{what} must be a map, not {}", node.kind());
        faults.error("value.type", node.span, message);
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|entry| field(&entry.key, &entry.value, faults))
        .collect()
}

fn field(name: &str, node: &Node, faults: &mut Faults) -> Option<Field> {
    let what = format!("field `{name}`");
    let mut field = Field::any(name);
    if node.scalar().is_some() {
        field.kind = choice(node, &what, KINDS, faults)?;
        return Some(field);
    }
    let mut keys = Keys::in_table(node, &format::FIELD, &what, faults)?;
    let kind = keys
        .need("type", &what, faults)
        .and_then(|node| choice(node, "`type`", KINDS, faults));
    field.required = keys
        .get("required")
        .and_then(|node| truth(node, "`required`", faults))
        .unwrap_or(false);
    let mut bounds = Bounds::default();
    field.minimum = bounds.number(&mut keys, "minimum", faults);
    field.maximum = bounds.number(&mut keys, "maximum", faults);
    field.min_length = bounds.length(&mut keys, "min_length", faults);
    field.max_length = bounds.length(&mut keys, "max_length", faults);
    field.pattern = bounds.pattern(&mut keys, faults);
    field.fields = bounds.fields(&mut keys, faults);
    field.items = bounds.items(&mut keys, faults);
    let default = keys.get("default");
    let values = keys.get("values");
    keys.finish(&what, faults);
    field.kind = kind?;
    bounds.check(&field, faults);
    if let Some(node) = values {
        field.values = self::values(node, &field, faults);
    }
    if let Some(node) = default {
        field.default = literal(node, &field, "`default`", faults);
        if field.required {
            faults
                .error(
                    "field.alone",
                    node.span,
                    "a required field has no use for a default",
                )
                .hint("remove `default`, or `required`");
        }
    }
    Some(field)
}

fn values(node: &Node, field: &Field, faults: &mut Faults) -> Vec<Json> {
    let Value::List(items) = &node.value else {
        faults.error("value.type", node.span, "`values` must be a list");
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| literal(item, field, "each of `values`", faults))
        .collect()
}

/// A literal of the field's own type.
fn literal(node: &Node, field: &Field, what: &str, faults: &mut Faults) -> Option<Json> {
    let found = convert(field.kind, &node.to_json());
    if found.is_none() {
        let message = format!("{what} must be {}, not {}", word(field.kind), node.kind());
        faults.error("value.type", node.span, message);
    }
    found
}

/// Bounds with their places, for what can only be said when the type is known.
#[derive(Default)]
struct Bounds {
    said: Vec<(&'static str, Span, &'static [FieldKind])>,
}

const NUMBERS: &[FieldKind] = &[FieldKind::Integer, FieldKind::Number];
const LENGTHS: &[FieldKind] = &[FieldKind::Text, FieldKind::List];

impl Bounds {
    fn get<'a>(
        &mut self,
        keys: &mut Keys<'a>,
        key: &'static str,
        fits: &'static [FieldKind],
    ) -> Option<&'a Node> {
        let entry = keys.entry(key)?;
        self.said.push((key, entry.key_span, fits));
        Some(&entry.value)
    }

    fn number(
        &mut self,
        keys: &mut Keys<'_>,
        key: &'static str,
        faults: &mut Faults,
    ) -> Option<f64> {
        let node = self.get(keys, key, NUMBERS)?;
        let number = node.to_json().as_f64();
        if number.is_none() {
            let message = format!("`{key}` must be a number, not {}", node.kind());
            faults.error("value.type", node.span, message);
        }
        number
    }

    fn length(
        &mut self,
        keys: &mut Keys<'_>,
        key: &'static str,
        faults: &mut Faults,
    ) -> Option<u64> {
        let node = self.get(keys, key, LENGTHS)?;
        whole(node, &format!("`{key}`"), 0, faults)
    }

    fn pattern(&mut self, keys: &mut Keys<'_>, faults: &mut Faults) -> Option<Pattern> {
        let node = self.get(keys, "pattern", &[FieldKind::Text])?;
        let written = text(node, "`pattern`", faults)?;
        match Regex::new(&written) {
            Ok(regex) => Some(Pattern::new(regex)),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.lines().last().unwrap_or_default();
                let message = format!(
                    "`pattern` is no regular expression: {}",
                    reason.trim_start_matches("error: ")
                );
                faults
                    .error("value.pattern", node.span, message)
                    .hint("look-around and back-references are not taken; quote it where it holds `#` or `: `");
                None
            }
        }
    }

    fn fields(&mut self, keys: &mut Keys<'_>, faults: &mut Faults) -> Vec<Field> {
        self.get(keys, "fields", &[FieldKind::Object])
            .map_or_else(Vec::new, |node| of(node, "`fields`", faults))
    }

    fn items(&mut self, keys: &mut Keys<'_>, faults: &mut Faults) -> Option<Box<Field>> {
        let node = self.get(keys, "items", &[FieldKind::List])?;
        field("items", node, faults).map(Box::new)
    }

    fn check(&self, field: &Field, faults: &mut Faults) {
        for (key, span, fits) in &self.said {
            if !fits.contains(&field.kind) {
                let kinds: Vec<&str> = KINDS
                    .iter()
                    .filter(|(_, kind)| fits.contains(kind))
                    .map(|(name, _)| *name)
                    .collect();
                let message = format!("`{key}` is for {}", crate::keys::list(&kinds));
                faults.error("field.alone", *span, message);
            }
        }
        let crossed = |least: &'static str, faults: &mut Faults| {
            let span = self.said.iter().find(|(key, ..)| *key == least);
            let span = span.map(|(_, span, _)| *span).unwrap_or_default();
            let message = format!("no value fits: `{least}` is above the other bound");
            faults.error("value.bounds", span, message);
        };
        if field
            .minimum
            .zip(field.maximum)
            .is_some_and(|(least, most)| least > most)
        {
            crossed("minimum", faults);
        }
        if field
            .min_length
            .zip(field.max_length)
            .is_some_and(|(least, most)| least > most)
        {
            crossed("min_length", faults);
        }
    }
}
