//! A disk that is full, and one that fails (SPEC §9, 8). With room again, or after a restart, all goes on,
//! each lap once.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use velodrome_tests::{Folder, Random, Server, Walks, setting};

#[tokio::test(flavor = "multi_thread")]
async fn loops_wait_while_the_disk_is_full() -> Result<()> {
    let mut walks = Walks::serve(true).await?;
    for _ in 0..8 {
        walks.begin().await?;
    }
    let faults = walks.server.faults()?;
    faults.set_capacity(Some(faults.used()? + (64 << 10)))?;
    let mut refused = 0;
    for _ in 0..2_000 {
        if walks.offer().await? == Some(503) {
            refused += 1;
        }
        if refused == 20 {
            break;
        }
    }
    assert_eq!(refused, 20, "webhooks are answered 503");
    let faults = walks.server.faults()?;
    assert!(faults.found_no_room()? > 0);
    tokio::time::sleep(Duration::from_millis(700)).await;
    faults.set_capacity(None)?;
    walks.begin().await?;
    walks.walked().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_killed_on_a_full_disk_goes_on_when_there_is_room() -> Result<()> {
    let mut walks = Walks::serve(true).await?;
    for _ in 0..8 {
        walks.begin().await?;
    }
    let faults = walks.server.faults()?;
    faults.set_capacity(Some(faults.used()? + (32 << 10)))?;
    while walks.offer().await? != Some(503) {}
    walks.server.kill().await?;
    // Still full: it serves, and takes nothing.
    walks.server.start().await?;
    while walks.offer().await? != Some(503) {}
    walks.server.kill().await?;
    walks.server.faults()?.set_capacity(None)?;
    walks.server.start().await?;
    walks.begin().await?;
    walks.walked().await?;
    Ok(())
}

/// A cycle whose log keeps all that it is sent.
const KEEPS: &str = r"cycle: keeps
log: {payloads: full}
RETENTION
steps:
  webhook:
    use: generic_webhook.webhook
";

/// POSTs until the answer has this status.
async fn until(server: &Server, status: u16) -> Result<()> {
    let body = json!({"text": "x".repeat(40_000)}).to_string();
    for _ in 0..4_000 {
        let answer = server.hook("keeps", &body).await?;
        if answer.status == status {
            return Ok(());
        }
        ensure!(
            [202, 503].contains(&answer.status),
            "{} {}",
            answer.status,
            answer.text
        );
        if answer.status == 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    anyhow::bail!("no answer was {status}:\n{}", server.log_text())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_longer_kept_goes_though_the_disk_is_full() -> Result<()> {
    let kept = KEEPS.replace("RETENTION\n", "");
    let folder = Folder::new(&[("keeps.yaml", &kept)], "")?.with_faults()?;
    let mut server = folder.serve().await?;
    let faults = server.faults()?;
    faults.set_capacity(Some(faults.used()? + (24 << 20)))?;
    until(&server, 503).await?;
    let full = server.faults()?.used()?;
    server.kill().await?;
    let not_kept = KEEPS.replace("RETENTION", "retention: {succeeded: 1 ms}");
    server.folder().write_cycle("keeps.yaml", &not_kept)?;
    server.start().await?;
    server
        .wait_for("/loops", |seen| seen["items"] == json!([]))
        .await?;
    assert!(
        server.log_text().contains("its reserve is used"),
        "{}",
        server.log_text()
    );
    until(&server, 202).await?;
    // What has become free goes on being given back.
    for _ in 0..600 {
        if server.faults()?.used()? + (8 << 20) < full {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("{} of {full} bytes are used", server.faults()?.used()?)
}

/// A commit whose fsync failed may or may not be on the disk: the server ends rather than guess. Where it
/// failed while the write-ahead log was moved into the file, nothing is open: the log still has it all.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_fsync_loses_nothing() -> Result<()> {
    let (rounds, seed) = (setting("VELODROME_SYNCS", 6), setting("VELODROME_SEED", 1));
    let mut random = Random::new(seed);
    let mut walks = Walks::serve(true).await?;
    let mut ended = 0;
    for round in 1..=rounds {
        for _ in 0..8 {
            walks.begin().await?;
        }
        walks.server.faults()?.fail_sync_after(random.below(40))?;
        let mut since = 0;
        while walks.offer().await?.is_some() && since < 100 {
            since += u64::from(walks.server.faults()?.syncs_failed()? == round);
        }
        if since < 100 {
            let code = walks.server.ended().await?;
            assert_eq!(code, 1, "{}", walks.server.log_text());
            ended += 1;
            walks.server.start().await?;
        }
        assert_eq!(walks.server.faults()?.syncs_failed()?, round);
    }
    // Whoever was not answered asks again: what was written may be there all the same.
    walks.begin().await?;
    let summary = walks.walked().await?;
    println!("seed {seed}: {rounds} fsyncs failed, {ended} ended the server; {summary}");
    Ok(())
}
