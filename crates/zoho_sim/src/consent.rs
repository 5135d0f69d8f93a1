//! The authorization page: checks what a client asks for, shows Accept and Deny, and sends the
//! browser back.
//!
//! ```text
//!  GET  /oauth/v2/auth?…                      ──▶ the page, or straight back where the user has
//!                                                 agreed before and `prompt=consent` is not sent
//!  POST /oauth/v2/auth  (same parameters, decision=accept|deny)  ──▶ 302 to `redirect_uri`
//! ```
//!
//! A fault in the request is shown on the page and the browser is not sent anywhere.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};
use url::Url;

use crate::grants::{AccessType, Consent, Scopes};
use crate::pkce::Challenge;
use crate::query::Pairs;
use crate::world::App;

/// An authorization request that passed its checks.
#[derive(Debug)]
struct AuthRequest {
    back: Url,
    state: Option<String>,
    consent: Consent,
}

/// What the page says instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    ResponseType,
    Client,
    RedirectUri,
    Scope,
    Challenge,
}

pub(crate) async fn ask(State(app): State<Arc<App>>, uri: Uri) -> Response {
    let query = Pairs::parse(uri.query().unwrap_or_default().as_bytes());
    let request = match AuthRequest::check(&app, &query) {
        Ok(request) => request,
        Err(fault) => return fault.page(),
    };
    let asks_anew = request.consent.access == AccessType::Offline { prompted: true }
        || query.get("prompt") == Some("consent");
    if !asks_anew && app.world().grants.remembers(&request.consent.scopes) {
        return accept(&app, request);
    }
    html(StatusCode::OK, &page(&query, &request.consent.scopes))
}

pub(crate) async fn decide(State(app): State<Arc<App>>, uri: Uri, body: Bytes) -> Response {
    let query = Pairs::parse(uri.query().unwrap_or_default().as_bytes());
    let form = Pairs::parse(&body).then(query);
    let request = match AuthRequest::check(&app, &form) {
        Ok(request) => request,
        Err(fault) => return fault.page(),
    };
    match form.get("decision") {
        Some("accept") => accept(&app, request),
        _ => deny(request),
    }
}

fn accept(app: &App, request: AuthRequest) -> Response {
    let mut world = app.world();
    let now = world.now();
    let AuthRequest {
        mut back,
        state,
        consent,
    } = request;
    let Some(code) = world.grants.issue_code(consent.clone(), now) else {
        return deny(AuthRequest {
            back,
            state,
            consent,
        });
    };
    {
        let mut pairs = back.query_pairs_mut();
        if let Some(state) = &state {
            pairs.append_pair("state", state);
        }
        pairs.append_pair("code", &code);
        pairs.append_pair("location", &app.options.location);
        pairs.append_pair("accounts-server", &app.url);
    }
    redirect(&back)
}

fn deny(request: AuthRequest) -> Response {
    let mut back = request.back;
    if let Some(state) = &request.state {
        back.query_pairs_mut().append_pair("state", state);
    }
    back.query_pairs_mut().append_pair("error", "access_denied");
    redirect(&back)
}

impl AuthRequest {
    fn check(app: &App, asked: &Pairs) -> Result<Self, Fault> {
        let options = &app.options;
        if asked.get("client_id") != Some(options.client_id.as_str()) {
            return Err(Fault::Client);
        }
        let redirect_uri = asked.get("redirect_uri").ok_or(Fault::RedirectUri)?;
        let registered = options.redirect_uris.is_empty()
            || options
                .redirect_uris
                .iter()
                .any(|known| known == redirect_uri);
        let back = Url::parse(redirect_uri).map_err(|_| Fault::RedirectUri)?;
        if !registered || !matches!(back.scheme(), "http" | "https") {
            return Err(Fault::RedirectUri);
        }
        if asked.get("response_type") != Some("code") {
            return Err(Fault::ResponseType);
        }
        let scopes = scopes(asked.get("scope").unwrap_or_default()).ok_or(Fault::Scope)?;
        let challenge = match asked.get("code_challenge") {
            None => None,
            Some(challenge) => {
                let method = asked.get("code_challenge_method");
                Some(Challenge::new(challenge, method).ok_or(Fault::Challenge)?)
            }
        };
        let access = match asked.get("access_type") {
            Some("offline") => AccessType::Offline {
                prompted: asked.get("prompt") == Some("consent"),
            },
            _ => AccessType::Online,
        };
        let redirect_uri = redirect_uri.to_owned();
        Ok(Self {
            back,
            state: asked.get("state").map(str::to_owned),
            consent: Consent {
                scopes,
                redirect_uri,
                access,
                challenge,
            },
        })
    }
}

/// Scopes are separated by commas and look like `Service.scope.OPERATION`.
pub(crate) fn scopes(text: &str) -> Option<Scopes> {
    let well_formed = |scope: &str| {
        let parts: Vec<&str> = scope.split('.').collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        parts.len() >= 3 && parts.iter().all(word)
    };
    let scopes: Vec<&str> = text.split(',').map(str::trim).collect();
    let good = scopes.iter().all(|scope| well_formed(scope));
    good.then(|| scopes.into_iter().map(str::to_owned).collect())
}

impl Fault {
    fn code(self) -> &'static str {
        match self {
            Self::ResponseType => "invalid_response_type",
            Self::Client => "invalid_client",
            Self::RedirectUri => "invalid_redirect_uri",
            Self::Scope => "invalid_scope",
            Self::Challenge => "invalid_code_challenge_method",
        }
    }

    fn page(self) -> Response {
        let code = self.code();
        let text = format!(
            "<!doctype html><html lang=\"en\"><head><title>Error occurred</title></head>\
             <body><h1>Error occurred</h1><p>{code}</p></body></html>"
        );
        html(StatusCode::BAD_REQUEST, &text)
    }
}

fn page(query: &Pairs, scopes: &[String]) -> String {
    let hidden: String = query
        .iter()
        .filter(|(name, _)| *name != "decision")
        .map(|(name, value)| {
            format!(
                "<input type=\"hidden\" name=\"{}\" value=\"{}\">",
                escape(name),
                escape(value)
            )
        })
        .collect();
    let asked: String = scopes
        .iter()
        .map(|scope| format!("<li>{}</li>", escape(scope)))
        .collect();
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Simulated Zoho sign-in</title><link rel=\"icon\" href=\"data:,\">\
         <style>body{{font:16px system-ui;max-width:30rem;margin:4rem auto}}\
         button{{font:inherit;padding:.5rem 1.5rem;margin-right:1rem}}</style></head>\
         <body><h1>Simulated Zoho</h1><p>An application asks for access to this account:</p>\
         <ul>{asked}</ul><form method=\"post\" action=\"/oauth/v2/auth\">{hidden}\
         <button name=\"decision\" value=\"accept\">Accept</button>\
         <button name=\"decision\" value=\"deny\">Deny</button></form></body></html>"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn html(status: StatusCode, text: &str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/html;charset=UTF-8")],
        text.to_owned(),
    )
        .into_response()
}

fn redirect(to: &Url) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, to.as_str())]).into_response()
}
