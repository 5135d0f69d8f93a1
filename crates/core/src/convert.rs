//! Reading text as the number or the truth value that it wholly is.

use velodrome_types::Json;

/// The number that a value is, or that its text wholly is by JSON's own grammar (`+44` and `007` are
/// text).
pub(crate) fn number(value: &Json) -> Option<f64> {
    match value {
        Json::Number(number) => number.as_f64(),
        Json::String(text) => number_literal(text)?.as_f64(),
        _ => None,
    }
}

/// The JSON number that a text wholly is.
pub(crate) fn number_literal(text: &str) -> Option<serde_json::Number> {
    match serde_json::from_str::<Json>(text.trim()) {
        Ok(Json::Number(number)) => Some(number),
        _ => None,
    }
}

/// The truth value that a value is, or that its text is.
pub(crate) fn boolean(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(truth) => Some(*truth),
        Json::String(text) => match text.trim() {
            t if t.eq_ignore_ascii_case("true") => Some(true),
            t if t.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        },
        _ => None,
    }
}
