//! A webhook's answers (SPEC §5), and that a refused request changes nothing.

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_tests::{Folder, Server};

const COUNTER: &str = r#"
cycle: counter
steps:
  webhook:
    use: generic_webhook.webhook
    fields:
      page: {type: integer, required: true, minimum: 1}
    script: |
      fn after_webhook() {
          if method_response.page == 66 { throw "not sixty-six"; }
          loop_storage_set("page", method_response.page);
          return method_response.page != 99;
      }
    then: enough
  enough:
    use: decision
    if: {left: "${webhook.page}", is: less_than, right: 5}
    then: pause
  pause:
    use: delay
    for: 20 ms
    then: next
  next:
    use: generic_webhook.post
    url: ${webhook.url}
    map: {page: ignore}
    script: |
      fn before_action() {
          method_request.page = loop_storage_get("page") + 1;
          return true;
      }
"#;

/// Verb, path, headers, body; the status and the code they get.
type Case<'a> = (
    &'a str,
    &'a str,
    &'a [(&'a str, &'a str)],
    &'a str,
    u16,
    &'a str,
);

async fn serve() -> Result<Server> {
    Folder::new(&[("counter.yaml", COUNTER)], "")?.serve().await
}

async fn loops(server: &Server) -> Result<usize> {
    let listed: Value = server.get("/loops?limit=1000").await?;
    Ok(listed["items"].as_array().map_or(0, Vec::len))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_has_its_status_and_code_and_changes_nothing() -> Result<()> {
    let server = serve().await?;
    let big = format!(
        r#"{{"page": 1, "text": "{}"}}"#,
        "x".repeat(2 * 1024 * 1024)
    );
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let json_type: &[(&str, &str)] = &[("content-type", "application/json")];
    let cases: Vec<Case<'_>> = vec![
        (
            "POST",
            "counter",
            json_type,
            r#"{"page": "x"}"#,
            422,
            "webhook.field_invalid",
        ),
        (
            "POST",
            "counter",
            json_type,
            r#"{"page": 0}"#,
            422,
            "webhook.field_invalid",
        ),
        (
            "POST",
            "counter",
            json_type,
            r#"{}"#,
            422,
            "webhook.field_missing",
        ),
        (
            "POST",
            "counter",
            json_type,
            r#"[1]"#,
            422,
            "webhook.field_missing",
        ),
        (
            "POST",
            "counter",
            json_type,
            r#"{"page": 1"#,
            400,
            "webhook.bad_body",
        ),
        ("POST", "counter", json_type, &deep, 400, "webhook.bad_body"),
        ("POST", "counter", json_type, &big, 413, "webhook.too_large"),
        (
            "POST",
            "counter",
            &[("content-type", "text/xml")],
            "<page/>",
            415,
            "webhook.type_refused",
        ),
        (
            "POST",
            "nobody",
            json_type,
            r#"{"page": 1}"#,
            404,
            "webhook.unknown",
        ),
        (
            "POST",
            "counter/enough",
            json_type,
            r#"{"page": 1}"#,
            404,
            "webhook.unknown",
        ),
        ("GET", "counter", &[], "", 405, "webhook.method_refused"),
        (
            "POST",
            "counter",
            &[("origin", "https://evil.example")],
            r#"{"page": 1}"#,
            403,
            "webhook.origin_refused",
        ),
        (
            "POST",
            "counter",
            json_type,
            r#"{"page": 66}"#,
            500,
            "webhook.script_failed",
        ),
    ];
    for (verb, path, headers, body, status, code) in cases {
        let url = format!("{}/hooks/{path}", server.url());
        let answer = server
            .client()
            .send(verb, &url, headers, body.as_bytes().to_vec())
            .await?;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{verb} {path}: {}",
            answer.text
        );
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{verb} {path}"
        );
        assert_eq!(answer.header("content-security-policy"), "sandbox");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
    }
    assert_eq!(
        loops(&server).await?,
        0,
        "a refused request began something"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_d_works_and_the_loop_counts_to_its_end() -> Result<()> {
    let server = serve().await?;
    let form = ("content-type", "application/x-www-form-urlencoded");
    let url = format!("{}/hooks/counter", server.url());
    for body in [r#"{"page": 1}"#, "page=1"] {
        let answer = server
            .client()
            .send("POST", &url, &[form], body.as_bytes().to_vec())
            .await?;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let over = server
            .loop_over(answer.json()["loop"].as_str().unwrap_or_default())
            .await?;
        assert_eq!(
            (&over["status"], &over["laps"]),
            (&json!("succeeded"), &json!(5)),
            "{over:#}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_with_loop_storage_run_side_by_side_without_disturbing_each_other() -> Result<()> {
    let server = serve().await?;
    let mut ids = Vec::new();
    for _ in 0..20 {
        let answer = server.hook("counter", r#"{"page": 1}"#).await?;
        ids.push(
            answer.json()["loop"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
        );
    }
    for id in ids {
        let over = server.loop_over(&id).await?;
        assert_eq!(
            (&over["status"], &over["laps"]),
            (&json!("succeeded"), &json!(5)),
            "{over:#}"
        );
        let lines = server
            .log(&format!("loop={id}&event=webhook.accepted"))
            .await?;
        let pages: Vec<&str> = lines
            .iter()
            .filter_map(|line| line["message"].as_str())
            .collect();
        assert_eq!(
            pages,
            (1..=5)
                .map(|page| format!("accepted  page={page}"))
                .collect::<Vec<_>>()
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ignored_request_is_200_and_its_loop_has_succeeded() -> Result<()> {
    let server = serve().await?;
    let answer = server.hook("counter", r#"{"page": 99}"#).await?;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (200, &json!("ignored")),
        "{}",
        answer.text
    );
    let over = server
        .get(&format!(
            "/loops/{}",
            answer.json()["loop"].as_str().unwrap_or_default()
        ))
        .await?;
    assert_eq!(over["status"], "succeeded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_starts_one_loop_also_when_both_come_at_once() -> Result<()> {
    let server = serve().await?;
    let url = format!("{}/hooks/counter", server.url());
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k-1"),
    ];
    let send = |body: &'static str| {
        server
            .client()
            .send("POST", &url, &headers, body.as_bytes().to_vec())
    };
    let (first, second) = tokio::join!(send(r#"{"page": 5}"#), send(r#"{"page": 5}"#));
    let (first, second) = (first?, second?);
    assert_eq!(
        (first.status, second.status),
        (202, 202),
        "{} {}",
        first.text,
        second.text
    );
    assert_eq!(first.json()["run"], second.json()["run"]);
    let replays = [&first, &second]
        .iter()
        .filter(|answer| answer.header("idempotency-replayed") == "true")
        .count();
    assert_eq!(replays, 1);
    assert_eq!(loops(&server).await?, 1);
    let replayed = server.log_of("event=webhook.replayed", 1).await?;
    assert_eq!(replayed.len(), 1);
    let other = send(r#"{"page": 4}"#).await?;
    assert_eq!(
        (other.status, other.code().as_str()),
        (422, "webhook.key_reused")
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_cycle_answers_409_and_a_paused_one_queues() -> Result<()> {
    let mut server = serve().await?;
    let stopped = server.api("POST", "/cycles/counter/stop").await?;
    assert_eq!(
        (stopped.status, &stopped.json()["state"]),
        (200, &json!("stopped")),
        "{}",
        stopped.text
    );
    let refused = server.hook("counter", r#"{"page": 1}"#).await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.stopped")
    );
    assert_eq!(loops(&server).await?, 0);
    server.api("POST", "/cycles/counter/pause").await?;
    let queued = server.hook("counter", r#"{"page": 5}"#).await?;
    assert_eq!(queued.status, 202);
    let id = queued.json()["loop"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_eq!(
        server.get(&format!("/loops/{id}")).await?["status"],
        "queued"
    );
    // The state and the queue survive a crash.
    server.kill().await?;
    server.start().await?;
    assert_eq!(server.get("/cycles/counter").await?["state"], "paused");
    assert_eq!(
        server.get(&format!("/loops/{id}")).await?["status"],
        "queued"
    );
    server.api("POST", "/cycles/counter/start").await?;
    assert_eq!(server.loop_over(&id).await?["status"], "succeeded");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_is_taken_and_a_bad_edit_keeps_the_last_good_version() -> Result<()> {
    let server = serve().await?;
    let version = |seen: &Value| seen["version"].as_str().unwrap_or_default().to_owned();
    let first = version(&server.get("/cycles/counter").await?);
    server
        .folder()
        .write_cycle("counter.yaml", &COUNTER.replace("right: 5", "right: 3"))?;
    let seen = server
        .wait_for("/cycles/counter", |seen| version(seen) != first)
        .await?;
    let second = version(&seen);
    server.folder().write_cycle(
        "counter.yaml",
        &COUNTER.replace("then: enough", "then: enuogh"),
    )?;
    let seen = server
        .wait_for("/cycles/counter", |seen| seen["reason"].is_string())
        .await?;
    assert_eq!(version(&seen), second);
    assert!(
        seen["reason"]
            .as_str()
            .unwrap_or_default()
            .contains("enough"),
        "the hint names the step: {seen:#}"
    );
    let answer = server.hook("counter", r#"{"page": 1}"#).await?;
    let over = server
        .loop_over(answer.json()["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(over["laps"], 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_by_signal_drains_and_the_next_start_goes_on() -> Result<()> {
    let mut server = serve().await?;
    let answer = server.hook("counter", r#"{"page": 1}"#).await?;
    assert_eq!(server.stop().await?, 0, "{}", server.log_text());
    server.start().await?;
    let over = server
        .loop_over(answer.json()["loop"].as_str().unwrap_or_default())
        .await?;
    assert_eq!(
        (&over["status"], &over["laps"]),
        (&json!("succeeded"), &json!(5))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cycle_that_does_not_start_by_itself_waits_for_a_person() -> Result<()> {
    let cycle = COUNTER.replace("cycle: counter\n", "cycle: counter\nautostart: false\n");
    let server = Folder::new(&[("counter.yaml", &cycle)], "")?
        .serve()
        .await?;
    let refused = server.hook("counter", r#"{"page": 5}"#).await?;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (409, "cycle.stopped")
    );
    server.api("POST", "/cycles/counter/start").await?;
    assert_eq!(server.hook("counter", r#"{"page": 5}"#).await?.status, 202);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_server_on_the_same_folder_is_refused() -> Result<()> {
    let server = serve().await?;
    let (code, _, err) = server
        .folder()
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .await?;
    assert_ne!(code, 0);
    assert!(err.contains("in use by another process"), "{err}");
    Ok(())
}
