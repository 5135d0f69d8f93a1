//! Following the run log of the real binary: through kills and restarts nobody who watches misses a line or is shown
//! one twice, whatever is filtered for.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use velodrome_tests::{Folder, Server, velodrome};

/// How long a test waits for something that should come at once. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);

/// A cycle that says three things of each request.
fn talks(cycle: &str) -> String {
    format!(
        "cycle: {cycle}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: work}}\n  work:\n    use: script\n    \
         map: {{n: \"${{webhook.n}}\"}}\n    script: |\n      fn run() {{\n          \
         for i in 0..3 {{ log(\"said \" + i + \" of \" + method_request.n); }}\n          return true;\n      }}\n"
    )
}

const WAITS: &str = "cycle: waits\nsteps:\n  webhook: {use: generic_webhook.webhook, then: pause}\n  \
                     pause: {use: delay, for: 1 hour}\n";

async fn server() -> Result<Server> {
    let (a, b) = (talks("a"), talks("b"));
    let cycles = [
        ("a.yaml", a.as_str()),
        ("b.yaml", &b),
        ("waits.yaml", WAITS),
    ];
    Folder::new(&cycles, "")?.serve().await
}

/// Sends so many requests to cycles in turn; gives the loops that they begin.
async fn send(server: &Server, cycles: &[&str], count: usize) -> Result<Vec<String>> {
    let mut loops = Vec::new();
    for n in 0..count {
        for cycle in cycles {
            let body = format!("{{\"n\": {n}}}");
            let accepted = server.hook(cycle, &body).await?;
            ensure!(accepted.status == 202, "{}", accepted.text);
            loops.push(
                accepted.json()["loop"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            );
        }
    }
    Ok(loops)
}

/// Sends so many requests to cycles in turn and waits until all they do is done.
async fn busy(server: &Server, cycles: &[&str], count: usize) -> Result<()> {
    for looped in send(server, cycles, count).await? {
        server.loop_over(&looped).await?;
    }
    Ok(())
}

fn seqs(lines: &[Value]) -> Vec<u64> {
    lines
        .iter()
        .filter_map(|line| line["seq"].as_u64())
        .collect()
}

/// `velodrome logs -f` in a process of its own.
struct Follower {
    _child: Child,
    out: Lines<BufReader<ChildStdout>>,
    seen: Vec<u64>,
}

impl Follower {
    fn start(server: &Server, arguments: &[&str]) -> Result<Self> {
        let mut child = Command::new(velodrome())
            .args(["logs", "-f", "--json"])
            .args(arguments)
            .current_dir(server.folder().path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let out = child.stdout.take().context("its standard output")?;
        Ok(Self {
            _child: child,
            out: BufReader::new(out).lines(),
            seen: Vec::new(),
        })
    }

    /// Reads until a line of this `seq` or above has come.
    async fn up_to(&mut self, seq: u64) -> Result<()> {
        while self.seen.last().is_none_or(|last| *last < seq) {
            let line = timeout(PATIENCE, self.out.next_line()).await;
            let line = line.with_context(|| format!("{seq} after {:?}", self.seen.last()))??;
            let line: Value = serde_json::from_str(&line.context("it goes on")?)?;
            self.seen.push(line["seq"].as_u64().context("a seq")?);
        }
        Ok(())
    }
}

/// Server-sent events, as they come.
struct Events {
    response: reqwest::Response,
    text: String,
}

/// One of them: its name, its id and its data.
type Event = (String, u64, String);

impl Events {
    async fn open(server: &Server, path: &str, last: Option<u64>) -> Result<Self> {
        let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
        Self::open_with(server, path, last, &token).await
    }

    async fn open_with(
        server: &Server,
        path: &str,
        last: Option<u64>,
        token: &str,
    ) -> Result<Self> {
        let mut request = reqwest::Client::builder()
            .no_proxy()
            .build()?
            .get(format!("{}{path}", server.url()))
            .bearer_auth(token.trim())
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last.to_string());
        }
        let response = request.send().await?;
        ensure!(response.status() == 200, "{path}: {}", response.status());
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = String::new();
        Ok(Self { response, text })
    }

    /// The next event; none where the stream has ended.
    async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let of = |name: &str| {
                    let mut lines = event.lines();
                    lines.find_map(|line| line.strip_prefix(name)).unwrap_or("")
                };
                if let Ok(id) = of("id: ").parse() {
                    return Ok(Some((
                        of("event: ").to_owned(),
                        id,
                        of("data: ").to_owned(),
                    )));
                }
                continue;
            }
            match timeout(PATIENCE, self.response.chunk()).await? {
                Ok(Some(chunk)) => self.text.push_str(std::str::from_utf8(&chunk)?),
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// The ids of what comes until this one or one above it.
    async fn up_to(&mut self, seq: u64) -> Result<Vec<u64>> {
        let mut ids = Vec::new();
        while ids.last().is_none_or(|last| *last < seq) {
            let (_, id, _) = self.next().await?.context("it goes on")?;
            ids.push(id);
        }
        Ok(ids)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_miss_and_repeat_nothing_through_kills_and_restarts() -> Result<()> {
    let mut server = server().await?;
    let waits = server.hook("waits", "{}").await?.json()["loop"].clone();
    let waits = waits.as_str().context("a loop")?.to_owned();
    server
        .wait_for(&format!("/loops/{waits}"), |seen| {
            seen["status"] == "waiting"
        })
        .await?;
    // By `last` until the server is away: afterwards another loop is the last.
    let mut of_loop = Follower::start(&server, &["--loop", "last", "--since", "1h"])?;
    let first = seqs(&server.log(&format!("loop={waits}")).await?);
    of_loop.up_to(*first.last().context("lines")?).await?;
    busy(&server, &["a", "b"], 3).await?;

    let filters: [(&[&str], &str); 6] = [
        (&["--since", "1h"], ""),
        (&["--since", "1h", "--cycle", "a"], "cycle=a"),
        (&["--since", "1h", "--step", "work"], "step=work"),
        (&["--since", "1h", "--level", "info"], "level=info"),
        (
            &["--since", "1h", "--event", "script.logged", "--cycle", "b"],
            "event=script.logged&cycle=b",
        ),
        (&["--tail", "1", "--cycle", "a"], "cycle=a"),
    ];
    let mut followers = Vec::new();
    for (arguments, query) in filters {
        let mut follower = Follower::start(&server, arguments)?;
        let there = seqs(&server.log(query).await?);
        follower.up_to(*there.last().context("lines")?).await?;
        followers.push((follower, query));
    }
    for round in 0..3 {
        // It goes away in the middle of something.
        send(&server, &["a", "b"], 4).await?;
        match round {
            0 | 1 => server.kill().await?,
            _ => ensure!(server.stop().await? == 0, "{}", server.log_text()),
        }
        server.start().await?;
        busy(&server, &["b", "a"], 2).await?;
    }
    let stopped = server.api("POST", &format!("/loops/{waits}/stop")).await?;
    ensure!(stopped.status == 200, "{}", stopped.text);

    let mut of_loop_expected = seqs(&server.log(&format!("loop={waits}")).await?);
    of_loop
        .up_to(*of_loop_expected.last().context("lines")?)
        .await?;
    of_loop_expected.sort_unstable();
    assert_eq!(of_loop.seen, of_loop_expected, "--loop last");
    for (mut follower, query) in followers {
        let all = seqs(&server.log(query).await?);
        follower.up_to(*all.last().context("lines")?).await?;
        let from = follower.seen[0];
        let expected: Vec<u64> = all.into_iter().filter(|seq| *seq >= from).collect();
        assert_eq!(follower.seen, expected, "{query}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_on_behind_the_last_one_seen_also_after_a_kill() -> Result<()> {
    let mut server = server().await?;
    busy(&server, &["a", "b"], 2).await?;
    let path = "/api/v1/log?cycle=a&after=0";
    let mut seen = Vec::new();
    for _ in 0..3 {
        let mut events = Events::open(&server, path, seen.last().copied()).await?;
        busy(&server, &["a", "b"], 3).await?;
        let all = seqs(&server.log("cycle=a").await?);
        seen.extend(events.up_to(*all.last().context("lines")?).await?);
        assert_eq!(seen, all);
        server.kill().await?;
        assert_eq!(events.next().await?, None, "it ends with its server");
        server.start().await?;
        // While nobody watched.
        busy(&server, &["b", "a"], 1).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_told_that_something_happened_and_when_it_comes_back_what_it_missed() -> Result<()>
{
    let mut server = server().await?;
    for (path, status) in [
        ("/live?loop=01h455vb4pex5vsknk084sn02q", 404),
        ("/live?follow=1", 400),
    ] {
        let token = std::fs::read_to_string(server.folder().path().join("data/admin.token"))?;
        let bearer = format!("Bearer {}", token.trim());
        let url = format!("{}{path}", server.url());
        let headers = [("authorization", bearer.as_str())];
        let answer = server
            .client()
            .send("GET", &url, &headers, Vec::new())
            .await?;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
        let nobody = server.client().send("GET", &url, &[], Vec::new()).await?;
        assert_eq!(nobody.status, 401, "{path}: {}", nobody.text);
    }
    let mut events = Events::open(&server, "/live?cycle=a", None).await?;
    busy(&server, &["a"], 1).await?;
    let newest = *seqs(&server.log("cycle=a").await?)
        .last()
        .context("lines")?;
    let mut last = 0;
    while last < newest {
        let (name, id, data) = events.next().await?.context("it goes on")?;
        assert_eq!((name.as_str(), data), ("changed", id.to_string()));
        assert!(id > last && id <= newest, "{id} after {last}, of {newest}");
        last = id;
    }
    server.kill().await?;
    assert_eq!(events.next().await?, None, "it ends with its server");
    server.start().await?;
    busy(&server, &["a", "b"], 1).await?;
    let of_a = seqs(&server.log("cycle=a").await?);
    let newest = *of_a.last().context("lines")?;
    for path in ["/live?cycle=a", "/live?cycle=a&after=1"] {
        let mut events = Events::open(&server, path, Some(last)).await?;
        assert_eq!(events.next().await?.map(|(_, id, _)| id), Some(newest));
    }
    // Who has seen all is told of nothing but what comes, and of nothing that is of another cycle.
    let mut events = Events::open(&server, "/live?cycle=a", Some(newest)).await?;
    busy(&server, &["b", "a"], 1).await?;
    let all: BTreeSet<u64> = seqs(&server.log("cycle=a").await?).into_iter().collect();
    let (_, id, _) = events.next().await?.context("it goes on")?;
    assert!(id > newest && all.contains(&id), "{id} after {newest}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_ends_what_was_opened_with_it() -> Result<()> {
    let server = server().await?;
    let create = [
        "token", "create", "--json", "--role", "read", "--name", "wall",
    ];
    let (code, out, err) = server.folder().command(&create).await?;
    ensure!(code == 0, "{err}");
    let made: Value = serde_json::from_str(&out)?;
    let (token, id) = (made["token"].as_str(), made["id"].as_str());
    let (token, id) = (token.context("a token")?, id.context("an id")?);
    let mut opened = Vec::new();
    for path in ["/api/v1/log?cycle=a", "/live?cycle=a"] {
        opened.push((path, Events::open_with(&server, path, None, token).await?));
    }
    busy(&server, &["a"], 1).await?;
    for (path, events) in &mut opened {
        ensure!(events.next().await?.is_some(), "{path} goes on");
    }
    let (code, _, err) = server
        .folder()
        .command(&["token", "revoke", id, "--yes"])
        .await?;
    ensure!(code == 0, "{err}");
    for (path, events) in &mut opened {
        let ends = async {
            while events.next().await?.is_some() {}
            anyhow::Ok(())
        };
        timeout(PATIENCE, ends)
            .await
            .with_context(|| format!("{path} goes on"))??;
    }
    Ok(())
}
