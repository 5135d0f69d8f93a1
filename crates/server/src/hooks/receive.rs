//! The way of a webhook request from the router to the engine.
//!
//! ```text
//!  size ─▶ type ─▶ address, origin, host ─▶ auth ─▶ engine: parse, before_webhook, fields, …
//! ```
//!
//! Nothing of the body is parsed and nothing that a user wrote runs before `auth`. A hand-off over HTTP
//! that this process signed asks nobody who may call (SPEC §7).

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use bytes::Bytes;
use tokio::time::Instant;
use utoipa::OpenApi;
use velodrome_runtime::api::{BodyFormat, HookAuth, HookRequest, Problem, Scheme};
use velodrome_runtime::{Engine, HANDOFF_HEADER, Hook};
use velodrome_types::Timestamp;

use super::address::{Peer, may_call};
use super::answer::hook_response;
use super::auth::{self, authenticate, challenge};
use super::format::body_format;
use super::request::{delivery_id, header_map, idempotency_key, query_map};
use super::{link, pages};
use crate::access::Guarded;
use crate::app::App;
use crate::body::{BodyFault, read_body};
use crate::openapi::{
    Accepted, AnyJson, Conflict, CycleOfPath, IdempotencyKey, MediaType, NoAnswer, NotAllowed,
    NotAuthenticated, NotFound, OfBody, QueueFull, StepInPath, Unacceptable,
};
use crate::origin::KnownHosts;
use crate::problem::{Refusal, only_methods};

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(trigger, step, link::look, link::resume))]
pub(crate) struct Operations;

/// `/hooks/{cycle}`, `/hooks/{cycle}/{step}`, and the link of a run that waits there.
pub(crate) fn routes() -> Guarded {
    let own_rules = "the cycle's own rules: `auth`, `allow_ips`, `origins`";
    let link = get(link::look).post(link::resume).fallback(async || {
        only_methods(
            "GET, POST",
            "webhook.method_refused",
            "a link is opened or posted to",
        )
    });
    Guarded::new()
        .open(
            &["POST"],
            "/hooks/{cycle}",
            own_rules,
            only_post(post(trigger).options(trigger)),
        )
        .open(
            &["POST"],
            "/hooks/{cycle}/{step}",
            own_rules,
            only_post(post(step).options(step)),
        )
        .open(
            &["GET", "POST"],
            "/hooks/{cycle}/{step}/{link}",
            "the link of a waiting run, which cannot be guessed",
            link,
        )
}

fn only_post<S: Clone + Send + Sync + 'static>(taken: MethodRouter<S>) -> MethodRouter<S> {
    taken.fallback(async || not_a_post())
}

fn not_a_post() -> Response {
    only_methods(
        "POST",
        "webhook.method_refused",
        "a webhook is called by POST",
    )
}

#[utoipa::path(
    post,
    path = "/hooks/{cycle}",
    operation_id = "call_webhook",
    tag = "webhooks",
    summary = "Calls a cycle's webhook",
    params(CycleOfPath, IdempotencyKey),
    request_body(content((AnyJson = "application/json"), (AnyJson = "application/x-www-form-urlencoded")), description = "What the webhook is given: JSON, or a form."),
    responses((status = 200, description = "`ignored`, or what `before_webhook` or `respond` say.", body = AnyJson), (status = 202, description = "Accepted: on disk, durably.", body = Accepted), (status = "default", description = "What the cycle answers itself: status, headers and body are what `before_webhook` or `respond` say."), OfBody, NotAuthenticated, NotAllowed, NotFound, Conflict, MediaType, Unacceptable, QueueFull, NoAnswer)
)]
async fn trigger(
    State(app): State<Arc<App>>,
    path: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path(cycle) = path.map_err(|_| unreadable_path())?;
    let target = Target {
        cycle,
        step: None,
        resume: None,
    };
    Ok(answer(&app, target, request).await)
}

#[utoipa::path(
    post,
    path = "/hooks/{cycle}/{step}",
    operation_id = "call_webhook_step",
    tag = "webhooks",
    summary = "Calls one of a cycle's webhook steps",
    params(CycleOfPath, StepInPath, IdempotencyKey),
    request_body(content((AnyJson = "application/json"), (AnyJson = "application/x-www-form-urlencoded")), description = "What the webhook is given: JSON, or a form."),
    responses((status = 200, description = "`ignored`, or what `before_webhook` or `respond` say.", body = AnyJson), (status = 202, description = "Accepted: on disk, durably.", body = Accepted), (status = "default", description = "What the cycle answers itself: status, headers and body are what `before_webhook` or `respond` say."), OfBody, NotAuthenticated, NotAllowed, NotFound, Conflict, MediaType, Unacceptable, QueueFull, NoAnswer)
)]
async fn step(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
    request: Request,
) -> Result<Response, Refusal> {
    let Path((cycle, step)) = path.map_err(|_| unreadable_path())?;
    let target = Target {
        cycle,
        step: Some(step),
        resume: None,
    };
    Ok(answer(&app, target, request).await)
}

/// The webhook that the path names.
pub(super) struct Target {
    pub(super) cycle: String,
    pub(super) step: Option<String>,
    /// The link of a run that waits there.
    pub(super) resume: Option<String>,
}

/// Answers an operator, whom the API has let in already: no webhook's rules are asked.
pub(crate) async fn by_operator(
    app: &App,
    cycle: String,
    step: Option<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (head, body) = request.into_parts();
    let limit = app.options.body_limit;
    let body = read_body(&head.headers, body, limit)
        .await
        .map_err(|why| not_read(&why, limit))?;
    let format = body_format(&head.headers, &body)?;
    let target = Target {
        cycle,
        step,
        resume: None,
    };
    let mut request = hook_request(target, &head, body, format);
    request.headers.shift_remove(HANDOFF_HEADER);
    request.by_operator = true;
    Ok(hook_response(&app.engine.receive(request).await?))
}

/// Answers a request, and counts it.
async fn answer(app: &App, target: Target, request: Request) -> Response {
    let (cycle, begun) = (target.cycle.clone(), Instant::now());
    let asks_first = request.method() == Method::OPTIONS;
    let response = answer_uncounted(app, target, request).await;
    if !asks_first {
        let status = response.status().as_u16();
        app.engine.webhook_answered(&cycle, status, begun.elapsed());
    }
    response
}

/// Answers a request, and tells browsers who may read the answer.
async fn answer_uncounted(app: &App, target: Target, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.method == Method::OPTIONS && !pages::is_preflight(&head.headers) {
        return not_a_post();
    }
    let cycle = target.cycle.clone();
    let (hook, answered) = match app.engine.hook(&cycle, target.step.as_deref()) {
        Ok(hook) => {
            let answered = if head.method == Method::OPTIONS {
                preflight(app, hook.as_ref(), &head)
            } else {
                receive(app, hook.as_ref(), target, &head, body).await
            };
            (hook, answered)
        }
        Err(problem) => (None, Err(problem.into())),
    };
    let mut response = answered.unwrap_or_else(|refused| {
        if refused.unseen {
            app.engine
                .refused(&cycle, &refused.problem, refused.why.as_deref());
        }
        refused.into_response()
    });
    let origins = hook.as_ref().map_or(&[][..], Hook::origins);
    pages::tell_browsers(origins, &head.headers, &mut response);
    response
}

fn preflight(app: &App, hook: Option<&Hook>, head: &Parts) -> Result<Response, Refused> {
    // Without a list of pages there is none that could be told yes.
    if hook.is_none_or(|hook| hook.origins().is_empty()) {
        return Ok(not_a_post());
    }
    let gate = Gate {
        hook,
        hosts: &app.hosts,
        now: app.options.now.read(),
    };
    gate.address_and_origin(head)?;
    Ok(pages::preflight(&head.headers))
}

async fn receive(
    app: &App,
    hook: Option<&Hook>,
    target: Target,
    head: &Parts,
    body: axum::body::Body,
) -> Result<Response, Refused> {
    let limit = app.options.body_limit;
    let body = read_body(&head.headers, body, limit)
        .await
        .map_err(|why| not_read(&why, limit))?;
    let format = body_format(&head.headers, &body)?;
    let handed_off = handed_off(&app.engine, &head.headers, &target.cycle)?;
    if !handed_off {
        let gate = Gate {
            hook,
            hosts: &app.hosts,
            now: app.options.now.read(),
        };
        gate.admit(head, &body)?;
    }
    let signed_id = matches!(
        hook.map(Hook::auth),
        Some(HookAuth::Required {
            scheme: Scheme::StandardWebhooks,
            ..
        })
    );
    let mut request = hook_request(target, head, body, format);
    if signed_id {
        // Whoever sends a delivery again cannot make it another one by a key that nobody signed.
        request.idempotency_key = delivery_id(&head.headers);
    }
    let answered = match hook.filter(|_| !handed_off) {
        Some(hook) => app.engine.receive_by(hook.clone(), request).await,
        None => app.engine.receive(request).await,
    };
    Ok(hook_response(&answered.map_err(Refused::by_engine)?))
}

/// A request as the engine takes it.
pub(super) fn hook_request(
    target: Target,
    head: &Parts,
    body: Bytes,
    format: BodyFormat,
) -> HookRequest {
    HookRequest {
        cycle: target.cycle,
        step: target.step,
        resume: target.resume,
        format,
        body,
        idempotency_key: idempotency_key(&head.headers),
        headers: header_map(&head.headers),
        query: query_map(head.uri.query()),
        by_operator: false,
    }
}

/// Whether a cycle of this server sends it; refused where it only says so.
fn handed_off(engine: &Engine, headers: &HeaderMap, cycle: &str) -> Result<bool, Problem> {
    let Some(value) = headers.get(HANDOFF_HEADER) else {
        return Ok(false);
    };
    let signed = value
        .to_str()
        .is_ok_and(|value| engine.is_handoff(value, cycle));
    if signed {
        return Ok(true);
    }
    let what = "the hand-off header was not signed by this server for this cycle";
    Err(Problem::new(401, "handoff.signature", what))
}

/// What stands between a request and the engine.
struct Gate<'a> {
    hook: Option<&'a Hook>,
    hosts: &'a KnownHosts,
    now: Timestamp,
}

impl Gate<'_> {
    fn admit(&self, head: &Parts, body: &[u8]) -> Result<(), Refused> {
        self.address_and_origin(head)?;
        match self.hook.map(Hook::auth) {
            None | Some(HookAuth::Anybody) => Ok(()),
            Some(HookAuth::Required { scheme, secrets }) => {
                let request = auth::Request {
                    headers: &head.headers,
                    body,
                    now: self.now,
                };
                authenticate(scheme, secrets, request).map_err(|not| {
                    let told = format!("the caller is not authenticated: {}", not.told);
                    let problem = Problem::new(401, "webhook.unauthenticated", told);
                    Refused {
                        challenge: challenge(scheme),
                        why: not.why,
                        ..Refused::from(problem)
                    }
                })
            }
        }
    }

    fn address_and_origin(&self, head: &Parts) -> Result<(), Refused> {
        let peer = head.extensions.get::<Peer>().copied();
        let may = self.hook.is_none_or(|hook| {
            may_call(
                peer,
                &head.headers,
                hook.trusted_proxies(),
                hook.allow_ips(),
            )
        });
        if !may {
            let what = "this address may not call this webhook: `allow_ips` names those that may";
            return Err(Problem::new(403, "webhook.address_refused", what).into());
        }
        let origins = self.hook.map_or(&[][..], Hook::origins);
        let auth = self.hook.map_or(&HookAuth::Anybody, Hook::auth);
        Ok(pages::admit(origins, auth, self.hosts, head)?)
    }
}

/// A request that was not let in.
#[derive(Debug)]
struct Refused {
    problem: Problem,
    /// What `WWW-Authenticate` says.
    challenge: Option<HeaderValue>,
    /// What the operator is told beside.
    why: Option<String>,
    /// Whether the engine has not seen it: it notes its own refusals itself.
    unseen: bool,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self {
            problem,
            challenge: None,
            why: None,
            unseen: true,
        }
    }
}

impl Refused {
    fn by_engine(problem: Problem) -> Self {
        Self {
            unseen: false,
            ..Self::from(problem)
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let mut response = Refusal(self.problem).into_response();
        // A signature has no scheme that HTTP knows: a challenge would only mislead.
        response.headers_mut().remove(WWW_AUTHENTICATE);
        if let Some(challenge) = self.challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

pub(super) fn unreadable_path() -> Problem {
    Problem::new(
        404,
        "webhook.unknown",
        "no cycle has this webhook: its path is not UTF-8",
    )
}

pub(super) fn not_read(why: &BodyFault, limit: u64) -> Problem {
    match why {
        BodyFault::TooLarge => {
            let what = format!("the body is over {limit} bytes: send less, or raise `body_limit`");
            Problem::new(413, "webhook.too_large", what)
        }
        BodyFault::Broken => {
            Problem::new(400, "webhook.bad_body", "the body broke off before its end")
        }
        BodyFault::Slow => Problem::new(408, "webhook.body_slow", "the body took too long to come"),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;
    use serde_json::json;
    use velodrome_types::Json;

    use super::*;

    fn head(pairs: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder()
            .method("POST")
            .uri("/hooks/zoho/webhook?q=1");
        for (name, value) in pairs {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_good_request_reaches_the_engine_as_it_is() {
        let head = head(&[
            ("host", "localhost:7300"),
            ("content-type", "application/json"),
            ("authorization", "Bearer a"),
            ("idempotency-key", "k"),
        ]);
        let target = Target {
            cycle: "zoho".to_owned(),
            step: Some("webhook".to_owned()),
            resume: None,
        };
        let body = Bytes::from_static(b"{\"page\": 1}");
        let request = hook_request(target, &head, body, BodyFormat::Json);
        assert_eq!(
            (request.cycle.as_str(), request.step.as_deref()),
            ("zoho", Some("webhook"))
        );
        assert_eq!(request.format, BodyFormat::Json);
        assert_eq!(request.body, r#"{"page": 1}"#);
        assert_eq!(request.idempotency_key.as_deref(), Some("k"));
        assert_eq!(Json::Object(request.query), json!({"q": "1"}));
        assert!(!request.headers.contains_key("authorization"));
        assert_eq!(request.headers["host"], "localhost:7300");
    }

    #[test]
    fn only_a_scheme_of_http_is_a_challenge() {
        let problem = || Problem::new(401, "webhook.unauthenticated", "");
        let plain = Refused::from(problem()).into_response();
        assert_eq!(plain.status(), 401);
        assert!(!plain.headers().contains_key(WWW_AUTHENTICATE));
        let basic = Refused {
            challenge: challenge(&Scheme::Basic {
                user: String::new(),
            }),
            ..Refused::from(problem())
        };
        let basic = basic.into_response();
        assert_eq!(
            basic.headers()[WWW_AUTHENTICATE],
            "Basic realm=\"velodrome\", charset=\"UTF-8\""
        );
    }

    #[tokio::test]
    async fn other_methods_are_told_to_post() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"] {
            let routes = only_post(post(async || "taken"));
            let router = axum::Router::new().route("/hooks/{cycle}", routes);
            let request = Request::builder().method(method).uri("/hooks/a");
            let request = request.body(Body::empty()).unwrap();
            let response = TowerToHyperService::new(router)
                .call(request)
                .await
                .unwrap();
            assert_eq!(response.status(), 405, "{method}");
            assert_eq!(response.headers()["allow"], "POST", "{method}");
        }
    }
}
