//! Where a request goes: joining, checking and showing URLs.

use url::Url;
use velodrome_types::{Json, JsonMap};

use crate::error::RequestError;
use crate::eval::text_of;

/// Appends a path to a base URL with exactly one slash between them.
pub(super) fn join(base: &str, path: &str) -> String {
    if path.is_empty() || path.starts_with(['?', '#']) {
        return format!("{base}{path}");
    }
    format!(
        "{}/{}",
        base.trim_end_matches('/'),
        path.trim_start_matches('/')
    )
}

/// A URL that a request may go to: `http` or `https`, a host, and no user or password in it.
pub(crate) fn parse_target(text: &str) -> Result<Url, RequestError> {
    let bad = |why: &str| {
        RequestError::permanent(
            "request.bad_url",
            format!("`{}` is no URL to send to: {why}", shown(text)),
        )
    };
    if text.chars().any(char::is_control) {
        return Err(bad("it holds a line break or another control character"));
    }
    let url = Url::parse(text.trim()).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(bad("it begins with neither `http://` nor `https://`"));
    }
    if url.host_str().is_none_or(str::is_empty) {
        return Err(bad("it names no host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "a user or password belongs in a connection or a header",
        ));
    }
    Ok(url)
}

/// Adds parameters behind those that the URL has.
pub(crate) fn add_query(url: &mut Url, query: &JsonMap) -> Result<(), RequestError> {
    let mut pairs: Vec<(&str, String)> = Vec::with_capacity(query.len());
    for (name, value) in query {
        match value {
            Json::Array(items) => {
                for item in items {
                    pairs.extend(single(name, item)?.map(|text| (name.as_str(), text)));
                }
            }
            other => pairs.extend(single(name, other)?.map(|text| (name.as_str(), text))),
        }
    }
    if !pairs.is_empty() {
        url.query_pairs_mut().extend_pairs(pairs);
    }
    Ok(())
}

fn single(name: &str, value: &Json) -> Result<Option<String>, RequestError> {
    match value {
        Json::Object(_) | Json::Array(_) => Err(RequestError::permanent(
            "request.bad_query",
            format!("query parameter `{name}` is an object or a list of lists: map one value"),
        )),
        other => Ok(text_of(other)),
    }
}

/// A URL without query, fragment, user and password; for logs and messages.
pub(crate) fn shown(text: &str) -> String {
    match Url::parse(text.trim()) {
        Ok(mut url) => {
            url.set_query(None);
            url.set_fragment(None);
            // Fails only for URLs that cannot have them.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.to_string()
        }
        Err(_) => {
            let end = text.find(['?', '#', '@']).unwrap_or(text.len());
            text[..end].chars().take(200).collect::<String>()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn joins_with_one_slash() {
        let check = |base: &str, path: &str, expect: &str| assert_eq!(join(base, path), expect);
        check("https://a.test/v1", "/b", "https://a.test/v1/b");
        check("https://a.test/v1/", "b", "https://a.test/v1/b");
        check("https://a.test/v1", "", "https://a.test/v1");
        check("https://a.test/v1", "?x=1", "https://a.test/v1?x=1");
    }

    #[test]
    fn refuses_what_is_no_place_to_send_to() {
        for bad in [
            "",
            "contacts",
            "ftp://a.test/",
            "file:///etc/passwd",
            "http://",
            "http://user@a.test/",
            "http://user:pass@a.test/",
            "http://a.test/\r\nX: y",
            "http://a.test/\nb",
            "javascript:alert(1)",
            "http://a b/",
        ] {
            let error = parse_target(bad).unwrap_err();
            assert_eq!(error.code.as_str(), "request.bad_url", "{bad}");
            assert!(!error.message.contains("pass@"), "{error}");
        }
    }

    #[test]
    fn shows_neither_query_nor_credentials() {
        assert_eq!(
            shown("https://u:p@a.test/x?key=1#f"),
            "https://a.test/x".to_owned()
        );
        assert_eq!(shown("not a url?key=1"), "not a url");
    }

    #[test]
    fn query_values_are_encoded_and_lists_repeat() {
        let mut url = Url::parse("https://a.test/x?a=1").unwrap();
        let query =
            json!({"b": "x&y=z", "c": [1, true], "d": null, "e": "2026-01-01T00:00:00+00:00"});
        add_query(&mut url, query.as_object().unwrap()).unwrap();
        assert_eq!(
            url.query(),
            Some("a=1&b=x%26y%3Dz&c=1&c=true&e=2026-01-01T00%3A00%3A00%2B00%3A00")
        );
        let nested = json!({"b": {"c": 1}});
        assert_eq!(
            add_query(&mut url, nested.as_object().unwrap())
                .unwrap_err()
                .code
                .as_str(),
            "request.bad_query"
        );
    }
}
