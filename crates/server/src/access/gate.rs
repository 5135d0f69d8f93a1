//! The two gates: of the API, and of the console's pages.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, LOCATION, REFERRER_POLICY, X_FRAME_OPTIONS};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::admit::{Refused, admit};
use super::audit::told;
use super::caller::unauthenticated;
use super::guarded::Guarded;
use super::refusal::{ForPeople, refusal};
use crate::app::App;
use crate::page::{OwnPage, escape, page_with_head};
use crate::problem::{Refusal, method_refused, unknown_path};
use velodrome_runtime::api::Problem;

/// What an answer of the API may do where a browser shows it: nothing.
const API_POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// What a page of the console may do: what this server has, and nothing from elsewhere.
const CONSOLE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
);
const DENY: HeaderValue = HeaderValue::from_static("DENY");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// The API's routes behind their gate: also of a path that is none of them it is told only to who may come in.
pub(crate) fn api_guard(routes: Guarded, app: &Arc<App>) -> Router<Arc<App>> {
    routes
        .into_router()
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_refused)
        .layer(from_fn_with_state(Arc::clone(app), api))
}

/// Routes for programs that stand beside the API, behind the same gate.
pub(crate) fn beside_guard(routes: Guarded, app: &Arc<App>) -> Router<Arc<App>> {
    routes
        .into_router()
        .method_not_allowed_fallback(method_refused)
        .layer(from_fn_with_state(Arc::clone(app), api))
}

/// The console's routes behind theirs.
pub(crate) fn console_guard(routes: Guarded, app: &Arc<App>) -> Router<Arc<App>> {
    routes
        .into_router()
        .method_not_allowed_fallback(method_refused)
        .route_layer(from_fn_with_state(Arc::clone(app), console))
}

async fn api(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = match admit(&app, request).await {
        Ok(request) => told(&app, request, next).await,
        Err(Refused::Wrong(problem)) => Refusal(problem).into_response(),
        Err(Refused::Nobody) => Refusal(nobody()).into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, API_POLICY);
    headers.insert(X_FRAME_OPTIONS, DENY);
    response
}

fn nobody() -> Problem {
    let what = "send a token as `Authorization: Bearer …`: `admin.token` in the data folder is one, `velodrome token create` makes more";
    unauthenticated(what)
}

async fn console(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let asked = Asked::of(&request);
    let people = ForPeople::of(request.headers());
    if let Some(people) = people {
        request.extensions_mut().insert(people);
    }
    let response = match admit(&app, request).await {
        Ok(request) => told(&app, request, next).await,
        Err(Refused::Wrong(problem)) => refusal(problem, people),
        Err(Refused::Nobody) => asked.to_the_sign_in(people),
    };
    with_console_headers(response)
}

/// What every page of the console carries.
pub(crate) fn with_console_headers(mut response: Response) -> Response {
    let own = response.extensions().get::<OwnPage>().is_some();
    let headers = response.headers_mut();
    // A small page allows less: it keeps its policy.
    if !own || !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, CONSOLE_POLICY);
    }
    headers.insert(X_FRAME_OPTIONS, DENY);
    headers.insert(OPENER_POLICY, SAME_ORIGIN);
    // With `no-referrer` a browser sends `Origin: null` with the page's own forms.
    headers.insert(REFERRER_POLICY, SAME_ORIGIN);
    response.extensions_mut().insert(OwnPage);
    response
}

/// Of a request for a page, what matters where nobody is signed in.
struct Asked {
    looks: bool,
    /// htmx asks for a part of a page, which is shown by its script.
    part: bool,
    /// A link on a page of another site leads here.
    from_elsewhere: bool,
    to: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let headers = request.headers();
        Self {
            looks: matches!(*request.method(), Method::GET | Method::HEAD),
            part: is(headers, "hx-request", "true"),
            from_elsewhere: is(headers, "sec-fetch-mode", "navigate")
                && (is(headers, "sec-fetch-site", "cross-site")
                    || is(headers, "sec-fetch-site", "same-site")),
            to: local(request.uri()),
        }
    }

    fn to_the_sign_in(&self, people: Option<ForPeople>) -> Response {
        if self.part {
            let mut response = Refusal(nobody()).into_response();
            let to = HeaderValue::from_static("/sign-in");
            response.headers_mut().insert("hx-redirect", to);
            return response;
        }
        if !self.looks {
            let what = "nobody is signed in any more: sign in, and repeat what you did";
            let problem = people.map_or_else(nobody, |_| unauthenticated(what));
            return refusal(problem, people);
        }
        if self.from_elsewhere {
            return self.again();
        }
        see_other(&sign_in_url(&self.to))
    }

    /// A browser keeps the cookie to itself where a link of another site leads here, be it from a mail about a
    /// failed run. A page that asks once more, from here, gets it.
    fn again(&self) -> Response {
        let to = escape(&self.to);
        page_with_head(
            &format!("<meta http-equiv=\"refresh\" content=\"0;url={to}\">"),
            "Velodrome",
            &format!("<p><a href=\"{to}\">Go on</a></p>"),
        )
    }
}

fn is(headers: &HeaderMap, name: &str, value: &str) -> bool {
    headers.get(name).is_some_and(|known| known == value)
}

/// Path and query, without what an absolute target has in front.
fn local(uri: &Uri) -> String {
    let local = uri.path_and_query().map_or("/", |both| both.as_str());
    local.to_owned()
}

/// The sign-in that leads on to this place.
pub(super) fn sign_in_url(to: &str) -> String {
    #[derive(Serialize)]
    struct Query<'a> {
        to: &'a str,
    }
    match to {
        "/" => "/sign-in".to_owned(),
        to => {
            let query = serde_urlencoded::to_string(Query { to });
            format!("/sign-in?{}", query.unwrap_or_default())
        }
    }
}

/// 303 to a place of this server.
pub(super) fn see_other(to: &str) -> Response {
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, to)]).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn asked(method: &str, uri: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        Asked::of(&request).to_the_sign_in(ForPeople::of(request.headers()))
    }

    #[test]
    fn whoever_is_not_signed_in_is_sent_there_and_back() {
        let check = |uri: &str, to: &str| {
            let response = asked("GET", uri, &[("sec-fetch-site", "none")]);
            assert_eq!(response.status(), 303, "{uri}");
            assert_eq!(response.headers()[LOCATION], to, "{uri}");
        };
        check("/", "/sign-in");
        check(
            "/runs/run_1?tab=log&a=b",
            "/sign-in?to=%2Fruns%2Frun_1%3Ftab%3Dlog%26a%3Db",
        );
        check("http://localhost/cycles", "/sign-in?to=%2Fcycles");
    }

    #[test]
    fn what_no_page_shows_is_refused_instead() {
        let part = asked("GET", "/", &[("hx-request", "true")]);
        assert_eq!(
            (part.status().as_u16(), &part.headers()["hx-redirect"]),
            (401, &HeaderValue::from_static("/sign-in"))
        );
        let page = asked("POST", "/", &[("accept", "text/html,*/*")]);
        assert_eq!(page.status(), 401);
        assert!(page.headers()["content-type"] == "text/html; charset=utf-8");
        assert_eq!(asked("POST", "/", &[]).status(), 401);
        assert!(!asked("POST", "/", &[]).headers().contains_key(LOCATION));
    }

    #[tokio::test]
    async fn a_link_of_another_site_asks_once_more_from_here() {
        let elsewhere = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
        ];
        let response = asked("GET", "/runs/a?b=%22&c=d", &elsewhere);
        assert_eq!(response.status(), 200);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            body.contains("content=\"0;url=/runs/a?b=%22&amp;c=d\""),
            "{body}"
        );
        let picture = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "no-cors"),
        ];
        assert_eq!(asked("GET", "/", &picture).status(), 303);
    }
}
