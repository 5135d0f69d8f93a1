//! `/sign-in` and `/sign-out`: a token, or the ticket of a one-time link, for a session.
//!
//! A link shows a page with a button, so that a preview of it, or a scanner of mails, does not use it up. What is
//! posted must come from a page of this server: nobody is signed in as somebody else without knowing it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{RawQuery, Request, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::get;
use velodrome_runtime::api::Problem;
use velodrome_types::Role;

use super::address::address;
use super::admit::{field, is_signed_in, own_host, own_page, too_many};
use super::caller::{Caller, Holder};
use super::cookie;
use super::gate::{see_other, sign_in_url, with_console_headers};
use super::guarded::Guarded;
use super::refusal::{ForPeople, refusal};
use super::session::Session;
use crate::app::App;
use crate::body::read_whole;
use crate::page::{escape, own_page as page};
use crate::problem::method_refused;

/// The most bytes of the form: a token and where to go.
const FORM_LIMIT: u64 = 16 * 1024;

/// `/sign-in`, before any gate.
pub(crate) fn routes() -> Guarded {
    let why = "takes a token, or the ticket of a one-time link; ten wrong ones a minute";
    let both = get(show).post(sign_in).fallback(method_refused);
    Guarded::new().open(&["GET", "POST"], "/sign-in", why, both)
}

/// `/sign-out`, behind the console's.
pub(crate) fn sign_out_routes() -> Guarded {
    Guarded::new().post(Role::Read, "/sign-out", sign_out)
}

async fn show(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Response {
    if let Err(problem) = own_host(&app, &request) {
        let people = ForPeople::of(request.headers());
        return with_console_headers(refusal(problem, people));
    }
    let query = query.unwrap_or_default();
    let mut query: BTreeMap<String, String> =
        serde_urlencoded::from_str(&query).unwrap_or_default();
    let to = place(query.remove("to"));
    let ticket = query.remove("ticket");
    if ticket.is_none() && is_signed_in(&app, request.headers()) {
        return with_console_headers(see_other(&to));
    }
    form(StatusCode::OK, None, ticket.as_deref(), &to)
}

async fn sign_in(State(app): State<Arc<App>>, request: Request) -> Response {
    let people = ForPeople::of(request.headers());
    let answer = signed_in(&app, request).await;
    answer.unwrap_or_else(|problem| with_console_headers(refusal(problem, people)))
}

async fn signed_in(app: &App, request: Request) -> Result<Response, Problem> {
    own_host(app, &request)?;
    own_page(app, request.headers())?;
    let (head, body) = request.into_parts();
    let sent = read_whole(&head.headers, body, FORM_LIMIT).await?;
    let to = place(field(&sent, "to"));
    let from = address(app, &head);
    let now = app.options.now.read();
    let holder = match app.keys.sign_ins.attempt(from, now, || holder(app, &sent)) {
        Ok(Some(holder)) => holder,
        Ok(None) => {
            tracing::warn!(%from, "a sign-in with a wrong token or a used link");
            let what = match field(&sent, "ticket") {
                Some(_) => {
                    "This link has been used, or its ten minutes are over. Take a new one, or a token."
                }
                None => "This token is not known, or has expired.",
            };
            return Ok(form(StatusCode::UNAUTHORIZED, Some(what), None, &to));
        }
        Err(wait) => {
            let problem = too_many(wait);
            let mut response = form(
                StatusCode::TOO_MANY_REQUESTS,
                Some(&problem.detail),
                None,
                &to,
            );
            let wait = HeaderValue::from(wait.0);
            response.headers_mut().insert(RETRY_AFTER, wait);
            return Ok(response);
        }
    };
    if !holder.role.allows(Role::Read) {
        let what = "This token is for reading /metrics alone: the console takes one that may read.";
        return Ok(form(StatusCode::FORBIDDEN, Some(what), None, &to));
    }
    tracing::info!(%from, name = holder.name, "signed in");
    Ok(begun(app, &holder, &to))
}

/// Whose token or link was sent.
fn holder(app: &App, sent: &Bytes) -> Option<Holder> {
    if let Some(ticket) = field(sent, "ticket") {
        let links = &app.options.sign_in_links;
        let (token, print) = links.take(&ticket, app.options.now.read())?;
        return Holder::called(app, token, print);
    }
    Holder::presenting(app, field(sent, "token")?.trim())
}

fn begun(app: &App, holder: &Holder, to: &str) -> Response {
    let mut number = [0; 16];
    getrandom::fill(&mut number).expect("the operating system gives random bytes");
    let session = Session::begin(number, holder, app.options.now.read());
    let value = app.keys.sessions.sign(&session);
    let mut response = see_other(to);
    let cookie = cookie::set(&value, &app.options.service_url);
    response.headers_mut().insert(SET_COOKIE, cookie);
    with_console_headers(response)
}

async fn sign_out(State(app): State<Arc<App>>, caller: Caller) -> Response {
    if let Some(session) = &caller.session {
        // Over for this process either way; where the disk refuses, a restart would know it again until it ends.
        if let Err(problem) = app.engine.end_session(&session.name(), session.ends).await {
            tracing::warn!(%problem, "the end of a session was not stored");
        }
    }
    let mut response = see_other(&sign_in_url("/"));
    let gone = cookie::unset(&app.options.service_url);
    response.headers_mut().insert(SET_COOKIE, gone);
    response
}

/// Where to go then: a path of this server, whatever was written.
fn place(to: Option<String>) -> String {
    to.filter(|to| is_local(to))
        .unwrap_or_else(|| "/".to_owned())
}

/// Whether it is a path that no browser takes for another server, and not the sign-in itself.
fn is_local(to: &str) -> bool {
    let path = to.split(['?', '#']).next().unwrap_or(to);
    to.starts_with('/')
        && !to.starts_with("//")
        && to.len() <= 2_048
        && to
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
        && !matches!(path, "/sign-in" | "/sign-out")
}

fn form(status: StatusCode, wrong: Option<&str>, ticket: Option<&str>, to: &str) -> Response {
    let mut markup = String::new();
    if let Some(wrong) = wrong {
        markup.push_str(&format!("<p role=\"alert\">{}</p>", escape(wrong)));
    }
    markup.push_str("<form method=\"post\" action=\"/sign-in\">");
    markup.push_str(&hidden("to", to));
    match ticket {
        Some(ticket) => {
            markup.push_str(&hidden("ticket", ticket));
            markup.push_str("<p>This link signs this browser in, once.</p><p><button autofocus>Sign in</button></p></form>");
        }
        None => markup.push_str(
            "<p><label for=\"token\">Token</label><br>\
             <input id=\"token\" name=\"token\" type=\"password\" autocomplete=\"current-password\" required autofocus></p>\
             <p><button>Sign in</button></p></form>\
             <p>A token is in <code>admin.token</code> of the data folder; \
             <code>velodrome token create</code> makes more. The server prints a link that works once when it starts.</p>",
        ),
    }
    let mut response = page(status, "Sign in to Velodrome", &markup);
    if status == StatusCode::UNAUTHORIZED {
        let scheme = HeaderValue::from_static("Bearer realm=\"velodrome\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    }
    with_console_headers(response)
}

fn hidden(name: &str, value: &str) -> String {
    format!(
        "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
        escape(value)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_only_ever_sent_to_a_path_of_this_server() {
        for local in [
            "/",
            "/runs",
            "/runs/run_1?tab=log#end",
            "/a//b",
            "/sign-inn",
        ] {
            assert_eq!(place(Some(local.to_owned())), local);
        }
        for other in [
            "",
            "runs",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\/evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: b",
            "/\t/evil.example",
            " //evil.example",
            "/sign-in?to=%2Fsign-in",
            "/sign-out",
        ] {
            assert_eq!(place(Some(other.to_owned())), "/", "{other:?}");
        }
        assert_eq!(place(None), "/");
        assert_eq!(place(Some(format!("/{}", "a".repeat(3_000)))), "/");
    }

    #[tokio::test]
    async fn what_came_from_outside_stays_text_in_the_form() {
        let hostile = "/\"><script>";
        let response = form(StatusCode::OK, Some(hostile), Some(hostile), hostile);
        let policy = response.headers()["content-security-policy"]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.contains("form-action 'self'") && !policy.contains("script-src"),
            "{policy}"
        );
        assert_eq!(response.headers()["x-frame-options"], "DENY");
        assert_eq!(response.headers()["referrer-policy"], "same-origin");
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(!body.contains("<script"), "{body}");
        assert_eq!(
            body.matches("/&quot;&gt;&lt;script&gt;").count(),
            3,
            "{body}"
        );
    }
}
