//! Data folders as released formats left them (`tests/formats`) are opened for ever.

use std::path::Path;

use anyhow::Result;
use serde_json::json;
use velodrome_tests::Folder;

/// So that what was recorded once is not too old one day.
const KEEP: &str = "retention: {succeeded: 36500 days, failed: 36500 days}\n";

fn recorded(format: u32) -> Result<Folder> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("formats/{format}"));
    let text = |name: &str| std::fs::read_to_string(from.join("cycles").join(name));
    let (kept, well) = (text("kept.yaml")?, text("well.yaml")?);
    let folder = Folder::new(&[("kept.yaml", &kept), ("well.yaml", &well)], KEEP)?;
    let data = folder.path().join("data");
    std::fs::create_dir(&data)?;
    for name in ["journal.db", "secret.key"] {
        std::fs::copy(from.join("data").join(name), data.join(name))?;
    }
    Ok(folder)
}

/// Three loops of `kept`: one that failed in lap 3, one asleep for a century, one that failed in lap 1
/// and was accepted with an idempotency key; one of `well` that succeeded; `well` paused.
async fn is_brought_up_and_goes_on(format: u32) -> Result<()> {
    let mut server = recorded(format)?.serve().await?;
    for _ in 0..2 {
        let loops = server.get("/loops").await?;
        let seen: Vec<_> = loops["items"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| {
                (
                    row["cycle"].clone(),
                    row["status"].clone(),
                    row["laps"].clone(),
                )
            })
            .collect();
        assert_eq!(
            seen,
            [
                (json!("kept"), json!("failed"), json!(1)),
                (json!("well"), json!("succeeded"), json!(1)),
                (json!("kept"), json!("waiting"), json!(1)),
                (json!("kept"), json!("failed"), json!(3)),
            ]
        );
        assert_eq!(server.get("/cycles/well").await?["state"], "paused");
        let lines = server.log("event=run.failed").await?;
        assert_eq!(lines.len(), 2);
        // sled was not recorded: it is built anew.
        let (code, value, error) = server
            .folder()
            .command(&["storage", "get", "generic_webhook", "last", "--json"])
            .await?;
        assert_eq!((code, value.trim()), (0, "3"), "{error}");
        server.kill().await?;
        server.start().await?;
    }
    let copy = server
        .folder()
        .path()
        .join(format!("data/journal.db.format-{format}"));
    assert!(copy.is_file(), "what was there before is kept");
    let accepted = server.hook("kept", r#"{"page": 3}"#).await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn format_1_is_brought_up_and_goes_on() -> Result<()> {
    is_brought_up_and_goes_on(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn format_2_is_brought_up_and_goes_on() -> Result<()> {
    is_brought_up_and_goes_on(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn format_3_is_brought_up_and_goes_on() -> Result<()> {
    is_brought_up_and_goes_on(3).await
}

#[tokio::test(flavor = "multi_thread")]
async fn format_4_is_brought_up_and_goes_on() -> Result<()> {
    is_brought_up_and_goes_on(4).await
}

#[tokio::test(flavor = "multi_thread")]
async fn format_5_is_brought_up_and_goes_on() -> Result<()> {
    is_brought_up_and_goes_on(5).await
}
