//! Wall clocks that jump, both ways (SPEC §9, 4): a delay is never shorter than it says, and while the
//! process lives no longer either.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server};

const HOUR: i64 = 3_600_000;

const CYCLE: &str = r"cycle: sleeps
steps:
  webhook:
    use: generic_webhook.webhook
    then: pause
  pause:
    use: delay
    for: LENGTH
";

async fn serve(length: &str) -> Result<Server> {
    let cycle = CYCLE.replace("LENGTH", length);
    let folder = Folder::new(&[("sleeps.yaml", &cycle)], "")?;
    folder.with_faults()?.serve().await
}

/// Begins one, and waits until it sleeps.
async fn asleep(server: &Server) -> Result<String> {
    let accepted = server.hook("sleeps", "{}").await?;
    let id = accepted.json()["loop"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let waits = |seen: &Value| seen["status"] == json!("waiting");
    server.wait_for(&format!("/loops/{id}"), waits).await?;
    Ok(id)
}

async fn status(server: &Server, id: &str) -> Result<Value> {
    Ok(server.get(&format!("/loops/{id}")).await?["status"].clone())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time that really passes is what is shown"
)]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_jump_while_it_runs_makes_a_delay_neither_shorter_nor_longer() -> Result<()> {
    for jump in [HOUR, -HOUR, 400 * 24 * HOUR, -400 * 24 * HOUR] {
        let server = serve("1500 ms").await?;
        let begun = now();
        let id = asleep(&server).await?;
        server.faults()?.move_clock(jump)?;
        let over = server.loop_over(&id).await?;
        let took = begun.elapsed();
        assert_eq!(over["status"], "succeeded");
        assert!(took >= Duration::from_millis(1500), "{jump}: {took:?}");
        assert!(took < Duration::from_secs(20), "{jump}: {took:?}");
        // What comes after the jump works as well.
        let begun = now();
        let id = asleep(&server).await?;
        server.loop_over(&id).await?;
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1500), "{jump}: {took:?}");
        assert!(took < Duration::from_secs(20), "{jump}: {took:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn across_a_restart_the_wall_clock_says_when() -> Result<()> {
    let mut server = serve("1 hour").await?;
    let id = asleep(&server).await?;
    server.kill().await?;
    server.faults()?.move_clock(-2 * HOUR)?;
    server.start().await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status(&server, &id).await?, "waiting");
    server.kill().await?;
    server.faults()?.move_clock(HOUR + 1_000)?;
    server.start().await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    Ok(())
}
