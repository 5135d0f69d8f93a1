//! Page loops alone and beside many who watch them: what viewers cost the engine, and what they get.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep};
use velodrome_tests::{Client, Server};

use crate::folder::{page_loop, serve};
use crate::pages::{Pages, RECORDS};
use crate::post::Poster;
use crate::process::{busy_seconds, resident_mb};

/// Loops whose pace is looked at.
const LOOPS: u64 = 20;
/// How long each stretch is.
const STRETCH: Duration = Duration::from_secs(12);
/// How long loops and viewers are given to come to their pace.
const WARM: Duration = Duration::from_secs(3);
/// The most bytes that a viewer reads at once.
const READ: usize = 64 * 1024;

pub(crate) async fn run(viewers: usize) -> Result<()> {
    let pages = Pages::start(u64::MAX, RECORDS, |_| {}).await?;
    // So that each stretch deletes as many old laps as the others.
    let cycle = page_loop("0 seconds").replace("\nsteps:", "\nretention: {laps: 200}\nsteps:");
    let server = serve(&cycle, &pages.host).await?;
    let mut poster = Poster::connect(&server.url()).await?;
    for walk in 0..LOOPS {
        let body = format!(r#"{{"page": 1, "walk": {walk}}}"#);
        let status = poster.post("/hooks/load", &body).await?;
        ensure!(status == 202, "answered with {status}");
    }
    sleep(WARM).await;
    told(&pages, &server, "alone", None).await?;
    for (what, path, does) in [
        ("told of a cycle's page", "/live?cycle=load", Does::Reads),
        ("told of a loop's page", "/live?loop=last", Does::Reads),
        (
            "who look at a cycle's page",
            "/live?cycle=load",
            Does::LooksAt("/cycles/load"),
        ),
        (
            "who look at a loop's page",
            "/live?loop=last",
            Does::LooksAt("/loops/last"),
        ),
        (
            "of warnings, of which there are none",
            "/api/v1/log?level=warn&tail=0",
            Does::Reads,
        ),
        ("of all lines", "/api/v1/log?tail=0", Does::Reads),
        (
            "of all lines who do not read them",
            "/api/v1/log?tail=0",
            Does::Nothing,
        ),
    ] {
        let watching = Watching::begin(&server, path, viewers, does).await?;
        sleep(WARM).await;
        told(
            &pages,
            &server,
            &format!("{viewers} viewers {what}"),
            Some(&watching),
        )
        .await?;
        watching.end().await?;
    }
    told(&pages, &server, "alone again", None).await
}

/// How fast the loops went for so long, and what the viewers got.
async fn told(
    pages: &Pages,
    server: &Server,
    what: &str,
    watching: Option<&Watching>,
) -> Result<()> {
    let pid = server.pid()?;
    let seen = |watching: &Watching| {
        let Seen { events, bytes } = &*watching.seen;
        (
            events.load(Ordering::Relaxed),
            bytes.load(Ordering::Relaxed),
        )
    };
    let (begin, before) = (Instant::now(), pages.asked());
    let (busy, got) = (busy_seconds(pid)?, watching.map(seen));
    sleep(STRETCH).await;
    let laps = (pages.asked() - before) as f64;
    let took = begin.elapsed().as_secs_f64();
    print!(
        "{what}: {:.0} laps/s in {LOOPS} loops, {:.0} µs of the server's processor a lap, {:.0} MB resident",
        laps / took,
        (busy_seconds(pid)? - busy) / laps * 1e6,
        resident_mb(pid)?
    );
    if let (Some(watching), Some((events, bytes))) = (watching, got) {
        let (events_now, bytes_now) = seen(watching);
        let each = watching.viewers as f64 * took;
        print!(
            "; each is told {:.1} events and {:.1} kB a second",
            (events_now - events) as f64 / each,
            (bytes_now - bytes) as f64 / each / 1e3
        );
    }
    println!();
    Ok(())
}

/// What a viewer does with what it is sent.
#[derive(Clone, Copy)]
enum Does {
    /// Not even read it.
    Nothing,
    Reads,
    /// Asks for this page of the console whenever it is told, as a browser does.
    LooksAt(&'static str),
}

/// What viewers got altogether.
#[derive(Debug, Default)]
struct Seen {
    events: AtomicU64,
    bytes: AtomicU64,
}

/// Viewers, each with a connection of its own.
struct Watching {
    viewers: usize,
    seen: Arc<Seen>,
    all: JoinSet<Result<()>>,
}

impl Watching {
    async fn begin(server: &Server, path: &str, viewers: usize, does: Does) -> Result<Self> {
        let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
        let host = server.url().trim_start_matches("http://").to_owned();
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {}\r\naccept: text/event-stream\r\n\r\n",
            token.trim()
        );
        let seen = Arc::new(Seen::default());
        let mut all = JoinSet::new();
        for _ in 0..viewers {
            let mut stream = TcpStream::connect(&host).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut head = vec![0; READ];
            let length = stream.read(&mut head).await?;
            let head = String::from_utf8_lossy(&head[..length]);
            ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
            let seen = Arc::clone(&seen);
            let (url, bearer) = (server.url(), format!("Bearer {}", token.trim()));
            all.spawn(async move {
                match does {
                    Does::Reads => loop {
                        read(&mut stream, &seen).await?;
                    },
                    Does::LooksAt(page) => {
                        let client = Client::default();
                        let headers = [("authorization", bearer.as_str())];
                        loop {
                            if read(&mut stream, &seen).await? > 0 {
                                let url = format!("{url}{page}");
                                let answer = client.send("GET", &url, &headers, Vec::new()).await?;
                                ensure!(answer.status == 200, "{page}: {}", answer.text);
                                let length = answer.text.len() as u64;
                                seen.bytes.fetch_add(length, Ordering::Relaxed);
                            }
                        }
                    }
                    // Kept open, until this task is ended.
                    Does::Nothing => std::future::pending().await,
                }
            });
        }
        Ok(Self { viewers, seen, all })
    }

    async fn end(mut self) -> Result<()> {
        if let Some(ended) = self.all.try_join_next() {
            ended??;
            bail!("a viewer was let go");
        }
        self.all.shutdown().await;
        Ok(())
    }
}

/// Reads on, and counts; gives how many events came. That no line is missing is for tests to see: here it would cost
/// more than what is measured.
async fn read(stream: &mut TcpStream, seen: &Seen) -> Result<u64> {
    let mut buffer = vec![0; READ];
    let length = stream.read(&mut buffer).await?;
    ensure!(length > 0, "the server closed the connection");
    let events = buffer[..length]
        .windows(4)
        .filter(|four| four == b"id: ")
        .count();
    let events = u64::try_from(events).context("few")?;
    seen.events.fetch_add(events, Ordering::Relaxed);
    seen.bytes.fetch_add(length as u64, Ordering::Relaxed);
    Ok(events)
}
