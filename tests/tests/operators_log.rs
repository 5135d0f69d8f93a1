//! What the server says of itself on its standard error, apart from the run log.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use velodrome_tests::{Folder, Server};

const QUIET: &str = "cycle: quiet\nsteps:\n  webhook: {use: generic_webhook.webhook}\n";

/// Each line of the server's standard error, which must all be JSON.
fn lines(server: &Server) -> Result<Vec<Value>> {
    let text = server.log_text();
    let parse =
        |line: &str| serde_json::from_str(line).with_context(|| format!("`{line}` is not JSON"));
    text.lines().map(parse).collect()
}

fn message(line: &Value) -> &str {
    line["fields"]["message"].as_str().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn as_json_every_line_is_json_from_the_start_to_the_end() -> Result<()> {
    let folder = Folder::new(&[("quiet.yaml", QUIET)], "log_format: json\n")?.with_environment(
        "VELODROME_LOG",
        "warn,velodrome=info,velodrome_server=debug",
    );
    let mut server = folder.serve().await?;
    let url = format!("{}/hooks/quiet?planted=in+the+query", server.url());
    let headers = [
        ("x-request-id", "from-a-proxy.1"),
        ("content-type", "application/json"),
    ];
    let answer = server
        .client()
        .send("POST", &url, &headers, b"{}".to_vec())
        .await?;
    ensure!(answer.status == 202, "{}", answer.text);
    assert_eq!(answer.header("x-request-id"), "from-a-proxy.1");
    let looped = answer.json()["loop"].clone();
    server.loop_over(looped.as_str().context("a loop")?).await?;
    let broken = "cycle: quiet\nsteps: 7\n";
    server.folder().write_cycle("quiet.yaml", broken)?;
    server.log_of("event=cycle.rejected", 1).await?;
    ensure!(server.stop().await? == 0, "{}", server.log_text());

    let told = lines(&server)?;
    for line in &told {
        assert!(
            line["timestamp"].is_string() && line["level"].is_string(),
            "{line}"
        );
    }
    assert!(told.iter().any(|line| message(line) == "serving"));
    assert!(
        told.iter()
            .any(|line| message(line).contains("quiet.yaml was not taken"))
    );
    assert_eq!(message(told.last().context("lines")?), "stopped");
    let request = told
        .iter()
        .find(|line| line["fields"]["id"] == "from-a-proxy.1");
    let request = &request.context("the request is told")?["fields"];
    assert_eq!(request["route"], "/hooks/{cycle}");
    assert_eq!(
        (&request["method"], &request["status"]),
        (&"POST".into(), &202.into())
    );
    // Neither what may be secret in a query nor the run log is in it.
    assert!(!server.log_text().contains("planted"));
    assert!(!server.log_text().contains("webhook.accepted"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_a_start_is_told_in_the_same_format() -> Result<()> {
    let server = Folder::new(&[("quiet.yaml", QUIET)], "log_format: json\n")?
        .serve()
        .await?;
    // The folder is another process's.
    let (code, out, err) = server.folder().command(&["serve"]).await?;
    assert_eq!(out, "");
    assert_ne!(code, 0);
    let last: Value = serde_json::from_str(err.lines().last().context("it says why")?)?;
    assert_eq!(last["level"], "ERROR", "{err}");
    let (text_code, _, text) = server
        .folder()
        .command(&["serve", "--log-format", "text"])
        .await?;
    assert_eq!(text_code, code, "the format changes no code");
    assert!(text.contains("error"), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_level_that_is_none_is_told_and_the_usual_one_taken() -> Result<()> {
    let folder = Folder::new(&[("quiet.yaml", QUIET)], "")?
        .with_environment("VELODROME_LOG", "velodrome=loud");
    let mut server = folder.serve().await?;
    assert!(
        server.log_text().contains("`VELODROME_LOG` is not taken"),
        "{}",
        server.log_text()
    );
    ensure!(server.stop().await? == 0, "{}", server.log_text());
    assert!(server.log_text().contains("serves") && server.log_text().contains("stopped"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_outside_controls_no_terminal_and_forges_no_line() -> Result<()> {
    let server = Folder::new(&[("quiet.yaml", QUIET)], "")?.serve().await?;
    // A file's name may hold all but a slash, and its text is shown where it is wrong.
    let name = "x\u{1b}[2J\u{9b}31m\nforged  INFO stopped.yaml";
    server
        .folder()
        .write_cycle(name, "cycle: x\nsteps: \"\u{202e}\"\n")?;
    server.log_of("event=cycle.rejected", 1).await?;
    let told = server.log_text();
    assert!(
        told.contains("was not taken") && told.contains("forged"),
        "{told}"
    );
    let controls = |c: &char| c.is_control() && *c != '\n' || *c == '\u{202e}';
    assert_eq!(told.chars().find(controls), None, "{told:?}");
    assert!(
        !told.lines().any(|line| line.starts_with("forged")),
        "{told}"
    );
    Ok(())
}
