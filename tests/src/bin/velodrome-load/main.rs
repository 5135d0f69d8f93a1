//! The black-box load: the release binary under traffic, and what it made of it (`docs/performance.md`).
//!
//! ```text
//! cargo run --release -p velodrome-tests --bin velodrome-load -- SCENARIO [NUMBER]
//! ```
//!
//! Each scenario starts `velodrome serve` on a folder of its own (below `TMPDIR`), and prints its figures,
//! behind what the disk takes to sync. It asserts that what was asked for happened, never how fast. This
//! process makes the traffic and plays the list API, so it takes its part of the machine.

mod accept;
mod disk;
mod folder;
mod growth;
mod hostile;
mod laps;
mod lateness;
mod pages;
mod post;
mod process;
mod runaway;
mod sleepers;
mod viewers;

use anyhow::{Result, bail};

const USAGE: &str = "scenarios, each with an optional number:
  accept [REQUESTS]     webhooks over 50 connections (100000)
  loop [LAPS]           one loop, no delay (10000)
  loops [LAPS]          50 loops at once, no delay, so many laps altogether (50000)
  lateness [LOOPS]      so many loops with a delay of 2 s, 5 laps each (200)
  sleepers [RUNS]       runs in a delay; a restart with them; the first that fire (100000)
  growth-loops [LAPS]   1 to 1,000 loops at once, so many laps altogether (20000)
  growth-pages [LAPS]   50 loops with pages of 20 to 2,000 records (10000)
  growth-log [RUNS]     ten blocks of webhooks, and what each finds slower than the one before (500000)
  runaway [LAPS]        one loop without end, stopped after so many laps (1000000)
  hostile [SECONDS]     20 loops alone and beside scripts that hang, so long each (15)
  viewers [VIEWERS]     20 loops alone and beside so many who watch them (100)
  all                   each of the first five";

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let scenario = arguments.next().unwrap_or_default();
    let number = arguments.next().map(|text| text.parse()).transpose()?;
    if USAGE.contains(&format!("\n  {scenario} ")) {
        disk::run().await?;
    }
    match scenario.as_str() {
        "accept" => accept::run(number.unwrap_or(100_000)).await,
        "loop" => laps::run(1, number.unwrap_or(10_000)).await,
        "loops" => laps::run(50, number.unwrap_or(50_000)).await,
        "lateness" => lateness::run(number.unwrap_or(200)).await,
        "sleepers" => sleepers::run(number.unwrap_or(100_000)).await,
        "growth-loops" => growth::loops(number.unwrap_or(20_000)).await,
        "growth-pages" => growth::pages(number.unwrap_or(10_000)).await,
        "growth-log" => growth::log(number.unwrap_or(500_000)).await,
        "runaway" => runaway::run(number.unwrap_or(1_000_000)).await,
        "hostile" => hostile::run(number.unwrap_or(15) as u64).await,
        "viewers" => viewers::run(number.unwrap_or(100)).await,
        "all" => {
            accept::run(100_000).await?;
            laps::run(1, 10_000).await?;
            laps::run(50, 50_000).await?;
            lateness::run(200).await?;
            sleepers::run(100_000).await
        }
        _ => bail!("{USAGE}"),
    }
}
