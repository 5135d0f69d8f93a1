//! Page loops without a delay: laps a second, memory, and disk a lap.

use anyhow::{Result, ensure};
use tokio::time::{Duration, Instant, sleep};

use crate::folder::{loops, page_loop, serve};
use crate::pages::Pages;
use crate::post::Poster;
use crate::process::{busy_seconds, resident_mb, size_of};

pub(crate) async fn run(at_once: u64, laps: usize) -> Result<()> {
    let each = (laps as u64 / at_once).max(1);
    let laps = each * at_once;
    let pages = Pages::start(each, |_| {}).await?;
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
    println!(
        "{at_once} loops: {laps} laps, delay 0: {:.0} laps/s; {:.0} µs of the server's processor a lap",
        laps as f64 / took,
        busy / laps as f64 * 1e6,
    );
    println!(
        "{at_once} loops: {idle:.1} MB resident idle, {most:.1} MB at the most, {:.1} MB after; {:.0} bytes of disk a lap",
        resident_mb(pid)?,
        (size_of(&data)? - before) as f64 / laps as f64,
    );
    Ok(())
}
