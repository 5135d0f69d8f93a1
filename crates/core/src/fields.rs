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
    for field in fields {
        let value = body.get(&field.name).cloned().unwrap_or(Json::Null);
        if value.is_null() {
            match &field.default {
                Some(default) => {
                    body.insert(field.name.clone(), default.clone());
                }
                None if field.required => problems.push(FieldProblem {
                    field: field.name.clone(),
                    code: "webhook.field_missing",
                    message: format!("`{}` is missing", field.name),
                }),
                None => {}
            }
            continue;
        }
        match convert(field, value).and_then(|value| within(field, &value).map(|()| value)) {
            Ok(value) => {
                body.insert(field.name.clone(), value);
            }
            Err(message) => problems.push(FieldProblem {
                field: field.name.clone(),
                code: "webhook.field_invalid",
                message,
            }),
        }
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn convert(field: &Field, value: Json) -> Result<Json, String> {
    let shown = shorten(&value);
    let wrong = |kind: &str| format!("`{}` must be {kind}, not {shown}", field.name);
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

fn within(field: &Field, value: &Json) -> Result<(), String> {
    let name = &field.name;
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
            name: "x".into(),
            kind,
            required: true,
            default: None,
            minimum: None,
            maximum: None,
            min_length: None,
            max_length: None,
            values: vec![],
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
}
