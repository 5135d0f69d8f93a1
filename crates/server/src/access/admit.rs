//! Looks at a request until it is known who asks.
//!
//! `Host` first, so that no other name leads here. Then a `Bearer` token, which a browser never sends by itself; a
//! right one is never held up, a wrong one is counted. Then the cookie, which a browser does send by itself:
//! what is asked with it must come from a page of this server, by `Origin` and `Sec-Fetch-Site`, or be a link that
//! somebody follows; a change must bring the value besides that only the session's own pages hold.

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ORIGIN};
use axum::http::{HeaderMap, Method};
use velodrome_runtime::api::Problem;

use super::address::address;
use super::attempts::{Attempts, TooMany};
use super::caller::{Caller, Holder, unauthenticated};
use super::cookie;
use super::session::{Session, SessionKey};
use crate::app::App;
use crate::body::read_whole;

/// The field of a form, and the header, that hold what a session's own pages know.
const CSRF_FIELD: &str = "csrf";
const CSRF_HEADER: &str = "x-csrf-token";

/// What the server needs to know who asks.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(super) sessions: SessionKey,
    /// Wrong tokens as `Bearer`, and at the sign-in: a program with an old token must not keep people out.
    bearer: Attempts,
    pub(super) sign_ins: Attempts,
}

impl Keys {
    pub(crate) fn new(sessions: [u8; 32]) -> Self {
        Self {
            sessions: SessionKey::new(sessions),
            bearer: Attempts::default(),
            sign_ins: Attempts::default(),
        }
    }
}

/// Why a request is not let in.
#[derive(Debug)]
pub(super) enum Refused {
    /// Nobody is signed in and no token is there.
    Nobody,
    /// Something is there, and it is wrong.
    Wrong(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self::Wrong(problem)
    }
}

/// The request with its [`Caller`].
pub(super) async fn admit(app: &App, request: Request) -> Result<Request, Refused> {
    own_host(app, &request)?;
    let (mut head, mut body) = request.into_parts();
    let caller = match bearer(&head.headers)? {
        Some(token) => by_bearer(app, token, address(app, &head))?,
        None => {
            let (holder, session) = by_cookie(app, &head.headers).ok_or(Refused::Nobody)?;
            let looks = matches!(head.method, Method::GET | Method::HEAD);
            if !(looks && is_followed(&head.headers)) {
                own_page(app, &head.headers)?;
            }
            if !looks {
                body = with_csrf(app, &session, &head.headers, body).await?;
            }
            let csrf = app.keys.sessions.csrf(&session);
            Caller::by_session(holder, session, csrf)
        }
    };
    head.extensions.insert(caller);
    Ok(Request::from_parts(head, body))
}

/// Refuses a request under another server's name.
pub(super) fn own_host(app: &App, request: &Request) -> Result<(), Problem> {
    if app.hosts.accept(request.headers(), request.uri()) {
        return Ok(());
    }
    let what = "`Host` names another server: use this one's address, or set `service_url`";
    Err(Problem::new(403, "api.host_refused", what))
}

/// Whether somebody follows a link, from wherever: what comes is shown to him and not to the page it is on.
fn is_followed(headers: &HeaderMap) -> bool {
    let mode = headers.get("sec-fetch-mode");
    mode.is_some_and(|mode| mode == "navigate") && !headers.contains_key(ORIGIN)
}

/// Refuses what a page of another server has a browser send.
pub(super) fn own_page(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    if app.hosts.is_own_page(headers) {
        return Ok(());
    }
    let what = "a page of another server asks for this: open this server's own console";
    Err(Problem::new(403, "api.origin_refused", what))
}

/// 429.
pub(super) fn too_many(TooMany(seconds): TooMany) -> Problem {
    let what = format!("too many wrong tokens came from this address: wait {seconds} s");
    let mut problem = Problem::new(429, "api.too_many_attempts", what);
    let wait = velodrome_types::Json::from(seconds);
    problem.more.insert("retry_after".to_owned(), wait);
    problem
}

/// The token of the one `Authorization` header that says `Bearer`; none where it says something else, which a proxy
/// in front may ask for. The scheme's case does not matter (RFC 9110 §11.1).
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Ok(None),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(unauthenticated("send one `Authorization`")),
    };
    let Some((scheme, token)) = value.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return Ok(None);
    };
    Ok(scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim()))
}

fn by_bearer(app: &App, token: &str, from: std::net::IpAddr) -> Result<Caller, Problem> {
    if let Some(holder) = Holder::presenting(app, token) {
        return Ok(Caller::by_token(holder));
    }
    let counted = app
        .keys
        .bearer
        .attempt(from, app.options.now.read(), || None::<()>);
    Err(match counted {
        Ok(_) => unauthenticated(
            "this token is not known, or has expired: `velodrome token create` makes one, `admin.token` in the data folder is one",
        ),
        Err(wait) => too_many(wait),
    })
}

/// The session of the cookie, and the token that it was begun with, which still may come in.
fn by_cookie(app: &App, headers: &HeaderMap) -> Option<(Holder, Session)> {
    let now = app.options.now.read();
    cookie::values(headers).find_map(|value| {
        let session = app.keys.sessions.open(value, now)?;
        let holder = Holder::called(app, session.token, session.print)?;
        (!app.engine.is_session_ended(&session.name())).then_some((holder, session))
    })
}

/// Whoever asks is signed in already, as a page that signs in asks it.
pub(super) fn is_signed_in(app: &App, headers: &HeaderMap) -> bool {
    by_cookie(app, headers).is_some()
}

/// The body of a change, once it has shown that it comes from a page of this session.
async fn with_csrf(
    app: &App,
    session: &Session,
    headers: &HeaderMap,
    body: Body,
) -> Result<Body, Problem> {
    let keys = &app.keys.sessions;
    if let Some(sent) = headers.get(CSRF_HEADER) {
        let right = sent.to_str().is_ok_and(|sent| keys.is_csrf(session, sent));
        return right.then_some(body).ok_or_else(csrf_refused);
    }
    if !is_form(headers) {
        return Err(csrf_refused());
    }
    let read = read_whole(headers, body, app.options.body_limit).await?;
    let sent = field(&read, CSRF_FIELD);
    match sent.is_some_and(|sent| keys.is_csrf(session, &sent)) {
        true => Ok(Body::from(read)),
        false => Err(csrf_refused()),
    }
}

fn csrf_refused() -> Problem {
    let what = "the page that asks is not of this session: open it again and repeat what you did";
    Problem::new(403, "api.csrf_refused", what)
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    kind.and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| {
            kind.trim()
                .eq_ignore_ascii_case("application/x-www-form-urlencoded")
        })
}

/// The one field of this name in a form.
pub(super) fn field(form: &Bytes, name: &str) -> Option<String> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_bytes(form).ok()?;
    let mut named = pairs.into_iter().filter(|(known, _)| known == name);
    let (_, value) = named.next()?;
    named.next().is_none().then_some(value)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_bearer_is_told_from_what_a_proxy_asks_for() {
        let check = |values: &[&'static str], expect: Result<Option<&str>, ()>| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            let found = bearer(&headers).map_err(|problem| assert_eq!(problem.status, 401));
            assert_eq!(found, expect, "{values:?}");
        };
        check(&[], Ok(None));
        check(&["Bearer vdt_a"], Ok(Some("vdt_a")));
        check(&["bEARER  vdt_a "], Ok(Some("vdt_a")));
        check(&["Bearer "], Ok(Some("")));
        for none in [
            "",
            "Bearer",
            "vdt_a",
            "Basic dmVsbzpkcm9tZQ==",
            "Bearervdt_a",
        ] {
            check(&[none], Ok(None));
        }
        check(&["Bearer vdt_a", "Bearer vdt_b"], Err(()));
    }

    #[test]
    fn a_form_has_a_field_once() {
        let field = |form: &'static str| field(&Bytes::from_static(form.as_bytes()), "csrf");
        assert_eq!(field("a=1&csrf=x%2By&b"), Some("x+y".to_owned()));
        for none in ["", "a=1", "csrf=x&csrf=y", "Csrf=x"] {
            assert_eq!(field(none), None, "{none}");
        }
    }

    #[test]
    fn a_form_is_known_by_its_type() {
        let check = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            is_form(&headers)
        };
        assert!(check("application/x-www-form-urlencoded"));
        assert!(check("Application/X-WWW-Form-Urlencoded; charset=utf-8"));
        assert!(!check("text/plain"));
        assert!(!check("application/json"));
        assert!(!is_form(&HeaderMap::new()));
    }
}
