//! A schedule on the real binary: it starts by the clock, and a `kill -9` costs no moment twice.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, Sink};
use velodrome_types::Timestamp;

const CYCLE: &str = r#"
cycle: clock
schedule: {every: 1 second, send: {page: 4}}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {page: {type: integer, required: true}}
"#;

/// The moments that were due and begun, in milliseconds since 1970.
fn begun(lines: &[Value]) -> Result<Vec<i64>> {
    lines
        .iter()
        .map(|line| {
            let due = line["data"]["due"]
                .as_str()
                .context("it says what was due")?;
            Ok(Timestamp::parse(due)?.as_millis())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_second_starts_one_loop_across_kills_and_one_makes_up_for_what_was_missed()
-> Result<()> {
    let folder = Folder::new(&[("clock.yaml", CYCLE)], "")?.with_faults()?;
    let mut server: Server = folder.serve().await?;
    let mut seen = 2;
    for life in 1..=3 {
        server.log_of("event=schedule.fired", seen).await?;
        server.kill().await?;
        // It was down for a minute, its clock says.
        server.faults()?.move_clock(life * 60_000)?;
        server.start().await?;
        seen = server.log("event=schedule.fired").await?.len() + 2;
    }
    let fired = server.log_of("event=schedule.fired", seen).await?;
    let due = begun(&fired)?;
    let once: BTreeSet<i64> = due.iter().copied().collect();
    assert_eq!(once.len(), due.len(), "a moment began two loops: {due:?}");
    assert!(due.is_sorted(), "{due:?}");
    let first = due[0];
    assert!(
        due.iter().all(|at| (at - first) % 1_000 == 0),
        "the moments drift: {due:?}"
    );
    // Every moment of the whole time was begun, or is one of those that a later start made up for.
    let missed: i64 = fired
        .iter()
        .filter_map(|line| line["data"]["missed"].as_i64())
        .sum();
    let last = due[due.len() - 1];
    assert_eq!((last - first) / 1_000 + 1, due.len() as i64 + missed);
    assert!(missed >= 3 * 59, "each time a minute was missed: {missed}");

    let accepted = server.log("event=webhook.accepted").await?;
    assert_eq!(
        accepted.len(),
        server.log("event=schedule.fired").await?.len()
    );
    let seen = server.get("/cycles/clock").await?;
    assert_eq!(seen["schedule"]["when"], "every 1 s");
    assert!(seen["schedule"]["next"].is_string(), "{seen:#}");
    let (code, shown, error) = server.folder().command(&["cycle", "show", "clock"]).await?;
    assert_eq!(code, 0, "{error}");
    assert!(shown.contains("every 1 s"), "{shown}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_a_schedule_is_in_force_at_once() -> Result<()> {
    let slow = CYCLE.replace("1 second", "1 hour");
    let mut server = Folder::new(&[("clock.yaml", &slow)], "")?.serve().await?;
    server
        .wait_for("/cycles/clock", |cycle| {
            cycle["schedule"]["next"].is_string()
        })
        .await?;
    server.folder().write_cycle("clock.yaml", CYCLE)?;
    server.log_of("event=schedule.fired", 2).await?;
    assert_eq!(server.stop().await?, 0);
    Ok(())
}

/// Begins with a request, and no webhook of it is called.
fn polls(url: &str) -> String {
    format!(
        r#"
cycle: polls
schedule: {{every: 1 second}}
steps:
  ask:
    use: generic_webhook.get
    url: {url}/ask
    retry: 0
    then: wait
  wait: {{use: delay, for: 10 ms, then: tell}}
  tell:
    use: generic_webhook.post
    url: {url}/tell
    map: {{number: "${{ask.number}}"}}
"#
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_may_begin_with_any_step_by_its_schedule_or_a_person() -> Result<()> {
    let sink = Sink::start(|came, times| match (came.path.as_str(), times) {
        ("/ask", 0) => (500, json!({}), Duration::ZERO),
        _ => (200, json!({"number": times}), Duration::ZERO),
    })
    .await?;
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let folder = Folder::new(&[("polls.yaml", &polls(sink.url()))], &settings)?;
    let server = folder.serve().await?;
    server.log_of("event=loop.succeeded", 2).await?;
    server.api("POST", "/cycles/polls/pause").await?;
    server.api("POST", "/cycles/polls/start").await?;
    // The first start failed at its first step, and goes on there.
    let failed = server.get("/runs?status=failed").await?;
    let run = &failed["items"][0];
    assert_eq!(run["step"], "ask", "{failed}");
    let id = run["id"].as_str().context("a run")?.to_owned();
    let retried = server.api("POST", &format!("/runs/{id}/retry")).await?;
    assert_eq!(retried.status, 200, "{}", retried.text);
    let over = |found: &Value| found["status"] == "succeeded";
    server.wait_for(&format!("/runs/{id}"), over).await?;
    let begun = server.api("POST", "/cycles/polls/trigger").await?;
    assert_eq!(begun.status, 202, "{}", begun.text);
    let id = begun.json()["loop"].as_str().context("a loop")?.to_owned();
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    let stranger = server.hook("polls", "{}").await?;
    assert_eq!(
        (stranger.status, stranger.code().as_str()),
        (404, "webhook.unknown")
    );
    assert!(server.get("/cycles/polls").await?["webhook"].is_null());
    Ok(())
}
