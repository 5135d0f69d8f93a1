//! Page loops with scripts of their own, alone and beside scripts that hang: what those cost the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, ensure};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};
use velodrome_tests::Server;

use crate::folder::{page_loop, serve};
use crate::pages::{Pages, RECORDS};
use crate::post::Poster;

/// Loops whose pace is looked at.
const LOOPS: u64 = 20;
/// Callers of each hanging script, each of whom calls again as soon as he is answered.
const CALLERS: usize = 4;

/// Hangs for as long as a script may, in a loop of its own.
const RHAI: &str = "
cycle: hangs_rhai
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      fn after_webhook() { let n = 0; loop { n += 1; } }
";

/// Hangs inside one built-in function, which nothing but the end of its process interrupts.
const JAVASCRIPT: &str = "
cycle: hangs_js
script_language: javascript
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      function after_webhook() {
          var text = 'a'.repeat(2e7);
          text.indexOf('a'.repeat(1e7) + 'b');
      }
";

/// Answers at once, by a script in JavaScript.
const QUICK: &str = "
cycle: quick_js
script_language: javascript
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      function after_webhook() { return true; }
";

pub(crate) async fn run(seconds: u64) -> Result<()> {
    let stretch = Duration::from_secs(seconds);
    let pages = Pages::start(u64::MAX, RECORDS, |_| {}).await?;
    // So that each stretch deletes as many old laps as the others.
    let cycle = page_loop("0 seconds").replace("\nsteps:", "\nretention: {laps: 200}\nsteps:");
    let server = serve(&cycle, &pages.host).await?;
    for (name, text) in [
        ("hangs_rhai.yaml", RHAI),
        ("hangs_js.yaml", JAVASCRIPT),
        ("quick_js.yaml", QUICK),
    ] {
        server.folder().write_cycle(name, text)?;
    }
    server.log_of("event=cycle.loaded", 4).await?;
    let mut poster = Poster::connect(&server.url()).await?;
    for walk in 0..LOOPS {
        let body = format!(r#"{{"page": 1, "walk": {walk}}}"#);
        let status = poster.post("/hooks/load", &body).await?;
        ensure!(status == 202, "answered with {status}");
    }
    sleep(Duration::from_secs(8)).await;
    told(&pages, &server, "alone", stretch).await?;
    for cycle in ["hangs_rhai", "hangs_js"] {
        let hanging = Hanging::begin(&server, cycle, CALLERS);
        sleep(Duration::from_secs(2)).await;
        let what = format!("beside {CALLERS} callers of {cycle}");
        told(&pages, &server, &what, stretch).await?;
        hanging.end().await?;
    }
    told(&pages, &server, "alone again", stretch).await
}

/// How fast the loops went for so long, and how soon a script in JavaScript answered.
async fn told(pages: &Pages, server: &Server, what: &str, stretch: Duration) -> Result<()> {
    let mut poster = Poster::connect(&server.url()).await?;
    let (begin, before) = (Instant::now(), pages.asked());
    let mut waits = Vec::new();
    while begin.elapsed() < stretch {
        let asked = Instant::now();
        let status = poster.post("/hooks/quick_js", "{}").await?;
        ensure!(status == 202, "answered with {status}");
        waits.push(asked.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    let laps = (pages.asked() - before) as f64 / begin.elapsed().as_secs_f64();
    waits.sort();
    let ms = |part: f64| {
        let at = ((waits.len() - 1) as f64 * part) as usize;
        waits[at].as_secs_f64() * 1e3
    };
    println!(
        "{what}: {laps:.0} laps/s in {LOOPS} loops; a webhook with a handler in JavaScript is answered in {:.1} ms, p99 {:.0} ms, {} asked",
        ms(0.5),
        ms(0.99),
        waits.len()
    );
    Ok(())
}

/// Callers of a cycle whose script hangs.
struct Hanging {
    over: Arc<AtomicBool>,
    callers: JoinSet<Result<()>>,
}

impl Hanging {
    fn begin(server: &Server, cycle: &str, callers: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut all = JoinSet::new();
        for _ in 0..callers {
            let (over, url) = (Arc::clone(&over), server.url());
            let path = format!("/hooks/{cycle}");
            all.spawn(async move {
                let mut poster = Poster::connect(&url).await?;
                while !over.load(Ordering::Relaxed) {
                    let status = poster.post(&path, "{}").await?;
                    ensure!(status == 500, "a script that hangs was answered {status}");
                }
                Ok(())
            });
        }
        Self { over, callers: all }
    }

    async fn end(mut self) -> Result<()> {
        self.over.store(true, Ordering::Relaxed);
        while let Some(ended) = self.callers.join_next().await {
            ended??;
        }
        Ok(())
    }
}
