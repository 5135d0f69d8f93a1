//! Faults: each hits the answers it was ordered for and no other.

use serde_json::json;

use crate::client::{Zoho, list_path};

#[tokio::test]
async fn statuses_hit_so_many_answers_and_are_gone() {
    let zoho = Zoho::with(3).await;
    for (status, code) in [
        (401, "INVALID_TOKEN"),
        (429, "TOO_MANY_REQUESTS"),
        (500, "INTERNAL_ERROR"),
        (502, "SERVICE_UNAVAILABLE"),
        (503, "SERVICE_UNAVAILABLE"),
    ] {
        zoho.turn("faults", json!({"status": status, "times": 2}))
            .await;
        for _ in 0..2 {
            let reply = zoho.list("").await;
            assert_eq!(reply.status, status);
            assert_eq!(reply.json()["code"], code);
            assert_eq!(reply.json()["status"], "error");
            assert!(!reply.headers.contains_key("retry-after"));
        }
        assert_eq!(zoho.list("").await.status, 200);
    }
    let stats = zoho.sim.stats();
    assert_eq!(
        (stats.faults, stats.list_requests, stats.records_served),
        (10, 15, 15)
    );
}

#[tokio::test]
async fn a_fault_may_pass_some_and_carry_a_wait_a_code_or_a_page() {
    let zoho = Zoho::with(3).await;
    zoho.turn(
        "faults",
        json!({"status": 429, "after": 2, "retry_after": 7}),
    )
    .await;
    assert_eq!(zoho.list("").await.status, 200);
    assert_eq!(zoho.list("").await.status, 200);
    let limited = zoho.list("").await;
    assert_eq!((limited.status, limited.header("retry-after")), (429, "7"));
    assert_eq!(limited.header("date"), "Thu, 12 Mar 2026 12:00:00 GMT");
    zoho.turn("faults", json!({"status": 503, "html": true}))
        .await;
    let page = zoho.list("").await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (503, "text/html;charset=UTF-8")
    );
    assert!(page.text.starts_with("<html>"));
    zoho.turn("faults", json!({"status": 400, "code": "SOMETHING_NEW"}))
        .await;
    assert_eq!(zoho.list("").await.json()["code"], "SOMETHING_NEW");
}

#[tokio::test]
async fn each_target_is_hit_alone() {
    let zoho = Zoho::with(3).await;
    let id = zoho.list("").await.ids()[0].clone();
    let one = format!("v8/Contacts/{id}");
    zoho.turn("faults", json!({"on": "list", "status": 500}))
        .await;
    assert_eq!(zoho.get(&one).await.status, 200);
    assert_eq!(zoho.refresh().await.status, 200);
    assert_eq!(zoho.list("").await.status, 500);
    zoho.turn(
        "faults",
        json!({"on": "token", "status": 503, "html": true}),
    )
    .await;
    assert_eq!(zoho.list("").await.status, 200);
    assert_eq!(zoho.refresh().await.status, 503);
    assert!(zoho.refresh().await.json()["access_token"].is_string());
    zoho.turn("faults", json!({"on": "crm", "status": 500}))
        .await;
    assert_eq!(zoho.get(&one).await.status, 500);
}

#[tokio::test]
async fn a_cut_answer_breaks_and_serves_nothing() {
    let zoho = Zoho::with(200).await;
    zoho.turn("faults", json!({"cut": true})).await;
    let broken = zoho.try_send(zoho.crm("GET", &list_path(""))).await;
    assert!(
        broken.is_err(),
        "half a body should not read as a whole one"
    );
    let stats = zoho.sim.stats();
    assert_eq!((stats.records_served, stats.list_requests), (0, 1));
    assert_eq!(zoho.list("").await.ids().len(), 200);
    let log = zoho
        .send(zoho.request("GET", "/_sim/requests"))
        .await
        .json();
    assert_eq!(
        (
            &log["requests"][0]["faulted"],
            &log["requests"][1]["faulted"]
        ),
        (&json!(true), &json!(false))
    );
}

#[tokio::test]
async fn a_delayed_answer_is_true_and_counted_as_a_fault() {
    let zoho = Zoho::with(3).await;
    zoho.turn("faults", json!({"delay_ms": 1})).await;
    assert_eq!(zoho.list("").await.ids().len(), 3);
    assert_eq!(zoho.sim.stats().faults, 1);
}

#[tokio::test]
async fn faults_can_be_queued_together_and_dropped() {
    let zoho = Zoho::with(3).await;
    let two = json!([{"status": 500}, {"status": 429}]);
    assert_eq!(zoho.turn("faults", two.clone()).await["waiting"], 2);
    assert_eq!(
        (zoho.list("").await.status, zoho.list("").await.status),
        (500, 429)
    );
    zoho.turn("faults", two).await;
    zoho.send(zoho.request("DELETE", "/_sim/faults")).await;
    assert_eq!(zoho.list("").await.status, 200);
}

#[tokio::test]
async fn faults_that_make_no_sense_are_refused() {
    let zoho = Zoho::with(1).await;
    for order in [
        json!({}),
        json!({"status": 200}),
        json!({"status": 1000}),
        json!({"status": 500, "times": 0}),
        json!({"retry_after": 3}),
        json!({"html": true}),
        json!({"status": 500, "on": "moon"}),
        json!({"status": 500, "often": 3}),
    ] {
        assert_eq!(
            zoho.try_turn("faults", order.clone()).await.status,
            422,
            "{order}"
        );
    }
    assert_eq!(zoho.list("").await.status, 200);
    assert_eq!(zoho.try_turn("nothing", json!({})).await.status, 404);
}
