//! The operator's log of changes: who asked for what, from where, and what came of it.

use std::net::IpAddr;

use axum::extract::{OriginalUri, Request};
use axum::http::Method;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;

use super::address::address;
use super::caller::Caller;
use crate::app::App;

/// Lets a request go on. Of one that may change something the operator's log says who asked for it, and what came
/// of it.
pub(super) async fn told(app: &App, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (head, body) = request.into_parts();
    let mut change = Change::of(app, &head);
    let response = next.run(Request::from_parts(head, body)).await;
    change.status = Some(response.status().as_u16());
    response
}

/// A change that somebody asked for. It is told when it is over, also where the caller went away meanwhile, for
/// what was begun goes on; then without a status.
struct Change {
    by: Option<String>,
    from: IpAddr,
    method: Method,
    path: String,
    status: Option<u16>,
}

impl Change {
    fn of(app: &App, head: &Parts) -> Self {
        let whole = head.extensions.get::<OriginalUri>();
        let whole = whole.map_or(&head.uri, |OriginalUri(uri)| uri);
        Self {
            by: head.extensions.get::<Caller>().map(|it| it.name.clone()),
            from: address(app, head),
            method: head.method.clone(),
            path: whole.path().to_owned(),
            status: None,
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        let Self {
            by,
            from,
            method,
            path,
            status,
        } = self;
        tracing::info!(by, %method, path, status, %from, "asked for");
    }
}
