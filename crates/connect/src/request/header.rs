//! Headers: what may be one, and that a later one of the same name wins.

use reqwest::header::{HeaderName, HeaderValue};
use velodrome_types::{Json, JsonMap};

use crate::error::RequestError;
use crate::eval::text_of;

/// Headers that belong to the connection itself. Setting one could cut a request in two.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Sets a header, in place of one whose name differs only in case.
pub(crate) fn set_header(headers: &mut JsonMap, name: &str, value: Json) {
    let known = headers
        .keys()
        .find(|known| known.eq_ignore_ascii_case(name))
        .cloned();
    headers.insert(known.unwrap_or_else(|| name.to_owned()), value);
}

/// A header that may be sent; `None` for null. Line breaks are refused, never folded or cut.
pub(crate) fn checked_header(
    name: &str,
    value: &Json,
) -> Result<Option<(HeaderName, HeaderValue)>, RequestError> {
    let bad = |why: &str| {
        let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
        RequestError::permanent("request.bad_header", format!("header `{shown}` {why}"))
    };
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("is no header name"))?;
    if RESERVED.contains(&parsed.as_str()) {
        return Err(bad("belongs to the connection and cannot be set"));
    }
    if matches!(value, Json::Array(_) | Json::Object(_)) {
        return Err(bad("is a list or an object: map one value"));
    }
    let Some(text) = text_of(value) else {
        return Ok(None);
    };
    if text
        .chars()
        .any(|c| matches!(c, '\r' | '\n' | '\0') || (c.is_control() && c != '\t'))
    {
        return Err(bad("holds a line break or another control character"));
    }
    let parsed_value = HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| bad("holds a character that no header may have"))?;
    Ok(Some((parsed, parsed_value)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn header_injection_is_refused() {
        for (name, value) in [
            ("x-a", json!("1\r\nx-b: 2")),
            ("x-a", json!("1\nx-b: 2")),
            ("x-a", json!("1\r")),
            ("x-a", json!("1\0")),
            ("x-a\r\nx-b", json!("1")),
            ("x a", json!("1")),
            ("", json!("1")),
            ("x-a", json!(["1"])),
            ("Content-Length", json!(5)),
            ("transfer-encoding", json!("chunked")),
            ("HOST", json!("other.test")),
        ] {
            let error = checked_header(name, &value).unwrap_err();
            assert_eq!(error.code.as_str(), "request.bad_header", "{name}: {value}");
            assert!(!error.message.contains(['\r', '\n']), "{error}");
        }
    }

    #[test]
    fn plain_values_are_taken_and_null_is_left_out() {
        assert!(
            checked_header("x-a", &json!("plain, tab\tand é"))
                .unwrap()
                .is_some()
        );
        assert!(checked_header("x-a", &json!(7)).unwrap().is_some());
        assert!(checked_header("x-a", &json!(null)).unwrap().is_none());
    }

    #[test]
    fn a_later_header_wins_whatever_its_case() {
        let mut headers = JsonMap::new();
        set_header(&mut headers, "Accept", json!("a"));
        set_header(&mut headers, "accept", json!("b"));
        assert_eq!(json!(headers), json!({"Accept": "b"}));
    }
}
