//! Refusals at the console: a person whose browser asks for a page gets one, a program problem details.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use velodrome_runtime::api::Problem;

use crate::page::{escape, own_page};
use crate::problem::Refusal;

/// Marks a request of the console's by which a browser wants a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct ForPeople;

impl ForPeople {
    /// Whether it is one: a script asks for parts of a page, or for anything.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
        let is_page = accept.is_some_and(|accept| accept.contains("text/html"));
        (is_page && !headers.contains_key("hx-request")).then_some(Self)
    }
}

/// The problem, as who asks can read it.
pub(super) fn refusal(problem: Problem, people: Option<ForPeople>) -> Response {
    if people.is_none() {
        return Refusal(problem).into_response();
    }
    let (to, name) = match problem.status {
        401 => ("/sign-in", "Sign in"),
        _ => ("/", "To the overview"),
    };
    let markup = format!(
        "<p role=\"alert\">{}</p><p><code>{}</code></p><p><a href=\"{to}\">{name}</a></p>",
        escape(&problem.detail),
        escape(problem.code.as_str()),
    );
    let title = problem.title.clone();
    // Status and headers are those of the problem.
    let (mut head, _) = Refusal(problem).into_response().into_parts();
    let (page, body) = own_page(StatusCode::OK, &title, &markup).into_parts();
    head.headers.extend(page.headers);
    head.extensions.extend(page.extensions);
    Response::from_parts(head, body)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn asking(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| {
                let name = axum::http::HeaderName::from_static(name);
                (name, HeaderValue::from_static(value))
            })
            .collect()
    }

    #[test]
    fn a_browser_that_opens_a_page_is_known() {
        let page = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
        assert!(ForPeople::of(&asking(&[page])).is_some());
        for other in [
            vec![],
            vec![("accept", "*/*")],
            vec![("accept", "application/json")],
            vec![page, ("hx-request", "true")],
        ] {
            assert!(ForPeople::of(&asking(&other)).is_none(), "{other:?}");
        }
    }

    #[tokio::test]
    async fn a_person_reads_a_page_with_the_status_and_the_headers_of_the_problem() {
        let problem = || {
            let mut problem = Problem::new(429, "api.too_many_attempts", "wait <b>7</b> s");
            problem.more.insert("retry_after".to_owned(), 7.into());
            problem
        };
        let response = refusal(problem(), Some(ForPeople));
        let (head, body) = response.into_parts();
        assert_eq!(
            (head.status.as_u16(), &head.headers["retry-after"]),
            (429, &HeaderValue::from(7))
        );
        assert_eq!(head.headers["content-type"], "text/html; charset=utf-8");
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("wait &lt;b&gt;7&lt;/b&gt; s"), "{body}");
        assert!(
            body.contains("<code>api.too_many_attempts</code>"),
            "{body}"
        );
        let program = refusal(problem(), None);
        assert_eq!(
            program.headers()["content-type"],
            "application/problem+json"
        );
    }
}
