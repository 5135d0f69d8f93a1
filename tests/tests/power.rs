//! Power lost under load: of what was not yet on the disk for good, only some arrives (SPEC §9, 1).
//!
//! ```text
//! cargo test -p velodrome-tests --test power                                     # as in CI
//! VELODROME_LOSSES=100 VELODROME_SEED=7 cargo test -p velodrome-tests --test power -- --nocapture
//! ```
//!
//! What is lost and what is not: `Faults::lose_power`. A file that was made or renamed counts as there.

use std::time::Duration;

use anyhow::Result;
use velodrome_tests::{Random, Walks, setting};

/// Loops that are begun between two losses.
const BURST: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_done_once_though_power_is_lost() -> Result<()> {
    let (losses, seed) = (setting("VELODROME_LOSSES", 8), setting("VELODROME_SEED", 1));
    let mut random = Random::new(seed);
    let mut walks = Walks::serve(true).await?;
    for _ in 0..losses {
        for _ in 0..BURST {
            walks.begin().await?;
        }
        tokio::time::sleep(Duration::from_millis(random.below(200))).await;
        walks.server.kill().await?;
        walks.server.lose_power(&mut random)?;
        walks.server.start().await?;
    }
    let summary = walks.walked().await?;
    println!("seed {seed}: power lost {losses} times; {summary}");
    Ok(())
}
