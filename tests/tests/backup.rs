//! `backup` while the server serves, and `restore` into another folder.

use anyhow::Result;
use serde_json::json;
use velodrome_tests::{Folder, Server};

const CYCLE: &str = r#"cycle: counts
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true, minimum: 1}
      pause: {type: boolean, default: false}
    script: |
      fn after_webhook() {
          cyclr_storage_set("page", method_response.page);
          return true;
      }
    then: rest
  rest:
    use: decision
    if: {left: "${webhook.pause}", is: equals, right: true}
    then: sleep
    else: enough
  sleep:
    use: delay
    for: 2 seconds
    then: enough
  enough:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: 400}
    then: next_page
  next_page:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: ignore}
    script: |
      fn before_action() {
          method_request.page = cyclr_storage_get("page") + 1;
          return true;
      }
"#;

fn folder() -> Result<Folder> {
    Folder::new(&[("counts.yaml", CYCLE)], "")
}

async fn start(server: &Server, body: &str) -> Result<String> {
    let accepted = server.hook("counts", body).await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    Ok(accepted.json()["loop"]
        .as_str()
        .unwrap_or_default()
        .to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_moment_and_goes_on_from_there() -> Result<()> {
    let server = folder()?.serve().await?;
    let asleep = start(&server, r#"{"page": 400, "pause": true}"#).await?;
    server.log_of("event=delay.started", 1).await?;
    let busy = start(&server, r#"{"page": 1}"#).await?;
    let file = server.folder().path().join("kept.backup");
    let name = file.display().to_string();
    // The loop goes on meanwhile.
    let (code, _, error) = server.folder().command(&["backup", &name]).await?;
    assert_eq!(code, 0, "{error}");
    let bytes = std::fs::read(&file)?;
    let key = std::fs::read(server.folder().path().join("data/secret.key"))?;
    assert!(!bytes.windows(key.len()).any(|part| part == key));
    server.loop_over(&busy).await?;

    let other = folder()?;
    let (code, _, error) = other.command(&["restore", &name]).await?;
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("counts is paused"), "{error}");
    let restored = other.serve().await?;
    assert_eq!(restored.get("/cycles/counts").await?["state"], "paused");
    // What was under way goes on: each page once, whatever had been reached.
    for id in [&asleep, &busy] {
        let over = restored.loop_over(id).await?;
        assert_eq!(over["status"], "succeeded");
    }
    let pages: Vec<String> = restored
        .log(&format!("loop={busy}&event=webhook.accepted"))
        .await?
        .iter()
        .map(|line| {
            line["message"]
                .as_str()
                .unwrap_or_default()
                .replace("accepted  page=", "")
                .replace(" pause=false", "")
        })
        .collect();
    let all: Vec<String> = (1..=400).map(|page: u32| page.to_string()).collect();
    assert_eq!(pages, all);
    // Nothing new begins until somebody says so.
    let queued = start(&restored, r#"{"page": 400}"#).await?;
    let seen = restored.get(&format!("/loops/{queued}")).await?;
    assert_eq!(seen["status"], json!("queued"));
    restored.api("POST", "/cycles/counts/start").await?;
    restored.loop_over(&queued).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_leaves_all_as_it_was() -> Result<()> {
    let server = folder()?.serve().await?;
    let here = server.folder();
    let file = here.path().join("kept.backup").display().to_string();
    assert_eq!(here.command(&["backup", &file]).await?.0, 0);

    let (code, _, error) = here.command(&["restore", &file]).await?;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("in use by another process"), "{error}");

    let mut other = folder()?.serve().await?;
    other.stop().await?;
    let (code, _, error) = other.folder().command(&["restore", &file]).await?;
    assert_eq!(code, 1, "{error}");
    assert!(error.contains("has data already"), "{error}");

    let empty = folder()?;
    let bad = empty.path().join("bad.backup");
    for (bytes, told) in [
        (b"not a journal".to_vec(), "it is no journal"),
        (std::fs::read(&file)?[..9000].to_vec(), "cannot be restored"),
    ] {
        std::fs::write(&bad, bytes)?;
        let name = bad.display().to_string();
        let (code, _, error) = empty.command(&["restore", &name]).await?;
        assert_eq!(code, 3, "{error}");
        assert!(error.contains(told), "{error}");
        let left: Vec<_> = std::fs::read_dir(empty.path().join("data"))?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        assert_eq!(left, ["lock"], "nothing but the lock is there");
    }
    let (code, _, error) = empty.command(&["backup", &file]).await?;
    assert_eq!(code, 4, "{error}");
    Ok(())
}
