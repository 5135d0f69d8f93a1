//! Forks, lists that are split, and the waits that join them, on the real binary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

/// Each item is sent by a run of its own; when all have ended, so is the sum.
fn each_then_all(sink: &Sink) -> String {
    format!(
        r#"
cycle: apart
steps:
  webhook: {{use: generic_webhook.webhook, fields: {{items: list}}, then: items}}
  items:
    use: script
    map: {{items: "${{webhook.items}}"}}
    script: fn run() {{ method_request.items }}
    split: true
    then: one
  one:
    use: generic_webhook.post
    url: {url}/one/${{item.id}}
    map: {{place: "${{index}}"}}
    retry: 0
    then: counted
  counted:
    use: data_storage.increment
    map: {{key: sent, scope: loop}}
    then: all
  all: {{use: wait_all, then: sum}}
  sum: {{use: data_storage.get, map: {{key: sent, scope: loop}}, then: told}}
  told:
    use: generic_webhook.post
    url: {url}/told
    map: {{sent: "${{sum.value}}"}}
"#,
        url = sink.url()
    )
}

async fn serve(sink: &Sink, cycle: &str) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    Folder::new(&[("cycle.yaml", cycle)], &settings)?
        .serve()
        .await
}

fn items(count: u64) -> String {
    let items: Vec<Value> = (0..count).map(|id| json!({ "id": id })).collect();
    json!({ "items": items }).to_string()
}

async fn begin(server: &Server, cycle: &str, body: &str) -> Result<String> {
    let answer = server.hook(cycle, body).await?.json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    Ok(id.to_owned())
}

/// Runs of a loop, newest first.
async fn runs(server: &Server, id: &str) -> Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut next = String::new();
    loop {
        let page = server
            .get(&format!("/runs?loop={id}&limit=1000{next}"))
            .await?;
        all.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return Ok(all),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_item_goes_on_once_across_kills_and_what_follows_all_of_them_once() -> Result<()> {
    const ITEMS: u64 = 300;
    let sink = Sink::start(|_, _| (200, json!({}), Duration::from_millis(20))).await?;
    let mut server = serve(&sink, &each_then_all(&sink)).await?;
    let id = begin(&server, "apart", &items(ITEMS)).await?;
    for killed_at in [50, 200] {
        let path = format!("step=one&event=response.received&loop={id}");
        server.log_of(&path, killed_at).await?;
        server.kill().await?;
        server.start().await?;
    }
    let over = server.loop_over(&id).await?;
    assert_eq!(
        (&over["status"], &over["laps"]),
        (&json!("succeeded"), &json!(1))
    );

    // What was under way was sent again as it was, with its key: nobody was asked for twice.
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for came in sink.came() {
        keys.entry(came.path).or_default().insert(came.key);
    }
    assert_eq!(keys.len() as u64, ITEMS + 1);
    assert!(keys.values().all(|keys| keys.len() == 1), "{keys:?}");
    let told: Vec<Value> = sink
        .came()
        .into_iter()
        .filter(|came| came.path == "/told")
        .map(|came| came.body)
        .collect();
    assert_eq!(told[0], json!({ "sent": ITEMS }), "each counted once");
    let once = server
        .log(&format!("step=told&event=response.received&loop={id}"))
        .await?;
    assert_eq!(once.len(), 1);

    let runs = runs(&server, &id).await?;
    assert_eq!(runs.len() as u64, ITEMS + 1);
    let parents: BTreeSet<String> = runs.iter().map(|run| run["parent"].to_string()).collect();
    assert_eq!(parents.len(), 2, "all but one have the same parent");
    assert!(
        runs.iter().all(|run| run["status"] == "succeeded"),
        "{runs:#?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_item_that_fails_fails_its_loop_and_both_go_on_with_a_retry() -> Result<()> {
    let mended = Arc::new(AtomicBool::new(false));
    let refuses = Arc::clone(&mended);
    let sink = Sink::start(move |came, _| {
        let refused = came.path == "/one/1" && !refuses.load(Ordering::SeqCst);
        (if refused { 422 } else { 200 }, json!({}), Duration::ZERO)
    })
    .await?;
    let server = serve(&sink, &each_then_all(&sink)).await?;
    let id = begin(&server, "apart", &items(3)).await?;
    let over = server.loop_over(&id).await?;
    assert_eq!(over["status"], "failed", "{over:#}");
    assert_eq!(over["error"]["code"], "request.status");

    let of = |runs: &[Value], code: &str| -> Result<String> {
        let run = runs.iter().find(|run| run["error"]["code"] == code);
        let id = run.and_then(|run| run["id"].as_str());
        Ok(id.with_context(|| format!("{code}: {runs:#?}"))?.to_owned())
    };
    let all = runs(&server, &id).await?;
    let (child, parent) = (of(&all, "request.status")?, of(&all, "run.child_failed")?);
    let (code, _, err) = server.folder().command(&["run", "retry", &parent]).await?;
    assert_eq!((code, err.contains("run.child_failed")), (1, true), "{err}");

    mended.store(true, Ordering::SeqCst);
    let (code, _, err) = server.folder().command(&["run", "retry", &child]).await?;
    assert_eq!(code, 0, "{err}");
    let over = server
        .wait_for(&format!("/loops/{id}"), |seen| {
            seen["status"] == "succeeded"
        })
        .await?;
    assert_eq!(over["laps"], 1);
    let again = runs(&server, &id).await?;
    assert!(
        again.iter().all(|run| run["status"] == "succeeded"),
        "{again:#?}"
    );
    // All others had ended when the first came to its end: what follows went on then, and not again.
    let told = sink.came().into_iter().filter(|came| came.path == "/told");
    assert_eq!(
        told.map(|came| came.body).collect::<Vec<_>>(),
        [json!({ "sent": 2 })]
    );
    Ok(())
}

const WHOLE_CYCLE: &str = r#"
cycle: whole
time_zone: UTC
steps:
  webhook: {use: generic_webhook.webhook, then: pause}
  pause: {use: wait_until, at: "${webhook.until}", then: all}
  all: {use: wait_all, scope: cycle, then: once}
  once: {use: data_storage.increment, map: {key: passed, scope: cycle}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn of_all_runs_of_a_cycle_one_goes_on_when_the_last_has_come() -> Result<()> {
    let mut server = Folder::new(&[("cycle.yaml", WHOLE_CYCLE)], "")?
        .serve()
        .await?;
    let until = |ms: i64| {
        let at = velodrome_types::Timestamp::from_millis(velodrome_tests::true_time() + ms);
        json!({"until": at.to_string()}).to_string()
    };
    let mut loops = Vec::new();
    for ms in [800, 800, 3_000] {
        loops.push(begin(&server, "whole", &until(ms)).await?);
    }
    server.log_of("event=wait.started&step=all", 2).await?;
    server.kill().await?;
    server.start().await?;
    for id in &loops {
        assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    }
    let passed = || async {
        let get = [
            "storage",
            "get",
            "data_storage",
            "passed",
            "--cycle",
            "whole",
            "--json",
        ];
        let (_, out, err) = server.folder().command(&get).await?;
        serde_json::from_str::<Value>(&out).context(err)
    };
    assert_eq!(passed().await?, json!(1));
    // One that is alone does not wait for those that have ended.
    let alone = begin(&server, "whole", &until(0)).await?;
    assert_eq!(server.loop_over(&alone).await?["status"], "succeeded");
    assert_eq!(passed().await?, json!(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_loop_ends_all_its_runs_and_none_goes_on() -> Result<()> {
    let cycle = r#"
cycle: halves
steps:
  webhook: {use: generic_webhook.webhook, then: [short, long]}
  short: {use: delay, for: 1 ms, then: all}
  long: {use: delay, for: 1 hour, then: all}
  all: {use: wait_all, then: once}
  once: {use: data_storage.increment, map: {key: passed, scope: cycle}}
"#;
    let server = Folder::new(&[("cycle.yaml", cycle)], "")?.serve().await?;
    let id = begin(&server, "halves", "{}").await?;
    server.log_of("event=wait.started&step=all", 1).await?;
    let waiting = server.get(&format!("/loops/{id}")).await?;
    assert_eq!(waiting["status"], "waiting");
    let (code, _, err) = server
        .folder()
        .command(&["loop", "stop", &id, "--yes"])
        .await?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(server.loop_over(&id).await?["status"], "stopped");
    let runs = runs(&server, &id).await?;
    assert_eq!(runs.len(), 2);
    assert!(
        runs.iter().all(|run| run["status"] == "stopped"),
        "{runs:#?}"
    );
    let (code, ..) = server
        .folder()
        .command(&[
            "storage",
            "get",
            "data_storage",
            "passed",
            "--cycle",
            "halves",
        ])
        .await?;
    assert_eq!(code, 1, "nothing was written");
    Ok(())
}
