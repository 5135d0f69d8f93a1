//! Signing in at an OAuth server that is not ours: `oauth2-mock-server`, in node.
//!
//! Needs node and npm, which fetches the server on the first run.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::OnceCell;
use velodrome_tests::{Folder, Server};

const CONNECTOR: &str = r#"
connector: foreign
settings: {url: {title: URL}, hosts: {title: Hosts, default: ""}}
auth:
  type: oauth2
  authorize_url: "${settings.url}/authorize"
  token_url: "${settings.url}/token"
  revoke_url: "${settings.url}/revoke"
  scopes: "read write"
  headers: {Authorization: "Bearer ${auth.access_token}"}
  errors: [{error: slow_down, do: wait, for: 1 second}]
base_url: "${settings.url}"
errors:
  - {status: 401, do: refresh_then_retry}
  - {status: 401, do: reconnect}
methods:
  me: {kind: request, verb: GET, path: /userinfo, response: {fields: {sub: {path: sub, when_empty: ""}}}}
"#;

const ROBOT: &str = r#"
connector: robot
settings: {url: {title: URL}, hosts: {title: Hosts, default: ""}}
auth:
  type: oauth2
  grant: client_credentials
  client_auth: basic
  token_url: "${settings.url}/token"
  scopes: read
  headers: {Authorization: "Bearer ${auth.access_token}"}
base_url: "${settings.url}"
errors: [{status: 401, do: refresh_then_retry}]
methods:
  me: {kind: request, verb: GET, path: /userinfo}
"#;

fn cycle(name: &str) -> String {
    format!(
        "cycle: {name}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: me}}\n  me: {{use: {name}.me}}\n"
    )
}

/// The foreign server; it ends when this is dropped.
struct Foreign {
    url: String,
    orders: ChildStdin,
    says: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Foreign {
    async fn start() -> Result<Self> {
        static INSTALLED: OnceCell<PathBuf> = OnceCell::const_new();
        let folder = INSTALLED.get_or_try_init(install).await?;
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("node is missing: install Node.js 20.19 or newer, with npm")?;
        let orders = child.stdin.take().context("its standard input")?;
        let stdout = child.stdout.take().context("its standard output")?;
        let mut says = BufReader::new(stdout).lines();
        let url = says.next_line().await?;
        Ok(Self {
            url: url.context("the foreign server did not start: is node older than 20.19?")?,
            orders,
            says,
            _child: child,
        })
    }

    async fn order(&mut self, order: &str) -> Result<String> {
        let line = format!("{order}\n");
        self.orders.write_all(line.as_bytes()).await?;
        let said = self.says.next_line().await?;
        said.with_context(|| format!("the foreign server ended at `{order}`"))
    }
}

/// The folder of the foreign server, with what it needs, as its lock file has it.
async fn install() -> Result<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("foreign");
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(source.join("server.mjs"), folder.join("server.mjs"))?;
    let lock = std::fs::read(source.join("package-lock.json"))?;
    let done = folder.join("installed");
    if std::fs::read(&done).is_ok_and(|installed| installed == lock) {
        return Ok(folder);
    }
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(source.join(name), folder.join(name))?;
    }
    let installed = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .output()
        .await
        .context("npm is missing: install Node.js 20.19 or newer, with npm")?;
    if !installed.status.success() {
        let said = String::from_utf8_lossy(&installed.stderr);
        bail!("npm could not install the foreign server: {said}");
    }
    std::fs::write(done, lock)?;
    Ok(folder)
}

async fn serve(foreign: &Foreign) -> Result<Server> {
    let host = foreign.url.trim_start_matches("http://");
    let connection = |name: &str| {
        format!(
            "  {name}: {{connector: {name}, settings: {{url: \"{}\", hosts: \"{host}\"}}, auth: {{client_id: me, client_secret: hush}}}}\n",
            foreign.url
        )
    };
    let settings = format!(
        "connectors: ./connectors\negress: {{allow: [\"{host}\"]}}\nconnections:\n{}{}",
        connection("foreign"),
        connection("robot")
    );
    let cycles = [cycle("foreign"), cycle("robot")];
    let folder = Folder::new(
        &[("foreign.yaml", &cycles[0]), ("robot.yaml", &cycles[1])],
        &settings,
    )?;
    std::fs::create_dir(folder.path().join("connectors"))?;
    for (name, text) in [("foreign.yaml", CONNECTOR), ("robot.yaml", ROBOT)] {
        std::fs::write(folder.path().join("connectors").join(name), text)?;
    }
    folder.serve().await
}

/// What a browser does: the link, the foreign server, and back with the cookie.
async fn sign_in(server: &Server) -> Result<()> {
    let begun = server.api("POST", "/connections/foreign/connect").await?;
    let link = begun.json()["url"].as_str().unwrap_or_default().to_owned();
    let opened = server.client().send("GET", &link, &[], Vec::new()).await?;
    let cookie = opened.header("set-cookie").split(';').next();
    let cookie = cookie.unwrap_or_default().to_owned();
    let away = opened.header("location").to_owned();
    assert!(away.contains("code_challenge_method=S256"), "{away}");
    let agreed = server.client().send("GET", &away, &[], Vec::new()).await?;
    let back = agreed.header("location").to_owned();
    let stranger = server.client().send("GET", &back, &[], Vec::new()).await?;
    assert_eq!(stranger.status, 403, "another browser brought it");
    let cookie = [("cookie", cookie.as_str())];
    let done = server
        .client()
        .send("GET", &back, &cookie, Vec::new())
        .await?;
    assert_eq!(done.status, 200, "{}", done.text);
    let again = server
        .client()
        .send("GET", &back, &cookie, Vec::new())
        .await?;
    assert_eq!(again.status, 403, "an answer works once");
    Ok(())
}

async fn run(server: &Server, cycle: &str) -> Result<Value> {
    let accepted = server.hook(cycle, "{}").await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let id = accepted.json()["loop"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    server.loop_over(&id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_server_signs_in_refreshes_rotates_and_refuses() -> Result<()> {
    let mut foreign = Foreign::start().await?;
    let mut server = serve(&foreign).await?;
    let refused = server.hook("foreign", "{}").await?;
    assert_eq!(refused.code(), "cycle.needs_connection");
    sign_in(&server).await?;
    assert_eq!(run(&server, "foreign").await?["status"], "succeeded");

    // The token ends before its time: refreshed on the API's word, and the refresh token rotates.
    for _ in 0..2 {
        foreign.order("end").await?;
        assert_eq!(run(&server, "foreign").await?["status"], "succeeded");
    }
    // The newest refresh token is the one that a restart finds.
    server.stop().await?;
    server.start().await?;
    foreign.order("end").await?;
    assert_eq!(run(&server, "foreign").await?["status"], "succeeded");
    let asked = foreign.order("asked").await?;
    assert_eq!(
        asked,
        "authorization_code refresh_token refresh_token refresh_token"
    );

    // Throttled, though it says so with 200: it passes, and the run goes on.
    foreign.order("end").await?;
    foreign.order("throttle").await?;
    let accepted = server.hook("foreign", "{}").await?.json();
    server.log_of("event=connection.failed", 1).await?;
    foreign.order("relent").await?;
    let over = server.loop_over(accepted["loop"].as_str().unwrap_or_default());
    assert_eq!(over.await?["status"], "succeeded");

    // Refused for good: a person is called, and the cycle takes nothing until then.
    foreign.order("end").await?;
    foreign.order("refuse").await?;
    let failed = run(&server, "foreign").await?;
    assert_eq!(failed["status"], "failed");
    let seen = server.get("/cycles/foreign").await?;
    assert_eq!(seen["state"], "needs_connection");
    let lines = server.log("event=connection.failed").await?;
    assert_eq!(lines[lines.len() - 1]["code"], "auth.needs_connection");
    foreign.order("relent").await?;
    sign_in(&server).await?;
    let retried = server.folder().command(&["loop", "retry", "last"]).await?;
    assert_eq!(retried.0, 0, "{retried:?}");
    let id = failed["id"].as_str().unwrap_or_default();
    let over = server.wait_for(&format!("/loops/{id}"), |seen| {
        seen["status"] == "succeeded"
    });
    over.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_in_its_own_name_is_ready_without_anybody() -> Result<()> {
    let mut foreign = Foreign::start().await?;
    let server = serve(&foreign).await?;
    assert_eq!(run(&server, "robot").await?["status"], "succeeded");
    foreign.order("end").await?;
    assert_eq!(run(&server, "robot").await?["status"], "succeeded");
    let asked = foreign.order("asked").await?;
    assert_eq!(asked, "client_credentials client_credentials");
    let seen = server.get("/connections/robot").await?;
    assert_eq!(
        (
            &seen["state"],
            &seen["auth"],
            &seen["scopes"],
            &seen["asks"]
        ),
        (
            &json!("ready"),
            &json!("oauth2"),
            &json!("read"),
            &json!([])
        )
    );
    let (code, out, said) = server.folder().command(&["connect", "robot"]).await?;
    assert_eq!((code, out.as_str()), (0, ""), "{said}");
    foreign.order("refuse").await?;
    let (code, _, said) = server.folder().command(&["connect", "robot"]).await?;
    assert_eq!(code, 1, "{said}");
    tokio::time::timeout(Duration::from_secs(5), foreign.order("asked")).await??;
    Ok(())
}
