//! The list API: pages of 200 records as Zoho's, answered out of memory.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Records on a page, where nothing else is said.
pub(crate) const RECORDS: u64 = 200;
/// Pages with different records: enough that none is like the one before it.
const DIFFERENT: u64 = 8;

/// What it saw, told when a request came and when its answer went.
pub(crate) type Saw = dyn Fn(&Asked) + Send + Sync;

/// One request.
pub(crate) struct Asked {
    /// The `page` it asked for.
    pub(crate) page: u64,
    /// The `walk` it belongs to: which loop asks.
    pub(crate) walk: u64,
    pub(crate) came: Instant,
    pub(crate) answered: Instant,
}

/// A running list API; it ends when this is dropped.
pub(crate) struct Pages {
    pub(crate) host: String,
    asked: Arc<AtomicU64>,
    _serving: JoinSet<()>,
}

impl Pages {
    /// Answers pages 1 to `last`, each of so many records.
    pub(crate) async fn start(
        last: u64,
        records: u64,
        saw: impl Fn(&Asked) + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let host = listener.local_addr()?.to_string();
        let asked = Arc::new(AtomicU64::new(0));
        let served = Arc::new(Served {
            last,
            more: (0..DIFFERENT)
                .map(|number| answer(number, records, true))
                .collect(),
            end: answer(DIFFERENT, records, false),
            asked: Arc::clone(&asked),
            saw: Box::new(saw),
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Ok(Self {
            host,
            asked,
            _serving: serving,
        })
    }

    /// How many requests came.
    pub(crate) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }
}

struct Served {
    last: u64,
    more: Vec<Vec<u8>>,
    end: Vec<u8>,
    asked: Arc<AtomicU64>,
    saw: Box<Saw>,
}

/// A whole answer with a page of records.
fn answer(number: u64, records: u64, more: bool) -> Vec<u8> {
    let mut body = String::from("{\"data\":[");
    for at in 0..records {
        let id = 5_000_000_000 + number * records + at;
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(
            body,
            "{comma}{{\"Owner\":{{\"name\":\"Patricia Boyle\",\"id\":\"554023000000235011\",\"email\":\"p.boyle@example.com\"}},\
             \"Email\":\"contact{id}@example.com\",\"Last_Name\":\"Name {id}\",\"First_Name\":\"Given {at}\",\
             \"Full_Name\":\"Given {at} Name {id}\",\"Phone\":\"+1 555 010 {at:04}\",\"Mobile\":null,\
             \"Account_Name\":{{\"name\":\"Account {at}\",\"id\":\"5540230000{id}\"}},\
             \"Created_Time\":\"2026-01-05T10:00:00+00:00\",\"Modified_Time\":\"2026-02-07T11:30:00+00:00\",\"id\":\"{id}\"}}"
        );
    }
    let _ = write!(
        body,
        "],\"info\":{{\"per_page\":{records},\"count\":{records},\"page\":1,\"more_records\":{more}}}}}"
    );
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

async fn serve(mut stream: TcpStream, served: Arc<Served>) {
    let _ = stream.set_nodelay(true);
    let mut seen = Vec::with_capacity(4096);
    loop {
        let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") else {
            match stream.read_buf(&mut seen).await {
                Ok(0) | Err(_) => return,
                Ok(_) => continue,
            }
        };
        let came = Instant::now();
        let head = String::from_utf8_lossy(&seen[..end]).into_owned();
        seen.drain(..end + 4);
        let page = parameter(&head, "page=").unwrap_or(1);
        let answer = if page < served.last {
            &served.more[(page % DIFFERENT) as usize]
        } else {
            &served.end
        };
        served.asked.fetch_add(1, Ordering::Relaxed);
        // Before it goes: the server may have read all of it before this task is run again.
        let answered = Instant::now();
        if stream.write_all(answer).await.is_err() {
            return;
        }
        (served.saw)(&Asked {
            page,
            walk: parameter(&head, "walk=").unwrap_or(0),
            came,
            answered,
        });
    }
}

fn parameter(head: &str, name: &str) -> Option<u64> {
    let line = head.lines().next()?;
    let query = line.split(' ').nth(1)?.split_once('?')?.1;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix(name))?
        .parse()
        .ok()
}
