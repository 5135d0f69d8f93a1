//! The processes: `chromedriver` on a free port, and the browser that it starts. Both end with this.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// What is said where the browser is not there: a test that cannot be made must not look green.
pub(super) const NEEDED: &str = "the browser tests need Chromium and its driver, Debian's packages `chromium`, `chromium-driver` and `fonts-dejavu-core`: \
                                 `.ci/run` says how Debian gets them";

/// A running driver.
#[derive(Debug)]
pub(super) struct Driver {
    child: Child,
    url: String,
    profile: TempDir,
}

impl Driver {
    pub(super) async fn start(program: &str) -> Result<Self> {
        let mut child = Command::new(program)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // The browser joins the group, so that all can be ended at once.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{NEEDED}; `{program}` does not start"))?;
        let stdout = child.stdout.take().context("its standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let port = loop {
            let Some(line) = lines.next_line().await? else {
                bail!("{NEEDED}; `{program}` ended before it was ready");
            };
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        Ok(Self {
            child,
            url: format!("http://127.0.0.1:{port}"),
            profile: tempfile::tempdir()?,
        })
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// What a session is to be like.
    pub(super) fn capabilities(&self) -> Value {
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let arguments = [
            "--headless",
            // The pages are the test's own, and its sandbox needs rights that containers do not give.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            // Nothing but this machine: a page that needs another host is seen to.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            "--lang=en",
            "--hide-scrollbars",
            &profile,
        ];
        json!({
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": arguments},
        })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let Some(pid) = self.child.id() else { return };
        let group = format!("-{pid}");
        let _ = std::process::Command::new("kill")
            .args(["-KILL", "--", &group])
            .stderr(Stdio::null())
            .status();
    }
}
