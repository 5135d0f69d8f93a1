//! Commits a lap, hand-offs, and the log they leave.

use std::sync::atomic::Ordering;

use velodrome_store::LogFilter;
use velodrome_types::{CycleId, Event, LoopStatus};

use crate::fixture::{Fixture, page_loop};

/// Commits of a loop of so many laps: the difference between two lengths is the cost of the laps alone.
async fn commits_of(pages: u32, delay: &str) -> u64 {
    let fixture = Fixture::new(pages, &[("pages.yaml", page_loop(delay))]).await;
    let before = fixture.commits().await;
    let over = fixture.run("pages", r#"{"page": 1}"#).await;
    assert_eq!(
        (over.status, over.laps),
        (LoopStatus::Succeeded, u64::from(pages))
    );
    assert_eq!(
        fixture.api.asked.load(Ordering::SeqCst),
        pages,
        "each page is asked once"
    );
    fixture.commits().await - before
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lap_with_a_delay_is_two_commits() {
    let (short, long) = (commits_of(3, "1 ms").await, commits_of(13, "1 ms").await);
    assert_eq!(long - short, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lap_without_a_delay_is_one_commit() {
    let (short, long) = (commits_of(3, "0s").await, commits_of(13, "0s").await);
    assert_eq!(long - short, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hand_off_to_another_cycle_is_a_new_loop_with_a_parent() {
    let first = r#"
cycle: first
steps:
  webhook: {use: generic_webhook.webhook, then: post}
  post:
    use: generic_webhook.post
    url: ${hook:second}
    map: {name: "${webhook.name}"}
    then: enough
  enough:
    use: stop
    message: "answered ${post.status}"
"#;
    let second = r#"
cycle: second
steps:
  webhook: {use: generic_webhook.webhook, fields: {name: text}, then: done}
  done: {use: stop, message: "hello ${webhook.name}"}
"#;
    let cycles = [
        ("first.yaml", first.to_owned()),
        ("second.yaml", second.to_owned()),
    ];
    let fixture = Fixture::new(0, &cycles).await;
    let over = fixture.run("first", r#"{"name": "Rosa"}"#).await;
    assert_eq!(over.status, LoopStatus::Succeeded);
    let filter = LogFilter {
        cycle: Some(CycleId::from("second")),
        ..LogFilter::default()
    };
    let lines = fixture.log(&filter);
    assert!(
        lines.iter().any(|line| line.message == "hello Rosa"),
        "{lines:#?}"
    );
    let child = fixture
        .engine
        .loop_view(
            lines[0]
                .loop_id
                .unwrap_or_else(|| lines[1].loop_id.unwrap()),
        )
        .unwrap();
    assert_eq!(child.parent, Some(over.id));
    let run = fixture.engine.run(child.first_run).unwrap();
    assert_eq!((run.hops, run.root, run.lap), (1, over.first_run, 1));
    let said = fixture.log(&LogFilter {
        loop_id: Some(over.id),
        ..LogFilter::default()
    });
    assert!(
        said.iter().any(|line| line.message == "answered accepted"),
        "{said:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn loops_of_a_cycle_with_one_place_begin_in_the_order_of_acceptance() {
    let fixture = Fixture::new(3, &[("pages.yaml", page_loop("5 ms"))]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let answer = fixture.post("pages", r#"{"page": 1}"#).await.unwrap();
        ids.push(answer.body["loop"].as_str().unwrap().parse().unwrap());
    }
    for id in &ids {
        assert_eq!(fixture.over(*id).await.laps, 3);
    }
    let events = |event| {
        let lines = fixture.log(&LogFilter {
            event: Some(event),
            ..LogFilter::default()
        });
        lines
            .into_iter()
            .map(|line| (line.seq, line.loop_id.unwrap()))
            .collect::<Vec<_>>()
    };
    let (began, ended) = (events(Event::LoopStarted), events(Event::LoopSucceeded));
    assert_eq!(began.iter().map(|(_, id)| *id).collect::<Vec<_>>(), ids);
    for (end, next) in ended.iter().zip(began.iter().skip(1)) {
        assert!(
            end.0 < next.0,
            "{:?} began before {:?} had ended",
            next.1,
            end.1
        );
    }
}
