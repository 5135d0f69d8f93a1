//! Tools that choose and wait, and steps that compute in this process.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use velodrome_core::{
    Action, Exit, Finish, Input, SendAnswer, State, StepFailure, TimerChange, Transition,
};
use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, Inline};
use velodrome_spec::plan::{
    Condition, DatePlan, Language, ScriptAnalysis, Step, StepIx, StepKind, StepScript, SwitchStep,
};
use velodrome_types::{Code, Event, RunStatus, Zone};

use crate::common::{NOW, accepted, messages, moved, page_loop, step};

/// webhook → the step, whose `then` is a step that waits a second.
fn of(kind: StepKind) -> Plan {
    let mut plan = page_loop(Duration::ZERO);
    let webhook = Step {
        then: Some(StepIx(1)),
        ..plan.steps[0].clone()
    };
    let tested = Step {
        then: Some(StepIx(2)),
        otherwise: Some(StepIx(3)),
        ..step("tested", kind)
    };
    let pause = step("pause", StepKind::Delay(Duration::from_secs(1)));
    let other = step("other", StepKind::Delay(Duration::from_secs(2)));
    plan.steps = vec![webhook, tested, pause, other];
    plan
}

fn begun(plan: &Plan) -> Transition {
    let accepted = accepted(plan);
    let begin = Input::Begin {
        body: json!({"page": 1}),
        logs: vec![],
    };
    moved(plan, accepted.run, accepted.looped, begin).expect("a fixture")
}

#[test]
fn a_switch_goes_by_the_text_of_its_value_without_regard_to_case() {
    let check = |value: Value, expect: (Exit, &str)| {
        let plan = of(StepKind::Switch(SwitchStep {
            value: Expr::Literal(value.clone()),
            cases: vec![
                ("open".to_owned(), StepIx(2)),
                ("7".to_owned(), StepIx(2)),
                ("true".to_owned(), StepIx(2)),
            ],
        }));
        let begun = begun(&plan);
        assert!(begun.exits.contains(&(StepIx(1), expect.0)), "{value}");
        let told = format!("decision.taken tested {}", expect.1);
        assert!(messages(&begun).contains(&told), "{value}: {begun:?}");
    };
    check(json!("OPEN"), (Exit::Case(0), "open → pause"));
    check(json!("open"), (Exit::Case(0), "open → pause"));
    check(json!(7), (Exit::Case(1), "7 → pause"));
    check(json!(true), (Exit::Case(2), "true → pause"));
    check(json!("opened"), (Exit::Else, "else → other"));
    check(Value::Null, (Exit::Else, "else → other"));
}

fn until(at: Value) -> Plan {
    of(StepKind::WaitUntil(DatePlan {
        at: Expr::Literal(at),
        zone: Zone::named("Europe/Berlin").expect("a fixture"),
    }))
}

#[test]
fn a_wait_ends_at_its_date_and_one_that_has_passed_is_none() {
    // NOW is 2027-01-15T08:00:00Z, nine in Berlin.
    let plan = until(json!("2027-01-15T09:00:30"));
    let waits = begun(&plan);
    let due = NOW.plus(Duration::from_secs(30));
    assert_eq!(waits.timer, TimerChange::Set(due));
    assert_eq!(waits.run.status(), RunStatus::Waiting);
    assert!(
        waits
            .lines
            .iter()
            .any(|line| line.event == Event::WaitStarted)
    );
    let fence = waits.run.fence;
    let after = moved(&plan, waits.run, waits.looped, Input::Due { fence }).expect("it is due");
    assert!(after.exits.contains(&(StepIx(1), Exit::Then)));
    assert!(
        after
            .lines
            .iter()
            .any(|line| line.event == Event::WaitEnded)
    );

    let passed = begun(&until(json!("2027-01-15T08:59:59")));
    assert!(passed.exits.contains(&(StepIx(1), Exit::Then)));
    assert!(matches!(&passed.run.state, State::Waiting { step, .. } if step.as_str() == "pause"));
}

#[test]
fn a_wait_for_what_is_no_date_fails_and_says_what_it_was() {
    for (at, said) in [
        (json!("soon"), "`soon`"),
        (json!(5), "`5`"),
        (Value::Null, "null"),
    ] {
        let failed = begun(&until(at));
        let error = failed.run.error().expect("it failed");
        assert_eq!(error.code.as_str(), "wait.no_date");
        assert!(error.message.contains(said), "{}", error.message);
    }
}

#[test]
fn a_script_step_computes_and_what_it_gives_is_its_data() {
    let mut plan = of(StepKind::Script { map: Vec::new() });
    plan.steps[1].live.names = ["total".to_owned(), "body".to_owned()].into();
    let computing = begun(&plan);
    assert!(
        matches!(&computing.action, Some(Action::Compute { step, attempt: 1, .. }) if step.as_str() == "tested")
    );
    let fence = computing.run.fence;
    let answer = SendAnswer {
        body: json!({"total": 3}),
        computed: Some((Event::ScriptLogged, "gave total=3".to_owned())),
        ..SendAnswer::default()
    };
    let sent = Input::Sent { fence, answer };
    let after = moved(&plan, computing.run, computing.looped, sent).expect("the fence is its own");
    assert!(messages(&after).contains(&"script.logged tested gave total=3".to_owned()));
    let data = json!(after.run.data);
    assert_eq!(data["tested"], json!({"body": {"total": 3}, "total": 3}));
}

#[test]
fn a_computing_step_that_was_interrupted_computes_again() {
    let plan = of(StepKind::Script { map: Vec::new() });
    let computing = begun(&plan);
    let again = moved(&plan, computing.run, computing.looped, Input::Recover).expect("it goes on");
    assert!(matches!(again.action, Some(Action::Compute { .. })));
}

#[test]
fn a_script_that_throws_fails_the_run_without_another_attempt() {
    let plan = of(StepKind::Script { map: Vec::new() });
    let computing = begun(&plan);
    let fence = computing.run.fence;
    let failure = StepFailure::permanent(Code::new("script.thrown"), "no");
    let failed = Input::Failed { fence, failure };
    let after =
        moved(&plan, computing.run, computing.looped, failed).expect("the fence is its own");
    assert!(matches!(
        after.run.state,
        State::Finished {
            how: Finish::Failed(_)
        }
    ));
}

/// An inline script over the webhook's page, as the checker makes one.
fn inline(id: u32) -> Expr {
    Expr::Script(Arc::new(Inline {
        id,
        script: StepScript {
            language: Language::Rhai,
            code: "fn run() { 1 }".into(),
            path: "x.yaml".to_owned(),
            line: 1,
            indent: 0,
            analysis: ScriptAnalysis::default(),
        },
        names: vec!["webhook".to_owned(), "run".to_owned()],
        reads: vec![(StepIx(0), "page".to_owned())],
    }))
}

#[test]
fn a_step_with_inline_scripts_waits_for_them_and_decides_by_what_they_give() {
    for (given, exit) in [
        (json!(true), Exit::Then),
        (json!(2), Exit::Then),
        (json!("no"), Exit::Then),
        (json!([]), Exit::Then),
        (json!(false), Exit::Else),
        (json!(0), Exit::Else),
        (json!(""), Exit::Else),
        (Value::Null, Exit::Else),
    ] {
        let plan = of(StepKind::Decision(Condition::Script(inline(7))));
        let asks = begun(&plan);
        let Some(Action::Evaluate { step, fence }) = &asks.action else {
            panic!("{asks:?}");
        };
        assert_eq!((step.as_str(), *fence), ("tested", asks.run.fence));
        let evaluated = Input::Evaluated {
            fence: *fence,
            values: [(7, given.clone())].into(),
            logs: vec!["said".to_owned()],
        };
        let on = moved(&plan, asks.run.clone(), asks.looped.clone(), evaluated);
        let on = on.expect("it is awaited");
        assert!(
            on.exits.contains(&(StepIx(1), exit)),
            "{given}: {:?}",
            on.exits
        );
        assert!(messages(&on).contains(&"script.logged tested said".to_owned()));

        // After a crash it asks again; a script that failed is the step's failure.
        let again = moved(&plan, asks.run.clone(), asks.looped.clone(), Input::Recover);
        let again = again.expect("it is taken up");
        assert!(
            matches!(again.action, Some(Action::Evaluate { .. })),
            "{again:?}"
        );
        let failed = Input::Failed {
            fence: *fence,
            failure: StepFailure::permanent(Code::new("script.failed"), "no"),
        };
        let failed = moved(&plan, asks.run, asks.looped, failed).expect("it is awaited");
        assert_eq!(failed.run.status(), RunStatus::Failed);
    }
}

#[test]
fn values_of_other_steps_that_decide_may_be_inline_scripts() {
    let check = |kind: StepKind, given: Value, expect: &str| {
        let plan = of(kind);
        let asks = begun(&plan);
        let evaluated = Input::Evaluated {
            fence: asks.run.fence,
            values: [(7, given)].into(),
            logs: vec![],
        };
        let on = moved(&plan, asks.run, asks.looped, evaluated).expect("it is awaited");
        assert!(
            messages(&on).iter().any(|told| told == expect),
            "{:?}",
            messages(&on)
        );
    };
    let switch = SwitchStep {
        value: inline(7),
        cases: vec![("open".to_owned(), StepIx(2))],
    };
    check(
        StepKind::Switch(switch),
        json!("Open"),
        "decision.taken tested open → pause",
    );
    let date = DatePlan {
        at: inline(7),
        zone: Zone::UTC,
    };
    check(
        StepKind::WaitUntil(date),
        json!("2001-01-01T00:00:00Z"),
        "wait.ended tested 2001-01-01T00:00:00.000Z has passed",
    );
    let stop = StepKind::Stop {
        message: Some(inline(7)),
        failed: false,
    };
    check(
        stop,
        json!("that was it"),
        "run.succeeded tested that was it",
    );
}
