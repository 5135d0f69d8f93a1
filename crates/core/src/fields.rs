//! A webhook's declared fields: conversion and refusal (SPEC §3, *Fields*).

use velodrome_spec::plan::{Field, FieldKind};
use velodrome_types::{Json, JsonMap, Timestamp};

use crate::convert::{boolean, number_literal};

/// What is wrong with one field of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field's name.
    pub field: String,
    /// The stable code, `webhook.field_missing` or `webhook.field_invalid`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
}

/// Converts and checks the declared fields in place, in JSON as in forms; fields not named are kept.
pub fn convert_fields(fields: &[Field], body: &mut JsonMap) -> Result<(), Vec<FieldProblem>> {
    let mut problems = Vec::new();
    of_object(fields, body, "", &mut problems);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// The fields of an object; `above` is what stands before their names, such as `order.`.
fn of_object(fields: &[Field], body: &mut JsonMap, above: &str, problems: &mut Vec<FieldProblem>) {
    for field in fields {
        let name = format!("{above}{}", field.name);
        let value = body.get(&field.name).cloned().unwrap_or(Json::Null);
        if value.is_null() {
            match &field.default {
                Some(default) => {
                    body.insert(field.name.clone(), default.clone());
                }
                None if field.required => problems.push(FieldProblem {
                    code: "webhook.field_missing",
                    message: format!("`{name}` is missing"),
                    field: name,
                }),
                None => {}
            }
            continue;
        }
        if let Some(value) = one(field, value, &name, problems) {
            body.insert(field.name.clone(), value);
        }
    }
}

/// A value as its field wants it, with what is inside it; `None` where it is refused.
fn one(field: &Field, value: Json, name: &str, problems: &mut Vec<FieldProblem>) -> Option<Json> {
    let fits =
        convert(field, value, name).and_then(|value| within(field, &value, name).map(|()| value));
    match fits {
        Ok(Json::Object(mut inner)) if !field.fields.is_empty() => {
            of_object(&field.fields, &mut inner, &format!("{name}."), problems);
            Some(Json::Object(inner))
        }
        Ok(Json::Array(items)) if field.items.is_some() => {
            let item = field.items.as_deref()?;
            let items = items
                .into_iter()
                .enumerate()
                .filter_map(|(at, value)| one(item, value, &format!("{name}[{at}]"), problems));
            Some(Json::Array(items.collect()))
        }
        Ok(value) => Some(value),
        Err(message) => {
            problems.push(FieldProblem {
                field: name.to_owned(),
                code: "webhook.field_invalid",
                message,
            });
            None
        }
    }
}

fn convert(field: &Field, value: Json, name: &str) -> Result<Json, String> {
    let shown = shorten(&value);
    let wrong = |kind: &str| format!("`{name}` must be {kind}, not {shown}");
    match field.kind {
        FieldKind::Any => Ok(value),
        FieldKind::Text => match value {
            Json::String(_) => Ok(value),
            Json::Number(_) | Json::Bool(_) => Ok(Json::String(value.to_string())),
            _ => Err(wrong("text")),
        },
        FieldKind::Integer => whole(&value)
            .map(Json::Number)
            .ok_or_else(|| wrong("an integer")),
        FieldKind::Number => match &value {
            Json::Number(_) => Ok(value),
            Json::String(text) => number_literal(text)
                .map(Json::Number)
                .ok_or_else(|| wrong("a number")),
            _ => Err(wrong("a number")),
        },
        FieldKind::Boolean => boolean(&value)
            .map(Json::Bool)
            .ok_or_else(|| wrong("a boolean")),
        FieldKind::Datetime => match value.as_str().map(Timestamp::parse) {
            Some(Ok(_)) => Ok(value),
            _ => Err(wrong("a date such as \"2026-11-23T12:00:00Z\"")),
        },
        FieldKind::Object => of_text(value, Json::is_object).ok_or_else(|| wrong("an object")),
        FieldKind::List => of_text(value, Json::is_array).ok_or_else(|| wrong("a list")),
    }
}

/// The value itself, or the JSON that its text wholly is.
fn of_text(value: Json, wanted: fn(&Json) -> bool) -> Option<Json> {
    let value = match &value {
        Json::String(text) => serde_json::from_str(text).ok()?,
        _ => value,
    };
    wanted(&value).then_some(value)
}

fn whole(value: &Json) -> Option<serde_json::Number> {
    let number = match value {
        Json::Number(number) => number.clone(),
        Json::String(text) => number_literal(text)?,
        _ => return None,
    };
    if number.is_i64() || number.is_u64() {
        return Some(number);
    }
    // 7.0 is the integer 7; above 2^53 a float no longer tells which integer it is.
    let float = number.as_f64()?;
    (float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0).then(|| (float as i64).into())
}

fn within(field: &Field, value: &Json, name: &str) -> Result<(), String> {
    if let Some(number) = value.as_f64() {
        if let Some(minimum) = field.minimum.filter(|minimum| number < *minimum) {
            return Err(format!("`{name}` must be at least {minimum}, not {number}"));
        }
        if let Some(maximum) = field.maximum.filter(|maximum| number > *maximum) {
            return Err(format!("`{name}` must be at most {maximum}, not {number}"));
        }
    }
    let length = match value {
        Json::String(text) => Some((text.chars().count() as u64, "characters")),
        Json::Array(items) => Some((items.len() as u64, "items")),
        _ => None,
    };
    if let Some((length, unit)) = length {
        if let Some(least) = field.min_length.filter(|least| length < *least) {
            return Err(format!(
                "`{name}` must have at least {least} {unit}, not {length}"
            ));
        }
        if let Some(most) = field.max_length.filter(|most| length > *most) {
            return Err(format!(
                "`{name}` must have at most {most} {unit}, not {length}"
            ));
        }
    }
    if let (Some(pattern), Some(text)) = (&field.pattern, value.as_str())
        && !pattern.matches(text)
    {
        return Err(format!(
            "`{name}` must match `{}`, not {}",
            pattern.as_str(),
            shorten(value)
        ));
    }
    if !field.values.is_empty() && !field.values.contains(value) {
        let list: Vec<String> = field.values.iter().map(Json::to_string).collect();
        return Err(format!(
            "`{name}` must be one of {}, not {}",
            list.join(", "),
            shorten(value)
        ));
    }
    Ok(())
}

fn shorten(value: &Json) -> String {
    match value {
        Json::Object(_) => "an object".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        other => {
            let text = other.to_string();
            if text.chars().count() > 40 {
                text.chars().take(40).chain(['…']).collect()
            } else {
                text
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(kind: FieldKind) -> Field {
        Field {
            kind,
            required: true,
            ..Field::any("x")
        }
    }

    #[track_caller]
    fn check(field: &Field, given: Json, expect: Result<Json, &str>) {
        let mut body = JsonMap::from_iter([("x".to_owned(), given), ("kept".to_owned(), json!(1))]);
        let got = convert_fields(std::slice::from_ref(field), &mut body);
        match expect {
            Ok(value) => {
                assert_eq!(got, Ok(()));
                assert_eq!(body["x"], value);
            }
            Err(part) => {
                let problems = got.unwrap_err();
                assert!(
                    problems[0].message.contains(part),
                    "{}",
                    problems[0].message
                );
            }
        }
        assert_eq!(body["kept"], json!(1));
    }

    #[test]
    fn literals_of_the_declared_type_are_converted() {
        check(&field(FieldKind::Integer), json!("7"), Ok(json!(7)));
        check(&field(FieldKind::Integer), json!(7.0), Ok(json!(7)));
        check(
            &field(FieldKind::Integer),
            json!(9_007_199_254_740_993_i64),
            Ok(json!(9_007_199_254_740_993_i64)),
        );
        check(
            &field(FieldKind::Integer),
            json!("x"),
            Err("must be an integer, not \"x\""),
        );
        check(
            &field(FieldKind::Integer),
            json!(1.5),
            Err("must be an integer"),
        );
        check(
            &field(FieldKind::Integer),
            json!(true),
            Err("must be an integer"),
        );
        check(&field(FieldKind::Number), json!("1.5"), Ok(json!(1.5)));
        check(
            &field(FieldKind::Number),
            json!("+44"),
            Err("must be a number"),
        );
        check(&field(FieldKind::Boolean), json!("true"), Ok(json!(true)));
        check(
            &field(FieldKind::Boolean),
            json!(1),
            Err("must be a boolean"),
        );
        check(&field(FieldKind::Text), json!(7), Ok(json!("7")));
        check(
            &field(FieldKind::Text),
            json!([]),
            Err("must be text, not a list"),
        );
        check(
            &field(FieldKind::Datetime),
            json!("2026-11-23T12:00:00Z"),
            Ok(json!("2026-11-23T12:00:00Z")),
        );
        check(
            &field(FieldKind::Datetime),
            json!("today"),
            Err("must be a date"),
        );
        check(&field(FieldKind::List), json!("[1]"), Ok(json!([1])));
        check(
            &field(FieldKind::Object),
            json!([1]),
            Err("must be an object"),
        );
        check(&field(FieldKind::Any), json!([1]), Ok(json!([1])));
    }

    #[test]
    fn bounds_defaults_and_missing_ones() {
        let page = Field {
            minimum: Some(1.0),
            maximum: Some(9.0),
            ..field(FieldKind::Integer)
        };
        check(&page, json!(0), Err("at least 1"));
        check(&page, json!("10"), Err("at most 9"));
        check(&page, json!(null), Err("is missing"));
        check(
            &Field {
                default: Some(json!(1)),
                ..page
            },
            json!(null),
            Ok(json!(1)),
        );
        let text = Field {
            min_length: Some(2),
            max_length: Some(3),
            ..field(FieldKind::Text)
        };
        check(&text, json!("é"), Err("at least 2 characters"));
        check(&text, json!("four"), Err("at most 3 characters"));
        let choice = Field {
            values: vec![json!("a"), json!("b")],
            ..field(FieldKind::Text)
        };
        check(&choice, json!("c"), Err("one of \"a\", \"b\""));
    }

    #[test]
    fn objects_and_lists_are_checked_within() {
        let order = Field {
            fields: vec![
                Field {
                    kind: FieldKind::Integer,
                    required: true,
                    ..Field::any("id")
                },
                Field {
                    kind: FieldKind::List,
                    items: Some(Box::new(Field {
                        kind: FieldKind::Number,
                        minimum: Some(0.0),
                        ..Field::any("items")
                    })),
                    ..Field::any("prices")
                },
            ],
            ..field(FieldKind::Object)
        };
        check(
            &order,
            json!({"id": "7", "prices": ["1.5", 2], "more": true}),
            Ok(json!({"id": 7, "prices": [1.5, 2], "more": true})),
        );
        check(&order, json!({"prices": []}), Err("`x.id` is missing"));
        check(
            &order,
            json!({"id": 1, "prices": [1, -1]}),
            Err("`x.prices[1]` must be at least 0"),
        );
    }
}
