//! The cookie that holds a session.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::session::LASTS;

const NAME: &str = "velodrome_session";

/// What sets it. No script reads it, and no page of another site has it sent along.
pub(super) fn set(value: &str, service_url: &str) -> HeaderValue {
    written(value, LASTS.as_secs(), service_url)
}

/// What takes it away.
pub(super) fn unset(service_url: &str) -> HeaderValue {
    written("", 0, service_url)
}

fn written(value: &str, age: u64, service_url: &str) -> HeaderValue {
    let secure = match service_url.starts_with("https:") {
        true => "; Secure",
        false => "",
    };
    let text = format!("{NAME}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}");
    HeaderValue::from_str(&text).expect("base64 and words of ours are visible ASCII")
}

/// The values a request has, most likely one: another server on another port of this host may have set one for
/// another path.
pub(super) fn values(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(COOKIE).iter();
    all.filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, value)| *name == NAME && !value.is_empty())
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_closed_to_scripts_and_to_other_sites() {
        let text = "velodrome_session=abc; Path=/; Max-Age=604800; HttpOnly; SameSite=Strict";
        assert_eq!(set("abc", "http://127.0.0.1:7300"), text);
        assert_eq!(
            set("abc", "https://flows.example"),
            format!("{text}; Secure")
        );
        let gone = "velodrome_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict";
        assert_eq!(unset("http://127.0.0.1:7300"), gone);
    }

    #[test]
    fn it_is_found_among_others() {
        let check = |values: &[&'static str], expect: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, HeaderValue::from_static(value));
            }
            let found: Vec<&str> = super::values(&headers).collect();
            assert_eq!(found, expect, "{values:?}");
        };
        check(&[], &[]);
        check(&["velodrome_session=a"], &["a"]);
        check(
            &["x=y; velodrome_session=a; velodrome_session=b"],
            &["a", "b"],
        );
        check(&["x=y", "velodrome_session=a"], &["a"]);
        check(
            &["not_velodrome_session=a; velodrome_session; velodrome_session="],
            &[],
        );
    }
}
