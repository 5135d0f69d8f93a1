//! Page loops without a delay: laps a second, memory, and disk a lap.

use anyhow::{Result, ensure};
use tokio::time::{Duration, Instant, sleep};

use crate::folder::{loops, page_loop, serve};
use crate::pages::{Pages, RECORDS};
use crate::post::Poster;
use crate::process::{busy_seconds, resident_mb, size_of};

/// What so many laps came to.
pub(crate) struct Figures {
    pub(crate) laps: u64,
    /// In a second.
    pub(crate) pace: f64,
    /// Of the server's processor, for a lap.
    pub(crate) busy_micros: f64,
    /// Of the whole data folder, for a lap.
    pub(crate) disk_bytes: f64,
    idle_mb: f64,
    pub(crate) most_mb: f64,
    after_mb: f64,
}

pub(crate) async fn run(at_once: u64, laps: usize) -> Result<()> {
    let figures = measure(at_once, laps, RECORDS).await?;
    let Figures {
        laps,
        pace,
        busy_micros,
        ..
    } = figures;
    println!(
        "{at_once} loops: {laps} laps, delay 0: {pace:.0} laps/s; {busy_micros:.0} µs of the server's processor a lap"
    );
    println!(
        "{at_once} loops: {:.1} MB resident idle, {:.1} MB at the most, {:.1} MB after; {:.0} bytes of disk a lap",
        figures.idle_mb, figures.most_mb, figures.after_mb, figures.disk_bytes,
    );
    Ok(())
}

/// Runs so many loops to their end, on a server of their own.
pub(crate) async fn measure(at_once: u64, laps: usize, records: u64) -> Result<Figures> {
    let each = (laps as u64 / at_once).max(1);
    let laps = each * at_once;
    let pages = Pages::start(each, records, |_| {}).await?;
    let server = serve(&page_loop("0 seconds"), &pages.host).await?;
    let pid = server.pid()?;
    let data = server.folder().path().join("data");
    let (idle, before) = (resident_mb(pid)?, size_of(&data)?);
    let busy = busy_seconds(pid)?;
    let begin = Instant::now();
    let mut poster = Poster::connect(&server.url()).await?;
    for walk in 0..at_once {
        let body = format!(r#"{{"page": 1, "walk": {walk}}}"#);
        let status = poster.post("/hooks/load", &body).await?;
        ensure!(status == 202, "answered with {status}");
    }
    let mut most = idle;
    while pages.asked() < laps {
        sleep(Duration::from_millis(20)).await;
        most = most.max(resident_mb(pid)?);
        ensure!(
            begin.elapsed() < Duration::from_secs(540),
            "{} laps only",
            pages.asked()
        );
    }
    let took = begin.elapsed().as_secs_f64();
    let busy = busy_seconds(pid)? - busy;
    while loops(&server, "succeeded", 1000).await? < at_once as usize {
        sleep(Duration::from_millis(20)).await;
    }
    let asked = pages.asked();
    ensure!(asked == laps, "{asked} pages asked for, {laps} laps");
    Ok(Figures {
        laps,
        pace: laps as f64 / took,
        busy_micros: busy / laps as f64 * 1e6,
        disk_bytes: (size_of(&data)? - before) as f64 / laps as f64,
        idle_mb: idle,
        most_mb: most,
        after_mb: resident_mb(pid)?,
    })
}
