//! A journal whose bytes were flipped, or whose end is missing: a clear error, and nothing hangs or panics
//! (SPEC §9, 8). What SQLite cannot know is wrong with a value, nobody can; what it knows is told.

use anyhow::Result;
use serde_json::json;
use velodrome_tests::{Folder, Server};

const CYCLE: &str = r#"cycle: kept
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true}
    script: |
      fn after_webhook() {
          cyclr_storage_set(`page ${method_response.page}`, method_response.page);
          return true;
      }
    then: sleep
  sleep:
    use: delay
    for: 1 day
"#;

/// A folder with a hundred runs asleep, served once and closed.
async fn filled() -> Result<(Server, Vec<u8>)> {
    let mut server = Folder::new(&[("kept.yaml", CYCLE)], "")?.serve().await?;
    for page in 0..100 {
        let body = json!({"page": page}).to_string();
        assert_eq!(server.hook("kept", &body).await?.status, 202);
    }
    server.log_of("event=delay.started", 100).await?;
    server.stop().await?;
    let journal = std::fs::read(server.folder().path().join("data/journal.db"))?;
    Ok((server, journal))
}

/// Starts on this journal and asks for everything; what was told of it, if anything.
async fn serve_on(server: &mut Server, journal: &[u8]) -> Result<Option<String>> {
    let data = server.folder().path().join("data");
    for name in ["journal.db-wal", "journal.db-shm"] {
        let _unless_it_is_gone = std::fs::remove_file(data.join(name));
    }
    std::fs::write(data.join("journal.db"), journal)?;
    let before = server.log_text().len();
    let started = server.start().await;
    if started.is_ok() {
        for path in [
            "/loops?limit=1000",
            "/runs?limit=1000",
            "/log?tail=1000",
            "/storage/generic_webhook?limit=1000",
            "/cycles",
            "/watermarks",
        ] {
            let answer = server.api("GET", path).await?;
            let told = answer.status == 200 || (answer.status == 503 && !answer.code().is_empty());
            assert!(told, "{path}: {} {}", answer.status, answer.text);
        }
        let accepted = server.hook("kept", r#"{"page": 1}"#).await?;
        assert!(
            matches!(accepted.status, 202 | 503),
            "{} {}",
            accepted.status,
            accepted.text
        );
        // A store that failed may have ended the process already.
        let _either_way = server.kill().await;
    }
    let log = server.log_text().split_off(before);
    assert!(!log.contains("panicked"), "{log}");
    if let Err(error) = started {
        assert!(
            log.contains("error: "),
            "it ended without a word: {error:#}"
        );
        return Ok(Some(log));
    }
    Ok(None)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_served_or_refused_with_words() -> Result<()> {
    let (mut server, whole) = filled().await?;
    assert_eq!(serve_on(&mut server, &whole).await?, None);
    let (mut served, mut refused) = (0, 0);
    for round in 0..16_usize {
        let mut journal = whole.clone();
        // A page apart each, and another place in it.
        let at = round * journal.len() / 16 + (round * 577) % 4000;
        for byte in journal.iter_mut().skip(at).take(24) {
            *byte ^= 0x5a;
        }
        match serve_on(&mut server, &journal).await? {
            None => served += 1,
            Some(_) => refused += 1,
        }
    }
    println!("24 bytes flipped: served {served} times, refused {refused} times");
    for part in [3, 10] {
        let cut = &whole[..whole.len() * part / 11];
        let told = serve_on(&mut server, cut).await?;
        println!("cut to {part}/11: {told:?}");
    }
    let told = serve_on(&mut server, b"").await?;
    let told = told.expect("nothing of a folder in use is taken for new");
    assert!(told.contains("it is empty or missing"), "{told}");
    Ok(())
}
