//! A decision's comparison: lenient, as Cyclr's recipes need it.
//!
//! Typed text `true` equals the boolean, `"7"` equals 7 (facts/cyclr: recipes compare a boolean field
//! with typed text). A missing side: `exists` false, `equals` false, `not_equals` true, order false.

use std::cmp::Ordering;

use velodrome_spec::plan::{Comparison, Condition};
use velodrome_types::{Json, Timestamp};

use crate::convert::{boolean, number};
use crate::eval::{EvalError, Scope, evaluate, text_of};

/// Whether a condition holds for a run.
pub fn holds(condition: &Condition, scope: Scope<'_>) -> Result<bool, EvalError> {
    match condition {
        Condition::Compare { left, is, right } => {
            let left = evaluate(left, scope)?.unwrap_or(Json::Null);
            let right = match right {
                Some(right) => evaluate(right, scope)?.unwrap_or(Json::Null),
                None => Json::Null,
            };
            Ok(compare(&left, *is, &right))
        }
        Condition::All(inner) => {
            for condition in inner {
                if !holds(condition, scope)? {
                    return Ok(false);
                }
            }
            Ok(true)
        }
        Condition::Any(inner) => {
            for condition in inner {
                if holds(condition, scope)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        Condition::Not(inner) => Ok(!holds(inner, scope)?),
        Condition::Script(script) => Ok(match evaluate(script, scope)? {
            None | Some(Json::Null) => false,
            Some(Json::Bool(truth)) => truth,
            Some(Json::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
            Some(Json::String(text)) => !text.is_empty(),
            Some(Json::Array(_) | Json::Object(_)) => true,
        }),
    }
}

/// The table itself: a total function of two values.
pub fn compare(left: &Json, is: Comparison, right: &Json) -> bool {
    match is {
        Comparison::Exists => !left.is_null(),
        Comparison::NotExists => left.is_null(),
        Comparison::Equals => equal(left, right),
        Comparison::NotEquals => !equal(left, right),
        Comparison::Contains => contains(left, right),
        Comparison::NotContains => !contains(left, right),
        Comparison::StartsWith => {
            texts(left, right).is_some_and(|(left, right)| left.starts_with(&right))
        }
        Comparison::EndsWith => {
            texts(left, right).is_some_and(|(left, right)| left.ends_with(&right))
        }
        Comparison::GreaterThan => order(left, right) == Some(Ordering::Greater),
        Comparison::LessThan => order(left, right) == Some(Ordering::Less),
        Comparison::GreaterOrEqual => matches!(
            order(left, right),
            Some(Ordering::Greater | Ordering::Equal)
        ),
        Comparison::LessOrEqual => {
            matches!(order(left, right), Some(Ordering::Less | Ordering::Equal))
        }
        Comparison::In => is_in(left, right),
        Comparison::NotIn => !is_in(left, right),
        Comparison::Matches => {
            texts(left, right).is_some_and(|(left, right)| wildcard(&right, &left))
        }
        Comparison::Empty => is_empty(left),
        Comparison::NotEmpty => !is_empty(left),
    }
}

fn equal(left: &Json, right: &Json) -> bool {
    if left.is_null() || right.is_null() {
        return false;
    }
    if left == right {
        return true;
    }
    if let (Some(left), Some(right)) = (boolean(left), boolean(right)) {
        return left == right;
    }
    if left.is_string() && right.is_string() {
        return false;
    }
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left == right;
    }
    match (left, right) {
        (Json::Array(left), Json::Array(right)) => {
            left.len() == right.len()
                && left
                    .iter()
                    .zip(right)
                    .all(|(left, right)| equal(left, right))
        }
        _ => false,
    }
}

fn order(left: &Json, right: &Json) -> Option<Ordering> {
    if let (Some(left), Some(right)) = (number(left), number(right)) {
        return left.partial_cmp(&right);
    }
    let (Json::String(left), Json::String(right)) = (left, right) else {
        return None;
    };
    match (Timestamp::parse(left), Timestamp::parse(right)) {
        (Ok(left), Ok(right)) => Some(left.cmp(&right)),
        _ => Some(left.cmp(right)),
    }
}

fn contains(left: &Json, right: &Json) -> bool {
    match left {
        Json::Array(items) => items.iter().any(|item| equal(item, right)),
        Json::Object(fields) => right.as_str().is_some_and(|name| fields.contains_key(name)),
        _ => texts(left, right).is_some_and(|(left, right)| left.contains(&right)),
    }
}

fn is_in(left: &Json, right: &Json) -> bool {
    match right {
        Json::Array(items) => items.iter().any(|item| equal(left, item)),
        _ => contains(right, left),
    }
}

fn is_empty(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::String(text) => text.is_empty(),
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        Json::Bool(_) | Json::Number(_) => false,
    }
}

fn texts(left: &Json, right: &Json) -> Option<(String, String)> {
    if left.is_array() || left.is_object() || right.is_array() || right.is_object() {
        return None;
    }
    Some((text_of(left)?, text_of(right)?))
}

/// `*` stands for any characters, `?` for one; the whole text must match. Linear in both lengths but
/// for one remembered `*`, so no pattern can hang it.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        if p < pattern.len() && pattern[p] == '*' {
            star = Some((p, t));
            p += 1;
        } else if p < pattern.len() && (pattern[p] == '?' || pattern[p] == text[t]) {
            p += 1;
            t += 1;
        } else if let Some((at, from)) = star {
            star = Some((at, from + 1));
            p = at + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(left: Json, is: &str, right: Json, expect: bool) {
        let is = Comparison::ALL
            .iter()
            .find(|(_, name)| *name == is)
            .unwrap()
            .0;
        assert_eq!(compare(&left, is, &right), expect, "{left} {is:?} {right}");
    }

    #[test]
    fn equality_is_lenient_between_types_and_exact_within() {
        check(json!(true), "equals", json!("true"), true);
        check(json!("True"), "equals", json!(true), true);
        check(json!("7"), "equals", json!(7), true);
        check(json!(7.0), "equals", json!(7), true);
        check(json!("007"), "equals", json!(7), false);
        check(json!("7.0"), "equals", json!("7"), false);
        check(json!("a"), "equals", json!("A"), false);
        check(json!(1), "equals", json!(true), false);
        check(json!([1, "2"]), "equals", json!(["1", 2]), true);
        check(json!({"a": 1}), "equals", json!({"a": 1}), true);
        check(json!("b"), "not_equals", json!("a"), true);
    }

    #[test]
    fn a_missing_side_is_never_equal_and_never_ordered() {
        check(json!(null), "exists", json!(null), false);
        check(json!(0), "exists", json!(null), true);
        check(json!(null), "not_exists", json!(null), true);
        check(json!(null), "equals", json!(null), false);
        check(json!(null), "equals", json!("a"), false);
        check(json!(null), "not_equals", json!("a"), true);
        check(json!("a"), "not_equals", json!(null), true);
        for order in [
            "greater_than",
            "less_than",
            "greater_or_equal",
            "less_or_equal",
        ] {
            check(json!(null), order, json!(1), false);
            check(json!(1), order, json!(null), false);
        }
        check(json!(null), "contains", json!("a"), false);
        check(json!(null), "not_contains", json!("a"), true);
        check(json!(null), "empty", json!(null), true);
    }

    #[test]
    fn order_takes_numbers_dates_and_texts() {
        check(json!("10"), "greater_than", json!(9), true);
        check(json!("10"), "greater_than", json!("9"), true);
        check(json!("b"), "greater_than", json!("a"), true);
        check(
            json!("2026-11-23T01:00:00+02:00"),
            "less_than",
            json!("2026-11-23T00:00:00Z"),
            true,
        );
        check(json!(3), "greater_or_equal", json!(3), true);
        check(json!(3), "less_or_equal", json!("2"), false);
        check(json!({}), "less_than", json!(1), false);
    }

    #[test]
    fn parts_lists_and_patterns() {
        check(json!("hello"), "contains", json!("ell"), true);
        check(json!([1, 2]), "contains", json!("2"), true);
        check(json!({"a": 1}), "contains", json!("a"), true);
        check(json!("hello"), "starts_with", json!("he"), true);
        check(json!(2026), "starts_with", json!("20"), true);
        check(json!("hello"), "ends_with", json!("lo"), true);
        check(json!("b"), "in", json!(["a", "b"]), true);
        check(json!(3), "not_in", json!(["1", "2"]), true);
        check(json!("order-17"), "matches", json!("order-*"), true);
        check(json!("order-17"), "matches", json!("order-?"), false);
        check(
            json!("aaaaaaaaaaaaaaaaaaaaaaaaaaaaab"),
            "matches",
            json!("*a*a*a*a*a*c"),
            false,
        );
        check(json!(""), "empty", json!(null), true);
        check(json!(0), "empty", json!(null), false);
        check(json!([1]), "not_empty", json!(null), true);
    }

    #[test]
    fn every_comparison_is_total() {
        let values = [
            json!(null),
            json!(true),
            json!(1),
            json!(1.5),
            json!("x"),
            json!("1"),
            json!([]),
            json!({}),
        ];
        for (is, _) in Comparison::ALL {
            for left in &values {
                for right in &values {
                    compare(left, *is, right);
                }
            }
        }
    }
}
