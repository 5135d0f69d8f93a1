//! A decision's `if`: one comparison, or `all`, `any`, `not` of such.

use velodrome_types::Json;

use super::names::CycleNames;
use crate::expr::Expr;
use crate::format;
use crate::keys::{Faults, Keys, choice};
use crate::plan::{Comparison, Condition};
use crate::values::value;
use crate::yaml::{Node, Value};

pub(super) fn read(
    node: &Node,
    names: &mut CycleNames<'_>,
    faults: &mut Faults,
) -> Option<Condition> {
    if let Some(scalar) = node.scalar() {
        if scalar.text.starts_with('=') {
            return value(node, names, faults).map(Condition::Script);
        } else {
            faults
                .error("value.type", node.span, "a condition is a map, not a value")
                .hint("write `if: {left: \"${step.field}\", is: equals, right: true}`, or an inline script that begins with `=`");
        }
        return None;
    }
    let mut keys = Keys::in_table(node, &format::CONDITION, "`if`", faults)?;
    let mut forms = Vec::new();
    for key in ["left", "all", "any", "not"] {
        if let Some(entry) = keys.entry(key) {
            forms.push(entry);
        }
    }
    if let [first, second, ..] = forms.as_slice() {
        let message = format!(
            "a condition has `{}` or `{}`, not both",
            first.key, second.key
        );
        faults
            .error("field.alone", second.key_span, message)
            .hint("nest them: `all: [{left: …, is: …}, {not: …}]`");
        return None;
    }
    let found = match forms.first() {
        Some(entry) if entry.key == "not" => {
            read(&entry.value, names, faults).map(|inner| Condition::Not(Box::new(inner)))
        }
        Some(entry) if entry.key != "left" => group(&entry.key, &entry.value, names, faults),
        _ => {
            let found = comparison(&mut keys, node, names, faults);
            keys.finish("a condition", faults);
            return found;
        }
    };
    for key in ["is", "right"] {
        if let Some(entry) = keys.entry(key) {
            let message = format!("`{key}` belongs to a comparison with `left`");
            faults.error("field.alone", entry.key_span, message);
        }
    }
    keys.finish("a condition", faults);
    found
}

fn group(
    key: &str,
    node: &Node,
    names: &mut CycleNames<'_>,
    faults: &mut Faults,
) -> Option<Condition> {
    let items = match &node.value {
        Value::List(items) if !items.is_empty() => items,
        _ => {
            let message = format!("`{key}` must be a list of conditions, not {}", node.kind());
            faults.error("value.type", node.span, message);
            return None;
        }
    };
    let inner: Vec<Option<Condition>> =
        items.iter().map(|item| read(item, names, faults)).collect();
    let inner: Vec<Condition> = inner.into_iter().collect::<Option<_>>()?;
    Some(if key == "all" {
        Condition::All(inner)
    } else {
        Condition::Any(inner)
    })
}

fn comparison(
    keys: &mut Keys<'_>,
    node: &Node,
    names: &mut CycleNames<'_>,
    faults: &mut Faults,
) -> Option<Condition> {
    let left = keys
        .need("left", "a condition", faults)
        .and_then(|node| value(node, names, faults));
    let words: Vec<(&str, Comparison)> = Comparison::ALL
        .iter()
        .map(|(is, word)| (*word, *is))
        .collect();
    let is = keys
        .need("is", "a condition", faults)
        .and_then(|node| choice(node, "`is`", &words, faults));
    let right_node = keys.get("right");
    let right = right_node.map(|node| value(node, names, faults));
    match (is, right_node) {
        (Some(is), None) if is.takes_right() => {
            faults.error("field.missing", node.span, "the condition has no `right`");
            return None;
        }
        (Some(is), Some(right)) if !is.takes_right() => {
            faults
                .error(
                    "field.alone",
                    right.span,
                    "this comparison takes no `right`",
                )
                .hint("it looks at `left` alone: remove `right`");
        }
        (Some(Comparison::In | Comparison::NotIn), Some(node)) => {
            if matches!(&right, Some(Some(Expr::Literal(literal))) if !matches!(literal, Json::Array(_)))
            {
                faults
                    .error("value.type", node.span, "`right` of `in` must be a list")
                    .hint("write `right: [a, b]`; to look into a text there is `contains`");
            }
        }
        _ => {}
    }
    let right = match right {
        Some(None) => return None,
        Some(found) => found,
        None => None,
    };
    Some(Condition::Compare {
        left: left?,
        is: is?,
        right,
    })
}
