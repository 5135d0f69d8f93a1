//! A web server that keeps what it is sent and answers as it is told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// What its clock says, always.
const DATE: &str = "Mon, 23 Nov 2026 12:00:00 GMT";

/// How long a request is waited for. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(20);

/// A request that came.
#[derive(Clone, Debug)]
pub struct Came {
    /// The request line and the headers, as they came.
    pub head: String,
    /// The path, with its query.
    pub path: String,
    /// `Idempotency-Key`, if there was one.
    pub key: String,
    /// The body as JSON; null if it is none.
    pub body: Value,
}

/// An answer, byte for byte, and how long it takes.
type Whole = (Vec<u8>, Duration);
/// How a request is answered.
type Respond = dyn Fn(&Came, usize) -> Whole + Send + Sync;

#[expect(
    missing_debug_implementations,
    reason = "tests show what came, not the server"
)]
/// The server; it ends when this is dropped.
pub struct Sink {
    url: String,
    came: Arc<Mutex<Vec<Came>>>,
    busy: Arc<Mutex<(usize, usize)>>,
    _serving: JoinSet<()>,
}

impl Sink {
    /// Starts it. `respond` is told the request and how many came before it.
    pub async fn start(
        respond: impl Fn(&Came, usize) -> (u16, Value, Duration) + Send + Sync + 'static,
    ) -> Result<Self> {
        Self::raw(move |came, before| {
            let (status, body, takes) = respond(came, before);
            let kind = ("content-type", "application/json");
            let text = body.to_string();
            (Self::answer(status, &[kind], text.as_bytes()), takes)
        })
        .await
    }

    /// An answer with these headers, for [`Sink::raw`].
    pub fn answer(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut head = format!(
            "HTTP/1.1 {status} Said\r\ndate: {DATE}\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        [head.as_bytes(), body].concat()
    }

    /// The same, with answers byte for byte.
    pub async fn raw(
        respond: impl Fn(&Came, usize) -> Whole + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("binding the sink")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (came, busy) = (Arc::default(), Arc::default());
        let shared = (Arc::clone(&came), Arc::clone(&busy));
        let respond: Arc<Respond> = Arc::new(respond);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (came, busy) = shared.clone();
                connections.spawn(serve(stream, came, busy, Arc::clone(&respond)));
            }
        });
        Ok(Self {
            url,
            came,
            busy,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its `host:port`.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What came so far, in order.
    pub fn came(&self) -> Vec<Came> {
        self.came
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until such a request has come.
    ///
    /// # Errors
    ///
    /// None comes.
    pub async fn until(&self, wanted: impl Fn(&Came) -> bool) -> Result<Came> {
        let until = Instant::now() + PATIENCE;
        loop {
            let came = self.came();
            if let Some(found) = came.iter().find(|came| wanted(came)) {
                return Ok(found.clone());
            }
            ensure!(Instant::now() < until, "it did not come, but {came:?}");
            sleep(LOOK).await;
        }
    }

    /// The most requests that were being answered at once.
    pub fn most_at_once(&self) -> usize {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).1
    }
}

async fn serve(
    mut stream: TcpStream,
    came: Arc<Mutex<Vec<Came>>>,
    busy: Arc<Mutex<(usize, usize)>>,
    respond: Arc<Respond>,
) {
    let mut seen = Vec::new();
    while let Some(request) = read(&mut stream, &mut seen).await {
        let before = {
            let mut came = came.lock().unwrap_or_else(PoisonError::into_inner);
            came.push(request.clone());
            came.len() - 1
        };
        {
            let mut busy = busy.lock().unwrap_or_else(PoisonError::into_inner);
            busy.0 += 1;
            busy.1 = busy.1.max(busy.0);
        }
        let (answer, takes) = respond(&request, before);
        sleep(takes).await;
        busy.lock().unwrap_or_else(PoisonError::into_inner).0 -= 1;
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The next request of a connection; `None` at its end.
async fn read(stream: &mut TcpStream, seen: &mut Vec<u8>) -> Option<Came> {
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            let header = |name: &str| {
                let line = head.lines().find_map(|line| {
                    let (key, value) = line.split_once(':')?;
                    key.eq_ignore_ascii_case(name)
                        .then(|| value.trim().to_owned())
                });
                line.unwrap_or_default()
            };
            let length: usize = header("content-length").parse().unwrap_or(0);
            if seen.len() >= end + 4 + length {
                let body = serde_json::from_slice(&seen[end + 4..end + 4 + length]);
                seen.drain(..end + 4 + length);
                return Some(Came {
                    head: head.clone(),
                    path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
                    key: header("idempotency-key"),
                    body: body.unwrap_or(Value::Null),
                });
            }
        }
        let mut part = [0; 8192];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => seen.extend_from_slice(&part[..read]),
        }
    }
}
