//! The page loop, step by step through the pure machine.

use std::time::Duration;

use crate::common::{
    Stored, accepted, asking, later, messages, moved, moved_at, page, page_loop, run_id,
};
use serde_json::json;
use velodrome_core::{
    Acceptance, Action, Delivery, Exit, FailureKind, Finish, Input, ListAnswer, Origin, Scripted,
    SendAnswer, State, StepFailure, TimerChange, WaitingOn, accept_next_lap, may_begin_lap,
};
use velodrome_types::{Code, Event, LoopStatus, OnError, RunStatus};

fn transient() -> StepFailure {
    StepFailure {
        kind: FailureKind::Transient,
        status: Some(503),
        ..StepFailure::permanent(Code::new("request.status"), "the API answered 503")
    }
}

#[test]
fn acceptance_leads_to_the_list_in_one_transition() {
    let plan = page_loop(Duration::from_secs(2));
    let asking = asking(&plan);
    assert!(
        matches!(&asking.action, Some(Action::List { step, attempt: 1, .. }) if step.as_str() == "contacts")
    );
    // Only what a later step reads is kept.
    assert_eq!(json!(asking.run.data), json!({"webhook": {"page": 1}}));
    assert!(asking.looped.placed);
}

#[test]
fn a_page_with_more_waits_and_the_timer_is_set() {
    let plan = page_loop(Duration::from_secs(2));
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let waits = moved(
        &plan,
        asking.run,
        asking.looped,
        Input::Listed {
            fence,
            answer: page(true),
        },
    )
    .unwrap();
    assert_eq!(waits.run.status(), RunStatus::Waiting);
    assert_eq!(waits.timer, TimerChange::Set(later(2)));
    assert_eq!(waits.action, None);
    assert_eq!(waits.looped.status, LoopStatus::Waiting);
    assert_eq!(waits.looped.records, 200);
    assert_eq!(
        messages(&waits),
        [
            "response.received contacts 200 · 200 records · 41 kB · 112 ms",
            "watermark.held contacts date 2027-01-15T08:00:00Z held for the loop",
            "decision.taken more_records true → pause",
            "delay.started pause 2 s, until 08:00:02.000",
        ]
    );
}

#[test]
fn a_delay_of_zero_is_folded_into_the_same_transition() {
    let plan = page_loop(Duration::ZERO);
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let next = moved(
        &plan,
        asking.run,
        asking.looped,
        Input::Listed {
            fence,
            answer: page(true),
        },
    )
    .unwrap();
    assert!(
        matches!(&next.action, Some(Action::Send { step, .. }) if step.as_str() == "next_page")
    );
    assert_eq!(next.timer, TimerChange::Keep);
}

#[test]
fn the_hand_off_ends_the_lap_and_the_loop_goes_on() {
    let plan = page_loop(Duration::ZERO);
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let next = moved(
        &plan,
        asking.run,
        asking.looped,
        Input::Listed {
            fence,
            answer: page(true),
        },
    )
    .unwrap();
    let delivery = Delivery {
        body: json!({"page": 2}),
        ..Delivery::default()
    };
    let lap = accept_next_lap(
        &plan,
        run_id(2),
        next.looped.clone(),
        delivery,
        Origin::of(&next.run),
        later(1),
    );
    assert_eq!(
        (lap.run.lap, lap.run.parent, lap.run.root, lap.run.hops),
        (2, Some(run_id(1)), run_id(1), 0)
    );
    let answer = SendAnswer {
        status: 202,
        handoff: Some((lap.run.id, lap.looped.id, 2, "page=2".into())),
        own: true,
        ..SendAnswer::default()
    };
    let fence = next.run.fence;
    let over = moved(&plan, next.run, lap.looped, Input::Sent { fence, answer }).unwrap();
    assert_eq!(over.run.status(), RunStatus::Succeeded);
    assert_eq!(over.looped.status, LoopStatus::Running);
    assert_eq!(over.looped.laps, 2);
    assert_eq!(messages(&over)[0], "handoff.sent next_page → lap 2  page=2");
    assert_eq!(over.lines[0].data.as_ref().unwrap()["records"], json!(200));
}

#[test]
fn a_loop_ends_no_earlier_than_the_lap_that_was_begun_and_over_first() {
    let plan = page_loop(Duration::ZERO);
    let stored = Stored::default();
    let asking = asking(&plan);
    let listed = |fence, more| Input::Listed {
        fence,
        answer: page(more),
    };
    let input = listed(asking.run.fence, true);
    let posting = moved(&plan, asking.run, asking.looped, input).unwrap();
    let body = json!({"page": 2});
    let delivery = Delivery {
        body: body.clone(),
        ..Delivery::default()
    };
    let origin = Origin::of(&posting.run);
    let lap = accept_next_lap(&plan, run_id(2), posting.looped, delivery, origin, later(1));
    let begin = Input::Begin { body, logs: vec![] };
    let second = moved_at(&plan, lap.run, lap.looped, begin, later(2), &stored).unwrap();
    let input = listed(second.run.fence, false);
    let second = moved_at(&plan, second.run, second.looped, input, later(3), &stored).unwrap();
    assert_eq!(second.looped.status, LoopStatus::Running);

    let fence = posting.run.fence;
    let answer = SendAnswer {
        status: 202,
        handoff: Some((second.run.id, second.looped.id, 2, "page=2".into())),
        own: true,
        ..SendAnswer::default()
    };
    let input = Input::Sent { fence, answer };
    let over = moved_at(&plan, posting.run, second.looped, input, later(1), &stored).unwrap();
    let last = over.lines.last().unwrap();
    assert_eq!((last.event, last.time), (Event::LoopSucceeded, later(3)));
    assert!(last.message.ends_with(", 3 s"), "{}", last.message);
}

#[test]
fn the_last_page_moves_the_watermark_to_the_first_answers_date_and_ends_the_loop() {
    let plan = page_loop(Duration::ZERO);
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let over = moved(
        &plan,
        asking.run,
        asking.looped,
        Input::Listed {
            fence,
            answer: page(false),
        },
    )
    .unwrap();
    assert_eq!(over.run.status(), RunStatus::Succeeded);
    assert_eq!(over.looped.status, LoopStatus::Succeeded);
    assert_eq!(over.watermarks, [("contacts".into(), crate::common::NOW)]);
    assert!(
        messages(&over)
            .last()
            .unwrap()
            .starts_with("loop.succeeded  loop succeeded: 1 lap, 200 records")
    );
}

#[test]
fn a_later_stored_watermark_stays() {
    let plan = page_loop(Duration::ZERO);
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let input = Input::Listed {
        fence,
        answer: page(false),
    };
    let stored = Stored(Some(later(60)));
    let over = moved_at(&plan, asking.run, asking.looped, input, later(1), &stored).unwrap();
    assert_eq!(over.watermarks, []);
    assert!(
        messages(&over)
            .iter()
            .any(|line| line.starts_with("watermark.kept remember kept at"))
    );
}

#[test]
fn a_transient_failure_is_tried_again_with_growing_gaps_and_then_fails_the_run() {
    let plan = page_loop(Duration::ZERO);
    let mut now = asking(&plan);
    for (attempt, gap) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16)] {
        let fence = now.run.fence;
        let waits = moved(
            &plan,
            now.run,
            now.looped,
            Input::Failed {
                fence,
                failure: transient(),
            },
        )
        .unwrap();
        assert_eq!(
            waits.timer,
            TimerChange::Set(later(gap)),
            "attempt {attempt}"
        );
        assert_eq!(
            waits.lines[0].message,
            format!("✗ 503 · retry {attempt} of 5 in {gap} s")
        );
        let fence = waits.run.fence;
        now = moved(&plan, waits.run, waits.looped, Input::Due { fence }).unwrap();
        assert!(matches!(now.action, Some(Action::List { .. })));
    }
    let fence = now.run.fence;
    let over = moved(
        &plan,
        now.run,
        now.looped,
        Input::Failed {
            fence,
            failure: transient(),
        },
    )
    .unwrap();
    assert_eq!(over.run.status(), RunStatus::Failed);
    assert_eq!(over.looped.status, LoopStatus::Failed);
    assert_eq!(over.run.error().unwrap().attempts, 6);
    // What was held is void, and what the failed step reads stays for a resume.
    assert!(over.looped.lists["contacts"].void);
    assert_eq!(json!(over.run.data), json!({"webhook": {"page": 1}}));
}

#[test]
fn retry_after_is_obeyed_where_it_asks_for_more() {
    let plan = page_loop(Duration::ZERO);
    let asking = asking(&plan);
    let failure = StepFailure {
        retry_after: Some(Duration::from_secs(30)),
        ..transient()
    };
    let fence = asking.run.fence;
    let waits = moved(
        &plan,
        asking.run,
        asking.looped,
        Input::Failed { fence, failure },
    )
    .unwrap();
    assert_eq!(waits.timer, TimerChange::Set(later(30)));
}

#[test]
fn a_permanent_failure_leaves_by_catch_with_the_error() {
    let mut plan = page_loop(Duration::ZERO);
    plan.steps[crate::common::CONTACTS.0 as usize].catch = Some(crate::common::REMEMBER);
    plan.steps[crate::common::CONTACTS.0 as usize]
        .live
        .names
        .insert("error".into());
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let failure = StepFailure::permanent(Code::new("request.status"), "the API answered 400");
    let over = moved(
        &plan,
        asking.run,
        asking.looped,
        Input::Failed { fence, failure },
    )
    .unwrap();
    assert_eq!(over.run.status(), RunStatus::Succeeded);
    assert_eq!(over.watermarks, [], "a failed list's date is void");
}

#[test]
fn on_error_ignore_goes_on_with_null_fields_and_stop_cycle_says_so() {
    let mut plan = page_loop(Duration::ZERO);
    plan.steps[crate::common::CONTACTS.0 as usize].on_error = OnError::Ignore;
    let failure = || StepFailure::permanent(Code::new("request.status"), "the API answered 400");
    let now = asking(&plan);
    let fence = now.run.fence;
    let over = moved(
        &plan,
        now.run,
        now.looped,
        Input::Failed {
            fence,
            failure: failure(),
        },
    )
    .unwrap();
    assert!(
        messages(&over)
            .iter()
            .any(|line| line == "decision.taken more_records false → remember")
    );

    plan.steps[crate::common::CONTACTS.0 as usize].on_error = OnError::StopCycle;
    let now = asking(&plan);
    let fence = now.run.fence;
    let over = moved(
        &plan,
        now.run,
        now.looped,
        Input::Failed {
            fence,
            failure: failure(),
        },
    )
    .unwrap();
    assert!(over.stop_cycle);
    assert_eq!(over.run.status(), RunStatus::Failed);
}

#[test]
fn the_same_records_for_different_pages_fail_the_loop() {
    let plan = page_loop(Duration::ZERO);
    let mut now = asking(&plan);
    for lap in 1..=5 {
        let answer = ListAnswer {
            asked: json!({"page": lap}),
            ..page(true)
        };
        let fence = now.run.fence;
        let next = moved(
            &plan,
            now.run.clone(),
            now.looped,
            Input::Listed { fence, answer },
        )
        .unwrap();
        assert_eq!(next.run.status(), RunStatus::Running, "lap {lap}");
        now.looped = next.looped;
    }
    let answer = ListAnswer {
        asked: json!({"page": 6}),
        ..page(true)
    };
    let fence = now.run.fence;
    let over = moved(&plan, now.run, now.looped, Input::Listed { fence, answer }).unwrap();
    assert_eq!(over.run.error().unwrap().code.as_str(), "loop.same_page");
}

#[test]
fn max_laps_and_a_second_post_are_refused_by_name() {
    let mut plan = page_loop(Duration::ZERO);
    plan.limits.max_laps = Some(1);
    let now = asking(&plan);
    assert_eq!(
        may_begin_lap(&plan, &now.looped, &now.run)
            .unwrap_err()
            .code
            .as_str(),
        "loop.max_laps"
    );
    plan.limits.max_laps = None;
    assert!(may_begin_lap(&plan, &now.looped, &now.run).is_ok());
    let posted = velodrome_core::Run {
        handed_off: true,
        ..now.run
    };
    assert_eq!(
        may_begin_lap(&plan, &now.looped, &posted)
            .unwrap_err()
            .code
            .as_str(),
        "loop.forked"
    );
    plan.limits.fork = true;
    assert!(may_begin_lap(&plan, &now.looped, &posted).is_ok());
}

#[test]
fn an_old_report_changes_nothing() {
    let plan = page_loop(Duration::ZERO);
    let now = asking(&plan);
    let old = now.run.fence - 1;
    assert_eq!(
        moved(
            &plan,
            now.run.clone(),
            now.looped.clone(),
            Input::Listed {
                fence: old,
                answer: page(true)
            }
        ),
        None
    );
    assert_eq!(
        moved(
            &plan,
            now.run,
            now.looped,
            Input::Failed {
                fence: old,
                failure: transient()
            }
        ),
        None
    );
}

#[test]
fn recovery_sends_a_built_request_again_as_it_was_unless_forbidden() {
    let mut plan = page_loop(Duration::ZERO);
    let now = asking(&plan);
    let recovered = moved(&plan, now.run.clone(), now.looped.clone(), Input::Recover).unwrap();
    assert!(matches!(
        recovered.action,
        Some(Action::List { attempt: 1, .. })
    ));
    assert!(recovered.run.fence > now.run.fence);

    let fence = now.run.fence;
    let next = moved(
        &plan,
        now.run,
        now.looped,
        Input::Listed {
            fence,
            answer: page(true),
        },
    )
    .unwrap();
    let fence = next.run.fence;
    let built = Input::Built {
        fence,
        request: json!({"verb": "POST"}),
        logs: vec![],
    };
    let built = moved(&plan, next.run, next.looped, built).unwrap();
    let again = moved(
        &plan,
        built.run.clone(),
        built.looped.clone(),
        Input::Recover,
    )
    .unwrap();
    assert!(
        matches!(&again.action, Some(Action::Send { built: Some(request), .. }) if *request == json!({"verb": "POST"}))
    );
    plan.steps[crate::common::NEXT.0 as usize].if_unknown = velodrome_spec::plan::IfUnknown::Fail;
    let failed = moved(&plan, built.run, built.looped, Input::Recover).unwrap();
    assert_eq!(
        failed.run.error().unwrap().code.as_str(),
        "request.outcome_unknown"
    );
}

#[test]
fn stopping_a_waiting_run_clears_its_timer_and_ends_the_loop() {
    let plan = page_loop(Duration::from_secs(2));
    let now = asking(&plan);
    let fence = now.run.fence;
    let waits = moved(
        &plan,
        now.run,
        now.looped,
        Input::Listed {
            fence,
            answer: page(true),
        },
    )
    .unwrap();
    assert!(matches!(
        waits.run.state,
        State::Waiting {
            on: WaitingOn::Timer { .. },
            ..
        }
    ));
    let over = moved(&plan, waits.run, waits.looped, Input::Stop).unwrap();
    assert_eq!(over.timer, TimerChange::Clear);
    assert_eq!(over.looped.status, LoopStatus::Stopped);
    assert_eq!(moved(&plan, over.run, over.looped, Input::Stop), None);
}

#[test]
fn an_ignored_run_makes_a_loop_that_succeeded() {
    let plan = page_loop(Duration::ZERO);
    let Acceptance { run, looped, .. } = accepted(&plan);
    let over = moved(
        &plan,
        run,
        looped,
        Input::Ignore {
            logs: vec!["not today".into()],
        },
    )
    .unwrap();
    assert!(matches!(
        over.run.state,
        State::Finished {
            how: Finish::Ignored
        }
    ));
    assert_eq!(over.looped.status, LoopStatus::Succeeded);
    assert_eq!(messages(&over)[0], "script.logged webhook not today");
}

#[test]
fn a_list_that_moves_by_itself_moves_when_its_run_succeeds() {
    let mut plan = page_loop(Duration::ZERO);
    crate::common::advance_on_success(&mut plan);
    plan.steps[crate::common::MORE.0 as usize].otherwise = None;
    let asking = asking(&plan);
    let fence = asking.run.fence;
    let input = Input::Listed {
        fence,
        answer: page(false),
    };
    let over = moved(&plan, asking.run, asking.looped, input).unwrap();
    assert_eq!(over.watermarks, [("contacts".into(), crate::common::NOW)]);
}

#[test]
fn a_condition_decides_the_exit_of_a_list_and_the_loop_counts_what_was_sent() {
    for (passed, exit) in [(0, Exit::Else), (1, Exit::Then)] {
        let plan = page_loop(Duration::ZERO);
        let asking = asking(&plan);
        let answer = ListAnswer {
            scripted: Some(Box::new(Scripted {
                passed: Some(passed),
                warning: Some("it said 404".into()),
                ..Scripted::default()
            })),
            ..page(true)
        };
        let sent = answer.count;
        let fence = asking.run.fence;
        let input = Input::Listed { fence, answer };
        let moved = moved(&plan, asking.run, asking.looped, input).expect("it is no late report");
        assert_eq!(moved.exits.first().map(|(_, exit)| *exit), Some(exit));
        assert_eq!(moved.looped.records, sent);
        let told = messages(&moved);
        assert!(
            told.contains(&"request.failed contacts it said 404".to_owned()),
            "{told:?}"
        );
        assert!(
            told.iter()
                .any(|line| line.contains(&format!(", {passed} passed"))),
            "{told:?}"
        );
    }
}
