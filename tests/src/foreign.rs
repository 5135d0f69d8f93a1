//! What others wrote for Node.js (`tests/foreign`): fetched once by `npm ci` into a folder beside the binaries.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

/// What is said where Node.js is not there: a test that cannot be made must not look green.
const NEEDED: &str = "the tests that hold against foreign libraries need Node.js 20.19, 22.12 or 24, or newer of one of them, with npm, and a package \
                      registry to fetch from: `.ci/run` says how Debian gets them";

/// The packages and the scripts that use them; installed when this returns.
pub(crate) async fn folder() -> Result<PathBuf> {
    let test = std::env::current_exe()?;
    // The folder of the profile, whatever the build folder is called: tests are in its `deps`.
    let built = test
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("a test has a folder")?;
    let folder = built.join("foreign");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign");
    std::fs::create_dir_all(&folder)?;
    // Test processes come here at the same time.
    let lock = std::fs::File::create(folder.join(".installing"))?;
    let lock = tokio::task::spawn_blocking(move || lock.lock().map(|()| lock)).await??;
    let wanted = std::fs::read_to_string(source.join("package-lock.json"))?;
    let installed = folder.join(".installed");
    if std::fs::read_to_string(&installed).ok().as_ref() != Some(&wanted) {
        for name in ["package.json", "package-lock.json", ".npmrc"] {
            std::fs::copy(source.join(name), folder.join(name))?;
        }
        let npm = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .output()
            .await
            .context(NEEDED)?;
        let said = String::from_utf8_lossy(&npm.stderr);
        ensure!(npm.status.success(), "{NEEDED}; `npm ci` said: {said}");
        std::fs::write(&installed, wanted)?;
    }
    // A module is looked for beside the script that names it.
    for name in ["server.mjs", "sign.mjs"] {
        std::fs::copy(source.join(name), folder.join(name))?;
    }
    drop(lock);
    Ok(folder)
}

fn node(folder: &Path, script: &str) -> Command {
    let mut command = Command::new("node");
    command
        .arg(script)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// What a library signs: one object of headers for each request, as `sign.mjs` describes them.
///
/// # Errors
///
/// Node.js or the packages are not there, or a library refuses.
pub async fn signed(requests: &Value) -> Result<Vec<Value>> {
    let folder = folder().await?;
    let mut child = node(&folder, "sign.mjs").spawn().context(NEEDED)?;
    let mut stdin = child.stdin.take().context("its standard input")?;
    stdin.write_all(requests.to_string().as_bytes()).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(
        output.status.success(),
        "sign.mjs ended with {}",
        output.status
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// An OAuth server that others wrote, with an API behind it (`server.mjs`); it ends when this is dropped.
#[derive(Debug)]
pub struct ForeignOAuth {
    /// Where it signs in.
    pub issuer: String,
    /// Where the API is.
    pub api: String,
    _child: Child,
    _stdin: ChildStdin,
}

impl ForeignOAuth {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// Node.js or the packages are not there.
    pub async fn start() -> Result<Self> {
        let folder = folder().await?;
        let mut child = node(&folder, "server.mjs").spawn().context(NEEDED)?;
        let stdin = child.stdin.take().context("its standard input")?;
        let stdout = child.stdout.take().context("its standard output")?;
        let Some(line) = BufReader::new(stdout).lines().next_line().await? else {
            bail!("server.mjs ended before it was ready");
        };
        let ready: Value = serde_json::from_str(&line)?;
        let url = |name: &str| ready[name].as_str().unwrap_or_default().to_owned();
        Ok(Self {
            issuer: url("issuer"),
            api: url("api"),
            _child: child,
            _stdin: stdin,
        })
    }
}
