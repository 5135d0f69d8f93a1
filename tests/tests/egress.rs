//! Where requests of a served cycle may go, whatever the run's data says.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::time::Duration;
use velodrome_tests::{Folder, Server, Sink};

const CALLER: &str = "
cycle: caller
steps:
  webhook: {use: generic_webhook.webhook, then: call}
  call: {use: generic_webhook.post, url: \"${webhook.to}\", map: {from: caller}, retry: 0}
";

async fn sink() -> Result<Sink> {
    Sink::start(|_, _| (200, json!({}), Duration::ZERO)).await
}

/// The code that a call there fails with, or `succeeded`.
async fn call(server: &Server, to: &str) -> Result<String> {
    let body = json!({ "to": to }).to_string();
    let accepted = server.hook("caller", &body).await?;
    anyhow::ensure!(accepted.status == 202, "{}", accepted.text);
    let told = accepted.json();
    server
        .loop_over(told["loop"].as_str().context("a loop")?)
        .await?;
    let run = format!("/runs/{}", told["run"].as_str().context("a run")?);
    let seen: Value = server.get(&run).await?;
    let code = seen["error"]["code"].as_str();
    Ok(code
        .or(seen["status"].as_str())
        .unwrap_or_default()
        .to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn data_cannot_send_a_run_inside_nor_an_environment_through_a_proxy() -> Result<()> {
    let (inner, allowed, proxy) = (sink().await?, sink().await?, sink().await?);
    let allowed_at = allowed.url().trim_start_matches("http://").to_owned();
    let settings = format!("egress: {{allow: [\"{allowed_at}\"]}}\n");
    let mut folder = Folder::new(&[("caller.yaml", CALLER)], &settings)?;
    for name in [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "all_proxy",
    ] {
        folder = folder.with_environment(name, proxy.url());
    }
    let server = folder.serve().await?;
    let port = inner.url().rsplit(':').next().context("a port")?.to_owned();
    let own = server.url();
    for to in [
        inner.url().to_owned(),
        format!("http://localhost:{port}/"),
        format!("http://127.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://0x7f.1:{port}/"),
        format!("http://0177.0.0.1:{port}/"),
        format!("http://①②⑦.⓪.⓪.①:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://[::1]:{port}/"),
        format!("http://0:{port}/"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[fd00:ec2::254]/".to_owned(),
        "http://100.100.100.200/".to_owned(),
        "http://10.0.0.1/".to_owned(),
        format!("{own}/hooks/caller"),
        format!("{own}/healthz"),
    ] {
        let got = call(&server, &to).await?;
        assert_eq!(got, "request.refused_address", "{to}");
    }
    let tricky = format!("http://{allowed_at}@127.0.0.1:{port}/");
    assert_eq!(call(&server, &tricky).await?, "request.bad_url");
    assert_eq!(call(&server, allowed.url()).await?, "succeeded");
    assert_eq!(allowed.came().len(), 1);
    assert!(inner.came().is_empty() && proxy.came().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_of_the_settings_is_used_and_only_lets_nothing_else_through() -> Result<()> {
    let (direct, proxy) = (sink().await?, sink().await?);
    let direct_at = direct.url().trim_start_matches("http://").to_owned();
    let settings = format!(
        "egress:\n  allow: [\"{direct_at}\"]\n  only: [\"8.8.8.8\", \"{direct_at}\"]\n  proxy: ${{env:THE_PROXY}}\n"
    );
    let server = Folder::new(&[("caller.yaml", CALLER)], &settings)?
        .with_environment("THE_PROXY", proxy.url())
        .serve()
        .await?;
    assert_eq!(call(&server, "http://8.8.8.8/far").await?, "succeeded");
    assert_eq!(call(&server, direct.url()).await?, "succeeded");
    let refused = call(&server, "http://9.9.9.9/").await?;
    assert_eq!(
        refused, "request.refused_address",
        "`only` does not name it"
    );
    assert_eq!(proxy.came().len(), 1);
    assert!(
        proxy.came()[0].path.contains("8.8.8.8/far"),
        "{:?}",
        proxy.came()
    );
    assert_eq!(
        direct.came().len(),
        1,
        "what `allow` names is reached directly"
    );
    Ok(())
}
