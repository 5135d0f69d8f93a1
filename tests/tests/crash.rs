//! The real binary killed, stopped in its tracks and robbed of its sled under load, and what became of all
//! that it had answered 202 to (SPEC §9).
//!
//! ```text
//! cargo test -p velodrome-tests --test crash                                     # as in CI
//! VELODROME_KILLS=200 VELODROME_SEED=7 cargo test -p velodrome-tests --test crash -- --nocapture
//! ```

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use velodrome_tests::{Random, Server, Walks, setting};

/// Loops that are begun between two faults.
const BURST: usize = 8;

/// What was done to the server.
#[derive(Debug, Default)]
struct Faults {
    kills: u64,
    stops: u64,
    sleds_damaged: u64,
    sleds_removed: u64,
}

async fn kill(server: &mut Server, faults: &mut Faults, random: &mut Random) -> Result<()> {
    server.kill().await?;
    faults.kills += 1;
    let sled = server.folder().path().join("data/sled");
    match random.below(8) {
        0 => {
            damage(&sled.join("db"), random)?;
            faults.sleds_damaged += 1;
        }
        1 => {
            std::fs::remove_dir_all(&sled)?;
            faults.sleds_removed += 1;
        }
        _ => {}
    }
    server.start().await
}

/// Flips some bytes, or cuts the end off.
fn damage(file: &Path, random: &mut Random) -> Result<()> {
    let mut bytes = std::fs::read(file)?;
    if bytes.is_empty() {
        return Ok(());
    }
    if random.below(2) == 0 {
        bytes.truncate(random.below(bytes.len() as u64) as usize);
    } else {
        for _ in 0..16 {
            let at = random.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << random.below(8);
        }
    }
    Ok(std::fs::write(file, bytes)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_done_once_whatever_happens_to_the_process() -> Result<()> {
    let (kills, seed) = (setting("VELODROME_KILLS", 12), setting("VELODROME_SEED", 1));
    let mut random = Random::new(seed);
    let mut walks = Walks::serve(false).await?;
    let mut faults = Faults::default();
    while faults.kills < kills {
        for _ in 0..BURST {
            walks.begin().await?;
        }
        tokio::time::sleep(Duration::from_millis(random.below(120))).await;
        if random.below(5) == 0 {
            walks.server.signal("STOP").await?;
            tokio::time::sleep(Duration::from_millis(random.below(200))).await;
            walks.server.signal("CONT").await?;
            faults.stops += 1;
        } else {
            // A request that is on its way when the process ends is answered by the next one.
            let walk = walks.next();
            let url = format!("{}/hooks/walked", walks.server.url());
            let client = walks.server.client().clone();
            let mut unheard = JoinSet::new();
            unheard.spawn(async move {
                let headers = [
                    ("content-type", "application/json"),
                    ("idempotency-key", walk.as_str()),
                ];
                let body = Walks::body(&walk).into_bytes();
                let _lost = client.send("POST", &url, &headers, body).await;
            });
            kill(&mut walks.server, &mut faults, &mut random).await?;
            drop(unheard);
            walks.begin().await?;
        }
    }
    let summary = walks.walked().await?;
    println!("seed {seed}: {faults:?}; {summary}");
    Ok(())
}
