//! One loop that never stops: what it keeps of memory and disk, and what deleting its old laps costs others.

use anyhow::{Result, ensure};
use tokio::time::{Duration, Instant, sleep};

use crate::folder::serve;
use crate::post::Poster;
use crate::process::{resident_mb, size_of};

/// A loop without end or delay, and a cycle that others start meanwhile.
const CYCLE: &str = "cycle: load
log: {payloads: none}
loop: {max_laps: none}
retention: {laps: 1000}
steps:
  webhook:
    use: generic_webhook.webhook
    then: again
  again:
    use: generic_webhook.post
    url: ${webhook.url}
";
const OTHER: &str = "cycle: other
steps:
  webhook:
    use: generic_webhook.webhook
";
/// How often it is looked at, in laps.
const PARTS: u64 = 5;

pub(crate) async fn run(laps: usize) -> Result<()> {
    let server = serve(CYCLE, "127.0.0.1:9").await?;
    server.folder().write_cycle("other.yaml", OTHER)?;
    let (pid, data) = (server.pid()?, server.folder().path().join("data"));
    server
        .wait_for("/cycles", |seen| seen.to_string().contains("other"))
        .await?;
    let mut poster = Poster::connect(&server.url()).await?;
    ensure!(
        poster.post("/hooks/load", "{}").await? == 202,
        "not accepted"
    );
    let begin = Instant::now();
    let (mut part, mut waits) = (1, Vec::new());
    loop {
        let asked = Instant::now();
        ensure!(
            poster.post("/hooks/other", "{}").await? == 202,
            "not accepted"
        );
        waits.push(asked.elapsed());
        let seen = server.get("/loops?cycle=load&limit=1").await?;
        let done = seen["items"][0]["laps"].as_u64().unwrap_or(0);
        ensure!(seen["items"][0]["status"] == "running", "{seen:#}");
        if done >= part * laps as u64 / PARTS {
            waits.sort_unstable();
            println!(
                "runaway: {done} laps, {:.0}/s: {:.1} MB resident, {:.1} MB of disk; another cycle's webhook answered in p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
                done as f64 / begin.elapsed().as_secs_f64(),
                resident_mb(pid)?,
                size_of(&data)? as f64 / 1e6,
                waits[waits.len() / 2].as_secs_f64() * 1e3,
                waits[waits.len() * 99 / 100].as_secs_f64() * 1e3,
                waits[waits.len() - 1].as_secs_f64() * 1e3,
            );
            part += 1;
            waits.clear();
        }
        if part > PARTS {
            break;
        }
        sleep(Duration::from_millis(20)).await;
    }
    let seen = server.get("/loops?cycle=load&limit=1").await?;
    let id = seen["items"][0]["id"].as_str().unwrap_or_default();
    let asked = Instant::now();
    let stopped = server.api("POST", &format!("/loops/{id}/stop")).await?;
    println!(
        "runaway: `loop stop` answered {} after {:.1} ms",
        stopped.status,
        asked.elapsed().as_secs_f64() * 1e3
    );
    Ok(())
}
