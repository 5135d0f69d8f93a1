//! Loops that leave a trace of each lap in storage, in the log and in the world outside, and what must
//! have become of them whatever happened to the server meanwhile (SPEC §9).

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{Folder, Server, Sink};

/// Laps of each loop.
pub const LAPS: u64 = 12;

/// Each lap counts in storage, tells the world outside, sleeps, and begins the next.
const CYCLE: &str = r#"cycle: walked
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

/// The loops that were begun, the server that walks them, and the world they tell.
#[expect(missing_debug_implementations, reason = "the sink has none")]
pub struct Walks {
    /// The server.
    pub server: Server,
    sink: Sink,
    /// What each was begun as, and its loop.
    begun: BTreeMap<String, String>,
}

impl Walks {
    /// Serves the cycle, in a folder with faults if `faulty`.
    ///
    /// # Errors
    ///
    /// If the server does not start.
    pub async fn serve(faulty: bool) -> Result<Self> {
        let sink = Sink::start(|_, before| {
            // Some answers take long enough that a fault finds the request in flight.
            let takes = if before % 7 == 0 { 20 } else { 0 };
            (200, json!({}), Duration::from_millis(takes))
        })
        .await?;
        let cycle = CYCLE
            .replace("SINK", &format!("{}/told", sink.url()))
            .replace("LAPS", &LAPS.to_string());
        let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
        let mut folder = Folder::new(&[("walked.yaml", &cycle)], &settings)?;
        if faulty {
            folder = folder.with_faults()?;
        }
        Ok(Self {
            server: folder.serve().await?,
            sink,
            begun: BTreeMap::new(),
        })
    }

    /// What the next loop is begun as.
    pub fn next(&self) -> String {
        format!("walk-{}", self.begun.len())
    }

    /// What begins a loop.
    pub fn body(walk: &str) -> String {
        json!({"page": 1, "walk": walk}).to_string()
    }

    /// POSTs what begins the next loop, once, with its key; gives the status, if there was an answer.
    ///
    /// # Errors
    ///
    /// If the answer is neither 202 nor 503.
    pub async fn offer(&mut self) -> Result<Option<u16>> {
        let (walk, url) = (self.next(), format!("{}/hooks/walked", self.server.url()));
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", walk.as_str()),
        ];
        let body = Self::body(&walk).into_bytes();
        let Ok(answer) = self
            .server
            .client()
            .send("POST", &url, &headers, body)
            .await
        else {
            return Ok(None);
        };
        if answer.status == 202 {
            let id = answer.json()["loop"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            self.begun.insert(walk, id);
        } else {
            ensure!(answer.status == 503, "{} {}", answer.status, answer.text);
        }
        Ok(Some(answer.status))
    }

    /// POSTs what begins the next loop until it is answered 202.
    ///
    /// # Errors
    ///
    /// If it is answered anything but 202 or 503.
    pub async fn begin(&mut self) -> Result<()> {
        while self.offer().await? != Some(202) {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits until all loops have ended, and looks whether each was walked whole, once, in order, and told
    /// outside in the same words each time. Gives a summary.
    ///
    /// # Errors
    ///
    /// If the API does not answer.
    ///
    /// # Panics
    ///
    /// If it is not so.
    pub async fn walked(&self) -> Result<String> {
        let server = &self.server;
        for id in self.begun.values() {
            let over = server.loop_over(id).await?;
            assert_eq!(over["status"], "succeeded", "{id}: {over:#}");
            assert_eq!(over["laps"], LAPS);
        }
        let all: Vec<String> = (1..=LAPS).map(|page| page.to_string()).collect();
        for id in self.begun.values() {
            assert_eq!(pages(server, id).await?, all, "{id}");
        }
        let total = self.begun.len() as u64 * LAPS;
        let stored = server.get("/storage/generic_webhook/total").await?;
        assert_eq!(stored["value"].as_f64(), Some(total as f64));
        let accepted = server.log("event=webhook.accepted").await?.len() as u64;
        assert_eq!(accepted, total, "no loop was begun that nobody was told of");

        let mut told: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for came in self.sink.came() {
            let of = (came.body["walk"].to_string(), came.body["page"].to_string());
            told.entry(of).or_default().push(came.key);
        }
        assert_eq!(told.len() as u64, total);
        let mut again = 0;
        for (of, keys) in &told {
            assert!(keys.iter().all(|key| *key == keys[0]), "{of:?}: {keys:?}");
            again += keys.len() as u64 - 1;
        }
        assert!(
            !server.log_text().contains("panicked"),
            "{}",
            server.log_text()
        );
        Ok(format!(
            "{} loops of {LAPS} laps: each lap once, {again} of {total} requests sent again",
            self.begun.len()
        ))
    }
}

/// The pages that a loop was begun with, in the order of the log.
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
