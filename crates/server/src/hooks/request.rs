//! A request's headers and query as the engine takes them.

use axum::http::header::{AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use velodrome_types::{Json, JsonMap};

/// Headers that hold credentials: no script, no log and no stored run sees them.
const CREDENTIALS: &[HeaderName] = &[AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION];
/// The headers that name a delivery, the first that is there counts: the IETF's draft, then
/// Standard Webhooks'.
const KEYS: &[&str] = &["idempotency-key", DELIVERY_ID];
const DELIVERY_ID: &str = "webhook-id";

/// Names in lower case with their values, credentials left out, repeated ones joined by `, `.
pub(super) fn header_map(headers: &HeaderMap) -> JsonMap {
    let mut map = JsonMap::with_capacity(headers.keys_len());
    for name in headers.keys() {
        if !CREDENTIALS.contains(name) {
            let mut values = headers.get_all(name).iter();
            let mut text = values.next().map(lossy).unwrap_or_default();
            for value in values {
                text.push_str(", ");
                text.push_str(&lossy(value));
            }
            map.insert(name.as_str().to_owned(), Json::String(text));
        }
    }
    map
}

fn lossy(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The key under which a repeat of this delivery is known.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    KEYS.iter().find_map(|name| {
        let text = lossy(headers.get(*name)?);
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    })
}

/// Standard Webhooks' name of this delivery: the one that its signature covers.
pub(super) fn delivery_id(headers: &HeaderMap) -> Option<String> {
    Some(lossy(headers.get(DELIVERY_ID)?).trim().to_owned())
}

/// The query's parameters as text; one that is repeated is a list of its values.
pub(super) fn query_map(query: Option<&str>) -> JsonMap {
    let mut map = JsonMap::new();
    let Some(query) = query.filter(|query| !query.is_empty()) else {
        return map;
    };
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    for (name, value) in pairs {
        let value = Json::String(value);
        match map.get_mut(&name) {
            None => drop(map.insert(name, value)),
            Some(Json::Array(values)) => values.push(value),
            Some(first) => *first = Json::Array(vec![first.take(), value]),
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn headers(pairs: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn credentials_stay_outside_and_repeated_headers_are_joined() {
        let map = header_map(&headers(&[
            ("host", b"localhost"),
            ("authorization", b"Bearer a"),
            ("cookie", b"a=b"),
            ("proxy-authorization", b"Basic a"),
            ("x-id", b"1"),
            ("x-id", b"2"),
            ("x-latin", b"caf\xe9"),
        ]));
        let expect = json!({"host": "localhost", "x-id": "1, 2", "x-latin": "caf\u{fffd}"});
        assert_eq!(Json::Object(map), expect);
    }

    #[test]
    fn the_key_is_the_drafts_or_standard_webhooks() {
        let check = |pairs: &[(&'static str, &[u8])], expect: Option<&str>| {
            assert_eq!(idempotency_key(&headers(pairs)).as_deref(), expect);
        };
        check(&[], None);
        check(&[("idempotency-key", b" a ")], Some("a"));
        check(&[("webhook-id", b"msg_1")], Some("msg_1"));
        check(
            &[("webhook-id", b"msg_1"), ("idempotency-key", b"a")],
            Some("a"),
        );
        check(
            &[("idempotency-key", b" "), ("webhook-id", b"msg_1")],
            Some("msg_1"),
        );
    }

    #[test]
    fn query_parameters_are_decoded_and_repeated_ones_are_lists() {
        let check = |query: Option<&str>, expect: Json| {
            assert_eq!(Json::Object(query_map(query)), expect, "{query:?}");
        };
        check(None, json!({}));
        check(Some(""), json!({}));
        check(
            Some("q=a+b%2Fc&n=1&flag"),
            json!({"q": "a b/c", "n": "1", "flag": ""}),
        );
        check(
            Some("a=1&a=2&b=x&a=3"),
            json!({"a": ["1", "2", "3"], "b": "x"}),
        );
        check(
            Some("bad=%zz&latin=%e9"),
            json!({"bad": "%zz", "latin": "\u{fffd}"}),
        );
    }
}
