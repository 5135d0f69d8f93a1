//! Files that change while the server runs: versions, removed files, two files of one cycle, settings.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use velodrome_tests::{Folder, Server};

/// Counts to five laps, half a second each, and tells its version in the log.
const COUNTER: &str = r#"
cycle: counter
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {page: {type: integer, required: true}}
    then: enough
  enough:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: 5}
    then: pause
  pause: {use: delay, for: 500 ms, then: next}
  next:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: "${webhook.page}"}
    script: |
      fn before_action() { method_request.page += 1; return true; }
"#;

const HELLO: &str = "cycle: hello\nsteps:\n  webhook: {use: generic_webhook.webhook}\n";

async fn serve(cycles: &[(&str, &str)]) -> Result<Server> {
    Folder::new(cycles, "")?.serve().await
}

fn write_settings(server: &Server, more: &str) -> Result<()> {
    let path = server.folder().path().join("velodrome.yaml");
    let listen = server.url().replace("http://", "listen: ");
    Ok(std::fs::write(path, format!("{listen}\n{more}"))?)
}

/// Waits until the server's own log says this.
async fn said(server: &Server, wanted: &str) -> Result<()> {
    for _ in 0..200 {
        if server.log_text().contains(wanted) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the server did not say `{wanted}`:\n{}", server.log_text())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_ends_on_its_version_and_the_next_lap_takes_the_new_one() -> Result<()> {
    let server = serve(&[("counter.yaml", COUNTER)]).await?;
    let first = server.get("/cycles/counter").await?["version"].clone();
    let answer = server.hook("counter", r#"{"page": 1}"#).await?.json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    let edited = COUNTER.replace("for: 500 ms", "for: 1 ms");
    server.folder().write_cycle("counter.yaml", &edited)?;
    server
        .wait_for("/cycles/counter", |seen| seen["version"] != first)
        .await?;
    assert_eq!(server.loop_over(id).await?["laps"], 5);
    let lines = server
        .log(&format!("loop={id}&event=delay.started"))
        .await?;
    let versions: Vec<&Value> = lines.iter().map(|line| &line["version"]).collect();
    assert_eq!(versions.first(), Some(&&first), "the first lap began on it");
    assert_ne!(versions.last(), Some(&&first), "the last lap did not");
    let lap_of = |line: &&Value| line["lap"].as_u64();
    let ended = server.log(&format!("loop={id}&event=handoff.sent")).await?;
    let ended_first = ended.iter().find(|line| lap_of(line) == Some(1));
    assert_eq!(ended_first.context("lap 1 ends")?["version"], first);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_file_ends_nothing_that_runs() -> Result<()> {
    let server = serve(&[("counter.yaml", COUNTER), ("hello.yaml", HELLO)]).await?;
    let answer = server.hook("counter", r#"{"page": 1}"#).await?.json();
    let id = answer["loop"].as_str().context("it is accepted")?;
    std::fs::remove_file(server.folder().path().join("cycles/counter.yaml"))?;
    said(&server, "cycle removed").await?;
    let refused = server.hook("counter", r#"{"page": 1}"#).await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (404, "webhook.unknown")
    );
    // What runs goes on, on the version it has.
    let over = server.loop_over(id).await?;
    assert_eq!(
        (&over["laps"], &over["status"]),
        (&5.into(), &"succeeded".into())
    );
    assert_eq!(server.hook("hello", "{}").await?.status, 202);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_cycle_is_deleted_when_its_file_is_gone_and_nothing_of_it_runs()
-> Result<()> {
    let keeper = r#"
cycle: keeper
concurrency: 1
autostart: false
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      fn after_webhook() {
          cycle_storage_set("mine", 1);
          loop_storage_set("mine", 1);
          cyclr_storage_set("everybodys", 1);
          return true;
      }
    then: pause
  pause: {use: delay, for: 10 minutes}
"#;
    let server = serve(&[("keeper.yaml", keeper), ("hello.yaml", HELLO)]).await?;
    let command = async |arguments: &[&str]| server.folder().command(arguments).await;
    assert_eq!(command(&["cycle", "start", "keeper"]).await?.0, 0);
    let first = server.hook("keeper", "{}").await?.json();
    server.hook("keeper", "{}").await?;
    server.hook("hello", "{}").await?;
    let (code, out, _) = command(&["storage", "list"]).await?;
    assert_eq!(code, 0);
    assert_eq!(out.matches("generic_webhook").count(), 3, "{out}");
    let delete = ["cycle", "delete", "keeper", "--yes"];
    let (code, _, err) = command(&delete).await?;
    assert_eq!(code, 1);
    assert!(err.contains("keeper.yaml"), "{err}");
    std::fs::remove_file(server.folder().path().join("cycles/keeper.yaml"))?;
    said(&server, "cycle removed").await?;
    let (code, _, err) = command(&delete).await?;
    assert_eq!(code, 1);
    assert!(err.contains("in progress"), "{err}");
    let run = first["run"].as_str().context("it is accepted")?;
    let (code, out, err) = command(&["run", "stop", run, "--yes"]).await?;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("is stopped"), "{out}");
    let (code, out, err) = command(&delete).await?;
    assert_eq!(code, 0, "{err}");
    assert!(
        out.contains("keeper is deleted: 2 loops, 0 watermarks, 1 storage"),
        "{out}"
    );
    assert_eq!(
        server.get("/runs?cycle=keeper").await?["items"],
        serde_json::json!([])
    );
    let left = server.log("cycle=keeper&event=run.started").await?;
    assert!(left.is_empty(), "{left:?}");
    let (_, out, _) = command(&["storage", "list"]).await?;
    assert_eq!(
        out.matches("generic_webhook").count(),
        1,
        "what others share stays: {out}"
    );
    let (code, _, err) = command(&delete).await?;
    assert_eq!(code, 1, "{err}");
    assert!(
        err.contains("cycle.unknown") || err.contains("nothing is kept"),
        "{err}"
    );
    // As one that was never there: its own word, that it does not start by itself, counts again.
    server.folder().write_cycle("keeper.yaml", keeper)?;
    server
        .wait_for("/cycles?cycle=keeper", |seen| {
            seen["items"][0]["state"] == "stopped"
        })
        .await?;
    assert_eq!(
        server.get("/runs?cycle=hello").await?["items"]
            .as_array()
            .map(Vec::len),
        Some(1)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_files_with_one_id_the_first_counts() -> Result<()> {
    let server = serve(&[("a.yaml", HELLO)]).await?;
    let version = server.get("/cycles/hello").await?["version"].clone();
    let other = HELLO.replace("steps:", "name: Another\nsteps:");
    server.folder().write_cycle("b.yaml", &other)?;
    said(&server, "cycle.duplicate").await?;
    assert_eq!(server.get("/cycles/hello").await?["version"], version);
    assert_eq!(server.hook("hello", "{}").await?.status, 202);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_at_the_start_is_invalid_and_strict_refuses_it() -> Result<()> {
    let bad = HELLO
        .replace("hello", "broken")
        .replace("webhook}", "webhok}");
    let server = serve(&[("bad.yaml", &bad), ("hello.yaml", HELLO)]).await?;
    assert_eq!(server.get("/cycles/broken").await?["state"], "invalid");
    let refused = server.hook("broken", "{}").await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.invalid")
    );
    assert_eq!(server.hook("hello", "{}").await?.status, 202);
    let folder = Folder::new(&[("bad.yaml", &bad)], "")?;
    let (code, _, err) = folder.command(&["serve", "--strict"]).await?;
    assert_eq!(code, 3, "{err}");
    assert!(err.contains("connector.unknown_method"), "{err}");
    // Mended, it runs without a restart.
    server
        .folder()
        .write_cycle("bad.yaml", &HELLO.replace("hello", "broken"))?;
    server
        .wait_for("/cycles/broken", |seen| seen["state"] == "running")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_a_person_survives_edits_and_restarts() -> Result<()> {
    let mut server = serve(&[("hello.yaml", HELLO)]).await?;
    let version = server.get("/cycles/hello").await?["version"].clone();
    server.api("POST", "/cycles/hello/stop").await?;
    let edited = HELLO.replace("steps:", "name: Edited\nsteps:");
    server.folder().write_cycle("hello.yaml", &edited)?;
    server
        .wait_for("/cycles/hello", |seen| seen["version"] != version)
        .await?;
    assert_eq!(server.get("/cycles/hello").await?["state"], "stopped");
    server.kill().await?;
    server.start().await?;
    assert_eq!(server.get("/cycles/hello").await?["state"], "stopped");
    server.api("POST", "/cycles/hello/start").await?;
    assert_eq!(server.hook("hello", "{}").await?.status, 202);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_read_again_and_a_bad_edit_keeps_the_last_good_ones() -> Result<()> {
    let crm = "cycle: contacts\nsteps:\n  webhook: {use: generic_webhook.webhook, then: list}\n  \
               list: {use: crm.list_new_updated_contacts_by_page, map: {page: 1}}\n";
    let server = serve(&[("contacts.yaml", crm)]).await?;
    assert_eq!(server.get("/cycles/contacts").await?["state"], "invalid");
    write_settings(
        &server,
        "connections: {crm: {connector: zoho_crm, settings: {domian: x}}}\n",
    )?;
    said(&server, "has no setting `domian`").await?;
    assert_eq!(server.get("/cycles/contacts").await?["state"], "invalid");
    write_settings(&server, "conections: {}\n")?;
    said(&server, "did you mean `connections`?").await?;
    write_settings(
        &server,
        "workers: 3\nconnections: {crm: {connector: zoho_crm}}\n",
    )?;
    server
        .wait_for("/cycles/contacts", |seen| {
            seen["state"] == "needs_connection"
        })
        .await?;
    said(
        &server,
        "`workers` of velodrome.yaml changed: the next start takes it",
    )
    .await?;
    std::fs::remove_file(server.folder().path().join("velodrome.yaml"))?;
    said(&server, "is gone: the last good settings stay").await?;
    assert_eq!(
        server.get("/cycles/contacts").await?["state"],
        "needs_connection"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connector_of_ones_own_is_read_again() -> Result<()> {
    let cycle = "cycle: own\nsteps:\n  webhook: {use: generic_webhook.webhook, then: ask}\n  \
                 ask: {use: shop.orders}\n";
    let connector = "connector: shop\nbase_url: https://shop.example.com\nmethods:\n  \
                     items: {kind: request, verb: GET, path: /items}\n";
    let folder = Folder::new(&[("own.yaml", cycle)], "connectors: ./connectors\n")?;
    std::fs::create_dir(folder.path().join("connectors"))?;
    let file = folder.path().join("connectors/shop.yaml");
    std::fs::write(&file, connector)?;
    let server = folder.serve().await?;
    assert_eq!(server.get("/cycles/own").await?["state"], "invalid");
    std::fs::write(&file, connector.replace("items", "orders"))?;
    server
        .wait_for("/cycles/own", |seen| seen["state"] == "running")
        .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_mended_after_the_start_finds_its_loops_and_its_queue() -> Result<()> {
    let one_place = COUNTER.replace("steps:\n", "concurrency: 1\nsteps:\n");
    let mut server = serve(&[("counter.yaml", &one_place)]).await?;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let answer = server.hook("counter", r#"{"page": 3}"#).await?.json();
        ids.push(
            answer["loop"]
                .as_str()
                .context("it is accepted")?
                .to_owned(),
        );
    }
    server.kill().await?;
    server
        .folder()
        .write_cycle("counter.yaml", "cycle: \"counter\n")?;
    server.start().await?;
    assert_eq!(server.hook("counter", r#"{"page": 5}"#).await?.status, 404);
    server.folder().write_cycle("counter.yaml", &one_place)?;
    let mut ended = Vec::new();
    for id in &ids {
        assert_eq!(server.loop_over(id).await?["status"], "succeeded");
        ended.push(server.log(&format!("loop={id}")).await?);
    }
    // One after the other, in the order of their acceptance.
    for pair in ended.windows(2) {
        let end = pair[0].last().and_then(|line| line["seq"].as_u64());
        let begins =
            |line: &&Value| line["event"] == "loop.started" && line["message"] != "loop started";
        let begin = pair[1]
            .iter()
            .find(begins)
            .and_then(|line| line["seq"].as_u64());
        assert!(end < begin, "{end:?} {begin:?}");
    }
    Ok(())
}
