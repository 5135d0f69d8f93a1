//! What is no longer kept goes, while the server serves, and gives its space back (SPEC §9, 7).

use anyhow::Result;
use serde_json::json;
use velodrome_tests::{Folder, Server};

/// Counts laps up to a number, keeping its page in the loop's own storage.
const COUNTS: &str = r#"cycle: counts
RETENTION
loop: {max_laps: none}
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true, minimum: 1}
      to: {type: integer, required: true}
    script: |
      fn after_webhook() {
          loop_storage_set("page", method_response.page);
          return true;
      }
    then: enough
  enough:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: "${webhook.to}"}
    then: next_page
  next_page:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: ignore, to: "${webhook.to}"}
    script: |
      fn before_action() {
          method_request.page = loop_storage_get("page") + 1;
          return true;
      }
"#;

fn folder(retention: &str) -> Result<Folder> {
    let cycle = COUNTS.replace("RETENTION", retention);
    Folder::new(&[("counts.yaml", &cycle)], "")
}

async fn count_to(server: &Server, to: u32) -> Result<String> {
    let accepted = server
        .hook("counts", &json!({"page": 1, "to": to}).to_string())
        .await?;
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    let id = accepted.json()["loop"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let over = server.loop_over(&id).await?;
    assert_eq!(
        (&over["status"], &over["laps"]),
        (&json!("succeeded"), &json!(to))
    );
    Ok(id)
}

async fn laps(server: &Server, id: &str) -> Result<Vec<u64>> {
    let runs = server.get(&format!("/runs?loop={id}&limit=1000")).await?;
    let items = runs["items"].as_array().cloned().unwrap_or_default();
    Ok(items.iter().filter_map(|run| run["lap"].as_u64()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_keeps_its_newest_laps() -> Result<()> {
    let server = folder("retention: {laps: 10}")?.serve().await?;
    let id = count_to(&server, 640).await?;
    let kept = laps(&server, &id).await?;
    assert_eq!(kept.first(), Some(&640));
    assert_eq!(
        kept.last(),
        Some(&630),
        "the ten that had finished and the newest"
    );
    let told = server.log(&format!("loop={id}")).await?;
    let oldest = told.iter().filter_map(|line| line["lap"].as_u64()).min();
    assert!(oldest >= Some(629), "{oldest:?}");
    Ok(())
}

/// A lap of more commits than a hand-off forgets of it: without end, but for a pause of an hour.
const TALKS: &str = r#"cycle: talks
retention: {laps: 5}
loop: {max_laps: none}
steps:
  webhook: {use: generic_webhook.webhook, fields: {page: integer}, then: d0}
DELAYS
  enough: {use: decision, if: {left: "${webhook.page}", is: less_than, right: 70}, then: again, else: long}
  long: {use: delay, for: 1 hour}
  again:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: ignore}
    script: |
      fn before_action() { method_request.page = loop_storage_increment("page") + 1; return true; }
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_whose_laps_tell_much_keeps_no_more_of_them() -> Result<()> {
    let delays: Vec<String> = (0..12)
        .map(|at| {
            let then = if at == 11 {
                "enough".to_owned()
            } else {
                format!("d{}", at + 1)
            };
            format!("  d{at}: {{use: delay, for: 1 ms, then: {then}}}")
        })
        .collect();
    let cycle = TALKS.replace("DELAYS", &delays.join("\n"));
    let mut server = Folder::new(&[("talks.yaml", &cycle)], "")?.serve().await?;
    let accepted = server.hook("talks", r#"{"page": 1}"#).await?;
    let id = accepted.json()["loop"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let first = async |server: &Server| -> Result<u64> {
        let lines = server.log(&format!("loop={id}")).await?;
        Ok(lines
            .first()
            .and_then(|line| line["lap"].as_u64())
            .unwrap_or_default())
    };
    let rests = |seen: &serde_json::Value| seen["laps"] == 70 && seen["status"] == "waiting";
    server.wait_for(&format!("/loops/{id}"), rests).await?;
    assert!(
        first(&server).await? < 59,
        "its hand-offs forget it all: make its laps tell more"
    );
    // As it starts, and every minute, what is left goes; what one commit told of a lap and the next stays whole.
    server.stop().await?;
    server.start().await?;
    for _ in 0..100 {
        if first(&server).await? >= 64 {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("lap {} is still told", first(&server).await?);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_is_kept_as_long_as_its_cycle_says() -> Result<()> {
    let mut server = folder("retention: {succeeded: 1 ms}")?.serve().await?;
    let id = count_to(&server, 30).await?;
    // It is looked when the server starts, and every minute.
    server.stop().await?;
    server.start().await?;
    let gone = |seen: &serde_json::Value| seen["items"] == json!([]);
    server.wait_for("/loops", gone).await?;
    assert_eq!(laps(&server, &id).await?, [0; 0]);
    assert_eq!(server.log(&format!("loop={id}")).await?.len(), 0);
    let storage = server.get("/storage/generic_webhook").await?;
    assert_eq!(storage["items"], json!([]), "{storage}");
    assert_eq!(
        server.api("GET", &format!("/loops/{id}")).await?.status,
        404
    );
    // What is kept for seven days is there.
    count_to(&server, 2).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_settings_say_it_for_all_cycles() -> Result<()> {
    let cycle = COUNTS.replace("RETENTION\n", "");
    let settings = "retention: {laps: 5, succeeded: 1 ms}\n";
    let mut server = Folder::new(&[("counts.yaml", &cycle)], settings)?
        .serve()
        .await?;
    let id = count_to(&server, 128).await?;
    assert_eq!(laps(&server, &id).await?.len(), 6);
    server.stop().await?;
    server.start().await?;
    let gone = |seen: &serde_json::Value| seen["items"] == json!([]);
    server.wait_for("/loops", gone).await?;
    Ok(())
}
