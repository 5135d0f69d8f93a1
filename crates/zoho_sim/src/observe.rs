//! What surrounds every answer of the simulated servers: faults before and after it, the virtual
//! `Date`, the log and the counts.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::answer::Listed;
use crate::clock::{http_date, zoho_time};
use crate::crm::{authorization, is_list};
use crate::faults::{Target, cut};
use crate::query::Pairs;
use crate::request_log::{LoggedRequest, without_secrets};
use crate::world::App;

pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let targets = targets(request.method(), request.uri().path());
    let fault = app.world().faults.take(&targets);
    let mut logged = describe(request.method(), request.uri(), request.headers());
    logged.faulted = fault.is_some();
    let page = targets
        .contains(&Target::List)
        .then(|| page_asked(request.uri()));

    if let Some(fault) = &fault {
        tokio::time::sleep(fault.delay).await;
    }
    let mut response = match fault.as_ref().and_then(|fault| fault.refusal.as_ref()) {
        Some(refusal) => refusal.answer(),
        None => next.run(request).await,
    };
    if fault.as_ref().is_some_and(|fault| fault.cut) {
        response.extensions_mut().remove::<Listed>();
        response = cut(response).await;
    }

    let served = response
        .extensions_mut()
        .remove::<Listed>()
        .map_or(Vec::new(), |listed| listed.0);
    logged.status = response.status().as_u16();
    logged.records = served.len();
    let mut world = app.world();
    let now = world.now();
    logged.at = zoho_time(now, world.contacts.zone());
    let scheme = logged
        .authorization
        .clone()
        .filter(|_| targets.contains(&Target::Crm));
    world.log.push(logged);
    if let Some(scheme) = scheme {
        world.tally.scheme(&scheme);
    }
    if let Some(page) = page {
        world.tally.list_asked(page);
    }
    if fault.is_some() {
        world.tally.fault();
    }
    world.tally.served(&served);
    drop(world);
    let headers = response.headers_mut();
    headers.insert(header::SERVER, HeaderValue::from_static("ZGS"));
    if let Ok(date) = HeaderValue::from_str(&http_date(now)) {
        headers.insert(header::DATE, date);
    }
    response
}

fn targets(method: &Method, path: &str) -> Vec<Target> {
    if path == "/oauth/v2/token" && method == Method::POST {
        vec![Target::Token]
    } else if is_list(method, path) {
        vec![Target::Crm, Target::List]
    } else if path.starts_with("/crm/") {
        vec![Target::Crm]
    } else {
        Vec::new()
    }
}

/// The page number of a list request; none where it sends a token.
fn page_asked(uri: &Uri) -> Option<u32> {
    let query = Pairs::parse(uri.query().unwrap_or_default().as_bytes());
    if query.get("page_token").is_some() {
        return None;
    }
    Some(
        query
            .get("page")
            .and_then(|page| page.parse().ok())
            .unwrap_or(1),
    )
}

fn describe(method: &Method, uri: &Uri, headers: &HeaderMap) -> LoggedRequest {
    let text = |name: header::HeaderName| {
        headers
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    LoggedRequest {
        seq: 0,
        at: String::new(),
        method: method.to_string(),
        path: uri.path().to_owned(),
        query: without_secrets(uri.query().unwrap_or_default()),
        authorization: authorization(headers).map(|(scheme, _)| scheme.to_ascii_lowercase()),
        if_modified_since: text(header::IF_MODIFIED_SINCE),
        content_type: text(header::CONTENT_TYPE),
        user_agent: text(header::USER_AGENT),
        status: 0,
        faulted: false,
        records: 0,
    }
}
