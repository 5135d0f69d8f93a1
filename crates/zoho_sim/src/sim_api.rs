//! `/_sim/…`: the switches. JSON in, JSON out; the table is in the crate's documentation.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::clock::{Clock, ClockStart, zoho_time};
use crate::consent::scopes;
use crate::faults::FaultOrder;
use crate::mutate::{self, Change, Done};
use crate::oauth::tokens;
use crate::world::{App, World};

pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/_sim/stats", get(stats).delete(clear_stats))
        .route("/_sim/requests", get(requests).delete(clear_requests))
        .route("/_sim/clock", get(clock).post(set_clock))
        .route("/_sim/faults", post(order_faults).delete(clear_faults))
        .route("/_sim/tokens", post(turn_tokens))
        .route("/_sim/mutate", post(mutate_contacts))
        .route("/_sim/options", post(turn_options))
        .route("/_sim/{*rest}", any(unknown))
}

type Shared = State<Arc<App>>;

/// One order, or an array of them.
fn orders<T: DeserializeOwned>(body: Value) -> Result<Vec<T>, String> {
    let all = match body {
        Value::Array(all) => all,
        one => vec![one],
    };
    let read = all.into_iter().map(serde_json::from_value);
    read.collect::<Result<_, _>>()
        .map_err(|error| error.to_string())
}

async fn stats(State(app): Shared) -> Response {
    Json(app.world().tally.stats()).into_response()
}

async fn clear_stats(State(app): Shared) -> Response {
    app.world().tally.clear();
    Json(json!({"cleared": true})).into_response()
}

async fn requests(State(app): Shared) -> Response {
    Json(json!({"requests": app.world().log.all()})).into_response()
}

async fn clear_requests(State(app): Shared) -> Response {
    app.world().log.clear();
    Json(json!({"cleared": true})).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ClockOrder {
    Advance(SignedDuration),
    Set(Timestamp),
    Freeze(bool),
    Real(bool),
}

async fn clock(State(app): Shared) -> Response {
    clock_state(&app.world())
}

async fn set_clock(State(app): Shared, Json(order): Json<ClockOrder>) -> Response {
    let mut world = app.world();
    match order {
        ClockOrder::Advance(by) => world.clock.advance(by),
        ClockOrder::Set(to) => world.clock.set(to),
        ClockOrder::Freeze(true) => world.clock.freeze(),
        ClockOrder::Freeze(false) => world.clock.run(),
        ClockOrder::Real(true) => world.clock = Clock::new(ClockStart::Real),
        ClockOrder::Real(false) => {}
    }
    clock_state(&world)
}

fn clock_state(world: &World) -> Response {
    let now = world.now();
    let shown = zoho_time(now, world.contacts.zone());
    Json(json!({"now": now, "user_time": shown, "frozen": world.clock.is_frozen()})).into_response()
}

async fn order_faults(State(app): Shared, Json(body): Json<Value>) -> Response {
    let orders: Vec<FaultOrder> = match orders(body) {
        Ok(orders) => orders,
        Err(reason) => return refused(&reason),
    };
    let mut world = app.world();
    for order in orders {
        if let Err(reason) = world.faults.order(order) {
            return refused(reason);
        }
    }
    Json(json!({"waiting": world.faults.waiting()})).into_response()
}

async fn clear_faults(State(app): Shared) -> Response {
    app.world().faults.clear();
    Json(json!({"waiting": 0})).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum TokenOrder {
    Expire(All),
    Revoke(Refresh),
    ThrottleAfter(Option<u32>),
    AccessDeniedStatus(u16),
    ExpiresIn(u32),
    Grant(String),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum All {
    All,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Refresh {
    Refresh,
}

async fn turn_tokens(State(app): Shared, Json(order): Json<TokenOrder>) -> Response {
    let mut world = app.world();
    let done = match order {
        TokenOrder::Expire(All::All) => json!({"expired": world.grants.expire_all()}),
        TokenOrder::Revoke(Refresh::Refresh) => json!({"revoked": world.grants.revoke_all()}),
        TokenOrder::ThrottleAfter(refreshes) => {
            world.grants.throttle_after(refreshes);
            json!({"throttle_after": refreshes})
        }
        TokenOrder::AccessDeniedStatus(status) => {
            let Ok(status) = StatusCode::from_u16(status) else {
                return refused("`access_denied_status` must be an HTTP status");
            };
            world.switches.access_denied_status = status;
            json!({"access_denied_status": status.as_u16()})
        }
        TokenOrder::ExpiresIn(seconds) => {
            world
                .grants
                .set_life(SignedDuration::from_secs(seconds.into()));
            json!({"expires_in": seconds})
        }
        TokenOrder::Grant(scope) => {
            let Some(scopes) = scopes(&scope) else {
                return refused("`grant` must be scopes separated by commas");
            };
            let now = world.now();
            tokens(&app.url, &world.grants.grant(scopes, now))
        }
    };
    Json(done).into_response()
}

async fn mutate_contacts(State(app): Shared, Json(body): Json<Value>) -> Response {
    let changes: Vec<Change> = match orders(body) {
        Ok(changes) => changes,
        Err(reason) => return refused(&reason),
    };
    let mut world = app.world();
    let (mut ids, mut planned) = (Vec::new(), 0);
    for change in changes {
        match mutate::order(&mut world, change) {
            Ok(Done::Planned) => planned += 1,
            Ok(Done::Changed(changed)) => ids.extend(changed.iter().map(u64::to_string)),
            Err(reason) => return refused(reason),
        }
    }
    let generation = world.contacts.generation();
    Json(json!({"ids": ids, "planned": planned, "generation": generation})).into_response()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OptionsOrder {
    page_token_life: Option<SignedDuration>,
    withhold_page_token: Option<bool>,
    bind_header: Option<bool>,
    latency_ms: Option<u64>,
    /// 0 lifts the limit.
    credits: Option<u64>,
    /// 0 lifts the limit.
    concurrency: Option<u32>,
}

async fn turn_options(State(app): Shared, Json(order): Json<OptionsOrder>) -> Response {
    let mut world = app.world();
    if let Some(credits) = order.credits {
        world.limits.set_credits((credits > 0).then_some(credits));
    }
    if let Some(concurrency) = order.concurrency {
        world
            .limits
            .set_concurrency((concurrency > 0).then_some(concurrency));
    }
    let switches = &mut world.switches;
    switches.page_token_life = order.page_token_life.unwrap_or(switches.page_token_life);
    switches.withhold_page_token = order
        .withhold_page_token
        .unwrap_or(switches.withhold_page_token);
    switches.bind_header = order.bind_header.unwrap_or(switches.bind_header);
    switches.latency_ms = order.latency_ms.unwrap_or(switches.latency_ms);
    Json(json!({
        "page_token_life": switches.page_token_life,
        "withhold_page_token": switches.withhold_page_token,
        "bind_header": switches.bind_header,
        "latency_ms": switches.latency_ms,
    }))
    .into_response()
}

async fn unknown() -> Response {
    let body: Value = json!({"error": "there is no such switch"});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

fn refused(reason: &str) -> Response {
    (
        StatusCode::UNPROCESSABLE_ENTITY,
        Json(json!({"error": reason})),
    )
        .into_response()
}
