//! Web pages that call: which may, what browsers are told (CORS), and what is refused unseen.
//!
//! | the webhook has | a request from a page | another `Host` |
//! |---|---|---|
//! | neither `auth` nor `origins` | refused | refused |
//! | `origins` | let in from those, refused from others | as without |
//! | `auth: basic` alone | refused: browsers add the password by themselves | let in |
//! | another `auth` alone | let in: only who knows the secret gets further | let in |

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use velodrome_runtime::api::{HookAuth, Problem, Scheme};

use crate::origin::{KnownHosts, from_web_page};

/// How long a browser may remember that a page may call, in seconds: an edit is noticed soon.
const REMEMBERED: HeaderValue = HeaderValue::from_static("600");
/// What of an answer's headers a page may read.
const SHOWN: HeaderValue = HeaderValue::from_static("location, retry-after, idempotency-replayed");

/// Refuses a page that may not call, and a `Host` that is another server's.
pub(super) fn admit(
    origins: &[String],
    auth: &HookAuth,
    hosts: &KnownHosts,
    head: &Parts,
) -> Result<(), Problem> {
    let headers = &head.headers;
    let (asks_nobody, browsers_know) = match auth {
        HookAuth::Anybody => (true, true),
        HookAuth::Required { scheme, .. } => (false, matches!(scheme, Scheme::Basic { .. })),
    };
    let listed = page_of(headers).is_some_and(|page| is_listed(origins, page));
    let refused = if origins.is_empty() {
        browsers_know && from_web_page(headers)
    } else {
        !listed && (headers.contains_key(ORIGIN) || browsers_know && from_web_page(headers))
    };
    if refused {
        let what = if origins.is_empty() {
            "web pages may not call this webhook: send it from a server, without `Origin`, or name the page under `origins`"
        } else {
            "this web page may not call this webhook: name its origin under `origins`"
        };
        return Err(Problem::new(403, "webhook.origin_refused", what));
    }
    if asks_nobody && !hosts.accept(headers, &head.uri) {
        let what = "`Host` names another server: use this one's address, or set `service_url`";
        return Err(Problem::new(403, "webhook.host_refused", what));
    }
    Ok(())
}

/// The page's one origin.
fn page_of(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut origins = headers.get_all(ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (Some(page), None) => Some(page),
        _ => None,
    }
}

fn is_listed(origins: &[String], page: &HeaderValue) -> bool {
    origins
        .iter()
        .any(|listed| page.as_bytes().eq_ignore_ascii_case(listed.as_bytes()))
}

/// Whether a browser asks if a page may send what it is about to.
pub(super) fn is_preflight(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// What a browser is told that asked whether it may POST: yes, with the headers it means to send. What
/// they hold is looked at when they come.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let answer = response.headers_mut();
    answer.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    if let Some(asked) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    answer.insert(ACCESS_CONTROL_MAX_AGE, REMEMBERED);
    response
}

/// Adds what lets a listed page read the answer; caches are told that it differs by page.
pub(super) fn tell_browsers(origins: &[String], headers: &HeaderMap, response: &mut Response) {
    if origins.is_empty() {
        return;
    }
    let answer = response.headers_mut();
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(page) = page_of(headers).filter(|page| is_listed(origins, page)) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page.clone());
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, SHOWN);
    }
}

#[cfg(test)]
mod tests {
    use axum::extract::Request;

    use super::*;

    fn admitted(origins: &[&str], auth: &HookAuth, pairs: &[(&str, &str)]) -> Result<(), String> {
        let hosts = KnownHosts::new("http://127.0.0.1:7300", &[]);
        let mut request = Request::builder().uri("/hooks/a");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        admit(&origins, auth, &hosts, &head).map_err(|problem| problem.code.to_string())
    }

    #[test]
    fn who_may_call_from_where() {
        let required = |scheme| HookAuth::Required {
            scheme,
            secrets: Vec::new(),
        };
        let basic = Scheme::Basic {
            user: String::new(),
        };
        let all = [HookAuth::Anybody, required(basic), required(Scheme::Github)];
        let shop = &["https://shop.example.com"][..];
        let (here, elsewhere) = (("host", "localhost:7300"), ("host", "flows.example"));
        let page = |origin| [here, ("origin", origin), ("sec-fetch-site", "cross-site")];
        let (origin, host) = (Err("webhook.origin_refused"), Err("webhook.host_refused"));
        // Anybody, basic, a signature; without `origins`, then with.
        let check = |pairs: &[(&str, &str)], expect: [Result<(), &str>; 6]| {
            let mut expect = expect.into_iter();
            for origins in [&[][..], shop] {
                for auth in &all {
                    let came = admitted(origins, auth, pairs);
                    let wanted = expect.next().unwrap().map_err(str::to_owned);
                    assert_eq!(came, wanted, "{pairs:?} {origins:?} {auth:?}");
                }
            }
        };
        check(&[here], [Ok(()); 6]);
        check(&[elsewhere], [host, Ok(()), Ok(()), host, Ok(()), Ok(())]);
        check(
            &page("https://shop.example.com"),
            [origin, origin, Ok(()), Ok(()), Ok(()), Ok(())],
        );
        check(
            &page("https://evil.example"),
            [origin, origin, Ok(()), origin, origin, origin],
        );
        check(
            &page("null"),
            [origin, origin, Ok(()), origin, origin, origin],
        );
        // An address in a browser's bar, or a picture: no `Origin`, and still a browser.
        check(
            &[here, ("sec-fetch-site", "cross-site")],
            [origin, origin, Ok(()), origin, origin, Ok(())],
        );
        let twice = [here, ("origin", shop[0]), ("origin", shop[0])];
        check(&twice, [origin, origin, Ok(()), origin, origin, origin]);
    }

    #[test]
    fn only_listed_pages_are_told_that_they_may_read() {
        let told = |origins: &[&str], origin: &'static str| {
            let origins: Vec<String> = origins.iter().map(|origin| (*origin).to_owned()).collect();
            let headers = HeaderMap::from_iter([(ORIGIN, HeaderValue::from_static(origin))]);
            let mut response = Response::new(Body::empty());
            tell_browsers(&origins, &headers, &mut response);
            let text = |name| {
                let value: Option<&HeaderValue> = response.headers().get(name);
                value.map(|value| value.to_str().unwrap().to_owned())
            };
            (text(ACCESS_CONTROL_ALLOW_ORIGIN), text(VARY))
        };
        let shop = "https://shop.example.com";
        let vary = || Some("Origin".to_owned());
        assert_eq!(told(&[], shop), (None, None));
        assert_eq!(told(&[shop], shop), (Some(shop.to_owned()), vary()));
        assert_eq!(told(&[shop], "https://evil.example"), (None, vary()));
        assert_eq!(
            told(&[shop], "https://shop.example.com.evil.example"),
            (None, vary())
        );
    }
}
