//! Durable acceptance: 50 connections, each POSTing one webhook behind the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

use crate::folder::{last_seq, serve};
use crate::post::Poster;
use crate::process::{busy_seconds, resident_mb};

const CONNECTIONS: usize = 50;

/// A run that is over as soon as it is accepted, so that acceptance is all there is to do.
pub(crate) const CYCLE: &str = "cycle: load
log: {payloads: none}
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true, minimum: 1}
";

pub(crate) async fn run(requests: usize) -> Result<()> {
    let server = serve(CYCLE, "127.0.0.1:9").await?;
    let (url, pid) = (server.url(), server.pid()?);
    println!("idle: {:.1} MB resident", resident_mb(pid)?);
    let busy = busy_seconds(pid)?;
    let begin = Instant::now();
    let waits = post_all(&url, requests).await?;
    let took = begin.elapsed().as_secs_f64();
    let busy = busy_seconds(pid)? - busy;
    let at = |part: f64| waits[((waits.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "accept: {requests} webhooks over {CONNECTIONS} connections: {:.0}/s; p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms; {:.1} µs of processor each",
        requests as f64 / took,
        at(0.5),
        at(0.99),
        at(1.0),
        busy / requests as f64 * 1e6,
    );
    let lines = last_seq(&server).await?;
    ensure!(lines >= requests as u64, "the log has {lines} lines");
    println!("accept: {:.1} MB resident after it", resident_mb(pid)?);
    Ok(())
}

/// POSTs so many webhooks; how long each waited for its answer, in order of length.
pub(crate) async fn post_all(url: &str, requests: usize) -> Result<Vec<Duration>> {
    let left = Arc::new(AtomicUsize::new(requests));
    let mut posting = JoinSet::new();
    for _ in 0..CONNECTIONS {
        posting.spawn(post(url.to_owned(), Arc::clone(&left)));
    }
    let mut waits = Vec::with_capacity(requests);
    while let Some(done) = posting.join_next().await {
        waits.extend(done??);
    }
    waits.sort_unstable();
    Ok(waits)
}

async fn post(url: String, left: Arc<AtomicUsize>) -> Result<Vec<Duration>> {
    let mut poster = Poster::connect(&url).await?;
    let mut waits = Vec::new();
    let next = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        .is_ok()
    {
        let begin = Instant::now();
        let status = poster.post("/hooks/load", r#"{"page": 1}"#).await?;
        ensure!(status == 202, "answered with {status}");
        waits.push(begin.elapsed());
    }
    Ok(waits)
}
