//! Loops with a delay of two seconds: how late the next list request comes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, ensure};
use tokio::time::{Duration, Instant, sleep};

use crate::folder::{page_loop, serve};
use crate::pages::{Asked, Pages, RECORDS};
use crate::post::Poster;

const LAPS: u64 = 5;
const DELAY: Duration = Duration::from_secs(2);

#[derive(Default)]
struct Seen {
    answered: HashMap<u64, (u64, Instant)>,
    late: Vec<Duration>,
    wrong: Vec<String>,
}

impl Seen {
    fn note(&mut self, asked: &Asked) {
        if let Some((page, answered)) = self.answered.get(&asked.walk) {
            if asked.page != page + 1 {
                let wrong = format!("walk {}: page {} after {page}", asked.walk, asked.page);
                self.wrong.push(wrong);
            }
            match asked.came.duration_since(*answered).checked_sub(DELAY) {
                Some(late) => self.late.push(late),
                None => self.wrong.push(format!("walk {} came early", asked.walk)),
            }
        }
        self.answered
            .insert(asked.walk, (asked.page, asked.answered));
    }
}

pub(crate) async fn run(loops: usize) -> Result<()> {
    let loops = loops as u64;
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let notes = Arc::clone(&seen);
    let note = move |asked: &Asked| {
        notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(asked);
    };
    let pages = Pages::start(LAPS, RECORDS, note).await?;
    let server = serve(&page_loop("2 seconds"), &pages.host).await?;
    let mut poster = Poster::connect(&server.url()).await?;
    for walk in 0..loops {
        let body = format!(r#"{{"page": 1, "walk": {walk}}}"#);
        let status = poster.post("/hooks/load", &body).await?;
        ensure!(status == 202, "answered with {status}");
    }
    let begin = Instant::now();
    while pages.asked() < LAPS * loops {
        sleep(Duration::from_millis(50)).await;
        ensure!(
            begin.elapsed() < DELAY * (LAPS as u32 + 30),
            "{} pages only",
            pages.asked()
        );
    }
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    ensure!(seen.wrong.is_empty(), "{:?}", seen.wrong);
    seen.late.sort_unstable();
    let late = &seen.late;
    let at = |part: f64| late[((late.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e3;
    println!(
        "lateness: {loops} loops of {LAPS} laps, delay 2 s, from an answer to the next list request: p50 {:.1} ms, p99 {:.1} ms, most {:.1} ms late",
        at(0.5),
        at(0.99),
        at(1.0),
    );
    Ok(())
}
