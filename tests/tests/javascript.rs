//! Scripts in JavaScript on the real binary: its own workers, what they may do, and that the engine goes on when
//! they do not.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server};

const SETTINGS: &str = "script_limits: {time: 500 ms}\n";
const COUNTS: &str = r"
cycle: counts
script_language: javascript
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      function after_webhook() {
        method_response.count = cyclr_storage_increment('count');
        if (method_response.name) throw new Error('no ' + method_response.name);
        return method_response.wanted !== false;
      }
";
const HANGS: &str = r"
cycle: hangs
steps:
  webhook:
    use: generic_webhook.webhook
    script: {file: hang.js}
";
const HANG: &str = r"
function after_webhook() {
    log('begun');
    var text = 'a'.repeat(2e7);
    text.indexOf('a'.repeat(1e7) + 'b');
}
";

async fn serve() -> Result<Server> {
    let files = [
        ("counts.yaml", COUNTS),
        ("hangs.yaml", HANGS),
        ("hang.js", HANG),
    ];
    Folder::new(&files, SETTINGS)?.serve().await
}

async fn accepted(server: &Server) -> Result<()> {
    let answer = server.hook("counts", "{}").await?;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let id = answer.json()["loop"].as_str().context("an id")?.to_owned();
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    Ok(())
}

/// The processes that the server has started.
fn workers(server: &Server) -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for thread in std::fs::read_dir(format!("/proc/{}/task", server.pid()?))? {
        let children = thread?.path().join("children");
        let text = std::fs::read_to_string(children).unwrap_or_default();
        found.extend(
            text.split_whitespace()
                .filter_map(|id| id.parse::<u32>().ok()),
        );
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_filter_throw_and_store() -> Result<()> {
    let server = serve().await?;
    accepted(&server).await?;
    accepted(&server).await?;
    let ignored = server.hook("counts", r#"{"wanted": false}"#).await?;
    assert_eq!(
        (ignored.status, &ignored.json()["status"]),
        (200, &json!("ignored"))
    );
    let thrown = server.hook("counts", r#"{"name": "x"}"#).await?;
    assert_eq!(
        (thrown.status, thrown.code().as_str()),
        (500, "webhook.script_failed")
    );
    assert!(thrown.text.contains("no x"), "{}", thrown.text);
    assert!(thrown.text.contains("counts.yaml:10"), "{}", thrown.text);
    let get = ["storage", "get", "generic_webhook", "count", "--json"];
    let (_, out, err) = server.folder().command(&get).await?;
    let count: Value = serde_json::from_str(&out).context(err)?;
    // What a handler that threw wrote is not kept.
    assert_eq!(count, json!(3));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_hangs_ends_and_the_rest_goes_on() -> Result<()> {
    let server = serve().await?;
    accepted(&server).await?;
    let (hung, others) = tokio::join!(server.hook("hangs", "{}"), async {
        for _ in 0..20 {
            accepted(&server).await?;
        }
        anyhow::Ok(())
    });
    others?;
    let hung = hung?;
    assert_eq!(
        (hung.status, hung.code().as_str()),
        (500, "webhook.script_failed")
    );
    assert!(hung.text.contains("`script_limits.time`"), "{}", hung.text);
    accepted(&server).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_can_open_nothing_and_its_death_is_no_ones_end() -> Result<()> {
    let server = serve().await?;
    accepted(&server).await?;
    let before = workers(&server)?;
    assert!(!before.is_empty(), "there is a worker");
    for id in &before {
        let limits = std::fs::read_to_string(format!("/proc/{id}/limits"))?;
        for name in [
            "Max open files",
            "Max processes",
            "Max file size",
            "Max core file size",
        ] {
            let line = limits.lines().find(|line| line.starts_with(name));
            let soft = line.and_then(|line| line[name.len()..].split_whitespace().next());
            assert_eq!(soft, Some("0"), "{name}\n{limits}");
        }
        let descriptors = std::fs::read_dir(format!("/proc/{id}/fd"));
        // Only root may look there.
        if let Ok(descriptors) = descriptors {
            assert_eq!(descriptors.count(), 3);
        }
        let killed = std::process::Command::new("kill")
            .args(["-9", &id.to_string()])
            .status()?;
        assert!(killed.success());
    }
    for _ in 0..3 {
        accepted(&server).await?;
    }
    let after = workers(&server)?;
    assert!(
        after.iter().all(|id| !before.contains(id)),
        "{before:?} {after:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_is_told_in_the_file_and_the_worker_is_in_no_help() -> Result<()> {
    let wrong = COUNTS.replace("('count')", "('count'");
    let folder = Folder::new(&[("counts.yaml", &wrong)], "")?;
    let (code, _, err) = folder.command(&["check"]).await?;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("error[script.syntax]"), "{err}");
    assert!(err.contains("counts.yaml:9:"), "{err}");
    let (_, help, _) = folder.command(&["--help"]).await?;
    assert!(!help.contains("worker"), "{help}");
    Ok(())
}
