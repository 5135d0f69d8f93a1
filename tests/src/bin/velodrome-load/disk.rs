//! What the disk takes to keep 4 KiB for good: the floor under everything that is durable.

use std::io::Write as _;

use anyhow::Result;
use tokio::time::Instant;

const SYNCS: usize = 300;

pub(crate) async fn run() -> Result<()> {
    let took = tokio::task::spawn_blocking(synced).await??;
    let at = |part: f64| took[((took.len() - 1) as f64 * part) as usize] * 1e3;
    println!(
        "disk: 4 KiB written and synced, nothing else going on: p50 {:.2} ms, p99 {:.2} ms",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

/// So many in turn, below `TMPDIR` as the data folders are; in seconds and in order of length.
fn synced() -> Result<Vec<f64>> {
    let mut file = tempfile::tempfile()?;
    let page = [7; 4096];
    let mut took = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begin = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        took.push(begin.elapsed().as_secs_f64());
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}
