//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use velodrome_runtime::Engine;

use crate::access::authenticated;
use crate::answer::with_common_headers;
use crate::app::{App, ServerOptions};
use crate::problem::{method_refused, panicked, unknown_path};
use crate::{api, health, hooks, sign_in};

/// All that this server answers.
///
/// Every path but webhooks, the two of a sign-in and the two of health needs the token. What is not
/// found, not allowed or broken is answered with problem details.
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    let app = Arc::new(App::new(engine, options));
    let api = api::routes()
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_refused)
        .layer(from_fn_with_state(Arc::clone(&app), authenticated));
    let routes = Router::new()
        .nest("/api/v1", api)
        .merge(hooks::routes())
        .merge(health::routes())
        .merge(sign_in::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_refused)
        .with_state(app);
    common(routes)
}

/// What goes around every route: a panic becomes an answer, and the answer gets its headers.
fn common(routes: Router) -> Router {
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(with_common_headers))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::response::Response;
    use axum::routing::{get, post};
    use hyper::service::Service;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    async fn broken() -> &'static str {
        panic!("on purpose")
    }

    fn sample() -> Router {
        let inner = Router::new()
            .route("/a", get(async || "a").put(async || "b"))
            .fallback(unknown_path)
            .method_not_allowed_fallback(method_refused);
        let routes = Router::new()
            .nest("/api/v1", inner)
            .route("/hooks/{cycle}", post(broken))
            .fallback(unknown_path);
        common(routes)
    }

    async fn call(method: &str, path: &str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        TowerToHyperService::new(sample())
            .call(request)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_wrong_method_is_told_the_right_ones() {
        let response = call("POST", "/api/v1/a").await;
        assert_eq!(response.status(), 405);
        assert_eq!(response.headers()["allow"], "GET,HEAD,PUT");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }

    #[tokio::test]
    async fn unknown_paths_are_problems_everywhere() {
        for path in [
            "/",
            "/api/v1/b",
            "/api/v1",
            "/hooks",
            "/hooks/",
            "/hooks/a/b/c",
        ] {
            let (head, body) = call("GET", path).await.into_parts();
            let headers = head.headers;
            assert_eq!(head.status, 404, "{path}");
            assert_eq!(
                headers["content-type"], "application/problem+json",
                "{path}"
            );
            assert_eq!(headers["x-content-type-options"], "nosniff");
            let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
            let named = format!("there is nothing at `{path}`");
            assert!(
                String::from_utf8_lossy(&body).contains(&named),
                "{path}: {body:?}"
            );
            let sandboxed = headers.contains_key("content-security-policy");
            assert_eq!(sandboxed, path.starts_with("/hooks"), "{path}");
        }
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_with_all_headers() {
        let response = call("POST", "/hooks/a").await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-security-policy"], "sandbox");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    }
}
