//! Failed runs that are taken up again: on which plan they may, and where they go on.

use std::time::Duration;

use serde_json::json;
use velodrome_core::{Action, Input, NotResumable, Run, StepFailure, Transition, may_resume};
use velodrome_spec::Plan;
use velodrome_types::{Code, Event, LoopStatus, RunStatus, StepId};

use crate::common::{asking, moved, page, page_loop};

fn changed(plan: &Plan) -> Plan {
    Plan {
        hash: "another".into(),
        ..plan.clone()
    }
}

/// A run that failed at its list, or behind it at the hand-off.
fn failed_at(plan: &Plan, hand_off: bool) -> Transition {
    let mut now = asking(plan);
    if hand_off {
        let fence = now.run.fence;
        let answer = page(true);
        now = moved(plan, now.run, now.looped, Input::Listed { fence, answer }).expect("a fixture");
    }
    let fence = now.run.fence;
    let failure = StepFailure::permanent(Code::new("request.status"), "400");
    moved(plan, now.run, now.looped, Input::Failed { fence, failure }).expect("a fixture")
}

#[test]
fn a_run_goes_on_where_it_failed_and_its_loop_with_it() {
    let plan = page_loop(Duration::ZERO);
    for (hand_off, step) in [(false, "contacts"), (true, "next_page")] {
        let failed = failed_at(&plan, hand_off);
        assert_eq!(failed.looped.status, LoopStatus::Failed);
        assert_eq!(may_resume(&plan, &plan, &failed.run), Ok(()));
        let input = Input::Resume { placed: true };
        let now = moved(&plan, failed.run, failed.looped, input).expect("it goes on");
        assert_eq!(now.run.status(), RunStatus::Running);
        assert_eq!(now.run.step(), Some(&StepId::from(step)));
        assert_eq!(
            (now.looped.status, &now.looped.failed),
            (LoopStatus::Running, &None)
        );
        assert!(now.lines.iter().any(|line| line.event == Event::RunResumed));
        let attempt = match now.action {
            Some(Action::List { attempt, .. } | Action::Send { attempt, .. }) => attempt,
            other => panic!("{other:?}"),
        };
        assert_eq!(attempt, 1, "attempts begin anew");
    }
}

#[test]
fn without_a_place_it_waits_for_its_turn() {
    let plan = page_loop(Duration::ZERO);
    let failed = failed_at(&plan, false);
    let input = Input::Resume { placed: false };
    let now = moved(&plan, failed.run, failed.looped, input).expect("it waits");
    assert_eq!(now.run.status(), RunStatus::Queued);
    assert_eq!(
        (now.looped.status, now.looped.placed),
        (LoopStatus::Queued, false)
    );
    assert_eq!(now.action, None);
    let now = moved(&plan, now.run, now.looped, Input::GoOn).expect("it has its turn");
    assert_eq!(now.run.status(), RunStatus::Running);
    assert_eq!(
        (now.looped.status, now.looped.placed),
        (LoopStatus::Running, true)
    );
}

#[track_caller]
fn check(plan: &Plan, was: &Plan, run: &Run, expect: Result<(), NotResumable>) {
    assert_eq!(may_resume(plan, was, run), expect);
}

#[test]
fn another_plan_takes_it_over_only_where_all_it_reads_was_kept() {
    let was = page_loop(Duration::ZERO);
    let at_list = failed_at(&was, false).run;
    let at_post = failed_at(&was, true).run;
    let same = changed(&was);
    check(&same, &was, &at_list, Ok(()));
    check(&same, &was, &at_post, Ok(()));

    let mut gone = changed(&was);
    gone.steps[1].id = StepId::from("people");
    let step = StepId::from("contacts");
    check(&gone, &was, &at_list, Err(NotResumable::StepGone(step)));

    // The new version posts what the old one did not keep of the list.
    let mut more = changed(&was);
    let velodrome_spec::plan::StepKind::Send(send) = &mut more.steps[4].kind else {
        panic!("a fixture");
    };
    let field = velodrome_spec::expr::Expr::Ref(velodrome_spec::expr::Reference {
        root: velodrome_spec::expr::Root::Step(velodrome_spec::plan::StepIx(1)),
        path: vec![velodrome_spec::expr::Segment::Key("count".into())],
        default: None,
        source: "${contacts.count}".into(),
    });
    send.map.push(("count".into(), field));
    let missing = vec!["contacts.count".to_owned()];
    check(&more, &was, &at_post, Err(NotResumable::NotKept(missing)));
    check(&more, &was, &at_list, Ok(()));
}

#[test]
fn what_has_not_failed_or_never_began_cannot_go_on() {
    let plan = page_loop(Duration::ZERO);
    check(
        &plan,
        &plan,
        &asking(&plan).run,
        Err(NotResumable::NotFailed),
    );
    let accepted = crate::common::accepted(&plan);
    let failure = StepFailure::permanent(Code::new("webhook.script_failed"), "thrown");
    let fence = accepted.run.fence;
    let input = Input::Failed { fence, failure };
    let failed = moved(&plan, accepted.run, accepted.looped, input).expect("it fails");
    check(&plan, &plan, &failed.run, Err(NotResumable::AtTheTrigger));
}

#[test]
fn a_request_of_unknown_outcome_is_sent_as_it_was_built() {
    let plan = page_loop(Duration::ZERO);
    let now = asking(&plan);
    let fence = now.run.fence;
    let answer = page(true);
    let now =
        moved(&plan, now.run, now.looped, Input::Listed { fence, answer }).expect("a fixture");
    let built = Input::Built {
        fence: now.run.fence,
        request: json!({"verb": "POST"}),
        logs: vec![],
    };
    let now = moved(&plan, now.run, now.looped, built).expect("a fixture");
    for (kind, again) in [
        (velodrome_core::FailureKind::Unknown, true),
        (velodrome_core::FailureKind::Permanent, false),
    ] {
        let mut plan = plan.clone();
        plan.steps[4].if_unknown = velodrome_spec::plan::IfUnknown::Fail;
        let failure = StepFailure {
            kind,
            ..StepFailure::permanent(Code::new("request.outcome_unknown"), "?")
        };
        let fence = now.run.fence;
        let input = Input::Failed { fence, failure };
        let failed = moved(&plan, now.run.clone(), now.looped.clone(), input).expect("it fails");
        let input = Input::Resume { placed: true };
        let now = moved(&plan, failed.run, failed.looped, input).expect("it goes on");
        let Some(Action::Send { built, .. }) = now.action else {
            panic!("{:?}", now.action);
        };
        assert_eq!(built.is_some(), again, "{kind:?}");
    }
}
