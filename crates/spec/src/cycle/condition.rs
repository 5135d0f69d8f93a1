//! A decision's `if`: one comparison, or `all`, `any`, `not` of such.

use super::names::CycleNames;
use crate::keys::{Faults, Keys, choice};
use crate::plan::{Comparison, Condition};
use crate::values::value;
use crate::yaml::{Node, Value};

pub(super) fn read(
    node: &Node,
    names: &mut CycleNames<'_>,
    faults: &mut Faults,
) -> Option<Condition> {
    if node
        .scalar()
        .is_some_and(|scalar| scalar.text.starts_with('='))
    {
        faults.not_yet(node.span, "an inline script as a condition");
        return None;
    }
    let mut keys = Keys::of(node, "`if`", faults)?;
    let group = ["all", "any"]
        .into_iter()
        .find_map(|key| Some((key, keys.get(key)?)));
    let condition = if let Some((key, list)) = group {
        let Value::List(items) = &list.value else {
            faults.error(
                "value.type",
                list.span,
                format!("`{key}` must be a list of conditions, not {}", list.kind()),
            );
            return None;
        };
        let inner: Vec<Option<Condition>> =
            items.iter().map(|item| read(item, names, faults)).collect();
        let inner: Vec<Condition> = inner.into_iter().collect::<Option<_>>()?;
        if key == "all" {
            Condition::All(inner)
        } else {
            Condition::Any(inner)
        }
    } else if let Some(inner) = keys.get("not") {
        Condition::Not(Box::new(read(inner, names, faults)?))
    } else {
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
        let right = keys
            .get("right")
            .map(|node| (node.span, value(node, names, faults)));
        match (is, &right) {
            (Some(is), None) if is.takes_right() => {
                faults.error("field.missing", node.span, "the condition has no `right`");
                return None;
            }
            (Some(is), Some((span, _))) if !is.takes_right() => {
                faults.error("field.unknown", *span, "this comparison takes no `right`");
            }
            _ => {}
        }
        let right = match right {
            Some((_, None)) => return None,
            Some((_, found)) => found,
            None => None,
        };
        Condition::Compare {
            left: left?,
            is: is?,
            right,
        }
    };
    keys.finish("a condition", faults);
    Some(condition)
}
