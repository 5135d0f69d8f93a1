//! Steps that compute inside the engine, on the real binary: the methods of `data_storage`, `script` steps
//! (also one for each item), `wait_until` through a crash.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server, true_time};

/// Every method once, what it gave told by the last step.
const EVERY: &str = r#"
cycle: every
steps:
  webhook:
    use: generic_webhook.webhook
    then: set
  set:
    use: shelf.set
    map: {key: word, value: "Velo", scope: cycle}
    then: append
  append:
    use: shelf.append
    map: {key: word, value: "drome", scope: cycle}
    then: count
  count:
    use: shelf.increment
    map: {key: visits}
    then: count_more
  count_more:
    use: shelf.increment
    map: {key: visits, by: 4}
    then: count_back
  count_back:
    use: shelf.decrement
    map: {key: visits, by: 2}
    then: kept
  kept:
    use: shelf.get
    map: {key: word, scope: cycle}
    then: elsewhere
  elsewhere:
    use: data_storage.get
    map: {key: word, scope: cycle}
    then: gone
  gone:
    use: shelf.delete
    map: {key: visits}
    then: gone_already
  gone_already:
    use: shelf.delete
    map: {key: visits}
    then: all
  all:
    use: shelf.get_all
    map: {scope: cycle}
    then: tell
  tell:
    use: data_storage.set
    map:
      key: told
      value:
        appended: ${append.value}
        visits: ["${count.value}", "${count_more.value}", "${count_back.value}"]
        kept: ${kept.body}
        elsewhere: ${elsewhere.body}
        deleted: ["${gone.found}", "${gone_already.found}"]
        all: ${all.items}
        values: ${all.values}
    then: empty
  empty:
    use: shelf.delete_all
    map: {scope: cycle}
"#;

const SHELF: &str = "connections: {shelf: {connector: data_storage}}\n";

async fn serve(name: &str, cycle: &str) -> Result<Server> {
    Folder::new(&[(name, cycle)], SHELF)?.serve().await
}

/// Begins a loop and gives it back when it is over.
async fn run(server: &Server, cycle: &str, body: Value) -> Result<Value> {
    let answer = server.hook(cycle, &body.to_string()).await?.json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    server.loop_over(id).await
}

async fn kept(server: &Server, arguments: &[&str]) -> Result<Value> {
    let mut all = vec!["storage", "get"];
    all.extend(arguments);
    all.push("--json");
    let (code, out, said) = server.folder().command(&all).await?;
    anyhow::ensure!(code == 0, "{said}");
    Ok(serde_json::from_str(&out)?)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_method_does_what_it_says_to_its_own_connection() -> Result<()> {
    let server = serve("every.yaml", EVERY).await?;
    let ended = run(&server, "every", json!({})).await?;
    assert_eq!(ended["status"], "succeeded");
    let told = kept(&server, &["data_storage", "told"]).await?;
    let expect = json!({
        "appended": "Velodrome",
        "visits": [1, 5, 3],
        "kept": {"value": "Velodrome", "found": true},
        "elsewhere": {"value": null, "found": false},
        "deleted": [true, false],
        "all": [{"key": "word", "value": "Velodrome"}],
        "values": ["Velodrome"],
    });
    assert_eq!(told, expect);
    let left = server.get("/storage/shelf?cycle=every").await?;
    assert_eq!(left["items"], json!([]));
    Ok(())
}

/// Two values are kept, the second longer than any may be; the third step is never reached.
const TOO_LONG: &str = r#"
cycle: long
steps:
  webhook:
    use: generic_webhook.webhook
    then: first
  first:
    use: data_storage.increment
    map: {key: visits}
    then: second
  second:
    use: data_storage.set
    map: {key: text, value: "${webhook.text}"}
    then: third
    catch: told
  third:
    use: data_storage.set
    map: {key: third, value: 1}
  told:
    use: data_storage.set
    map: {key: error, value: "${second.error.code}"}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_refused_fails_its_own_step_and_no_other() -> Result<()> {
    let server = serve("long.yaml", TOO_LONG).await?;
    let body = json!({ "text": "x".repeat(60_000) });
    assert_eq!(run(&server, "long", body).await?["status"], "succeeded");
    assert_eq!(kept(&server, &["data_storage", "visits"]).await?, 1);
    assert_eq!(
        kept(&server, &["data_storage", "error"]).await?,
        "storage.value_too_long"
    );
    let all = server.get("/storage/data_storage").await?;
    let keys: Vec<&Value> = all["items"]
        .as_array()
        .context("a list")?
        .iter()
        .map(|item| &item["key"])
        .collect();
    assert_eq!(keys, ["error", "visits"]);
    Ok(())
}

/// Appending to what is no text is refused where the writes are applied, behind others of the same commit.
const NO_NUMBER: &str = r#"
cycle: numbers
steps:
  webhook:
    use: generic_webhook.webhook
    then: word
  word:
    use: data_storage.set
    map: {key: word, value: none}
    then: more
  more:
    use: data_storage.increment
    map: {key: word}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_counter_that_is_no_number_fails_the_step_and_keeps_what_was_before_it() -> Result<()> {
    let server = serve("numbers.yaml", NO_NUMBER).await?;
    let ended = run(&server, "numbers", json!({})).await?;
    assert_eq!(ended["status"], "failed");
    assert_eq!(kept(&server, &["data_storage", "word"]).await?, "none");
    Ok(())
}

/// One function for each item, and what they gave together.
const ITEMS: &str = r#"
cycle: items
steps:
  webhook:
    use: generic_webhook.webhook
    then: each
  each:
    use: script
    for_each: ${webhook.items}
    skip_failures: true
    map: {item: "${item}", at: "${index}"}
    script: |
      fn run() {
          if method_request.item < 0 { throw "no negative numbers"; }
          cyclr_storage_append("seen", "" + method_request.at);
          method_request.item * 2
      }
    then: tell
  tell:
    use: data_storage.set
    map:
      key: told
      value:
        results: ${each.results}
        failed: ${each.failed}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_script_runs_once_for_each_item_and_one_that_throws_leaves_nothing_behind() -> Result<()>
{
    let server = serve("items.yaml", ITEMS).await?;
    let body = json!({"items": [1, 2, -3, 4]});
    assert_eq!(run(&server, "items", body).await?["status"], "succeeded");
    let told = kept(&server, &["data_storage", "told"]).await?;
    assert_eq!(told, json!({"results": [2, 4, null, 8], "failed": 1}));
    assert_eq!(kept(&server, &["data_storage", "seen"]).await?, "013");
    Ok(())
}

const WAITS: &str = r#"
cycle: waits
steps:
  webhook:
    use: generic_webhook.webhook
    then: due
  due:
    use: wait_until
    at: ${webhook.at}
    then: kind
  kind:
    use: switch
    value: ${webhook.kind}
    cases: {Large: large, small: small}
    else: other
  large: {use: data_storage.set, map: {key: went, value: large}}
  small: {use: data_storage.set, map: {key: went, value: small}}
  other: {use: data_storage.set, map: {key: went, value: other}}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_for_a_date_survives_a_crash_and_ends_no_earlier() -> Result<()> {
    let mut server = serve("waits.yaml", WAITS).await?;
    let at = velodrome_types::Timestamp::from_millis(true_time() + 3_000);
    let body = json!({"at": at.to_string(), "kind": "LARGE"}).to_string();
    let answer = server.hook("waits", &body).await?.json();
    let id = answer["loop"]
        .as_str()
        .context("it is accepted")?
        .to_owned();
    server
        .wait_for(&format!("/loops/{id}"), |found| {
            found["status"] == "waiting"
        })
        .await?;
    server.kill().await?;
    server.start().await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    assert_eq!(kept(&server, &["data_storage", "went"]).await?, "large");
    let ended = server.log(&format!("loop={id}&event=wait.ended")).await?;
    assert_eq!(ended.len(), 1);
    assert!(ended[0]["time"].as_str() >= Some(at.to_string().as_str()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_test_of_storage_shows_what_it_would_keep_and_keeps_nothing() -> Result<()> {
    let server = serve("every.yaml", EVERY).await?;
    let arguments = [
        "step",
        "test",
        "every",
        "count",
        r#"{"key": "visits", "by": 7}"#,
        "--json",
    ];
    let (code, out, said) = server.folder().command(&arguments).await?;
    assert_eq!(code, 0, "{said}");
    let view: Value = serde_json::from_str(&out)?;
    assert_eq!(view["body"], json!({"value": 7}));
    assert_ne!(view["not_stored"], json!([]));
    let all = server.get("/storage/shelf").await?;
    assert_eq!(all["items"], json!([]));
    Ok(())
}

const FLOOD: &str = r#"
cycle: flood
steps:
  webhook: {use: generic_webhook.webhook, then: write}
  write:
    use: script
    map: {many: "${webhook.many}"}
    script: |
      fn run() {
          let text = "x";
          for i in 0..15 { text += text; }
          for i in 0..1500 {
              if method_request.many { cyclr_storage_set(`k${i}`, text); } else { cyclr_storage_set("k", text); }
          }
          1
      }
"#;

/// Whatever a script writes is held in memory until its step is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_writes_without_end_is_ended_and_keeps_nothing() -> Result<()> {
    let server = serve("flood.yaml", FLOOD).await?;
    let over = run(&server, "flood", json!({"many": true})).await?;
    assert_eq!(over["error"]["code"], "storage.too_much", "{over:#}");
    let all = server.get("/storage/data_storage").await?;
    assert_eq!(all["items"], json!([]));
    // One key over and over is one write.
    let over = run(&server, "flood", json!({"many": false})).await?;
    assert_eq!(over["status"], "succeeded", "{over:#}");
    Ok(())
}
