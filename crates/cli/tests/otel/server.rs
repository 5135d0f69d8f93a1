//! The real binary with the feature, on a folder of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// How long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// A server, killed with the test.
pub(crate) struct Server {
    folder: TempDir,
    environment: Vec<(&'static str, String)>,
    child: Option<Child>,
    client: Client,
}

impl Server {
    /// A server with these cycles, that may ask `host`.
    pub(crate) async fn start(
        cycles: &[(&str, &str)],
        host: &str,
        environment: Vec<(&'static str, String)>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("cycles")).expect("a folder");
        for (name, text) in cycles {
            let file = folder.path().join("cycles").join(format!("{name}.yaml"));
            std::fs::write(file, text).expect("a file");
        }
        let config = format!("listen: 127.0.0.1:0\negress: {{allow: [\"{host}\"]}}\n");
        std::fs::write(folder.path().join("velodrome.yaml"), config).expect("a file");
        // The client takes what the binary's own commands install.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().no_proxy().build().expect("a client");
        let mut server = Self {
            folder,
            environment,
            child: None,
            client,
        };
        server.again().await;
        server
    }

    /// Starts it again on the same folder.
    pub(crate) async fn again(&mut self) {
        let log = std::fs::File::create(self.folder.path().join("server.log")).expect("a file");
        let child = Command::new(env!("CARGO_BIN_EXE_velodrome"))
            .args(["serve", "--log-format", "json"])
            .current_dir(self.folder.path())
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the binary");
        self.child = Some(child);
        let until = Instant::now() + PATIENCE;
        while self.url().is_none() {
            assert!(Instant::now() < until, "not ready:\n{}", self.log());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What it says to its operator.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default()
    }

    /// A file of its data folder.
    pub(crate) fn data(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join("data").join(name)).unwrap_or_default()
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where it listens, once it says so.
    pub(crate) fn url(&self) -> Option<String> {
        let log = self.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut serving = lines.filter(|line| line["fields"]["message"] == "serving");
        Some(serving.next()?["fields"]["url"].as_str()?.to_owned())
    }

    /// POSTs to a webhook and gives what was accepted.
    pub(crate) async fn hook(&self, cycle: &str, body: &str, headers: &[(&str, &str)]) -> Value {
        let url = format!("{}/hooks/{cycle}", self.url().expect("it runs"));
        let mut request = self
            .client
            .post(url)
            .header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request
            .body(body.to_owned())
            .send()
            .await
            .expect("an answer");
        let status = answer.status().as_u16();
        let text = answer.text().await.expect("a body");
        assert_eq!(status, 202, "{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// Waits until the API answers what is wanted.
    pub(crate) async fn wait_for(&self, path: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let url = format!("{}/api/v1{path}", self.url().expect("it runs"));
        let token = self.data("admin.token");
        let until = Instant::now() + PATIENCE;
        loop {
            let request = self.client.get(&url).bearer_auth(token.trim());
            let text = request.send().await.expect("an answer").text().await;
            let seen = serde_json::from_str(&text.expect("a body")).expect("JSON");
            if wanted(&seen) {
                return seen;
            }
            assert!(
                Instant::now() < until,
                "{path} is still {seen:#}\n{}",
                self.log()
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
