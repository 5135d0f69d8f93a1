//! Which path leads where.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use velodrome_runtime::Engine;

use crate::access::{self, Gate, Guarded, RouteRule};
use crate::access::{api_guard, beside_guard, console_guard, sign_out_routes};
use crate::answer::with_common_headers;
use crate::app::{App, ServerOptions};
use crate::problem::{method_refused, panicked, unknown_path};
use crate::requests::{Numbering, told};
use crate::{api, console, health, hooks, metrics, openapi, sign_in, watching};

/// Where the API begins.
const API: &str = "/api/v1";

/// Every route there is, by the gate that it stands behind.
struct Routes {
    /// Below [`API`].
    api: Guarded,
    /// For programs too, not below it.
    beside: Guarded,
    console: Guarded,
    open: Guarded,
}

impl Routes {
    fn all() -> Self {
        Self {
            api: api::routes(),
            beside: watching::routes()
                .merge(openapi::routes())
                .merge(metrics::routes()),
            console: console::routes().merge(sign_out_routes()),
            open: hooks::routes()
                .merge(health::routes())
                .merge(sign_in::routes())
                .merge(access::routes())
                .merge(console::asset_routes()),
        }
    }
}

/// Every route of the server and who may use it, in order of their paths.
pub fn route_table() -> Vec<RouteRule> {
    let all = Routes::all();
    let mut table: Vec<RouteRule> = all
        .api
        .rules(API, Gate::Api)
        .chain(all.beside.rules("", Gate::Api))
        .chain(all.console.rules("", Gate::Console))
        .chain(all.open.rules("", Gate::Api))
        .collect();
    table.sort_by(|a, b| (&a.path, a.method).cmp(&(&b.path, b.method)));
    table
}

/// All that this server answers, as [`route_table`] lists it. What is not found, not allowed or broken is
/// answered with problem details.
pub fn router(engine: Engine, options: ServerOptions) -> Router {
    let app = Arc::new(App::new(engine, options));
    let all = Routes::all();
    let routes = Router::new()
        .nest(API, api_guard(all.api, &app))
        .merge(beside_guard(all.beside, &app))
        .merge(console_guard(all.console, &app))
        .merge(all.open.into_router())
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_refused)
        .with_state(app);
    common(routes)
}

/// What goes around every route: a panic becomes an answer, and the answer gets its headers and a number.
fn common(routes: Router) -> Router {
    routes
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(with_common_headers))
        .layer(from_fn_with_state(Numbering::new(), told))
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
        assert!(response.headers().contains_key("x-request-id"));
    }
}
