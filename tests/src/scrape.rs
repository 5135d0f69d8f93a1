//! What Prometheus reads: the samples of `GET /metrics`, and what `promtool` says of them.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

use crate::server::Server;
use crate::session::admin_token;

/// How long a test waits for a number that should come at once. Generous: machines are shared.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(50);
/// What is said where promtool is not there: a test that cannot be made must not look green.
const NEEDED: &str = "these tests need `promtool`, which is in Debian's package `prometheus`: \
                      `apt-get install prometheus`, as `.ci/run` does";

/// A line of the text: a name, its labels as they stand there, a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name.
    pub name: String,
    /// Names and values, in the order of the text.
    pub labels: Vec<(String, String)>,
    /// The number.
    pub value: f64,
}

/// One look at the metrics.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The text as it came.
    pub text: String,
    /// What is in it.
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Asks a server with its admin token.
    ///
    /// # Errors
    ///
    /// If it does not answer with metrics.
    pub async fn of(server: &Server) -> Result<Self> {
        let token = admin_token(server)?;
        let answer = server.ask_with("GET", "/metrics", &token).await?;
        ensure!(answer.status == 200, "{} {}", answer.status, answer.text);
        let lines = answer.text.lines();
        let samples: Result<Vec<Sample>> = lines
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| sample(line).with_context(|| format!("`{line}`")))
            .collect();
        Ok(Self {
            samples: samples?,
            text: answer.text,
        })
    }

    /// Asks until the metrics are as wanted.
    ///
    /// # Errors
    ///
    /// If they do not come to be.
    pub async fn until(server: &Server, wanted: impl Fn(&Self) -> bool) -> Result<Self> {
        let until = Instant::now() + PATIENCE;
        loop {
            let scrape = Self::of(server).await?;
            if wanted(&scrape) {
                return Ok(scrape);
            }
            if Instant::now() > until {
                bail!("the metrics are still\n{}", scrape.text);
            }
            sleep(LOOK).await;
        }
    }

    /// The number of this series; none where there is no such series.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.samples.iter().find(|sample| {
            let known = |(name, value): &(&str, &str)| {
                let mut has = sample.labels.iter();
                has.any(|(label, is)| label == name && is == value)
            };
            sample.name == name && sample.labels.len() == labels.len() && labels.iter().all(known)
        });
        found.map(|sample| sample.value)
    }

    /// Every series: names and labels, without numbers.
    pub fn series(&self) -> BTreeSet<String> {
        let samples = self.samples.iter();
        samples
            .map(|sample| format!("{} {:?}", sample.name, sample.labels))
            .collect()
    }
}

/// Reads `name{label="value",…} 1`.
fn sample(line: &str) -> Option<Sample> {
    let (head, value) = line.rsplit_once(' ')?;
    let (name, mut rest) = match head.split_once('{') {
        Some((name, rest)) => (name, rest.strip_suffix('}')?),
        None => (head, ""),
    };
    let mut labels = Vec::new();
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"")?;
        let end = end_of_text(quoted)?;
        labels.push((
            label.trim_start_matches(',').to_owned(),
            quoted[..end].to_owned(),
        ));
        rest = &quoted[end + 1..];
    }
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: value.parse().ok()?,
    })
}

/// Where the quotation mark is that ends a text.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// Runs `promtool check WHAT` with this on its standard input or with these files.
///
/// # Errors
///
/// If promtool is not there, or has something to say.
pub async fn promtool(arguments: &[&str], input: &str) -> Result<()> {
    let mut child = Command::new("promtool")
        .arg("check")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context(NEEDED)?;
    let mut stdin = child.stdin.take().context("its standard input")?;
    // Where it reads files it may be gone already.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child.wait_with_output().await?;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (said(&output.stdout), said(&output.stderr));
    ensure!(
        output.status.success(),
        "promtool check {arguments:?}: {}\n{out}{err}",
        output.status
    );
    Ok(())
}
