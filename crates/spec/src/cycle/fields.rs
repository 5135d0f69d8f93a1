//! A webhook's `fields`, `dedupe` and `auth`.

use std::time::Duration;

use crate::keys::{Faults, Keys, choice, duration, text, truth, whole};
use crate::plan::{Field, FieldKind, WebhookAuth};
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
/// How long a delivery is remembered where `dedupe` gives a field only.
const WITHIN: Duration = Duration::from_secs(24 * 3600);

pub(super) fn read(node: &Node, faults: &mut Faults) -> Vec<Field> {
    let Value::Map(entries) = &node.value else {
        faults.error(
            "value.type",
            node.span,
            format!("`fields` must be a map, not {}", node.kind()),
        );
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|entry| field(&entry.key, &entry.value, faults))
        .collect()
}

fn field(name: &str, node: &Node, faults: &mut Faults) -> Option<Field> {
    let what = format!("field `{name}`");
    let mut field = Field {
        name: name.to_owned(),
        kind: FieldKind::Any,
        required: false,
        default: None,
        minimum: None,
        maximum: None,
        min_length: None,
        max_length: None,
        values: Vec::new(),
    };
    if node.scalar().is_some() {
        field.kind = choice(node, &what, KINDS, faults)?;
        return Some(field);
    }
    let mut keys = Keys::of(node, &what, faults)?;
    field.kind = keys
        .need("type", &what, faults)
        .and_then(|node| choice(node, "`type`", KINDS, faults))?;
    field.required = keys
        .get("required")
        .and_then(|node| truth(node, "`required`", faults))
        .unwrap_or(false);
    field.default = keys.get("default").map(Node::to_json);
    let number = |node: &Node, what: &str, faults: &mut Faults| {
        let number = node.to_json().as_f64();
        if number.is_none() {
            faults.error(
                "value.type",
                node.span,
                format!("{what} must be a number, not {}", node.kind()),
            );
        }
        number
    };
    field.minimum = keys
        .get("minimum")
        .and_then(|node| number(node, "`minimum`", faults));
    field.maximum = keys
        .get("maximum")
        .and_then(|node| number(node, "`maximum`", faults));
    field.min_length = keys
        .get("min_length")
        .and_then(|node| whole(node, "`min_length`", 0, faults));
    field.max_length = keys
        .get("max_length")
        .and_then(|node| whole(node, "`max_length`", 0, faults));
    if let Some(node) = keys.get("values") {
        match &node.value {
            Value::List(items) => field.values = items.iter().map(Node::to_json).collect(),
            _ => {
                faults.error("value.type", node.span, "`values` must be a list");
            }
        }
    }
    keys.not_yet(&["pattern", "fields", "items"], faults);
    keys.finish(&what, faults);
    Some(field)
}

pub(super) fn dedupe(node: &Node, faults: &mut Faults) -> Option<(String, Duration)> {
    if node.scalar().is_some() {
        return Some((text(node, "`dedupe`", faults)?, WITHIN));
    }
    let mut keys = Keys::of(node, "`dedupe`", faults)?;
    let key = keys
        .need("key", "`dedupe`", faults)
        .and_then(|node| text(node, "`key`", faults));
    let within = keys
        .get("within")
        .and_then(|node| duration(node, "`within`", faults))
        .unwrap_or(WITHIN);
    keys.finish("`dedupe`", faults);
    Some((key?, within))
}

pub(super) fn auth(node: &Node, faults: &mut Faults) -> WebhookAuth {
    match node.scalar() {
        Some(scalar) if scalar.text == "none" => WebhookAuth::None,
        _ => {
            faults.not_yet(node.span, "`auth` other than `none`");
            WebhookAuth::Unsaid
        }
    }
}
