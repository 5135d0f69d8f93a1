//! Bounds, refusals and failures: each by its name, each leaving the rest as it was.

use std::time::Duration;

use velodrome_store::{LogFilter, Namespace, ScriptStorage};
use velodrome_types::{ConnectionId, Event, LoopStatus, RunStatus};

use crate::fixture::{Fixture, page_loop};

/// A loop without an end test.
fn runaway(limits: &str, script: &str) -> String {
    format!(
        r#"
cycle: runaway
loop: {limits}
steps:
  webhook:
    use: generic_webhook.webhook
    script: |
      {script}
    then: next
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
"#
    )
}

const PASS: &str = "fn after_webhook() { cyclr_storage_increment(\"laps\"); return true; }";

#[tokio::test(flavor = "multi_thread")]
async fn a_runaway_loop_fails_by_name_at_its_limit() {
    let fixture = Fixture::new(0, &[("runaway.yaml", runaway("{max_laps: 25}", PASS))]).await;
    let over = fixture.run("runaway", "{}").await;
    assert_eq!((over.status, over.laps), (LoopStatus::Failed, 25));
    assert_eq!(over.error.unwrap()["code"], "loop.max_laps");
    let namespace = Namespace::Connection(ConnectionId::from("generic_webhook"));
    let laps = fixture.store.get(&namespace, "laps").unwrap().unwrap();
    assert_eq!(laps.value, 25, "each lap's handler ran once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_can_be_stopped_while_it_runs_away() {
    let fixture = Fixture::new(0, &[("runaway.yaml", runaway("{max_laps: none}", PASS))]).await;
    let answer = fixture.post("runaway", "{}").await.unwrap();
    let id = answer.body["loop"].as_str().unwrap().parse().unwrap();
    let stopped = fixture.engine.stop_loop(id).await.unwrap();
    assert_eq!(stopped.status, LoopStatus::Stopped);
    let again = fixture.engine.stop_loop(id).await.unwrap_err();
    assert_eq!(again.code.as_str(), "loop.over");
}

/// Waits for ten minutes, one loop at a time.
const SLEEPER: &str = r#"
cycle: sleeper
concurrency: 1
steps:
  webhook: {use: generic_webhook.webhook, then: pause}
  pause: {use: delay, for: 10 minutes}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_run_frees_the_place_of_its_loop_and_what_is_queued_can_be_stopped_too() {
    let fixture = Fixture::new(0, &[("sleeper.yaml", SLEEPER.to_owned())]).await;
    let mut runs = Vec::new();
    for _ in 0..3 {
        let answer = fixture.post("sleeper", "{}").await.unwrap();
        let text = |name: &str| answer.body[name].as_str().unwrap().to_owned();
        runs.push((text("run").parse().unwrap(), text("loop").parse().unwrap()));
    }
    let stopped = fixture.engine.stop_run(runs[1].0).await.unwrap();
    assert_eq!(stopped.status, RunStatus::Stopped, "it was queued");
    let stopped = fixture.engine.stop_run(runs[0].0).await.unwrap();
    assert_eq!((stopped.status, stopped.due), (RunStatus::Stopped, None));
    assert_eq!(fixture.over(runs[0].1).await.status, LoopStatus::Stopped);
    let waits = |run| fixture.engine.run(run).unwrap().status == RunStatus::Waiting;
    let counts = || {
        let cycle = fixture.engine.cycle(&"sleeper".into()).unwrap();
        (cycle.running, cycle.queued)
    };
    let mut changed = fixture.engine.log_changed();
    let begun = async {
        while !waits(runs[2].0) || counts() != (1, 0) {
            // The place is counted a moment after the commit that tells of it.
            let _ = tokio::time::timeout(Duration::from_millis(50), changed.changed()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), begun)
        .await
        .expect("the next one has the place");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throw_before_the_answer_is_500_and_frees_the_place() {
    let cycle = page_loop("0s").replace(
        "cyclr_storage_set(",
        "if method_response.page == 66 { throw \"no\"; } cyclr_storage_set(",
    );
    let fixture = Fixture::new(1, &[("pages.yaml", cycle)]).await;
    for _ in 0..3 {
        let problem = fixture.post("pages", r#"{"page": 66}"#).await.unwrap_err();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (500, "webhook.script_failed")
        );
        assert!(problem.detail.contains("pages.yaml:"), "{}", problem.detail);
    }
    assert_eq!(
        fixture.run("pages", r#"{"page": 1}"#).await.status,
        LoopStatus::Succeeded
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throw_after_a_202_fails_the_run_and_the_next_of_the_queue_begins() {
    let cycle = page_loop("50 ms").replace(
        "cyclr_storage_set(",
        "if method_response.page == 66 { throw \"no\"; } cyclr_storage_set(",
    );
    let fixture = Fixture::new(2, &[("pages.yaml", cycle)]).await;
    let mut ids = Vec::new();
    for body in [r#"{"page": 1}"#, r#"{"page": 66}"#, r#"{"page": 2}"#] {
        let answer = fixture.post("pages", body).await.unwrap();
        assert_eq!(answer.status, 202);
        ids.push(answer.body["loop"].as_str().unwrap().parse().unwrap());
    }
    assert_eq!(fixture.over(ids[0]).await.status, LoopStatus::Succeeded);
    let failed = fixture.over(ids[1]).await;
    assert_eq!(failed.status, LoopStatus::Failed);
    assert_eq!(failed.error.unwrap()["code"], "webhook.script_failed");
    assert_eq!(fixture.over(ids[2]).await.status, LoopStatus::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn before_action_false_fails_the_step_without_a_retry() {
    let cycle = page_loop("0s")
        .replace("return true; }\n", "return true; }\n      // second\n")
        .replace(
            "method_request.page = cyclr_storage_get(\"page\") + 1; return true;",
            "return false;",
        );
    let fixture = Fixture::new(3, &[("pages.yaml", cycle)]).await;
    let over = fixture.run("pages", r#"{"page": 1}"#).await;
    assert_eq!((over.status, over.laps), (LoopStatus::Failed, 1));
    let run = fixture.engine.run(over.first_run).unwrap();
    assert_eq!(run.status, RunStatus::Failed);
    let error = run.error.unwrap();
    assert_eq!(
        (error["code"].as_str(), error["attempts"].as_u64()),
        (Some("script.aborted"), Some(1))
    );
    let retries = fixture.log(&LogFilter {
        event: Some(Event::RetryScheduled),
        ..LogFilter::default()
    });
    assert!(retries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permanent_answer_of_the_api_fails_the_run_with_its_body() {
    let cycle = page_loop("0s").replace("page: \"${webhook.page}\"", "page: 0");
    let fixture = Fixture::new(3, &[("pages.yaml", cycle)]).await;
    let over = fixture.run("pages", r#"{"page": 1}"#).await;
    let error = fixture.engine.run(over.first_run).unwrap().error.unwrap();
    assert_eq!(
        (error["code"].as_str(), error["status"].as_u64()),
        (Some("request.status"), Some(400))
    );
    assert_eq!(error["body"]["code"], "NO_PAGE");
}
