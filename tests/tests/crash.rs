//! The real binary killed, stopped in its tracks and robbed of its sled under load, and what became of all
//! that it had answered 202 to (SPEC §9).
//!
//! ```text
//! cargo test -p velodrome-tests --test crash                                     # as in CI
//! VELODROME_KILLS=200 VELODROME_SEED=7 cargo test -p velodrome-tests --test crash -- --nocapture
//! ```

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use velodrome_tests::{Folder, Server, Sink};

const LAPS: u64 = 12;
/// Loops that are begun between two faults.
const BURST: usize = 8;

/// Each lap counts in storage, tells the world outside, sleeps, and begins the next.
const CYCLE: &str = r#"cycle: crashed
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true, minimum: 1}
      walk: {type: text, required: true}
    script: |
      fn after_webhook() {
          loop_storage_set("page", method_response.page);
          cyclr_storage_increment("total", 1);
          return true;
      }
    then: tell
  tell:
    use: generic_webhook.post
    url: SINK
    map: {walk: "${webhook.walk}", page: "${webhook.page}"}
    retry: {times: 20, first: 10 ms, factor: 1, max: 10 ms}
    then: enough
  enough:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: LAPS}
    then: pause
  pause:
    use: delay
    for: 25 ms
    then: next_page
  next_page:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: ignore, walk: "${webhook.walk}"}
    script: |
      fn before_action() {
          method_request.page = loop_storage_get("page") + 1;
          return true;
      }
"#;

fn number(name: &str, otherwise: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// The same faults for the same seed (SplitMix64); what the machine does meanwhile is its own.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end
    }
}

/// What was done to the server.
#[derive(Debug, Default)]
struct Faults {
    kills: u64,
    stops: u64,
    sleds_damaged: u64,
    sleds_removed: u64,
}

/// POSTs what begins a loop until it is answered, with one key for all attempts.
async fn begin(server: &mut Server, walk: &str) -> Result<String> {
    let url = format!("{}/hooks/crashed", server.url());
    let body = json!({"page": 1, "walk": walk}).to_string();
    loop {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", walk),
        ];
        let sent = server
            .client()
            .send("POST", &url, &headers, body.clone().into_bytes());
        match sent.await {
            Ok(answer) if answer.status == 202 => {
                let id = answer.json()["loop"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned();
                return Ok(id);
            }
            Ok(answer) => ensure!(answer.status == 503, "{} {}", answer.status, answer.text),
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
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

async fn pages(server: &Server, id: &str) -> Result<Vec<String>> {
    let lines = server
        .log(&format!("loop={id}&event=webhook.accepted"))
        .await?;
    let page = |line: &Value| {
        let message = line["message"].as_str().unwrap_or_default();
        let shown = message.split("page=").nth(1).unwrap_or_default();
        shown.split(' ').next().unwrap_or_default().to_owned()
    };
    Ok(lines.iter().map(page).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_done_once_whatever_happens_to_the_process() -> Result<()> {
    let (kills, seed) = (number("VELODROME_KILLS", 12), number("VELODROME_SEED", 1));
    let mut random = Random(seed);
    let sink = Sink::start(|_, before| {
        // Some answers take long enough that a kill finds the request in flight.
        let takes = if before % 7 == 0 { 20 } else { 0 };
        (200, json!({}), Duration::from_millis(takes))
    })
    .await?;
    let cycle = CYCLE
        .replace("SINK", &format!("{}/told", sink.url()))
        .replace("LAPS", &LAPS.to_string());
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let mut server = Folder::new(&[("crashed.yaml", &cycle)], &settings)?
        .serve()
        .await?;
    let (mut faults, mut begun) = (Faults::default(), BTreeMap::new());
    while faults.kills < kills {
        for _ in 0..BURST {
            let walk = format!("walk-{}", begun.len());
            let id = begin(&mut server, &walk).await?;
            begun.insert(walk, id);
        }
        tokio::time::sleep(Duration::from_millis(random.below(120))).await;
        if random.below(5) == 0 {
            server.signal("STOP").await?;
            tokio::time::sleep(Duration::from_millis(random.below(200))).await;
            server.signal("CONT").await?;
            faults.stops += 1;
        } else {
            // A request that is on its way when the process ends is answered by the next one.
            let walk = format!("walk-{}", begun.len());
            let url = format!("{}/hooks/crashed", server.url());
            let (client, body) = (
                server.client().clone(),
                json!({"page": 1, "walk": walk}).to_string(),
            );
            let key = walk.clone();
            let mut unheard = JoinSet::new();
            unheard.spawn(async move {
                let headers = [
                    ("content-type", "application/json"),
                    ("idempotency-key", key.as_str()),
                ];
                let _lost = client.send("POST", &url, &headers, body.into_bytes()).await;
            });
            kill(&mut server, &mut faults, &mut random).await?;
            drop(unheard);
            let id = begin(&mut server, &walk).await?;
            begun.insert(walk, id);
        }
    }

    for id in begun.values() {
        let over = server.loop_over(id).await?;
        assert_eq!(over["status"], "succeeded", "{id}: {over:#}");
        assert_eq!(over["laps"], LAPS);
    }
    let all: Vec<String> = (1..=LAPS).map(|page| page.to_string()).collect();
    for id in begun.values() {
        assert_eq!(pages(&server, id).await?, all, "{id}, seed {seed}");
    }
    let total = begun.len() as u64 * LAPS;
    let stored = server.get("/storage/generic_webhook/total").await?;
    assert_eq!(stored["value"].as_f64(), Some(total as f64), "seed {seed}");
    let accepted = server.log("event=webhook.accepted").await?.len() as u64;
    assert_eq!(accepted, total, "no loop was begun that nobody was told of");

    // The world outside: all of it, in the same words and with the same key each time.
    let mut told: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for came in sink.came() {
        let of = (came.body["walk"].to_string(), came.body["page"].to_string());
        told.entry(of).or_default().push(came.key);
    }
    assert_eq!(told.len() as u64, total);
    let mut again = 0;
    for (of, keys) in &told {
        assert!(keys.iter().all(|key| *key == keys[0]), "{of:?}: {keys:?}");
        again += keys.len() as u64 - 1;
    }
    println!(
        "seed {seed}: {} loops of {LAPS} laps, {faults:?}: each lap once, {again} of {total} requests sent again",
        begun.len()
    );
    assert!(
        !server.log_text().contains("panicked"),
        "{}",
        server.log_text()
    );
    Ok(())
}
