//! A `velodrome serve` of its own, that can be killed and started again on the same folder.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::client::{Answer, Client};
use crate::faults::Faults;
use crate::random::Random;

/// How long a test waits for something that should come at once. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// A working folder: `velodrome.yaml`, `cycles/`, `data/`.
#[derive(Debug)]
pub struct Folder {
    folder: TempDir,
    port: u16,
    faults: Option<Faults>,
    environment: Vec<(String, String)>,
}

impl Folder {
    /// A folder with these cycle files and these further lines of `velodrome.yaml`.
    pub fn new(cycles: &[(&str, &str)], settings: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        std::fs::create_dir(folder.path().join("cycles"))?;
        let port = free_port()?;
        let folder = Self {
            folder,
            port,
            faults: None,
            environment: Vec::new(),
        };
        folder.write_settings(settings)?;
        for (name, text) in cycles {
            folder.write_cycle(name, text)?;
        }
        Ok(folder)
    }

    /// The same, with a disk and a clock that fail as the test says.
    pub fn with_faults(mut self) -> Result<Self> {
        self.faults = Some(Faults::new(self.path())?);
        Ok(self)
    }

    /// The same, served with this in its environment.
    #[must_use]
    pub fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes `velodrome.yaml` anew, with these further lines.
    pub fn write_settings(&self, settings: &str) -> Result<()> {
        let config = format!("listen: 127.0.0.1:{}\n{settings}", self.port);
        Ok(std::fs::write(self.path().join("velodrome.yaml"), config)?)
    }

    /// Writes a cycle file.
    pub fn write_cycle(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.path().join("cycles").join(name), text)?)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What the server's URLs begin with.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Runs a command of the binary in this folder to its end.
    pub async fn command(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        self.command_told(arguments, "").await
    }

    /// The same, with something on its standard input.
    pub async fn command_told(
        &self,
        arguments: &[&str],
        input: &str,
    ) -> Result<(i32, String, String)> {
        let mut child = Command::new(crate::velodrome())
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("its standard input")?;
        // One that reads nothing may be gone already.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((
            output.status.code().unwrap_or(-1),
            text(output.stdout),
            text(output.stderr),
        ))
    }

    /// Starts the server and waits until it is ready.
    pub async fn serve(self) -> Result<Server> {
        let mut server = Server {
            child: None,
            client: Client::default(),
            token: String::new(),
            folder: self,
        };
        server.start().await?;
        Ok(server)
    }
}

/// A port that nothing listens on. Ports below the range that outgoing connections are given, so that none
/// of them takes it before the server does; each test process begins elsewhere.
fn free_port() -> Result<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..1_000 {
        let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 12_000 + (next % 18_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free between 12000 and 30000")
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    child: Option<Child>,
    client: Client,
    token: String,
    folder: Folder,
}

impl Server {
    /// Starts the server again on the same folder.
    pub async fn start(&mut self) -> Result<()> {
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log_path())?;
        let faulty = match &mut self.folder.faults {
            Some(faults) => faults.begin()?,
            None => Vec::new(),
        };
        let child = Command::new(crate::velodrome())
            .arg("serve")
            .envs(faulty)
            .envs(self.folder.environment.iter().cloned())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting velodrome serve")?;
        self.child = Some(child);
        let ready = format!("{}/readyz", self.url());
        let until = Instant::now() + PATIENCE;
        loop {
            match self.client.send("GET", &ready, &[], Vec::new()).await {
                Ok(answer) if answer.status == 200 => break,
                _ if Instant::now() > until => {
                    bail!("the server is not ready:\n{}", self.log_text())
                }
                _ => {}
            }
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten())
            {
                bail!("the server ended with {status}:\n{}", self.log_text());
            }
            sleep(LOOK).await;
        }
        self.token = std::fs::read_to_string(self.folder.path().join("data/admin.token"))?
            .trim()
            .to_owned();
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("server.log")
    }

    /// What the server wrote to its standard error.
    pub fn log_text(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// What the server wrote to its standard error from these words on, once they stand there in a whole line.
    pub async fn log_from(&self, words: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let log = self.log_text();
            if let Some(at) = log.find(words)
                && log[at..].contains('\n')
            {
                return Ok(log[at..].to_owned());
            }
            if Instant::now() > until {
                bail!("the server does not say `{words}`:\n{log}");
            }
            sleep(LOOK).await;
        }
    }

    /// The working folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What fails beneath it.
    ///
    /// # Errors
    ///
    /// If its folder was made without faults.
    pub fn faults(&self) -> Result<&Faults> {
        self.folder.faults.as_ref().context("a folder with faults")
    }

    /// Makes of the data folder of this server, which was killed, what a loss of power may have left.
    ///
    /// # Errors
    ///
    /// If its folder was made without faults.
    pub fn lose_power(&mut self, random: &mut Random) -> Result<()> {
        let faults = self.folder.faults.as_mut();
        faults.context("a folder with faults")?.lose_power(random)
    }

    /// The process's id.
    ///
    /// # Errors
    ///
    /// If it does not run.
    pub fn pid(&self) -> Result<u32> {
        let child = self.child.as_ref().context("the server runs")?;
        child.id().context("the server runs")
    }

    /// Sends the process a signal, such as `STOP`.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid()?.to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .await?;
        anyhow::ensure!(status.success(), "kill -{name} {pid}: {status}");
        Ok(())
    }

    /// Waits until it ends by itself, and gives the exit code.
    ///
    /// # Errors
    ///
    /// If it goes on.
    pub async fn ended(&mut self) -> Result<i32> {
        let mut child = self.child.take().context("the server runs")?;
        let status = tokio::time::timeout(PATIENCE, child.wait())
            .await
            .with_context(|| format!("the server goes on:\n{}", self.log_text()))??;
        Ok(status.code().unwrap_or(-1))
    }

    /// `kill -9`.
    pub async fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().context("the server runs")?;
        child.kill().await?;
        Ok(())
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(&mut self) -> Result<i32> {
        self.signal("TERM").await?;
        let mut child = self.child.take().context("the server runs")?;
        Ok(child.wait().await?.code().unwrap_or(-1))
    }

    /// What the server's URLs begin with.
    pub fn url(&self) -> String {
        self.folder.url()
    }

    /// The token of the data folder.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// POSTs JSON text to a cycle's webhook.
    pub async fn hook(&self, cycle: &str, body: &str) -> Result<Answer> {
        self.client
            .post(&format!("{}/hooks/{cycle}", self.url()), body)
            .await
    }

    /// Asks for a path with these headers besides `Host`.
    pub async fn ask(
        &self,
        verb: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer> {
        let url = format!("{}{path}", self.url());
        let body = body.as_bytes().to_vec();
        self.client.send(verb, &url, headers, body).await
    }

    /// Asks for a path with this token.
    pub async fn ask_with(&self, verb: &str, path: &str, token: &str) -> Result<Answer> {
        let bearer = format!("Bearer {token}");
        self.ask(verb, path, &[("authorization", &bearer)], "")
            .await
    }

    /// Asks the API with the admin token.
    pub async fn api(&self, verb: &str, path: &str) -> Result<Answer> {
        let bearer = format!("Bearer {}", self.token);
        let url = format!("{}/api/v1{path}", self.url());
        self.client
            .send(verb, &url, &[("authorization", &bearer)], Vec::new())
            .await
    }

    /// GETs JSON from the API.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.api("GET", path).await?;
        if answer.status != 200 {
            bail!("GET {path}: {} {}", answer.status, answer.text);
        }
        Ok(answer.json())
    }

    /// Every log line, oldest first.
    pub async fn log(&self, query: &str) -> Result<Vec<Value>> {
        let mut all = Vec::new();
        let mut after = 0;
        loop {
            let answer = self
                .api("GET", &format!("/log?after={after}&limit=1000&{query}"))
                .await?;
            if answer.status != 200 {
                bail!("the log: {} {}", answer.status, answer.text);
            }
            let lines: Vec<Value> = answer
                .text
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok())
                .collect();
            let Some(last) = lines.last().and_then(|line| line["seq"].as_u64()) else {
                return Ok(all);
            };
            after = last;
            all.extend(lines);
        }
    }

    /// Waits until so many lines are in the log.
    pub async fn log_of(&self, query: &str, count: usize) -> Result<Vec<Value>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let lines = self.log(query).await?;
            if lines.len() >= count {
                return Ok(lines);
            }
            if Instant::now() > until {
                bail!("the log has {} lines of {query}", lines.len());
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until the API answers what is wanted.
    pub async fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let until = Instant::now() + PATIENCE;
        loop {
            let seen = self.get(path).await?;
            if wanted(&seen) {
                return Ok(seen);
            }
            if Instant::now() > until {
                bail!("{path} is still {seen:#}\n{}", self.log_text());
            }
            sleep(LOOK).await;
        }
    }

    /// Waits until a loop has ended.
    pub async fn loop_over(&self, id: &str) -> Result<Value> {
        self.wait_for(&format!("/loops/{id}"), |seen| {
            matches!(
                seen["status"].as_str(),
                Some("succeeded" | "failed" | "stopped")
            )
        })
        .await
    }
}
