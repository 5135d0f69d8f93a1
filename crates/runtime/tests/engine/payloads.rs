//! What lines of the log keep of requests, answers and writes to storage, as `log:` says.

use serde_json::{Value, json};
use velodrome_store::LogFilter;
use velodrome_types::{Event, LogLine, LoopStatus};

use crate::fixture::{Fixture, page_loop};

/// Two laps of the page loop under this `log:`.
async fn lines(log: &str) -> Vec<LogLine> {
    let cycle = format!("{}log: {log}\n", page_loop("0s"));
    let fixture = Fixture::new(2, &[("pages.yaml", cycle)]).await;
    let over = fixture.run("pages", r#"{"page": 1}"#).await;
    assert_eq!(over.status, LoopStatus::Succeeded);
    fixture.log(&LogFilter::default())
}

/// The data of the first line of this event in this lap.
fn data(lines: &[LogLine], lap: u64, event: Event) -> Value {
    let wanted = |line: &&LogLine| line.lap == Some(lap) && line.event == event;
    let line = lines.iter().find(wanted);
    let line = line.unwrap_or_else(|| panic!("{event} of lap {lap}: {lines:#?}"));
    line.data.clone().unwrap_or_default()
}

fn wrote(page: &Value) -> Value {
    json!([{
        "op": "set", "scope": "cyclr", "connection": "generic_webhook", "key": "page", "value": page,
    }])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_kept_of_each_exchange_and_each_write() {
    let lines = lines("{}").await;
    for lap in [1, 2] {
        assert_eq!(
            data(&lines, lap, Event::WebhookAccepted),
            json!({
                "kept": "preview",
                "request": {"body": format!("{{\"page\":{lap}}}")},
                "storage": wrote(&json!(lap.to_string())),
            }),
        );
        let answered = data(&lines, lap, Event::ResponseReceived);
        let url = answered["request"]["url"].as_str().unwrap_or_default();
        assert!(url.ends_with(&format!("/list?page={lap}")), "{answered}");
        assert_eq!(answered["request"]["method"], "GET");
        let body = format!("{{\"data\":[{{\"id\":\"{lap}\"}}],\"more\":{}}}", lap < 2);
        assert_eq!(answered["response"], json!({"body": body}));
    }
    let handed = data(&lines, 1, Event::HandoffSent);
    assert_eq!(
        handed["request"],
        json!({"method": "POST", "body": "{\"page\":2}"})
    );
    assert_eq!(handed["lap"], 2, "what was there stays: {handed}");
    assert_eq!(
        handed.get("storage"),
        None,
        "what the next lap wrote is told there"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn all_is_kept_with_full_and_nothing_with_none() {
    let full = lines("{payloads: full}").await;
    let answered = data(&full, 1, Event::ResponseReceived);
    assert_eq!(answered["kept"], "full");
    assert_eq!(
        answered["response"]["body"],
        json!({"data": [{"id": "1"}], "more": true})
    );
    assert_eq!(answered["response"]["status"], 200);
    assert_eq!(
        answered["response"]["headers"]["content-type"],
        "application/json"
    );
    assert_eq!(answered["request"]["method"], "GET");
    let accepted = data(&full, 1, Event::WebhookAccepted);
    assert_eq!(accepted["request"], json!({"body": {"page": 1}}));
    assert_eq!(accepted["storage"], wrote(&json!(1)));

    let none = lines("{payloads: none}").await;
    for line in &none {
        let data = line.data.clone().unwrap_or_default();
        for name in ["kept", "request", "response", "storage", "body"] {
            assert_eq!(data.get(name), None, "{line:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_redacted_is_in_no_line() {
    for payloads in ["preview", "full"] {
        let told = lines(&format!("{{payloads: {payloads}, redact: [page]}}")).await;
        let accepted = data(&told, 1, Event::WebhookAccepted).to_string();
        assert!(
            accepted.contains("[redacted]") && !accepted.contains("\"page\":1"),
            "{accepted}"
        );
        let answered = data(&told, 1, Event::ResponseReceived);
        if payloads == "preview" {
            let url = answered["request"]["url"].as_str().unwrap_or_default();
            assert!(url.ends_with("page=[redacted]"), "{url}");
        }
        assert_eq!(
            data(&told, 1, Event::WebhookAccepted)["storage"][0]["value"],
            "[redacted]"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_is_told_with_its_request_as_far_as_it_may_be_shown() {
    let cycle = |log: &str| {
        format!(
            "cycle: c\nlog: {log}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: ask}}\n  \
             ask: {{use: api.list, map: {{page: 0}}, retry: 0}}\n"
        )
    };
    for (log, told, body) in [
        ("{}", true, json!({"code": "NO_PAGE"})),
        ("{redact: [code]}", true, json!({"code": "[redacted]"})),
        ("{payloads: none}", false, Value::Null),
    ] {
        let fixture = Fixture::new(1, &[("c.yaml", cycle(log))]).await;
        let over = fixture.run("c", "{}").await;
        assert_eq!(over.status, LoopStatus::Failed);
        let failed = data(&fixture.log(&LogFilter::default()), 1, Event::RequestFailed);
        assert_eq!(
            failed.get("body").cloned().unwrap_or_default(),
            body,
            "{log}"
        );
        let url = failed["request"]["url"].as_str().unwrap_or_default();
        assert_eq!(url.ends_with("/list?page=0"), told, "{log}: {failed}");
        let shown = body.to_string();
        let expect = if told { json!(shown) } else { Value::Null };
        assert_eq!(failed["response"]["body"], expect, "{log}");
    }
}
