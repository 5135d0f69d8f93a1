//! How cost grows: with loops at once, with the records of a page, with what the log holds already.

use anyhow::{Result, ensure};
use tokio::time::{Duration, Instant};
use velodrome_tests::Server;

use crate::accept::{CYCLE, post_all};
use crate::folder::serve;
use crate::laps::{Figures, measure};
use crate::pages::RECORDS;
use crate::process::{busy_seconds, resident_mb, size_of};

/// Each block of `growth-log` is one of so many.
const BLOCKS: usize = 10;
/// Each listing is asked for so often; its median is told.
const ASKED: usize = 9;

pub(crate) async fn loops(laps: usize) -> Result<()> {
    for at_once in [1, 10, 50, 200, 1_000] {
        tell(
            &format!("{at_once} loops"),
            &measure(at_once, laps, RECORDS).await?,
        );
    }
    Ok(())
}

pub(crate) async fn pages(laps: usize) -> Result<()> {
    for records in [20, 200, 2_000] {
        tell(
            &format!("pages of {records}"),
            &measure(50, laps, records).await?,
        );
    }
    Ok(())
}

fn tell(what: &str, figures: &Figures) {
    println!(
        "{what}: {} laps: {:.0} laps/s; {:.0} µs of the server's processor a lap; {:.1} MB resident at the most; {:.0} bytes of disk a lap",
        figures.laps, figures.pace, figures.busy_micros, figures.most_mb, figures.disk_bytes,
    );
}

pub(crate) async fn log(runs: usize) -> Result<()> {
    let mut server = serve(CYCLE, "127.0.0.1:9").await?;
    let data = server.folder().path().join("data");
    let block = (runs / BLOCKS).max(1);
    for number in 1..=BLOCKS {
        let (url, pid) = (server.url(), server.pid()?);
        let busy = busy_seconds(pid)?;
        let begin = Instant::now();
        let waits = post_all(&url, block).await?;
        let pace = block as f64 / begin.elapsed().as_secs_f64();
        let busy = (busy_seconds(pid)? - busy) / block as f64 * 1e6;
        let there = number * block;
        println!(
            "with {there} runs: {pace:.0} webhooks/s, {busy:.0} µs of processor each, p99 {:.1} ms; {:.1} MB resident; {:.0} bytes of disk a run; \
             the newest 50 runs in {:.1} ms, the newest 50 lines in {:.1} ms",
            millis(waits[(waits.len() - 1) * 99 / 100]),
            resident_mb(pid)?,
            size_of(&data)? as f64 / there as f64,
            millis(median(&server, "/runs?limit=50").await?),
            millis(median(&server, "/log?tail=50").await?),
        );
    }
    server.kill().await?;
    let begin = Instant::now();
    server.start().await?;
    println!(
        "with {runs} runs: kill -9; ready after {:.0} ms",
        millis(begin.elapsed())
    );
    Ok(())
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// How long an answer of the API takes.
async fn median(server: &Server, path: &str) -> Result<Duration> {
    let mut took = Vec::new();
    for _ in 0..ASKED {
        let begin = Instant::now();
        let answer = server.api("GET", path).await?;
        ensure!(
            answer.status == 200,
            "{path} was answered with {}",
            answer.status
        );
        took.push(begin.elapsed());
    }
    took.sort_unstable();
    Ok(took[ASKED / 2])
}
