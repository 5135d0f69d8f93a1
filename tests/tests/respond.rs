//! Synchronous webhooks on the real binary: who is held, what they hear, and what is remembered of it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_tests::{Answer, Folder, Server, Sink};

/// Asks the sink, then answers by what it said; `quick: true` asks nothing and answers nothing.
fn cycle(sink: &Sink, within: &str) -> String {
    format!(
        r#"
cycle: ask
steps:
  webhook:
    use: generic_webhook.webhook
    respond_within: {within}
    then: quick
  quick:
    use: decision
    if: {{left: "${{webhook.quick}}", is: equals, right: true}}
    else: find
  find:
    use: generic_webhook.post
    url: {url}/find
    map: {{id: "${{webhook.id}}"}}
    retry: 0
    then: first
  first:
    use: respond
    status: ${{webhook.status ?? 200}}
    headers: {{x-found: "${{find.id}}", content-language: la}}
    body: ${{find.body}}
    then: second
  second:
    use: respond
    status: 418
"#,
        url = sink.url()
    )
}

async fn serve(sink: &Sink, within: &str) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    Folder::new(&[("ask.yaml", &cycle(sink, within))], &settings)?
        .serve()
        .await
}

async fn ask(server: &Server, key: &str, body: Value) -> Result<Answer> {
    let url = format!("{}/hooks/ask", server.url());
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", key),
    ];
    let body = body.to_string();
    server
        .client()
        .send("POST", &url, &headers, body.into_bytes())
        .await
}

/// A sink that says what it was asked for, after so long.
async fn slow(takes: Duration) -> Result<Sink> {
    Sink::start(move |came, _| (200, json!({"id": came.body["id"], "name": "Rosa"}), takes)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_hears_the_first_answer_with_its_headers_and_the_second_goes_to_nobody()
-> Result<()> {
    let sink = slow(Duration::from_millis(50)).await?;
    let server = serve(&sink, "10 seconds").await?;
    let answer = ask(&server, "a", json!({"id": 7, "status": 203})).await?;
    assert_eq!(answer.status, 203);
    assert_eq!(answer.json(), json!({"id": 7, "name": "Rosa"}));
    assert_eq!(answer.header("x-found"), "7");
    assert_eq!(answer.header("content-language"), "la");
    assert_eq!(answer.header("content-security-policy"), "sandbox");
    let told = server.log_of("event=request.sent", 2).await?;
    let said: Vec<&str> = told
        .iter()
        .filter_map(|line| line["message"].as_str())
        .collect();
    assert_eq!(
        said,
        ["the answer is 203", "418, and nobody is there to hear it"]
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_answers_nothing_is_accepted_and_one_that_fails_is_500() -> Result<()> {
    let sink = Sink::start(|_, _| (400, json!({"secret": "inside"}), Duration::ZERO)).await?;
    let server = serve(&sink, "10 seconds").await?;
    let answer = ask(&server, "a", json!({"quick": true})).await?;
    assert_eq!(
        (answer.status, &answer.json()["status"]),
        (202, &json!("accepted"))
    );
    let answer = ask(&server, "b", json!({"id": 1})).await?;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (500, "respond.run_failed")
    );
    assert!(!answer.text.contains("inside"), "{}", answer.text);
    // A repeat is a request of its own: the run that failed is not its answer.
    let again = ask(&server, "b", json!({"id": 1})).await?;
    assert_eq!(
        (again.status, again.header("idempotency-replayed")),
        (500, "")
    );
    assert_eq!(sink.came().len(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_waited_long_enough_hears_504_and_a_repeat_the_answer_of_the_run_that_went_on()
-> Result<()> {
    let sink = slow(Duration::from_millis(1_500)).await?;
    let server = serve(&sink, "500 ms").await?;
    let answer = ask(&server, "a", json!({"id": 7})).await?;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "respond.late")
    );
    let run = answer.json()["run"]
        .as_str()
        .context("the run is named")?
        .to_owned();
    server
        .wait_for(&format!("/runs/{run}"), |found| {
            found["status"] == "succeeded"
        })
        .await?;
    let again = ask(&server, "a", json!({"id": 7})).await?;
    assert_eq!(
        (again.status, again.json()["name"].clone()),
        (200, json!("Rosa"))
    );
    assert_eq!(again.header("x-found"), "7");
    assert_eq!(again.header("idempotency-replayed"), "true");
    assert_eq!(sink.came().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_that_come_while_the_first_is_held_wait_for_the_same_answer() -> Result<()> {
    let sink = slow(Duration::from_millis(800)).await?;
    let server = serve(&sink, "10 seconds").await?;
    let body = json!({"id": 7});
    let (one, other) = tokio::join!(
        ask(&server, "a", body.clone()),
        ask(&server, "a", body.clone())
    );
    for answer in [one?, other?] {
        assert_eq!(
            (answer.status, answer.json()["id"].clone()),
            (200, json!(7))
        );
    }
    assert_eq!(sink.came().len(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_a_repeat_hears_what_the_run_answers_when_it_is_there() -> Result<()> {
    let sink = slow(Duration::from_millis(1_000)).await?;
    let mut server = serve(&sink, "20 seconds").await?;
    let url = format!("{}/hooks/ask", server.url());
    let client = server.client().clone();
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "a"),
    ];
    let asked = client.send("POST", &url, &headers, br#"{"id":7}"#.to_vec());
    let killed = async {
        server.log_of("event=webhook.accepted", 1).await?;
        server.kill().await
    };
    let (first, killed) = tokio::join!(asked, killed);
    killed?;
    assert!(first.is_err(), "the connection went with the process");
    server.start().await?;
    let again = ask(&server, "a", json!({"id": 7})).await?;
    assert_eq!(
        (again.status, again.json()["name"].clone()),
        (200, json!("Rosa"))
    );
    let runs = server.get("/runs?cycle=ask").await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_answer_of_500_the_same_key_is_a_request_of_its_own() -> Result<()> {
    let sink = slow(Duration::ZERO).await?;
    let server = serve(&sink, "10 seconds").await?;
    for _ in 0..2 {
        let answer = ask(&server, "a", json!({"id": 7, "status": 503})).await?;
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed")),
            (503, "")
        );
    }
    assert_eq!(sink.came().len(), 2);
    Ok(())
}

/// Hands off to `ask` and says what it saw of the answer.
const ASKS: &str = r#"
cycle: asks
steps:
  webhook: {use: generic_webhook.webhook, then: hand_off}
  hand_off:
    use: generic_webhook.post
    url: ${hook:ask}
    map: {id: "${webhook.id}", status: "${webhook.status}", quick: "${webhook.quick}"}
    ok: [418]
    retry: {times: 5, first: 100 ms}
    then: saw
    catch: caught
  saw: {use: stop, message: "saw ${hand_off.http.status} ${hand_off.name ?? \"nobody\"} ${hand_off.http.headers.x-found ?? \"-\"}"}
  caught: {use: stop, message: "caught ${hand_off.error.code} ${hand_off.error.status} ${hand_off.error.attempts}"}
"#;

async fn serve_both(sink: &Sink, within: &str) -> Result<Server> {
    let settings = format!("egress: {{allow: [\"{}\"]}}\n", sink.host());
    let cycles = [("ask.yaml", &*cycle(sink, within)), ("asks.yaml", ASKS)];
    Folder::new(&cycles, &settings)?.serve().await
}

/// What the run of `asks` came to.
async fn came_to(server: &Server, body: Value) -> Result<String> {
    let begun = server.hook("asks", &body.to_string()).await?;
    let run = begun.json()["run"].as_str().context("a run")?.to_owned();
    let path = format!("/runs/{run}");
    let over = |found: &Value| found["status"] == "succeeded";
    server.wait_for(&path, over).await?;
    let told = server
        .log(&format!("run={run}&event=run.succeeded"))
        .await?;
    Ok(told[0]["message"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_hands_off_sees_what_the_other_cycle_responds() -> Result<()> {
    let sink = slow(Duration::from_millis(50)).await?;
    let server = serve_both(&sink, "10 seconds").await?;
    let seen = came_to(&server, json!({"id": 7})).await?;
    assert_eq!(seen, "saw 200 Rosa 7");
    let seen = came_to(&server, json!({"id": 7, "status": 418})).await?;
    assert_eq!(seen, "saw 418 Rosa 7");
    // It ends without a `respond`: accepted, as by any webhook.
    let seen = came_to(&server, json!({"quick": true})).await?;
    assert_eq!(seen, "saw 202 nobody -");
    let refused = came_to(&server, json!({"id": 7, "status": 404})).await?;
    assert_eq!(refused, "caught request.status 404 1");
    let runs = server.get("/runs?cycle=ask").await?;
    let runs = runs["items"].as_array().context("runs")?;
    assert_eq!(runs.len(), 4);
    assert!(runs.iter().all(|run| run["parent"].is_string()), "{runs:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_waits_for_an_answer_hears_it_after_a_kill_and_begins_nothing_twice()
-> Result<()> {
    let sink = slow(Duration::from_millis(1_000)).await?;
    let mut server = serve_both(&sink, "20 seconds").await?;
    let begun = server.hook("asks", r#"{"id": 7}"#).await?;
    let run = begun.json()["run"].as_str().context("a run")?.to_owned();
    server.log_of("cycle=ask&event=webhook.accepted", 1).await?;
    server.kill().await?;
    server.start().await?;
    let over = |found: &Value| found["status"] == "succeeded";
    server.wait_for(&format!("/runs/{run}"), over).await?;
    let told = server
        .log(&format!("run={run}&event=run.succeeded"))
        .await?;
    assert_eq!(told[0]["message"], "saw 200 Rosa 7");
    let runs = server.get("/runs?cycle=ask").await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1));
    // One that takes longer than the webhook holds anybody is asked again, and hears it in the end.
    let late = slow(Duration::from_millis(900)).await?;
    let server = serve_both(&late, "400 ms").await?;
    let seen = came_to(&server, json!({"id": 8})).await?;
    assert_eq!(seen, "saw 200 Rosa 8");
    let runs = server.get("/runs?cycle=ask").await?;
    assert_eq!(runs["items"].as_array().map(Vec::len), Some(1));
    Ok(())
}
