//! Runs in a delay: accepted, there after `kill -9`, fired on time, and what they cost.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};
use velodrome_tests::Server;
use velodrome_types::Timestamp;

use crate::folder::{last_seq, serve};
use crate::post::Poster;
use crate::process::{resident_mb, size_of};

const CONNECTIONS: usize = 50;
/// Of the sleepers so many are to wake while it is watched.
const WAKING: usize = 1_000;

/// Most sleep for days; those whose body says `soon` for a moment.
const CYCLE: &str = r#"cycle: load
log: {payloads: none}
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      soon: {type: boolean, required: true}
    then: which
  which:
    use: decision
    if: {left: "${webhook.soon}", is: equals, right: true}
    then: a_moment
    else: days
  a_moment:
    use: delay
    for: 10 seconds
  days:
    use: delay
    for: 10 days
"#;

pub(crate) async fn run(runs: usize) -> Result<()> {
    let mut server = serve(CYCLE, "127.0.0.1:9").await?;
    let idle = resident_mb(server.pid()?)?;
    let begin = Instant::now();
    post_many(&server, runs, r#"{"soon": false}"#).await?;
    let took = begin.elapsed().as_secs_f64();
    println!(
        "sleepers: {runs} accepted at {:.0}/s; {idle:.1} MB resident before, {:.1} MB after",
        runs as f64 / took,
        resident_mb(server.pid()?)?,
    );
    server.kill().await?;
    let data = server.folder().path().join("data");
    println!(
        "sleepers: {:.0} bytes of disk each",
        size_of(&data)? as f64 / runs as f64
    );
    let begin = Instant::now();
    server.start().await?;
    let ready = begin.elapsed();
    ensure!(server.hook("load", r#"{"soon": false}"#).await?.status == 202);
    println!(
        "sleepers: kill -9; ready after {:.0} ms, the first 202 after {:.0} ms, with {runs} unfinished runs",
        ready.as_secs_f64() * 1e3,
        begin.elapsed().as_secs_f64() * 1e3
    );
    wake(&server).await?;
    println!(
        "sleepers: {:.1} MB resident with {runs} sleeping",
        resident_mb(server.pid()?)?
    );
    Ok(())
}

/// Lets some wake among the sleepers, and prints how late they were by the run log.
async fn wake(server: &Server) -> Result<()> {
    let last = last_seq(server).await?;
    post_many(server, WAKING, r#"{"soon": true}"#).await?;
    let query = |event: &str| format!("/log?after={last}&limit=1000&event={event}");
    let begin = Instant::now();
    while times(server, &query("delay.ended")).await?.len() < WAKING {
        ensure!(begin.elapsed() < Duration::from_secs(60), "not all woke");
        sleep(Duration::from_millis(200)).await;
    }
    let began = times(server, &query("delay.started")).await?;
    let mut late = Vec::new();
    for (run, ended) in times(server, &query("delay.ended")).await? {
        let began = began.get(&run).context("it ended and never began")?;
        late.push(ended - began - 10_000);
    }
    late.sort_unstable();
    ensure!(late[0] >= 0, "a delay ended {} ms early", -late[0]);
    println!(
        "sleepers: {WAKING} of them with 10 s: p50 {} ms, p99 {} ms, most {} ms late",
        late[late.len() / 2],
        late[late.len() * 99 / 100],
        late[late.len() - 1],
    );
    Ok(())
}

/// The time of each run's line, in milliseconds.
async fn times(server: &Server, path: &str) -> Result<HashMap<String, i64>> {
    let answer = server.api("GET", path).await?;
    let line = |text: &str| -> Result<(String, i64)> {
        let line: Value = serde_json::from_str(text)?;
        let run = line["run"].as_str().context("no run")?.to_owned();
        let time = Timestamp::parse(line["time"].as_str().context("no time")?)?;
        Ok((run, time.as_millis()))
    };
    answer.text.lines().map(line).collect()
}

async fn post_many(server: &Server, count: usize, body: &'static str) -> Result<()> {
    let left = Arc::new(AtomicUsize::new(count));
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        let (url, left) = (server.url(), Arc::clone(&left));
        posting.spawn(async move {
            let mut poster = Poster::connect(&url).await?;
            let next = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
                .is_ok()
            {
                let status = poster.post("/hooks/load", body).await?;
                ensure!(status == 202, "answered with {status}");
            }
            Ok(())
        });
    }
    while let Some(done) = posting.join_next().await {
        done??;
    }
    Ok(())
}
