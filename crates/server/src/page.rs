//! The small pages that a browser shows around a sign-in, and for the link of a run that waits: no script, nothing
//! fetched.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;\
padding:0 1rem;color:#1c1e21;background:#fff}input,select,button{font:inherit;padding:.3rem .6rem}h1{font-size:1.4rem}code{color:#555}\
@media(prefers-color-scheme:dark){body{color:#e6e6e6;background:#16181b}code{color:#aaa}a{color:#9cc0ff}}";

/// Allows the style above, by its hash, and nothing else.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = policy("form-action 'none'");
    HeaderValue::from_str(&policy).expect("base64 is visible ASCII")
});

/// Allows forms to this server besides.
static OWN_POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let policy = policy("form-action 'self'");
    HeaderValue::from_str(&policy).expect("base64 is visible ASCII")
});

fn policy(more: &str) -> String {
    let hash = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; frame-ancestors 'none'; {more}"
    )
}

/// Marks a page of ours: it keeps its policy, and nobody keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnPage;

/// A page that says one thing; `code` is the stable code of a problem.
pub(crate) fn page(status: StatusCode, title: &str, text: &str, code: Option<&str>) -> Response {
    let mut html = begun("", title);
    write!(html, "<p>{}</p>", escape(text)).expect("a text takes all");
    if let Some(code) = code {
        write!(html, "<p><code>{}</code></p>", escape(code)).expect("a text takes all");
    }
    ended(html, status, POLICY.clone())
}

/// A page of markup of ours, whose forms are sent to this server alone.
pub(crate) fn own_page(status: StatusCode, title: &str, markup: &str) -> Response {
    let mut html = begun("", title);
    html.push_str(markup);
    ended(html, status, OWN_POLICY.clone())
}

/// The same with something in its head.
pub(crate) fn page_with_head(head: &str, title: &str, markup: &str) -> Response {
    let mut html = begun(head, title);
    html.push_str(markup);
    ended(html, StatusCode::OK, OWN_POLICY.clone())
}

/// A page with a form that is sent to where the page came from. `inputs` is markup; `by_hand` tells whether a
/// person can fill it in.
pub(crate) fn form_page(title: &str, inputs: &str, by_hand: bool, service_url: &str) -> Response {
    let mut html = begun("", title);
    html.push_str("<form method=\"post\">");
    html.push_str(inputs);
    html.push_str(match by_hand {
        true => "<p><button>Go on</button></p></form>",
        false => "</form><p>What it waits for cannot be filled in here: a program answers it with a POST.</p>",
    });
    // A sandboxed page has no origin of its own in some browsers, so the server is named too.
    let more = format!("form-action 'self' {service_url}; sandbox allow-forms");
    let policy =
        HeaderValue::from_str(&policy(&more)).unwrap_or(HeaderValue::from_static("sandbox"));
    ended(html, StatusCode::OK, policy)
}

fn begun(head: &str, title: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">{head}<title>{title}</title>\
         <style>{STYLE}</style></head><body><main><h1>{title}</h1>",
        title = escape(title),
    )
}

fn ended(mut html: String, status: StatusCode, policy: HeaderValue) -> Response {
    html.push_str("</main></body></html>\n");
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response.extensions_mut().insert(OwnPage);
    response
}

pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_came_from_outside_stays_text() {
        let hostile = "<script>alert('&')</script>\"";
        let response = page(StatusCode::BAD_REQUEST, hostile, hostile, Some(hostile));
        assert_eq!(response.status(), 400);
        let policy = response.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap()
            .to_owned();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'sha256-"),
            "{policy}"
        );
        let body = axum::body::to_bytes(response.into_body(), usize::MAX)
            .await
            .unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(!body.contains("<script"), "{body}");
        let safe = "&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;&quot;";
        assert_eq!(body.matches(safe).count(), 4, "{body}");
    }
}
