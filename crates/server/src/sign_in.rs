//! The two stations of an OAuth sign-in in a browser: the way out and the way back.
//!
//! The one-time ticket of the first becomes a cookie, and the engine binds the provider's `state` to
//! it: an answer that another browser brings back is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::header::{COOKIE, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use velodrome_runtime::api::Problem;

use crate::access::Guarded;
use crate::app::App;
use crate::page::{escape, own_page, page};
use crate::problem::only_methods;

/// The cookie that binds a sign-in to the browser that began it.
const COOKIE_NAME: &str = "velodrome_sign_in";
/// How long the cookie lives, in seconds: as long as somebody may take to sign in.
const COOKIE_AGE: u32 = 900;

/// `/connector/start` and `/connector/callback`, open to all: the ticket and the state protect them.
pub(crate) fn routes() -> Guarded {
    // A look by HEAD, as link previews send it, must not use up the ticket.
    let no_look = async || {
        only_methods(
            "GET",
            "api.method_refused",
            "open this address in a browser",
        )
    };
    Guarded::new()
        .open(
            &["GET"],
            "/connector/start",
            "takes the ticket of a one-time link",
            get(start).head(no_look),
        )
        .open(
            &["GET"],
            "/connector/callback",
            "takes a state that is bound to the browser that began",
            get(callback).head(no_look),
        )
}

async fn start(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let ticket = parameters(query.as_deref())
        .remove("ticket")
        .unwrap_or_default();
    match app.engine.sign_in_begin(&ticket).await {
        Ok((provider, secret)) => away(&provider, &secret, app.options.service_url.as_str()),
        Err(problem) => failed(&problem),
    }
}

async fn callback(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let cookie = cookie_of(&headers);
    let finished = app
        .engine
        .sign_in_finish(parameters(query.as_deref()), cookie)
        .await;
    let mut response = match finished {
        Ok(connection) => {
            let markup = format!(
                "<p>The connection {} can be used now. Close this window, or go on to the \
                 <a href=\"/connections\">connections</a>.</p>",
                escape(&connection.to_string())
            );
            own_page(StatusCode::OK, "Signed in", &markup)
        }
        Err(problem) => failed(&problem),
    };
    let over = set_cookie("", 0, &app.options.service_url);
    response
        .headers_mut()
        .extend(over.map(|value| (SET_COOKIE, value)));
    response
}

fn away(provider: &str, secret: &str, service_url: &str) -> Response {
    let (Ok(location), Some(cookie)) = (
        HeaderValue::from_str(provider),
        set_cookie(secret, COOKIE_AGE, service_url),
    ) else {
        let what = "the provider's address cannot be opened: look at the connector's `auth`";
        return failed(&Problem::new(500, "auth.sign_in_failed", what));
    };
    let mut response = page(
        StatusCode::SEE_OTHER,
        "Signing in",
        "On to the provider.",
        None,
    );
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}

fn set_cookie(value: &str, age: u32, service_url: &str) -> Option<HeaderValue> {
    let secure = if service_url.starts_with("https:") {
        "; Secure"
    } else {
        ""
    };
    let text =
        format!("{COOKIE_NAME}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Lax{secure}");
    let clean = !value.contains([';', ',', ' ', '"', '\\']);
    HeaderValue::from_str(&text).ok().filter(|_| clean)
}

fn cookie_of(headers: &HeaderMap) -> Option<String> {
    let pairs = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok());
    pairs
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value.to_owned())
}

fn parameters(query: Option<&str>) -> BTreeMap<String, String> {
    query
        .and_then(|query| serde_urlencoded::from_str(query).ok())
        .unwrap_or_default()
}

fn failed(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    page(
        status,
        "Not signed in",
        &problem.detail,
        Some(problem.code.as_str()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_is_sent_away_with_its_cookie() {
        let response = away(
            "https://accounts.example/auth?a=b",
            "secret",
            "http://127.0.0.1:7300",
        );
        assert_eq!(response.status(), 303);
        assert_eq!(
            response.headers()[LOCATION],
            "https://accounts.example/auth?a=b"
        );
        let cookie = "velodrome_sign_in=secret; Path=/; Max-Age=900; HttpOnly; SameSite=Lax";
        assert_eq!(response.headers()[SET_COOKIE], cookie);
        let response = away(
            "https://accounts.example/",
            "secret",
            "https://flows.example",
        );
        assert_eq!(response.headers()[SET_COOKIE], format!("{cookie}; Secure"));
    }

    #[test]
    fn what_is_no_header_is_not_sent() {
        for (provider, secret) in [
            ("https://a/\r\nx: y", "s"),
            ("https://a/", "s; Domain=evil"),
        ] {
            let response = away(provider, secret, "https://flows.example");
            assert_eq!(response.status(), 500);
            assert!(!response.headers().contains_key(LOCATION));
        }
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let check = |values: &[&'static str], expect: Option<&str>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(COOKIE, HeaderValue::from_static(value));
            }
            assert_eq!(cookie_of(&headers).as_deref(), expect, "{values:?}");
        };
        check(&[], None);
        check(&["velodrome_sign_in=a"], Some("a"));
        check(&["x=y; velodrome_sign_in=a=b; z=1"], Some("a=b"));
        check(&["x=y", "velodrome_sign_in=a"], Some("a"));
        check(&["not_velodrome_sign_in=a", "velodrome_sign_in"], None);
    }

    #[test]
    fn a_failure_says_why_and_keeps_its_status() {
        let response = failed(&Problem::new(
            403,
            "auth.state",
            "another browser began this",
        ));
        assert_eq!(response.status(), 403);
    }
}
