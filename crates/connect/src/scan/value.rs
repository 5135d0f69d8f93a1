//! A field as the definition describes it, out of what the API sent.

use velodrome_spec::connector::ResponseField;
use velodrome_types::Json;

use crate::error::RequestError;

/// The field's value. What `when_empty` is tells its type: for a boolean or a number the same as text
/// is taken (`"true"`, `"20"`), anything else is an error and never silently `when_empty`.
pub(super) fn as_described(
    name: &str,
    field: &ResponseField,
    found: Option<Json>,
) -> Result<Json, RequestError> {
    let value = match found {
        None | Some(Json::Null) => return Ok(field.when_empty.clone()),
        Some(value) => value,
    };
    let wrong = |wanted: &str| {
        RequestError::permanent(
            "response.field_type",
            format!("`{name}` (`{}` in the answer) is not {wanted}", field.path),
        )
    };
    match (&field.when_empty, &value) {
        (Json::Bool(_), Json::Bool(_)) | (Json::Number(_), Json::Number(_)) => Ok(value),
        (Json::Bool(_), Json::String(text)) => match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Ok(Json::Bool(true)),
            text if text.eq_ignore_ascii_case("false") => Ok(Json::Bool(false)),
            _ => Err(wrong("true or false")),
        },
        (Json::Bool(_), _) => Err(wrong("true or false")),
        (Json::Number(_), Json::String(text)) => serde_json::from_str(text.trim())
            .ok()
            .filter(Json::is_number)
            .ok_or_else(|| wrong("a number")),
        (Json::Number(_), _) => Err(wrong("a number")),
        _ => Ok(value),
    }
}

/// A paging token: text, or a number as text. Blank, null and everything else is the end.
pub(crate) fn token(value: Json) -> Option<String> {
    match value {
        Json::String(text) if !text.trim().is_empty() => Some(text),
        Json::Number(number) => Some(number.to_string()),
        _ => None,
    }
}
