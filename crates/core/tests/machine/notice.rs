//! What is told of failed runs, and of which none is.

use std::time::Duration;

use serde_json::json;
use velodrome_core::{
    FailureKind, Input, Notice, NoticeTo, Origin, StepFailure, Transition, accept_first_lap,
    notice_to,
};
use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, HookTarget, Reference, Root};
use velodrome_spec::plan::{LogPolicy, Payloads};
use velodrome_types::{Code, Json, LoopId, OnError, RetryPolicy, RetryTimes};

use crate::common::{CONTACTS, NOW, Nothing, asking, items, moved, page, page_loop, run_id};

fn told_at(url: &str) -> Plan {
    Plan {
        error_webhook: Some(Expr::Literal(Json::from(url))),
        ..page_loop(Duration::from_secs(2))
    }
}

fn fails(plan: &Plan, failure: StepFailure) -> Transition {
    let now = asking(plan);
    let fence = now.run.fence;
    moved(plan, now.run, now.looped, Input::Failed { fence, failure }).expect("a fixture")
}

fn refused() -> StepFailure {
    StepFailure {
        status: Some(404),
        body: Some(json!({"code": "NOT_FOUND", "email": "a@b.example"})),
        ..StepFailure::permanent(Code::new("request.status"), "`GET` was answered with 404")
    }
}

fn notice(transition: Transition) -> Notice {
    *transition.notice.expect("somebody is told")
}

#[test]
fn a_failed_run_is_told_in_cyclrs_shape() {
    let plan = told_at("https://example.com/failed");
    let failed = fails(&plan, refused());
    let (run, looped) = (failed.run.clone(), failed.looped.id);
    let notice = notice(failed);
    assert_eq!(
        notice.payload("http://here/runs/1"),
        json!({
            "Timestamp": NOW,
            "AccountId": "",
            "AccountExternalId": "",
            "AccountName": "",
            "CycleId": plan.cycle,
            "CycleName": plan.name,
            "StepId": "contacts",
            "StepName": plan.step(CONTACTS).name,
            "StepType": 1,
            "TransactionId": run.id,
            "Message": "Failed to call the method",
            "Detail": "`GET` was answered with 404\r\n{\"code\":\"NOT_FOUND\",\"email\":\"a@b.example\"}",
            "IncidentLevel": "Error",
            "RunUrl": "http://here/runs/1",
            "Code": "request.status",
            "LoopId": looped,
            "Lap": 1,
        })
    );
    assert_eq!(notice.key(), format!("{}/failed/{}", run.id, run.fence));
}

#[test]
fn a_run_that_fails_again_is_told_again_with_another_key() {
    let plan = told_at("https://example.com/failed");
    let first = fails(&plan, refused());
    let again = Input::Resume { placed: true };
    let now = moved(&plan, first.run.clone(), first.looped.clone(), again).expect("a fixture");
    assert_eq!(now.notice, None);
    let fence = now.run.fence;
    let failure = refused();
    let second = moved(&plan, now.run, now.looped, Input::Failed { fence, failure });
    let second = second.expect("a fixture");
    assert_ne!(notice(first).key(), notice(second.clone()).key());
    // What comes behind the failure tells nobody anything.
    let late = moved(&plan, second.run, second.looped, Input::GoOn).expect("a fixture");
    assert_eq!(late.notice, None);
}

#[test]
fn only_a_run_that_fails_is_told() {
    let plan = told_at("https://example.com/failed");
    let now = asking(&plan);
    let stopped = moved(&plan, now.run.clone(), now.looped.clone(), Input::Stop);
    assert_eq!(stopped.expect("a fixture").notice, None);
    let failure = StepFailure {
        kind: FailureKind::Transient,
        ..refused()
    };
    let waits = fails(&plan, failure);
    assert_eq!(waits.notice, None, "it is tried again");
    let fence = now.run.fence;
    let answer = page(true);
    let goes_on = moved(&plan, now.run, now.looped, Input::Listed { fence, answer });
    assert_eq!(goes_on.expect("a fixture").notice, None);
    let mut forgiving = plan;
    forgiving.steps[CONTACTS.0 as usize].on_error = OnError::Ignore;
    assert_eq!(fails(&forgiving, refused()).notice, None);
    let nobody = page_loop(Duration::from_secs(2));
    assert_eq!(fails(&nobody, refused()).notice, None);
}

/// Every way to the end that is no stop: the cycle's own word, its limits, the trigger, an item, a fault.
#[test]
fn every_way_to_fail_is_told() {
    let mut plan = told_at("https://example.com/failed");
    plan.steps[CONTACTS.0 as usize].on_error = OnError::StopCycle;
    assert!(fails(&plan, refused()).notice.is_some());

    let plan = told_at("https://example.com/failed");
    let accepted = crate::common::accepted(&plan);
    let (fence, failure) = (accepted.run.fence, refused());
    let input = Input::Failed { fence, failure };
    let trigger = moved(&plan, accepted.run, accepted.looped, input).expect("a fixture");
    let told = notice(trigger);
    assert_eq!(
        (told.message.as_str(), told.step_type),
        ("Webhook failed", 5)
    );

    let accepted = crate::common::accepted(&plan);
    let fault = moved(&plan, accepted.run, accepted.looped, Input::GoOn).expect("a fixture");
    assert_eq!(notice(fault).code.as_str(), "engine.fault");

    let mut now = asking(&plan);
    for _ in 0..6 {
        // The same page again and again.
        let list = now.looped.lists.entry("contacts".into()).or_default();
        (list.last, list.same) = (Some((json!({"page": 0}), 1)), 5);
    }
    let fence = now.run.fence;
    let answer = page(true);
    let limit = moved(&plan, now.run, now.looped, Input::Listed { fence, answer });
    assert_eq!(
        notice(limit.expect("a fixture")).code.as_str(),
        "loop.same_page"
    );

    let mut plan = items(&json!("no list"), 1, false);
    plan.error_webhook = told_at("https://example.com/failed").error_webhook;
    let accepted = crate::common::accepted(&plan);
    let begin = Input::Begin {
        body: json!({}),
        logs: vec![],
    };
    let no_list = moved(&plan, accepted.run, accepted.looped, begin).expect("a fixture");
    assert_eq!(notice(no_list).message, "Step data cannot be split");
}

#[test]
fn the_message_is_the_one_of_cyclrs_that_says_it_best() {
    let mut plan = told_at("https://example.com/failed");
    plan.steps[CONTACTS.0 as usize].retry = RetryPolicy {
        times: RetryTimes::Backoff(0),
        ..RetryPolicy::default()
    };
    for (code, message) in [
        ("request.status", "Failed to call the method"),
        ("request.network", "Failed to call the method"),
        ("request.missing_input", "Required source is empty"),
        ("request.bad_url", "Failed to build the request"),
        ("script.threw", "Failed to build the request"),
        (
            "auth.needs_connection",
            "Failed to authenticate the connector",
        ),
        ("response.not_json", "Response data not in expected format"),
        ("response.records", "Response data fields missing"),
        ("run.stop_step", "Transaction Stopped"),
        ("loop.max_laps", "Transaction Stopped"),
    ] {
        let failure = StepFailure::permanent(Code::new(code), "no");
        assert_eq!(notice(fails(&plan, failure)).message, message, "{code}");
    }
    plan.steps[CONTACTS.0 as usize].retry.times = RetryTimes::Backoff(1);
    let failure = StepFailure {
        kind: FailureKind::Transient,
        ..refused()
    };
    let waits = fails(&plan, failure.clone());
    let fence = waits.run.fence;
    let due = moved(&plan, waits.run, waits.looped, Input::Due { fence }).expect("a fixture");
    let fence = due.run.fence;
    let out = moved(&plan, due.run, due.looped, Input::Failed { fence, failure });
    assert_eq!(notice(out.expect("a fixture")).message, "Out of retries");
}

#[test]
fn what_the_log_may_not_show_is_not_told() {
    let mut plan = told_at("https://example.com/failed");
    plan.log = LogPolicy {
        payloads: Payloads::Preview,
        redact: vec!["email".into()],
    };
    let detail = |plan: &Plan, failure| notice(fails(plan, failure)).detail;
    assert!(detail(&plan, refused()).ends_with(r#""email":"[redacted]"}"#));
    plan.log.payloads = Payloads::None;
    assert_eq!(detail(&plan, refused()), "`GET` was answered with 404");
    plan.log.payloads = Payloads::Full;
    let long = StepFailure {
        body: Some(Json::from("é".repeat(5_000))),
        ..refused()
    };
    let told = detail(&plan, long);
    assert!(told.ends_with("é…") && told.chars().count() < 4_100);
}

fn hook(cycle: &str) -> Expr {
    let target = HookTarget {
        cycle: cycle.into(),
        step: None,
    };
    Expr::Ref(Reference {
        root: Root::Hook(target),
        path: vec![],
        default: None,
        source: format!("${{hook:{cycle}}}"),
    })
}

#[test]
fn no_failure_feeds_itself() {
    let to = |said: Expr, of_notice| {
        let plan = Plan {
            error_webhook: Some(said),
            ..page_loop(Duration::ZERO)
        };
        notice_to(&plan, of_notice, &Nothing)
    };
    let alerts = HookTarget {
        cycle: "alerts".into(),
        step: None,
    };
    assert_eq!(
        to(hook("alerts"), false),
        Some(NoticeTo::Hook(alerts.clone()))
    );
    let literal = |url: &str| Expr::Literal(Json::from(url));
    let by_url = to(literal("http://here/hooks/alerts"), false);
    assert_eq!(
        by_url,
        Some(NoticeTo::Hook(alerts)),
        "a URL of this server is a hook"
    );
    // Of itself no cycle is told, and to a webhook of this server nothing that a notice began.
    let own = page_loop(Duration::ZERO).cycle;
    assert_eq!(to(hook(own.as_str()), false), None);
    assert_eq!(to(hook("alerts"), true), None);
    let outside = "https://example.com/failed";
    let told = Some(NoticeTo::Url(outside.to_owned()));
    assert_eq!(to(literal(outside), true), told);
}

#[test]
fn what_a_notice_begins_goes_back_to_it() {
    let plan = told_at("https://example.com/failed");
    let told = notice(fails(&plan, refused()));
    let origin = told.origin();
    let ids = (run_id(7), LoopId::new(NOW, [8; 10]));
    let begun = accept_first_lap(&plan, ids, Default::default(), Some(origin), true, NOW);
    assert!(begun.run.of_notice);
    assert_eq!(begun.run.parent, Some(told.run));
    assert_eq!(begun.run.hops, 1);
    assert!(Origin::of(&begun.run).of_notice, "and so do its hand-offs");
}
