//! Places, stops and attempts under the awkward timings: nothing leaks, nothing is seen twice.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

const ONE: &str = r#"
cycle: one
concurrency: 1
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {wanted: {type: boolean, default: true}}
    script: |
      fn after_webhook() { return method_response.wanted; }
    then: pause
  pause: {use: delay, for: 20 ms}
"#;

fn id(answer: &Value) -> Result<String> {
    Ok(answer["loop"]
        .as_str()
        .context("it is accepted")?
        .to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_that_are_over_at_once_give_their_place_back() -> Result<()> {
    let parent = r#"
cycle: parent
steps:
  webhook: {use: generic_webhook.webhook, then: tell}
  tell:
    use: generic_webhook.post
    url: ${hook:one}
    map: {wanted: false}
"#;
    let server = Folder::new(&[("one.yaml", ONE), ("parent.yaml", parent)], "")?
        .serve()
        .await?;
    for _ in 0..3 {
        let answer = server.hook("parent", "{}").await?.json();
        assert_eq!(
            server.loop_over(&id(&answer)?).await?["status"],
            "succeeded"
        );
        assert_eq!(
            server.hook("one", r#"{"wanted": false}"#).await?.status,
            200
        );
    }
    assert_eq!(server.get("/cycles/one").await?["running"], 0);
    let answer = server.hook("one", "{}").await?.json();
    assert_eq!(
        server.loop_over(&id(&answer)?).await?["status"],
        "succeeded"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_place_every_accepted_loop_runs_also_where_requests_come_twice() -> Result<()> {
    let server = Folder::new(&[("one.yaml", ONE)], "")?.serve().await?;
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..60 {
        let url = format!("{}/hooks/one", server.url());
        let client = server.client().clone();
        asking.spawn(async move {
            // Each key comes twice, and every seventh request runs no lap.
            let key = format!("key-{}", number / 2);
            let body = json!({ "wanted": (number / 2) % 7 != 0 }).to_string();
            let headers = [
                ("content-type", "application/json"),
                ("idempotency-key", &key),
            ];
            client.send("POST", &url, &headers, body.into_bytes()).await
        });
    }
    let mut loops = std::collections::BTreeSet::new();
    while let Some(answer) = asking.join_next().await {
        let answer = answer??;
        assert!(
            matches!(answer.status, 200 | 202),
            "{} {}",
            answer.status,
            answer.text
        );
        loops.insert(id(&answer.json())?);
    }
    assert_eq!(loops.len(), 30);
    for one in &loops {
        assert_eq!(server.loop_over(one).await?["status"], "succeeded");
    }
    let seen = server.get("/cycles/one").await?;
    assert_eq!((&seen["running"], &seen["queued"]), (&json!(0), &json!(0)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_made_again_leaves_no_write_behind() -> Result<()> {
    let sink = Sink::start(|_, before| {
        let status = if before < 3 { 503 } else { 200 };
        (status, json!({}), Duration::ZERO)
    })
    .await?;
    let cycle = format!(
        r#"
cycle: counted
steps:
  webhook: {{use: generic_webhook.webhook, then: ask}}
  ask:
    use: generic_webhook.get
    url: {}/page
    retry: {{times: 5, first: 5 ms}}
    script: |
      fn before_action() {{
          method_request_parameters.page = cycle_storage_increment("page", 1);
          return true;
      }}
"#,
        sink.url()
    );
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let server = Folder::new(&[("counted.yaml", &cycle)], &settings)?
        .serve()
        .await?;
    let answer = server.hook("counted", "{}").await?.json();
    assert_eq!(
        server.loop_over(&id(&answer)?).await?["status"],
        "succeeded"
    );
    let pages: Vec<String> = sink.came().into_iter().map(|came| came.path).collect();
    assert_eq!(pages, ["/page?page=1"; 4]);
    let (_, out, _) = server
        .folder()
        .command(&[
            "storage",
            "get",
            "generic_webhook",
            "page",
            "--cycle",
            "counted",
            "--json",
        ])
        .await?;
    assert_eq!(out.trim(), "1");
    Ok(())
}

/// A loop that hands off to itself as fast as it can.
const RUNAWAY: &str = r#"
cycle: runaway
loop: {max_laps: none, same_page_limit: none}
steps:
  webhook: {use: generic_webhook.webhook, then: again}
  again: {use: generic_webhook.post, url: "${webhook.url}", map: {n: 1}}
"#;

async fn runs_away(server: &Server) -> Result<String> {
    let answer = server.hook("runaway", "{}").await?.json();
    let id = id(&answer)?;
    server
        .wait_for(&format!("/loops/{id}"), |seen| {
            seen["laps"].as_u64() > Some(20)
        })
        .await?;
    Ok(id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_is_stopped_however_fast_its_loops_run() -> Result<()> {
    let server = Folder::new(&[("runaway.yaml", RUNAWAY)], "")?
        .serve()
        .await?;
    for _ in 0..5 {
        let ids = [runs_away(&server).await?, runs_away(&server).await?];
        let answer = server.api("POST", "/cycles/runaway/stop").await?;
        assert_eq!(answer.status, 200, "{}", answer.text);
        for id in ids {
            assert_eq!(
                server.get(&format!("/loops/{id}")).await?["status"],
                "stopped"
            );
        }
        assert_eq!(server.get("/cycles/runaway").await?["running"], 0);
        server.api("POST", "/cycles/runaway/start").await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_over_http_to_another_cycle_is_one_loop_with_its_parent() -> Result<()> {
    let parent = r#"
cycle: parent
steps:
  webhook: {use: generic_webhook.webhook, then: tell}
  tell:
    use: generic_webhook.post
    url: ${hook:one}
    handoff: http
    map: {wanted: true}
"#;
    let server = Folder::new(&[("one.yaml", ONE), ("parent.yaml", parent)], "")?
        .serve()
        .await?;
    let answer = server.hook("parent", "{}").await?.json();
    let parent = id(&answer)?;
    assert_eq!(server.loop_over(&parent).await?["status"], "succeeded");
    let loops = server
        .wait_for("/loops?cycle=one", |page| {
            page["items"][0]["status"] == "succeeded"
        })
        .await?;
    let items = loops["items"].as_array().context("a listing")?;
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["parent"], json!(parent));
    Ok(())
}
