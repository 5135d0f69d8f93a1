//! `velodrome sim zoho` in a process of its own.

use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// A running simulator; it ends when this is dropped.
#[derive(Debug)]
pub struct ZohoBinary {
    /// Where it is.
    pub url: String,
    /// The lines for `velodrome.yaml` that it printed.
    pub settings: String,
    _child: Child,
}

impl ZohoBinary {
    /// Starts it on a free port.
    ///
    /// # Errors
    ///
    /// It ended, or printed something else.
    pub async fn start(records: u32) -> Result<Self> {
        let mut child = Command::new(crate::velodrome())
            .args(["sim", "zoho", "--listen", "127.0.0.1:0"])
            .args(["--records", &records.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("starting velodrome sim zoho")?;
        let stdout = child.stdout.take().context("its standard output")?;
        let mut lines = BufReader::new(stdout).lines();
        let mut settings = String::new();
        while !settings.contains("allow:") {
            let Some(line) = lines.next_line().await? else {
                bail!("the simulator ended; it had printed:\n{settings}");
            };
            settings.push_str(&line);
            settings.push('\n');
        }
        let url = settings
            .lines()
            .find_map(|line| line.trim().strip_prefix("accounts_url: "))
            .context("its address")?
            .to_owned();
        Ok(Self {
            url,
            settings,
            _child: child,
        })
    }
}
