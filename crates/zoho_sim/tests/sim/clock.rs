//! The clock: it stands, runs, jumps and comes home.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use velodrome_zoho_sim::{ClockStart, SimOptions};

use crate::client::{Zoho, at, options};

async fn now(zoho: &Zoho) -> Value {
    zoho.send(zoho.request("GET", "/_sim/clock")).await.json()
}

fn within_a_minute_after(state: &Value, start: Timestamp) {
    let now = at(state["now"].as_str().expect("a time"));
    let passed = now.duration_since(start);
    assert!(passed >= SignedDuration::ZERO, "{now} is before {start}");
    assert!(
        passed < SignedDuration::from_mins(1),
        "{now} is long after {start}"
    );
}

#[tokio::test]
async fn a_frozen_clock_stands_and_is_moved() {
    let zoho = Zoho::with(0).await;
    zoho.advance("90s").await;
    let expected = json!({
        "now": "2026-03-12T12:01:30Z", "user_time": "2026-03-12T14:01:30+02:00", "frozen": true,
    });
    assert_eq!(now(&zoho).await, expected);
    zoho.turn("clock", json!({"set": "2027-01-01T00:00:00Z"}))
        .await;
    assert_eq!(now(&zoho).await["now"], "2027-01-01T00:00:00Z");
}

#[tokio::test]
async fn a_running_clock_runs_on_from_where_it_is_put() {
    let start = at("2030-06-01T00:00:00Z");
    let zoho = Zoho::start(SimOptions {
        clock: ClockStart::Running(start),
        ..options(0)
    })
    .await;
    let first = now(&zoho).await;
    within_a_minute_after(&first, start);
    assert_eq!(first["frozen"], false);
    let later = at("2031-06-01T00:00:00Z");
    zoho.turn("clock", json!({"set": later})).await;
    within_a_minute_after(&now(&zoho).await, later);
    zoho.turn("clock", json!({"freeze": true})).await;
    let frozen = now(&zoho).await;
    assert_eq!(frozen["frozen"], true);
    assert_eq!(now(&zoho).await, frozen);
    zoho.turn("clock", json!({"freeze": false})).await;
    within_a_minute_after(&now(&zoho).await, later);
}

#[tokio::test]
async fn real_time_is_the_machines() {
    let zoho = Zoho::with(0).await;
    let before = Timestamp::now();
    let state = zoho.turn("clock", json!({"real": true})).await;
    within_a_minute_after(&state, before);
}

#[tokio::test]
async fn the_ends_of_time_do_no_harm() {
    let zoho = Zoho::with(1).await;
    for by in [
        "9000000h",
        "9000000h",
        "9000000h",
        "-9000000h",
        "-90000000h",
        "-90000000h",
    ] {
        zoho.try_turn("clock", json!({"advance": by})).await;
        assert_ne!(zoho.list("").await.status, 500);
    }
    assert_eq!(
        zoho.try_turn("clock", json!({"advance": "soon"}))
            .await
            .status,
        422
    );
}
