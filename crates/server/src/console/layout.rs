//! What is around every page: its head, the way to the others, and who is signed in.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use velodrome_runtime::api::Problem;

use super::assets::VERSION;
use crate::access::Caller;
use crate::app::App;

/// The parts of the console that stand in its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Overview,
    Loops,
    Runs,
    Log,
    Connections,
    Storage,
}

impl Part {
    const ALL: [(Self, &'static str, &'static str); 6] = [
        (Self::Overview, "/", "Overview"),
        (Self::Loops, "/loops", "Loops"),
        (Self::Runs, "/runs", "Runs"),
        (Self::Log, "/log", "Log"),
        (Self::Connections, "/connections", "Connections"),
        (Self::Storage, "/storage", "Storage"),
    ];
}

/// Up to which line of the log a page shows what happened: asked before anything that it shows is read, so that
/// nothing falls between.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl Seen {
    pub(super) fn now(app: &App) -> Self {
        Self(app.engine.store().last_seq())
    }

    /// The query of `/live` for whoever has seen that much and wants to be told of this, itself a query.
    pub(super) fn then(self, about: &str) -> String {
        let and = if about.is_empty() { "" } else { "&" };
        format!("{about}{and}after={}", self.0)
    }
}

/// A page.
pub(super) struct Page {
    pub(super) title: String,
    pub(super) part: Part,
    /// What it shows changes: the query of `/live` that tells so.
    pub(super) live: Option<String>,
    /// What stands above the part that changes.
    pub(super) top: Markup,
    /// The part that changes.
    pub(super) body: Markup,
    /// What stands below it: forms, which must not change under somebody's hands.
    pub(super) bottom: Markup,
}

impl Page {
    pub(super) fn new(title: impl Into<String>, part: Part, body: Markup) -> Self {
        Self {
            title: title.into(),
            part,
            live: None,
            top: Markup::default(),
            body,
            bottom: Markup::default(),
        }
    }

    /// The page for whoever asks.
    pub(super) fn show(self, caller: &Caller) -> Response {
        let live = self.live.map(|query| format!("/live?{query}"));
        let main = html! {
            (self.top)
            @if live.is_some() {
                div #live hx-get="" hx-trigger="sse:changed, every 30s" hx-select="#live" hx-swap="morph:outerHTML" {
                    (self.body)
                }
            } @else {
                div #live { (self.body) }
            }
            (self.bottom)
        };
        let shell = shell(
            &self.title,
            Some(self.part),
            Some(caller),
            live.as_deref(),
            &main,
        );
        page(StatusCode::OK, shell)
    }
}

fn page(status: StatusCode, shell: Markup) -> Response {
    let mut response = Response::new(Body::from(shell.into_string()));
    *response.status_mut() = status;
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, html);
    response
}

fn shell(
    title: &str,
    part: Option<Part>,
    caller: Option<&Caller>,
    live: Option<&str>,
    main: &Markup,
) -> Markup {
    let asset = |name: &str| format!("/assets/{name}?{}", *VERSION);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                // htmx must neither write a style of its own nor evaluate anything: the policy forbids both.
                meta name="htmx-config" content="{\"includeIndicatorStyles\":false,\"allowEval\":false,\"historyCacheSize\":0}";
                title { (title) " · Velodrome" }
                link rel="icon" href=(asset("icon.svg"));
                link rel="stylesheet" href=(asset("console.css"));
                script src=(asset("htmx.min.js")) defer {}
                script src=(asset("htmx-sse.min.js")) defer {}
                script src=(asset("idiomorph.min.js")) defer {}
                script src=(asset("console.js")) defer {}
            }
            body {
                a.skip href="#main" { "Skip to the page" }
                header.top {
                    div.in {
                        a.brand href="/" {
                            img src=(asset("icon.svg")) alt="" width="24" height="24";
                            "Velodrome"
                        }
                        nav aria-label="Console" {
                            @for (known, path, name) in Part::ALL {
                                a href=(path) aria-current=[(part == Some(known)).then_some("page")] { (name) }
                            }
                        }
                        @if let Some(caller) = caller {
                            form method="post" action="/sign-out" {
                                span { (caller.name) " · " (caller.role) }
                                (csrf(caller))
                                button.plain { "Sign out" }
                            }
                        }
                    }
                }
                @match live {
                    Some(live) => main #main tabindex="-1" hx-ext="sse,morph" sse-connect=(live) { (main) },
                    None => main #main tabindex="-1" { (main) },
                }
            }
        }
    }
}

/// What a form sends back to show that it is one of ours.
pub(super) fn csrf(caller: &Caller) -> Markup {
    html! {
        @if let Some(csrf) = &caller.csrf { input type="hidden" name="csrf" value=(csrf); }
    }
}

/// The sign that a page is live, and that it is not.
pub(super) fn live_sign() -> Markup {
    html! {
        span.live role="status" {
            span.on { "live" }
            span.off { "not live: the server cannot be reached" }
        }
    }
}

/// A problem as a page.
#[derive(Debug)]
pub(super) struct Wrong(pub(super) Problem);

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status =
            StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let main = html! {
            div.head { h1 { (problem.title) } }
            div.note.bad role="alert" {
                p { (problem.detail) }
                p.soft { code { (problem.code.as_str()) } }
            }
            p { a href="/" { "To the overview" } }
        };
        page(status, shell(&problem.title, None, None, None, &main))
    }
}
