//! A method's inputs: what is missing, what has the wrong type, what is its default.

use velodrome_spec::connector::{InputDef, MethodDef};
use velodrome_spec::plan::FieldKind;
use velodrome_types::{Json, JsonMap, Timestamp};

use crate::error::RequestError;

/// The inputs of a method, defaults filled in and types looked at. A null is as good as nothing said,
/// but for inputs of the kind `any`.
pub(super) fn inputs(method: &MethodDef, given: &JsonMap) -> Result<JsonMap, RequestError> {
    let mut all = JsonMap::new();
    for (name, def) in &method.inputs {
        let said = given
            .get(name)
            .filter(|value| !value.is_null() || def.kind == FieldKind::Any);
        match said.or(def.default.as_ref()) {
            Some(Json::Null) if def.kind != FieldKind::Any => {}
            Some(value) => {
                all.insert(name.clone(), typed(name, def, value)?);
            }
            None if def.required => {
                return Err(RequestError::permanent(
                    "request.missing_input",
                    format!("`{name}` is missing: map a value to it"),
                ));
            }
            None => {}
        }
    }
    for (name, value) in given {
        if method.inputs.contains_key(name) {
            continue;
        }
        if !method.open_body {
            return Err(RequestError::permanent(
                "request.unknown_input",
                format!("`{name}` is no input of the method"),
            ));
        }
        all.insert(name.clone(), value.clone());
    }
    Ok(all)
}

/// The value as the input's type; a text that is wholly a literal of the type is converted.
fn typed(name: &str, def: &InputDef, value: &Json) -> Result<Json, RequestError> {
    let wrong = |wanted: &str| {
        let hint = if value.is_array() {
            ": use `for_each` to send one request an item"
        } else {
            ""
        };
        RequestError::permanent(
            "request.input_type",
            format!("`{name}` must be {wanted}{hint}"),
        )
    };
    let literal = |text: &str| serde_json::from_str::<Json>(text.trim()).ok();
    let kept = || Ok(value.clone());
    match (def.kind, value) {
        (FieldKind::Any, _)
        | (FieldKind::Text, Json::String(_))
        | (FieldKind::Number, Json::Number(_))
        | (FieldKind::Boolean, Json::Bool(_))
        | (FieldKind::Object, Json::Object(_))
        | (FieldKind::List, Json::Array(_)) => kept(),
        (FieldKind::Text, Json::Number(_) | Json::Bool(_)) => Ok(Json::String(value.to_string())),
        (FieldKind::Text, _) => Err(wrong("text")),
        (FieldKind::Integer, Json::Number(number)) if is_whole(number) => kept(),
        (FieldKind::Integer, Json::String(text)) => literal(text)
            .filter(|found| matches!(found, Json::Number(number) if is_whole(number)))
            .ok_or_else(|| wrong("a whole number")),
        (FieldKind::Integer, _) => Err(wrong("a whole number")),
        (FieldKind::Number, Json::String(text)) => literal(text)
            .filter(Json::is_number)
            .ok_or_else(|| wrong("a number")),
        (FieldKind::Number, _) => Err(wrong("a number")),
        (FieldKind::Boolean, Json::String(text)) => literal(text)
            .filter(Json::is_boolean)
            .ok_or_else(|| wrong("true or false")),
        (FieldKind::Boolean, _) => Err(wrong("true or false")),
        (FieldKind::Datetime, Json::String(text)) if Timestamp::parse(text).is_ok() => kept(),
        (FieldKind::Datetime, _) => Err(wrong("a date such as `2026-11-23T12:00:00Z`")),
        (FieldKind::Object, _) => Err(wrong("an object")),
        (FieldKind::List, _) => Err(wrong("a list")),
    }
}

fn is_whole(number: &serde_json::Number) -> bool {
    number.is_i64() || number.is_u64() || number.as_f64().is_some_and(|f| f.fract() == 0.0)
}
