//! How a webhook's body is written, by its `Content-Type`.

use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use velodrome_runtime::api::{BodyFormat, Problem};

/// The format, or 415. Without a type the body's first character tells: `{` and `[` begin JSON.
pub(super) fn body_format(headers: &HeaderMap, body: &[u8]) -> Result<BodyFormat, Problem> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let what = "compressed bodies are not taken: send it without `Content-Encoding`";
        return Err(Problem::new(415, "webhook.type_refused", what));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(by_first_character(body));
    };
    let named = value
        .as_bytes()
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    match named.trim_ascii() {
        b"" => Ok(by_first_character(body)),
        json if is_json(json) => Ok(BodyFormat::Json),
        form if form.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") => {
            Ok(BodyFormat::Form)
        }
        other => {
            let other = String::from_utf8_lossy(other);
            let what = format!(
                "`{other}` is not taken: send `application/json` or \
                 `application/x-www-form-urlencoded`"
            );
            Err(Problem::new(415, "webhook.type_refused", what))
        }
    }
}

fn is_json(media_type: &[u8]) -> bool {
    let plus_json = || {
        media_type.contains(&b'/')
            && media_type
                .last_chunk::<5>()
                .is_some_and(|tail| tail.eq_ignore_ascii_case(b"+json"))
    };
    media_type.eq_ignore_ascii_case(b"application/json")
        || media_type.eq_ignore_ascii_case(b"text/json")
        || plus_json()
}

fn by_first_character(body: &[u8]) -> BodyFormat {
    match body.trim_ascii_start().first() {
        Some(b'{' | b'[') => BodyFormat::Json,
        _ => BodyFormat::Form,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(content_type: Option<&'static str>, body: &str) -> Result<BodyFormat, u16> {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
        }
        body_format(&headers, body.as_bytes()).map_err(|problem| problem.status)
    }

    #[test]
    fn types_are_known_whatever_their_case_and_parameters() {
        for json in [
            "application/json",
            "Application/JSON",
            "application/json; charset=utf-8",
            "application/json;charset=utf-8",
            "text/json",
            "application/cloudevents+json",
            "application/vnd.api+JSON; v=1",
        ] {
            assert_eq!(of(Some(json), "a=b"), Ok(BodyFormat::Json), "{json}");
        }
        for form in [
            "application/x-www-form-urlencoded",
            "APPLICATION/X-WWW-FORM-URLENCODED; charset=utf-8",
        ] {
            assert_eq!(of(Some(form), "{}"), Ok(BodyFormat::Form), "{form}");
        }
        for other in [
            "text/plain",
            "text/xml",
            "multipart/form-data; boundary=x",
            "application/jsonp",
            "+json",
            "json",
            "application/octet-stream",
            "text/plain; application/json",
        ] {
            assert_eq!(of(Some(other), "{}"), Err(415), "{other}");
        }
    }

    #[test]
    fn without_a_type_the_first_character_tells() {
        for (body, expect) in [
            ("{\"page\": 1}", BodyFormat::Json),
            (" \r\n\t[1]", BodyFormat::Json),
            ("page=1", BodyFormat::Form),
            ("", BodyFormat::Form),
            ("\"text\"", BodyFormat::Form),
        ] {
            assert_eq!(of(None, body), Ok(expect), "{body}");
            assert_eq!(of(Some(""), body), Ok(expect), "{body}");
        }
    }

    #[test]
    fn compressed_bodies_are_refused() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(body_format(&headers, b"{}").is_err());
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("Identity"));
        assert!(body_format(&headers, b"{}").is_ok());
    }
}
