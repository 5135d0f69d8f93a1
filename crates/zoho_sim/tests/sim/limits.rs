//! The organisation's limits: credits in a day, calls at once.

use serde_json::json;

use crate::client::{Reply, Zoho};

#[tokio::test]
async fn credits_show_once_half_are_gone_and_end_in_429() {
    let mut zoho = Zoho::with(1).await;
    zoho.turn("options", json!({"credits": 4})).await;
    let mut shown = Vec::new();
    for _ in 0..4 {
        let reply = zoho.list("").await;
        assert_eq!(reply.status, 200);
        let left = reply.headers.get("x-api-credits-remaining");
        shown.push(left.map(|left| left.to_str().expect("a number").to_owned()));
    }
    assert_eq!(
        shown,
        [None, Some("2".into()), Some("1".into()), Some("0".into())]
    );
    let over = zoho.list("").await;
    assert_eq!(
        (over.status, over.json()["code"].as_str()),
        (429, Some("TOO_MANY_REQUESTS"))
    );
    let message = over.json()["message"].to_string();
    assert!(message.contains("24 hours"), "{message}");
    assert!(!over.headers.contains_key("retry-after"));
    zoho.advance("24h").await;
    zoho.grant("ZohoCRM.modules.ALL").await;
    assert_eq!(zoho.list("").await.status, 200);
}

#[tokio::test]
async fn calls_beyond_the_concurrency_limit_are_refused() {
    let zoho = Zoho::with(1).await;
    let one = format!("v8/Contacts/{}", zoho.list("").await.ids()[0]);
    let ten_minutes = 600_000;
    zoho.turn(
        "options",
        json!({"concurrency": 1, "latency_ms": ten_minutes}),
    )
    .await;
    // The list takes the only place for as long as it is waited for.
    let refused = tokio::select! {
        reply = zoho.list("") => reply,
        reply = until(&zoho, &one, 429) => reply,
    };
    assert_eq!(refused.json()["code"], "TOO_MANY_REQUESTS");
    assert!(
        refused.json()["message"]
            .to_string()
            .contains("concurrency")
    );
    // Its caller has gone, so the place is given back.
    until(&zoho, &one, 200).await;
    zoho.turn("options", json!({"concurrency": 0})).await;
    tokio::select! {
        reply = zoho.list("") => panic!("{reply:?} should have taken ten minutes"),
        reply = until(&zoho, &one, 200) => reply,
    };
}

async fn until(zoho: &Zoho, path: &str, status: u16) -> Reply {
    loop {
        let reply = zoho.get(path).await;
        if reply.status == status {
            return reply;
        }
    }
}
