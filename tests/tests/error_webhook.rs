//! `error_webhook` on the real binary: what is told of a failed run, to whom, and across restarts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use velodrome_tests::{Came, Folder, Server, Sink};

const NOW: Duration = Duration::ZERO;

/// Asks the sink, which refuses; `head` says where that is told.
fn orders(sink: &Sink, head: &str) -> String {
    format!(
        r#"
cycle: orders
name: Orders to the shop
{head}
steps:
  webhook:
    use: generic_webhook.webhook
    then: send
  send:
    use: generic_webhook.post
    name: Send the order
    url: {}/order
    retry: 0
    map: {{id: "${{webhook.id}}"}}
"#,
        sink.url()
    )
}

fn settings(sink: &Sink, more: &str) -> String {
    format!("egress: {{allow: [\"{}\"]}}\n{more}", sink.host())
}

/// What the sink has taken.
type Taken = Arc<Mutex<Vec<Came>>>;

/// Takes notices as the flag says, and no order.
async fn sink(up: &Arc<AtomicBool>) -> Result<(Sink, Taken)> {
    let (up, taken) = (Arc::clone(up), Taken::default());
    let kept = Arc::clone(&taken);
    let sink = Sink::start(move |came, _| match came.path.as_str() {
        "/order" => (404, json!({"code": "NO_SHOP"}), NOW),
        _ if up.load(Ordering::SeqCst) => {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(came.clone());
            (200, json!({}), NOW)
        }
        _ => (503, json!({}), NOW),
    })
    .await?;
    Ok((sink, taken))
}

async fn fail(server: &Server, id: u32) -> Result<Value> {
    let answer = server
        .hook("orders", &json!({ "id": id }).to_string())
        .await?;
    let accepted = answer.json();
    let looped = accepted["loop"].as_str().context("it is accepted")?;
    assert_eq!(server.loop_over(looped).await?["status"], "failed");
    Ok(accepted)
}

/// Waits until it gives something.
async fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if tokio::time::Instant::now() > until {
            bail!("{what}: it did not come");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What came at a path so far, taken or not.
fn came(sink: &Sink, path: &str) -> Vec<Came> {
    let all = sink.came().into_iter();
    all.filter(|came| came.path == path).collect()
}

/// Waits until so many notices have come, taken or not.
async fn notices(sink: &Sink, path: &str, count: usize) -> Result<Vec<Came>> {
    wait_for(path, || {
        Some(came(sink, path)).filter(|came| came.len() >= count)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_told_field_by_field() -> Result<()> {
    let up = Arc::new(AtomicBool::new(true));
    let (sink, _) = sink(&up).await?;
    let head = format!("error_webhook: {}/failed", sink.url());
    let cycles = [("orders.yaml", orders(&sink, &head))];
    let cycles = cycles.each_ref().map(|(name, text)| (*name, text.as_str()));
    let server = Folder::new(&cycles, &settings(&sink, ""))?.serve().await?;
    let accepted = fail(&server, 7).await?;
    let came = notices(&sink, "/failed", 1).await?;
    let run = accepted["run"].as_str().context("a run")?;
    let seen = server.get(&format!("/runs/{run}")).await?;
    let mut body = came[0].body.clone();
    let timestamp = body["Timestamp"].take();
    assert_eq!(timestamp, seen["updated"]);
    let detail = body["Detail"].take();
    let detail = detail.as_str().context("a text")?;
    assert!(detail.contains("404"), "{detail}");
    assert!(detail.ends_with("\r\n{\"code\":\"NO_SHOP\"}"), "{detail}");
    let expected = json!({
        "Timestamp": null,
        "AccountId": "",
        "AccountExternalId": "",
        "AccountName": "",
        "CycleId": "orders",
        "CycleName": "Orders to the shop",
        "StepId": "send",
        "StepName": "Send the order",
        "StepType": 1,
        "TransactionId": run,
        "Message": "Failed to call the method",
        "Detail": null,
        "IncidentLevel": "Error",
        "RunUrl": format!("{}/runs/{run}", server.url()),
        "Code": "request.status",
        "LoopId": accepted["loop"],
        "Lap": 1,
    });
    assert_eq!(body, expected);
    assert!(came[0].key.starts_with(&format!("{run}/failed/")));

    // Taken up again and failed again, it is told again.
    let (code, out, err) = server.folder().command(&["run", "retry", run]).await?;
    assert_eq!(code, 0, "{out}{err}");
    let came = notices(&sink, "/failed", 2).await?;
    assert_eq!(came[1].body["TransactionId"], run);
    assert_ne!(came[0].key, came[1].key);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_down_is_told_after_a_restart_in_order() -> Result<()> {
    let up = Arc::new(AtomicBool::new(false));
    let (sink, taken) = sink(&up).await?;
    let cycle = orders(&sink, "");
    let more = format!("error_webhook: {}/failed\n", sink.url());
    let folder = Folder::new(&[("orders.yaml", &cycle)], &settings(&sink, &more))?;
    let mut server = folder.serve().await?;
    let mut runs = Vec::new();
    for id in 0..3 {
        runs.push(fail(&server, id).await?["run"].clone());
    }
    notices(&sink, "/failed", 2).await?;
    server.kill().await?;
    up.store(true, Ordering::SeqCst);
    server.start().await?;
    let told = || {
        let taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told: Vec<Value> = taken
            .iter()
            .map(|came| came.body["TransactionId"].clone())
            .collect();
        // One that was on its way when the server was killed comes twice.
        told.dedup();
        told
    };
    wait_for("three notices", || (told().len() >= 3).then_some(())).await?;
    assert_eq!(told(), runs);
    let came = came(&sink, "/failed");
    let mut by_key: BTreeMap<&str, &Value> = BTreeMap::new();
    for came in &came {
        let first = by_key.entry(&came.key).or_insert(&came.body);
        assert_eq!(**first, came.body, "an attempt differs from the one before");
    }
    assert_eq!(by_key.len(), 3, "each notice has one key");
    // Nothing is left to be told: another start says nothing more.
    assert_eq!(server.stop().await?, 0);
    server.start().await?;
    fail(&server, 9).await?;
    let again = notices(&sink, "/failed", came.len() + 1).await?;
    assert_eq!(again.len(), came.len() + 1);
    assert!(
        server
            .log_text()
            .contains("`error_webhook` was not told of a failed run"),
        "{}",
        server.log_text()
    );
    Ok(())
}

/// Takes notices of other cycles, passes them on, and fails: of itself it is not told.
fn alerts(sink: &Sink) -> String {
    format!(
        r#"
cycle: alerts
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{TransactionId: {{type: text, required: true}}, Code: text, AccountName: text}}
    then: tell
  tell:
    use: generic_webhook.post
    url: {}/alert
    map: {{run: "${{webhook.TransactionId}}", code: "${{webhook.Code}}"}}
    then: fails
  fails: {{use: stop, as: failed}}
"#,
        sink.url()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_of_this_server_can_be_told_and_its_own_failures_end_there() -> Result<()> {
    let up = Arc::new(AtomicBool::new(true));
    let (sink, _) = sink(&up).await?;
    let (orders, alerts) = (orders(&sink, ""), alerts(&sink));
    // Every cycle's failures go to `alerts`, those of `alerts` itself to nobody.
    let more = "error_webhook: \"${hook:alerts}\"\n";
    let cycles = [("orders.yaml", orders.as_str()), ("alerts.yaml", &alerts)];
    let folder = Folder::new(&cycles, &settings(&sink, more))?;
    let server = folder.serve().await?;
    let accepted = fail(&server, 1).await?;
    let came = notices(&sink, "/alert", 1).await?;
    let expected = json!({"run": accepted["run"], "code": "request.status"});
    assert_eq!(came[0].body, expected);
    let of_alerts = |seen: &Value| {
        let items = seen["items"].as_array().map_or(&[][..], Vec::as_slice);
        items.len() == 1 && items[0]["status"] == "failed"
    };
    let runs = server.wait_for("/runs?cycle=alerts", of_alerts).await?;
    let begun = &runs["items"][0];
    assert_eq!(begun["parent"], accepted["run"]);
    assert_eq!(begun["root"], accepted["run"]);
    assert_eq!(begun["hops"], 1);
    // A second failure makes one more, and no more: the first has fed nothing.
    fail(&server, 2).await?;
    notices(&sink, "/alert", 2).await?;
    let runs = server
        .wait_for("/runs?cycle=alerts", |seen| {
            let items = seen["items"].as_array().map_or(&[][..], Vec::as_slice);
            items.len() >= 2 && items.iter().all(|run| run["status"] == "failed")
        })
        .await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(2));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_not_told_unless_it_is_allowed_and_a_mended_file_is() -> Result<()> {
    let up = Arc::new(AtomicBool::new(true));
    let (sink, _) = sink(&up).await?;
    // Not allowed: another loopback address of the same server.
    let port = sink.host().rsplit(':').next().context("a port")?;
    let head = format!("error_webhook: http://localhost:{port}/failed");
    let refused = orders(&sink, &head);
    let folder = Folder::new(&[("orders.yaml", &refused)], &settings(&sink, ""))?;
    let server = folder.serve().await?;
    fail(&server, 1).await?;
    wait_for("a word in the server's log", || {
        let said = server.log_text();
        said.contains("was not told of a failed run").then_some(())
    })
    .await?;
    assert_eq!(came(&sink, "/failed").len(), 0);
    // What waits goes where the present version says.
    let head = format!("error_webhook: {}/failed", sink.url());
    server
        .folder()
        .write_cycle("orders.yaml", &orders(&sink, &head))?;
    notices(&sink, "/failed", 1).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn its_url_may_hold_a_secret_and_waits_until_that_is_set() -> Result<()> {
    let up = Arc::new(AtomicBool::new(true));
    let (sink, taken) = sink(&up).await?;
    let more = format!(
        "error_webhook: \"{}/failed?token=${{secret:alerts}}\"\n",
        sink.url()
    );
    let orders = orders(&sink, "");
    let server = Folder::new(&[("orders.yaml", &orders)], &settings(&sink, &more))?
        .serve()
        .await?;
    fail(&server, 7).await?;
    wait_for("the word that the secret is missing", || {
        let log = server.log_text();
        log.contains("velodrome secret set alerts").then_some(())
    })
    .await?;
    // Until the gap is eight seconds; a secret that it does not name changes nothing.
    wait_for("the fourth attempt", || {
        let tried = server
            .log_text()
            .matches("was not told of a failed run")
            .count();
        (tried >= 4).then_some(())
    })
    .await?;
    fail(&server, 8).await?;
    let tries = || {
        server
            .log_text()
            .matches("was not told of a failed run")
            .count()
    };
    let before = tries();
    let set = ["secret", "set", "another", "of no concern"];
    let (code, _, error) = server.folder().command(&set).await?;
    assert_eq!(code, 0, "{error}");
    assert_eq!(tries(), before);
    let set = ["secret", "set", "alerts", "a token & more"];
    let (code, _, error) = server.folder().command(&set).await?;
    assert_eq!(code, 0, "{error}");
    let begun = tokio::time::Instant::now();
    let told = wait_for("the notices", || {
        let taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        (taken.len() >= 2).then(|| taken.clone())
    })
    .await?;
    let waited = begun.elapsed();
    assert!(
        waited < Duration::from_secs(4),
        "at once, not after {waited:?}"
    );
    let ids: Vec<&Value> = told
        .iter()
        .map(|came| &came.body["TransactionId"])
        .collect();
    assert_ne!(ids[0], ids[1]);
    let line = told[0].head.lines().next().unwrap_or_default();
    assert!(
        line.contains("/failed?token=a%20token%20%26%20more"),
        "{line}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_what_is_wrong_with_it() -> Result<()> {
    let cycle =
        "cycle: c\nerror_webhook: ${hook:nobody}\nsteps:\n  w: {use: generic_webhook.webhook}\n";
    let settings = "error_webhook: \"${hook:nothing}\"\n";
    let folder = Folder::new(&[("c.yaml", cycle)], settings)?;
    let (code, _, said) = folder
        .command(&["check", "velodrome.yaml", "cycles/c.yaml"])
        .await?;
    assert_eq!(code, 3, "{said}");
    assert!(
        said.contains("`nobody`") && said.contains("`nothing`"),
        "{said}"
    );
    assert_eq!(
        said.matches("error[reference.unknown_hook]").count(),
        2,
        "{said}"
    );
    Ok(())
}
