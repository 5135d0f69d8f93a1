//! `for_each`: items begin, end, fail and are tried again, each in a commit of its own.

use std::time::Duration;

use serde_json::json;
use velodrome_core::{
    Acceptance, Action, FailureKind, Input, ItemReport, Rows, SendAnswer, State, StepFailure,
    TimerChange, Transition,
};
use velodrome_spec::Plan;
use velodrome_types::{Code, Event, Json, RunStatus};

use crate::common::{NOW, Stored, accepted, items, later, moved, moved_at};

fn begun(plan: &Plan) -> Transition {
    let Acceptance { run, looped, .. } = accepted(plan);
    let begin = Input::Begin {
        body: json!({}),
        logs: vec![],
    };
    moved(plan, run, looped, begin).expect("it begins")
}

fn report(
    plan: &Plan,
    now: Transition,
    index: u64,
    attempt: u32,
    report: ItemReport,
) -> Transition {
    let input = Input::Item {
        fence: now.run.fence,
        index,
        attempt,
        report,
    };
    moved(plan, now.run, now.looped, input).expect("the item is awaited")
}

fn sent(body: Json) -> ItemReport {
    ItemReport::Sent(SendAnswer {
        status: 200,
        body,
        ..SendAnswer::default()
    })
}

fn refused(kind: FailureKind) -> ItemReport {
    ItemReport::Failed(StepFailure {
        kind,
        status: Some(503),
        ..StepFailure::permanent(Code::new("request.status"), "the API answered 503")
    })
}

/// Indexes that the transition asks to perform.
fn called(now: &Transition) -> Vec<u64> {
    match &now.action {
        Some(Action::Items { items, .. }) => items.iter().map(|call| call.index).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn items_run_in_order_and_their_results_are_kept() {
    let plan = items(&json!(["a", "b", "c"]), 1, false);
    let mut now = begun(&plan);
    assert_eq!(now.rows, Rows::Both, "the run's row tells where it is");
    for index in 0..3 {
        assert_eq!(called(&now), [index]);
        now = report(&plan, now, index, 1, sent(json!({"id": index})));
        assert_eq!(now.rows == Rows::Neither, index < 2, "item {index}");
        if index < 2 {
            assert_eq!(now.items.results, [(index, json!({"id": index}))]);
        }
    }
    assert_eq!(now.run.status(), RunStatus::Waiting, "it goes on by `then`");
    assert!(now.items.clear, "what was kept beside the row goes");
    let data = &now.run.data["each"];
    assert_eq!(data["count"], json!(3));
    assert_eq!(data["succeeded"], json!(3));
    assert_eq!(data["results"], json!([{"id": 0}, {"id": 1}, {"id": 2}]));
}

#[test]
fn so_many_are_under_way_at_once_and_no_more() {
    let plan = items(&json!([1, 2, 3, 4, 5]), 2, false);
    let now = begun(&plan);
    assert_eq!(called(&now), [0, 1]);
    let now = report(&plan, now, 1, 1, sent(json!(null)));
    assert_eq!(called(&now), [2]);
    let now = report(&plan, now, 2, 1, sent(json!(null)));
    let now = report(&plan, now, 0, 1, sent(json!(null)));
    assert_eq!(called(&now), [4]);
    let now = report(&plan, now, 4, 1, sent(json!(null)));
    assert_eq!(called(&now), Vec::<u64>::new());
    let now = report(&plan, now, 3, 1, sent(json!(null)));
    assert_eq!(now.run.data["each"]["succeeded"], json!(5));
}

#[test]
fn an_empty_list_is_passed_and_what_is_no_list_fails() {
    let now = begun(&items(&json!([]), 1, false));
    assert_eq!(now.run.status(), RunStatus::Waiting);
    assert_eq!(now.run.data["each"]["count"], json!(0));
    for (value, kind) in [
        (json!(null), "null"),
        (json!({"a": 1}), "an object"),
        (json!("text"), "text"),
    ] {
        let now = begun(&items(&value, 1, false));
        let error = now.run.error().expect("it failed");
        assert_eq!(error.code.as_str(), "for_each.no_list");
        assert!(error.message.contains(kind), "{}", error.message);
    }
}

#[test]
fn a_passing_failure_is_tried_again_and_the_others_go_on() {
    let plan = items(&json!([1, 2, 3]), 2, false);
    let now = begun(&plan);
    let now = report(&plan, now, 0, 1, refused(FailureKind::Transient));
    assert_eq!(now.timer, TimerChange::Set(later(1)));
    assert_eq!(now.rows, Rows::Neither);
    assert_eq!(called(&now), Vec::<u64>::new(), "its place stays taken");
    let now = report(&plan, now, 1, 1, sent(json!(null)));
    assert_eq!(called(&now), [2]);
    let now = report(&plan, now, 2, 1, sent(json!(null)));
    assert_eq!(
        now.run.status(),
        RunStatus::Waiting,
        "only the retry is left"
    );
    assert_eq!(now.rows, Rows::Both, "the status is told in the run's row");
    let due = Input::Due {
        fence: now.run.fence,
    };
    let now = moved_at(
        &plan,
        now.run,
        now.looped,
        due,
        later(1),
        &Stored::default(),
    )
    .expect("it is due");
    assert_eq!(called(&now), [0]);
    assert_eq!(now.timer, TimerChange::Clear);
    let now = report(&plan, now, 0, 2, sent(json!(null)));
    assert_eq!(now.run.data["each"]["succeeded"], json!(3));
}

#[test]
fn a_failure_for_good_ends_the_step_when_the_others_have_ended() {
    let plan = items(&json!([1, 2, 3, 4]), 2, false);
    let now = begun(&plan);
    let now = report(&plan, now, 0, 1, refused(FailureKind::Permanent));
    assert_eq!(called(&now), Vec::<u64>::new(), "no further item begins");
    assert_eq!(now.run.status(), RunStatus::Running);
    let now = report(&plan, now, 1, 1, sent(json!("second")));
    let error = now.run.error().expect("the run failed");
    assert_eq!(error.code.as_str(), "request.status");
    assert!(error.message.starts_with("item 0: "), "{}", error.message);
    let progress = now.items.progress.expect("it is kept for a resume");
    assert_eq!(
        (progress.again.as_slice(), progress.next),
        ([0].as_slice(), 2)
    );
    assert!(!now.items.clear);
}

#[test]
fn failures_are_skipped_where_the_file_says_so() {
    let plan = items(&json!([1, 2]), 1, true);
    let now = begun(&plan);
    let now = report(&plan, now, 0, 1, refused(FailureKind::Permanent));
    assert!(
        now.lines
            .iter()
            .any(|line| line.event == Event::ItemFailed && line.item == Some(0))
    );
    assert_eq!(called(&now), [1]);
    let now = report(&plan, now, 1, 1, sent(json!("b")));
    let data = &now.run.data["each"];
    assert_eq!(
        (&data["succeeded"], &data["failed"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(data["results"], json!([null, "b"]));
}

#[test]
fn after_a_crash_only_what_was_under_way_is_sent_again() {
    let plan = items(&json!([1, 2, 3, 4]), 2, false);
    let now = begun(&plan);
    let now = report(&plan, now, 0, 1, sent(json!(null)));
    let built = ItemReport::Built {
        request: json!({"verb": "POST"}),
        logs: vec![],
    };
    let now = report(&plan, now, 2, 1, built);
    // What is stored: the row as the step began, and the progress beside it.
    let mut run = begun(&plan).run;
    run.restore_items(now.items);
    let again = moved(&plan, run, now.looped, Input::Recover).expect("it goes on");
    let Some(Action::Items { items, .. }) = again.action else {
        panic!("{:?}", again.action);
    };
    let told: Vec<_> = items
        .iter()
        .map(|call| (call.index, call.built.is_some()))
        .collect();
    assert_eq!(told, [(1, false), (2, true)]);
}

#[test]
fn a_late_report_changes_nothing() {
    let plan = items(&json!([1, 2]), 1, false);
    let now = begun(&plan);
    let fence = now.run.fence;
    let now = report(&plan, now, 0, 1, sent(json!(null)));
    for (index, attempt) in [(0, 1), (1, 2), (7, 1)] {
        let input = Input::Item {
            fence,
            index,
            attempt,
            report: sent(json!("late")),
        };
        let same = moved(&plan, now.run.clone(), now.looped.clone(), input).expect("it stays");
        let (State::Each { each, .. }, State::Each { each: was, .. }) =
            (&same.run.state, &now.run.state)
        else {
            panic!("{:?}", same.run.state);
        };
        assert_eq!(each, was);
        assert_eq!(called(&same), Vec::<u64>::new());
    }
}

#[test]
fn elapsed_and_counts_are_told_once_at_the_end() {
    let plan = items(&json!([1]), 1, false);
    let now = begun(&plan);
    let input = Input::Item {
        fence: now.run.fence,
        index: 0,
        attempt: 1,
        report: sent(json!(null)),
    };
    let at = NOW.plus(Duration::from_millis(1_500));
    let now = moved_at(&plan, now.run, now.looped, input, at, &Stored::default()).expect("it ends");
    let told = now
        .lines
        .iter()
        .find(|line| line.item.is_none() && line.event == Event::ResponseReceived);
    assert_eq!(told.expect("it is told").message, "1 of 1 item · 1.5 s");
}
