//! A list that pages itself: a page a commit, failures and crashes at any page, and what is kept.

use std::time::Duration;

use serde_json::json;
use velodrome_core::{
    Action, FailureKind, Input, ListAnswer, MAX_RESTARTS, Rows, Run, State, StepFailure,
    TimerChange, Transition,
};
use velodrome_spec::Plan;
use velodrome_spec::plan::{FirstRun, StepKind};
use velodrome_types::{Code, Event, Json, LoopStatus, RunStatus};

use crate::common::{
    NOW, Stored, asking, later, messages, moved, moved_at, page, page_by_engine, page_loop,
};

fn plan() -> Plan {
    let mut plan = page_loop(Duration::from_secs(2));
    page_by_engine(&mut plan);
    plan
}

/// A page with records, and where the next is.
fn paged(number: u64, next: Option<u64>) -> ListAnswer {
    ListAnswer {
        page: number,
        count: 2,
        page_hash: number,
        records: Some(vec![
            json!({"id": number * 2}),
            json!({"id": number * 2 + 1}),
        ]),
        next: next.map(|next| json!({ "at": next })),
        ..page(true)
    }
}

fn listed(plan: &Plan, now: Transition, answer: ListAnswer) -> Transition {
    let fence = now.run.fence;
    moved(plan, now.run, now.looped, Input::Listed { fence, answer }).expect("it is awaited")
}

fn failed(plan: &Plan, now: Transition, kind: FailureKind) -> Transition {
    let failure = StepFailure {
        kind,
        ..StepFailure::permanent(Code::new("request.status"), "503")
    };
    let fence = now.run.fence;
    moved(plan, now.run, now.looped, Input::Failed { fence, failure }).expect("it is awaited")
}

fn cursor(run: &Run) -> Json {
    match &run.state {
        State::Paging { pages, .. } => pages.cursor.clone(),
        other => panic!("{other:?}"),
    }
}

fn asks(now: &Transition) -> Option<u32> {
    match &now.action {
        Some(Action::List { attempt, .. }) => Some(*attempt),
        _ => None,
    }
}

#[test]
fn each_page_is_a_commit_and_the_last_gives_all_records() {
    let plan = plan();
    let now = asking(&plan);
    assert_eq!((cursor(&now.run), asks(&now)), (json!(null), Some(1)));
    let now = listed(&plan, now, paged(1, Some(2)));
    assert_eq!((cursor(&now.run), asks(&now)), (json!({"at": 2}), Some(1)));
    assert_eq!(now.rows, Rows::LoopOnly, "the run's row stays as it is");
    assert_eq!(now.items.results, [(0, json!([{"id": 2}, {"id": 3}]))]);
    let progress = now.items.pages.as_ref().expect("it is told");
    assert_eq!((progress.count, progress.answered), (2, 1));
    let shown = messages(&now);
    assert!(shown[0].contains("200 · 2 records · page 1"), "{shown:?}");
    assert_eq!(now.lines[0].data, Some(json!({"page": 1})));
    let now = listed(&plan, now, paged(2, Some(3)));
    let now = listed(&plan, now, paged(3, None));
    assert_eq!(now.rows, Rows::Both);
    assert!(now.items.clear);
    assert_eq!(now.looped.records, 6);
    let data = &now.run.data["contacts"];
    assert_eq!(data["count"], json!(6));
    let ids: Vec<_> = (2..8).map(|id| json!({ "id": id })).collect();
    assert_eq!(data["records"], json!(ids));
}

#[test]
fn records_are_not_kept_where_nothing_reads_them() {
    let mut plan = plan();
    plan.steps[1].live.names.remove("records");
    let now = asking(&plan);
    let answer = ListAnswer {
        records: None,
        ..paged(1, Some(2))
    };
    let now = listed(&plan, now, answer);
    assert_eq!(now.items.results, []);
    let answer = ListAnswer {
        records: None,
        ..paged(2, None)
    };
    let now = listed(&plan, now, answer);
    assert_eq!(now.run.data["contacts"]["count"], json!(4));
    assert_eq!(now.run.data["contacts"].get("records"), None);
}

#[test]
fn a_page_that_fails_is_asked_again_and_no_other() {
    let plan = plan();
    let now = listed(&plan, asking(&plan), paged(1, Some(2)));
    let fence = now.run.fence;
    let now = failed(&plan, now, FailureKind::Transient);
    assert_eq!(now.run.status(), RunStatus::Waiting);
    assert_eq!(now.rows, Rows::Both, "the status is told in the run's row");
    let TimerChange::Set(due) = now.timer else {
        panic!("{:?}", now.timer);
    };
    // Woken too early it stays.
    let early = Input::Due { fence };
    let early = moved(&plan, now.run.clone(), now.looped.clone(), early).expect("it stays");
    assert_eq!(
        (early.action, early.run.status()),
        (None, RunStatus::Waiting)
    );
    let input = Input::Due { fence };
    let now =
        moved_at(&plan, now.run, now.looped, input, due, &Stored::default()).expect("it goes on");
    assert_eq!((cursor(&now.run), asks(&now)), (json!({"at": 2}), Some(2)));
    let now = listed(&plan, now, paged(2, Some(3)));
    assert_eq!((cursor(&now.run), asks(&now)), (json!({"at": 3}), Some(1)));
}

#[test]
fn after_a_crash_the_page_under_way_is_asked_again() {
    let plan = plan();
    let first = asking(&plan);
    let mut run = first.run.clone();
    let now = listed(&plan, first, paged(1, Some(2)));
    // What is stored: the row as the step began, and the progress and records beside it.
    run.restore_items(now.items.clone());
    let now = moved(&plan, run, now.looped, Input::Recover).expect("it goes on");
    assert_eq!((cursor(&now.run), asks(&now)), (json!({"at": 2}), Some(1)));
    let now = listed(&plan, now, paged(2, None));
    let records = now.run.data["contacts"]["records"].as_array().map(Vec::len);
    assert_eq!(records, Some(4));
}

#[test]
fn a_failed_list_is_resumed_at_its_page_and_anew_on_another_version() {
    let plan = plan();
    let now = listed(&plan, asking(&plan), paged(1, Some(2)));
    let failed = failed(&plan, now, FailureKind::Permanent);
    assert_eq!(failed.run.status(), RunStatus::Failed);
    assert!(failed.looped.lists["contacts"].void);
    assert!(failed.items.pages.is_some() && !failed.items.clear);
    for (hash, at) in [
        (plan.hash.as_str(), json!({"at": 2})),
        ("another", json!(null)),
    ] {
        let plan = Plan {
            hash: hash.to_owned(),
            ..plan.clone()
        };
        let input = Input::Resume { placed: true };
        let (run, looped) = (failed.run.clone(), failed.looped.clone());
        let now = moved(&plan, run, looped, input).expect("it goes on");
        assert_eq!((cursor(&now.run), asks(&now)), (at, Some(1)), "{hash}");
        assert_eq!(now.items.clear, hash == "another");
    }
}

#[test]
fn a_void_token_begins_the_list_again_but_not_for_ever() {
    let plan = plan();
    let mut now = listed(&plan, asking(&plan), paged(1, Some(2)));
    for _ in 0..MAX_RESTARTS {
        let void = ListAnswer {
            status: 400,
            restarted: Some(0),
            ..ListAnswer::default()
        };
        now = listed(&plan, now, void);
        assert_eq!((cursor(&now.run), asks(&now)), (json!(null), Some(1)));
        // Page 1 again: all its records have come before.
        let again = ListAnswer {
            records: Some(vec![]),
            repeats: 2,
            ..paged(1, Some(2))
        };
        now = listed(&plan, now, again);
    }
    let over = listed(&plan, now.clone(), paged(2, None));
    let data = &over.run.data["contacts"];
    assert_eq!(data["count"], json!(4), "of the walk that was whole");
    assert_eq!(data["records"].as_array().map(Vec::len), Some(4));
    let void = ListAnswer {
        restarted: Some(0),
        ..ListAnswer::default()
    };
    let now = listed(&plan, now, void);
    let error = now.run.error().expect("it has failed");
    assert_eq!(error.code.as_str(), "paging.token_expired");
}

#[test]
fn the_same_page_again_and_again_fails_by_name() {
    let plan = plan();
    let mut now = asking(&plan);
    for number in 1..6 {
        let same = ListAnswer {
            page_hash: 7,
            ..paged(number, Some(number + 1))
        };
        now = listed(&plan, now, same);
    }
    let same = ListAnswer {
        page_hash: 7,
        ..paged(6, Some(7))
    };
    let now = listed(&plan, now, same);
    let error = now.run.error().expect("it has failed");
    assert_eq!(error.code.as_str(), "paging.repeated");
}

fn moved_to(now: &Transition) -> Vec<(String, Option<velodrome_types::Timestamp>)> {
    let lines = now.lines.iter();
    lines
        .filter(|line| matches!(line.event, Event::WatermarkMoved | Event::WatermarkKept))
        .map(|line| {
            let to = now.watermarks.first().map(|(_, date)| *date);
            (line.event.to_string(), to)
        })
        .collect()
}

#[test]
fn the_watermark_is_the_first_pages_date_and_moves_when_the_run_succeeds() {
    let mut plan = plan();
    crate::common::advance_on_success(&mut plan);
    plan.steps[1].then = None;
    let now = asking(&plan);
    let first = ListAnswer {
        date: Some(NOW),
        ..paged(1, Some(2))
    };
    let second = ListAnswer {
        date: Some(later(60)),
        ..paged(2, None)
    };
    let now = listed(&plan, now, first);
    assert_eq!(moved_to(&now), []);
    let now = listed(&plan, now, second.clone());
    assert_eq!(now.looped.status, LoopStatus::Succeeded);
    assert_eq!(moved_to(&now), [("watermark.moved".to_owned(), Some(NOW))]);

    // What a script wants for the next run wins.
    let now = listed(&plan, asking(&plan), paged(1, Some(2)));
    let wanted = ListAnswer {
        next_date: Some(later(5)),
        ..second.clone()
    };
    let now = listed(&plan, now, wanted);
    assert_eq!(now.watermarks, [("contacts".into(), later(5))]);

    // Cut at `max_records`, what came after was not read: nothing moves.
    let cut = ListAnswer {
        next: Some(json!({"at": 2})),
        cut: true,
        ..paged(1, None)
    };
    let now = listed(&plan, asking(&plan), cut);
    assert_eq!(now.run.status(), RunStatus::Succeeded);
    assert_eq!(moved_to(&now), [("watermark.kept".to_owned(), None)]);
}

#[test]
fn a_list_paged_by_hand_moves_its_own_watermark_when_the_loop_succeeds() {
    let mut plan = page_loop(Duration::from_secs(2));
    crate::common::advance_on_success(&mut plan);
    plan.steps[2].then = None;
    plan.steps[2].otherwise = None;
    let now = listed(&plan, asking(&plan), page(false));
    assert_eq!(now.looped.status, LoopStatus::Succeeded);
    assert_eq!(now.watermarks, [("contacts".into(), NOW)]);
    // Another lap is still open: the list is not read whole.
    let asked = asking(&plan);
    let mut looped = asked.looped.clone();
    looped.open.insert(crate::common::run_id(7), false);
    let now = listed(&plan, Transition { looped, ..asked }, page(true));
    assert_eq!(
        (now.run.status(), now.watermarks),
        (RunStatus::Succeeded, vec![])
    );
}

#[test]
fn a_watermark_that_cannot_be_read_is_an_error_of_the_step() {
    #[derive(Debug)]
    struct Broken;
    impl velodrome_core::Watermarks for Broken {
        fn get(
            &self,
            _: &velodrome_types::StepId,
        ) -> Result<Option<velodrome_types::Timestamp>, String> {
            Err("a page of it is damaged".to_owned())
        }
    }
    let facts = velodrome_core::Facts {
        now: NOW,
        jitter: 0.0,
        cycle: velodrome_types::CycleState::Running,
        watermarks: &Broken,
        statics: &crate::common::Nothing,
        ids: &crate::common::Counted,
    };
    for plan in [plan(), page_loop(Duration::from_secs(2))] {
        let accepted = crate::common::accepted(&plan);
        let begin = Input::Begin {
            body: json!({"page": 1}),
            logs: vec![],
        };
        let now = velodrome_core::advance(&plan, accepted.run, accepted.looped, begin, &facts)
            .expect("it begins");
        assert_eq!((&now.action, now.run.status()), (&None, RunStatus::Waiting));
        let code = now.lines.iter().find_map(|line| line.code.as_ref());
        assert_eq!(code.map(Code::as_str), Some("watermark.unreadable"));
        // Readable again, the list is asked with its date.
        let fence = now.run.fence;
        let stored = Stored(Some(later(1)));
        let input = Input::Due { fence };
        let now = moved_at(&plan, now.run, now.looped, input, later(90), &stored).expect("due");
        assert_eq!(asks(&now), Some(2));
        assert_eq!(now.looped.lists["contacts"].filter, Some(later(1)));
    }
}

#[test]
fn the_first_request_fixes_the_date_by_what_is_stored_else_by_first_run() {
    // The stored date wins, be it earlier or later; `now` is moved back by the overlap, a date is not.
    let early = later(0).minus(Duration::from_secs(90));
    for (first_run, stored, expect) in [
        (FirstRun::All, None, None),
        (FirstRun::All, Some(early), Some(early)),
        (FirstRun::Now, None, Some(NOW.minus(Duration::from_secs(2)))),
        (FirstRun::Now, Some(early), Some(early)),
        (FirstRun::From(later(5)), None, Some(later(5))),
        (FirstRun::From(later(5)), Some(early), Some(early)),
        (FirstRun::From(early), Some(later(5)), Some(later(5))),
    ] {
        let mut plan = plan();
        let StepKind::List(list) = &mut plan.steps[1].kind else {
            panic!("a fixture");
        };
        list.first_run = first_run;
        let accepted = crate::common::accepted(&plan);
        let begin = Input::Begin {
            body: json!({"page": 1}),
            logs: vec![],
        };
        let (run, looped, stored) = (accepted.run, accepted.looped, Stored(stored));
        let now = moved_at(&plan, run, looped, begin, NOW, &stored).expect("it begins");
        let filter = now.looped.lists["contacts"].filter;
        assert_eq!(filter, expect, "{first_run:?} {stored:?}");
        // Whatever is stored meanwhile, every page of the loop asks with the same date.
        let stored = Stored(Some(later(500)));
        let fence = now.run.fence;
        let answer = paged(1, Some(2));
        let input = Input::Listed { fence, answer };
        let now = moved_at(&plan, now.run, now.looped, input, NOW, &stored).expect("a page");
        assert_eq!(now.looped.lists["contacts"].filter, expect);
    }
}

#[test]
fn a_list_without_records_moves_its_date_and_one_without_a_date_does_not() {
    let mut plan = plan();
    crate::common::advance_on_success(&mut plan);
    plan.steps[1].otherwise = None;
    let nothing = ListAnswer {
        status: 304,
        date: Some(later(9)),
        ..ListAnswer::default()
    };
    let now = listed(&plan, asking(&plan), nothing.clone());
    assert_eq!(now.watermarks, [("contacts".into(), later(9))]);
    let dateless = ListAnswer {
        date: None,
        ..nothing
    };
    let now = listed(&plan, asking(&plan), dateless);
    assert_eq!(now.watermarks, []);
    assert_eq!(moved_to(&now), [("watermark.kept".to_owned(), None)]);
}

#[test]
fn keys_of_new_records_are_told_with_the_page_and_repeats_in_the_log() {
    let plan = plan();
    let answer = ListAnswer {
        keys: vec![[1; 12]],
        repeats: 1,
        ..paged(1, Some(2))
    };
    let now = listed(&plan, asking(&plan), answer);
    assert_eq!(now.keys, Some(("contacts".into(), vec![[1; 12]])));
    assert!(messages(&now)[0].contains("2 records, 1 repeat dropped"));
    assert_eq!(now.lines[0].data, Some(json!({"page": 1, "repeats": 1})));
}
