//! `run retry`, `run replay`, `loop retry` on the real binary.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};

/// Asks the sink for pages up to four, one a lap; `concurrency` and more may be put into it.
fn cycle(sink: &Sink, more: &str) -> String {
    format!(
        r#"
cycle: pages
{more}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, required: true}}}}
    then: ask
  ask:
    use: generic_webhook.get
    url: {}/page?n=${{webhook.page}}
    retry: 0
    then: enough
  enough:
    use: decision
    if: {{left: "${{webhook.page}}", is: less_than, right: 4}}
    then: next
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    map: {{page: "${{webhook.page}}"}}
    script: |
      fn before_action() {{ method_request.page += 1; return true; }}
"#,
        sink.url()
    )
}

/// A sink that refuses page 3 until it is told to be well.
async fn sink() -> Result<(Sink, Arc<AtomicBool>)> {
    let well = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&well);
    let sink = Sink::start(move |came, _| {
        let bad = came.path.contains("n=3") && !told.load(Ordering::SeqCst);
        (if bad { 400 } else { 200 }, json!({}), Duration::ZERO)
    })
    .await?;
    Ok((sink, well))
}

async fn serve(sink: &Sink, more: &str) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    Folder::new(&[("pages.yaml", &cycle(sink, more))], &settings)?
        .serve()
        .await
}

async fn begin(server: &Server, page: u32) -> Result<String> {
    let answer = server
        .hook("pages", &json!({ "page": page }).to_string())
        .await?
        .json();
    Ok(answer["loop"]
        .as_str()
        .context("it is accepted")?
        .to_owned())
}

/// The run that a loop failed with.
async fn failed_run(server: &Server, id: &str) -> Result<String> {
    let seen = server.loop_over(id).await?;
    assert_eq!(seen["status"], "failed", "{seen:#}");
    Ok(seen["error"]["run"]
        .as_str()
        .context("it names the run")?
        .to_owned())
}

fn pages(sink: &Sink) -> Vec<String> {
    let came = sink.came();
    came.iter()
        .map(|came| came.path.replace("/page?n=", ""))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_where_it_failed_and_its_loop_to_the_end() -> Result<()> {
    let (sink, well) = sink().await?;
    let mut server = serve(&sink, "").await?;
    let id = begin(&server, 1).await?;
    let run = failed_run(&server, &id).await?;
    let (code, out, _) = server.folder().command(&["run", "show", &run]).await?;
    assert_eq!(code, 0);
    assert!(out.contains(&format!("velodrome run retry {run}")), "{out}");
    // It survives the process, and fails again while the API is not well.
    server.kill().await?;
    server.start().await?;
    let (code, out, err) = server.folder().command(&["run", "retry", &run]).await?;
    assert_eq!(code, 0, "{out}{err}");
    assert_eq!(failed_run(&server, &id).await?, run);
    well.store(true, Ordering::SeqCst);
    let (code, _, err) = server.folder().command(&["loop", "retry", &id]).await?;
    assert_eq!(code, 0, "{err}");
    let seen = server.loop_over(&id).await?;
    assert_eq!(
        (&seen["status"], &seen["laps"]),
        (&json!("succeeded"), &json!(4))
    );
    assert_eq!(pages(&sink), ["1", "2", "3", "3", "3", "4"]);
    let (code, _, err) = server.folder().command(&["run", "retry", &run]).await?;
    assert_eq!(code, 1);
    assert!(err.contains("run.not_failed"), "{err}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_cycle_has_changed_the_version_must_be_said() -> Result<()> {
    let (sink, well) = sink().await?;
    let server = serve(&sink, "").await?;
    let first = begin(&server, 3).await?;
    let run = failed_run(&server, &first).await?;
    let before = server.get("/cycles/pages").await?["version"].clone();
    // The new version reads what the old one did not keep: the list step's status.
    let reads_more = cycle(&sink, "name: Other").replace(
        "map: {page: \"${webhook.page}\"}",
        "map: {page: \"${webhook.page}\", was: \"${ask.http.status}\", by: \"${webhook.by}\"}",
    );
    server.folder().write_cycle("pages.yaml", &reads_more)?;
    server
        .wait_for("/cycles/pages", |seen| seen["version"] != before)
        .await?;
    well.store(true, Ordering::SeqCst);
    let retry = |how: &'static str| {
        let (server, run) = (&server, &run);
        async move {
            let mut arguments = vec!["run", "retry", run.as_str()];
            arguments.extend((!how.is_empty()).then_some(how));
            server.folder().command(&arguments).await
        }
    };
    let (code, _, err) = retry("").await?;
    assert_eq!(code, 1);
    assert!(
        err.contains("run.version_needed") && err.contains("--original"),
        "{err}"
    );
    let (code, _, err) = retry("--latest").await?;
    assert_eq!(code, 1);
    // What `ask` gives is still to come; what the webhook was given is not kept.
    assert!(
        err.contains("`webhook.by`") && !err.contains("ask.http"),
        "{err}"
    );
    let (code, _, err) = retry("--original").await?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(server.loop_over(&first).await?["status"], "succeeded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_past_its_limit_goes_on_when_the_limit_was_raised() -> Result<()> {
    let (sink, well) = sink().await?;
    well.store(true, Ordering::SeqCst);
    let server = serve(&sink, "loop: {max_laps: 2}").await?;
    let id = begin(&server, 1).await?;
    failed_run(&server, &id).await?;
    let before = server.get("/cycles/pages").await?["version"].clone();
    server
        .folder()
        .write_cycle("pages.yaml", &cycle(&sink, "loop: {max_laps: 10}"))?;
    server
        .wait_for("/cycles/pages", |seen| seen["version"] != before)
        .await?;
    let (code, _, err) = server
        .folder()
        .command(&["loop", "retry", &id, "--latest"])
        .await?;
    assert_eq!(code, 0, "{err}");
    let seen = server.loop_over(&id).await?;
    assert_eq!(
        (&seen["status"], &seen["laps"]),
        (&json!("succeeded"), &json!(4))
    );
    assert_eq!(pages(&sink), ["1", "2", "3", "4"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_one_place_a_resumed_loop_waits_for_it_and_two_at_once_resume_it_once() -> Result<()> {
    let (sink, well) = sink().await?;
    let server = serve(&sink, "concurrency: 1").await?;
    let failed = begin(&server, 3).await?;
    let run = failed_run(&server, &failed).await?;
    well.store(true, Ordering::SeqCst);
    let others = [begin(&server, 1).await?, begin(&server, 1).await?];
    let path = format!("/runs/{run}/retry");
    let (one, two) = tokio::join!(server.api("POST", &path), server.api("POST", &path));
    let mut answers = [one?.status, two?.status];
    answers.sort_unstable();
    assert_eq!(answers, [200, 409]);
    for id in others.iter().chain([&failed]) {
        assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    }
    let seen = server.get("/cycles/pages").await?;
    assert_eq!((&seen["running"], &seen["queued"]), (&json!(0), &json!(0)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_taken_up_by_filter_and_one_begins_anew_by_replay() -> Result<()> {
    let (sink, well) = sink().await?;
    let server = serve(&sink, "").await?;
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(begin(&server, 3).await?);
    }
    for id in &ids {
        failed_run(&server, id).await?;
    }
    well.store(true, Ordering::SeqCst);
    let none = [
        "run",
        "retry",
        "--cycle",
        "pages",
        "--code",
        "request.timeout",
        "--yes",
    ];
    assert_eq!(server.folder().command(&none).await?.0, 1);
    let all = [
        "run",
        "retry",
        "--cycle",
        "pages",
        "--since",
        "1h",
        "--code",
        "request.status",
        "--yes",
    ];
    let (code, out, err) = server.folder().command(&all).await?;
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("7 of 7 failed runs taken up again"), "{out}");
    for id in &ids {
        assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    }
    let run = server.get(&format!("/runs?loop={}", ids[0])).await?["items"][0]["id"].clone();
    let run = run.as_str().context("a run")?;
    let (code, out, err) = server
        .folder()
        .command(&["run", "replay", run, "--json"])
        .await?;
    assert_eq!(code, 0, "{out}{err}");
    let again: Value = serde_json::from_str(&out)?;
    let again = again["loop"].as_str().context("a new loop")?;
    assert!(!ids.iter().any(|id| id == again));
    assert_eq!(server.loop_over(again).await?["status"], "succeeded");
    assert_eq!(
        server
            .folder()
            .command(&["run", "replay", "last", "--yes"])
            .await?
            .0,
        0
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_for_each_goes_on_with_the_rest() -> Result<()> {
    let well = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&well);
    let sink = Sink::start(move |came, _| {
        let bad = came.body["id"] == 2 && !told.load(Ordering::SeqCst);
        (
            if bad { 400 } else { 200 },
            json!({"given": came.body["id"]}),
            Duration::ZERO,
        )
    })
    .await?;
    let cycle = format!(
        r#"
cycle: pages
steps:
  webhook: {{use: generic_webhook.webhook, then: each}}
  each:
    use: generic_webhook.post
    url: {url}/item
    for_each: ${{webhook.items}}
    map: {{id: "${{item}}"}}
    then: tell
  tell: {{use: generic_webhook.post, url: {url}/end, map: {{given: "${{each.results[].given}}"}}}}
"#,
        url = sink.url()
    );
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let mut server = Folder::new(&[("pages.yaml", &cycle)], &settings)?
        .serve()
        .await?;
    let answer = server
        .hook("pages", r#"{"items": [0, 1, 2, 3, 4]}"#)
        .await?
        .json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    let run = failed_run(&server, id).await?;
    server.kill().await?;
    server.start().await?;
    well.store(true, Ordering::SeqCst);
    let (code, _, err) = server.folder().command(&["run", "retry", &run]).await?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(server.loop_over(id).await?["status"], "succeeded");
    let came = sink.came();
    let sent: Vec<u64> = came
        .iter()
        .filter_map(|came| came.body["id"].as_u64())
        .collect();
    assert_eq!(
        sent,
        [0, 1, 2, 2, 3, 4],
        "what was sent well is not sent again"
    );
    let keys: std::collections::BTreeSet<_> = came
        .iter()
        .filter(|came| came.body["id"] == 2)
        .map(|came| &came.key)
        .collect();
    assert_eq!(keys.len(), 1, "the key stays the same");
    let end = came.last().context("the end")?;
    assert_eq!(end.body["given"], json!([0, 1, 2, 3, 4]));
    Ok(())
}
