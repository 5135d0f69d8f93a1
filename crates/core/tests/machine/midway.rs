//! A webhook in the middle of a cycle: a run waits, is answered once or often, or gives up.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use velodrome_core::{
    Awaited, Call, Delivery, Exit, Finish, Fit, Held, Input, State, TimerChange, Transition,
    may_resume, waits_at,
};
use velodrome_spec::Plan;
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::{Live, Step, StepIx, StepKind};
use velodrome_types::{RunStatus, StepId, Timestamp};

use crate::common::{NOW, accepted, messages, moved, page_loop, step};

const ASKED: StepIx = StepIx(1);

/// webhook → asked, which waits; `then` and `else` each wait a second.
pub(crate) fn asks(matches: &[(&str, Value)], repeat: bool, waits: Option<Duration>) -> Plan {
    let mut plan = page_loop(Duration::ZERO);
    let webhook = Step {
        then: Some(ASKED),
        ..plan.steps[0].clone()
    };
    let StepKind::Webhook(mut asked) = webhook.kind.clone() else {
        panic!("a fixture");
    };
    asked.matches = matches
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Expr::Literal(value.clone())))
        .collect();
    asked.repeat = repeat;
    asked.waits = waits;
    let asked = Step {
        then: Some(StepIx(2)),
        otherwise: Some(StepIx(3)),
        live: Live {
            names: ["answer".to_owned(), "http".to_owned()].into(),
        },
        ..step("asked", StepKind::Webhook(asked))
    };
    let pause = step("pause", StepKind::Delay(Duration::from_secs(1)));
    let other = step("other", StepKind::Delay(Duration::from_secs(1)));
    plan.steps = vec![webhook, asked, pause, other];
    plan
}

pub(crate) fn waiting(plan: &Plan) -> Transition {
    let accepted = accepted(plan);
    let begin = Input::Begin {
        body: json!({"page": 1}),
        logs: vec![],
    };
    moved(plan, accepted.run, accepted.looped, begin).expect("a fixture")
}

pub(crate) fn call(fence: u64) -> Input {
    let delivery = Delivery {
        body: json!({"answer": "yes"}),
        ..Delivery::default()
    };
    let body = json!({"answer": "yes!"});
    let call = Call {
        delivery,
        body,
        held: Some(Held { key: None }),
        logs: vec!["heard".into()],
    };
    let call = Box::new(call);
    Input::Called { fence, call }
}

fn fit(fields: &[(&str, &str)]) -> Fit {
    let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), (*text).to_owned());
    Fit(fields.iter().map(owned).collect())
}

#[test]
fn a_run_waits_and_says_what_a_request_must_say() {
    let matches = [
        ("flag", json!(true)),
        ("id", json!(7)),
        ("name", json!("A-7")),
    ];
    let plan = asks(&matches, false, Some(Duration::from_secs(60)));
    let waits = waiting(&plan);
    assert_eq!(waits.run.status(), RunStatus::Waiting);
    assert_eq!(waits_at(&waits.run), Some(&StepId::from("asked")));
    let due = NOW.plus(Duration::from_secs(60));
    assert_eq!(waits.timer, TimerChange::Set(due));
    assert_eq!(waits.run.due(), Some(due));
    let said = fit(&[("flag", "true"), ("id", "7"), ("name", "A-7")]);
    let begin = Awaited::Begin("asked".into(), said.clone());
    assert_eq!(waits.awaited, [begin]);
    let told = format!("wait.started asked for a request, until {due}");
    assert!(messages(&waits).contains(&told), "{:?}", messages(&waits));
    // A value and its text are one, and no more than that.
    let check = |body: Value, fits: bool| {
        let names = said.names().collect::<Vec<_>>().into_iter();
        let of = Fit::of_request(names, &body);
        assert_eq!(of.as_ref() == Some(&said), fits, "{body}");
    };
    check(
        json!({"id": "7", "name": "A-7", "flag": true, "more": 1}),
        true,
    );
    check(json!({"id": 7.0, "name": "A-7", "flag": "true"}), true);
    check(json!({"id": "07", "name": "A-7", "flag": true}), false);
    check(json!({"id": 7, "name": "a-7", "flag": true}), false);
    check(json!({"id": 7, "name": null, "flag": true}), false);
    check(json!({"id": 7, "flag": true}), false);
    check(json!([1]), false);
}

#[test]
fn what_it_matches_by_cannot_be_null_and_a_resume_goes_there_again() {
    let plan = asks(&[("id", Value::Null)], false, None);
    let failed = waiting(&plan);
    let State::Finished {
        how: Finish::Failed(failure),
    } = &failed.run.state
    else {
        panic!("{:?}", failed.run.state);
    };
    assert_eq!(failure.error.code.as_str(), "wait.no_key");
    assert!(failed.awaited.is_empty());
    may_resume(&plan, &plan, &failed.run).expect("it failed there, not at the trigger");
    let plan = asks(&[("id", json!(1))], false, None);
    let run = velodrome_core::Run {
        plan: plan.hash.clone(),
        ..failed.run
    };
    let again = Input::Resume { placed: true };
    let again = moved(&plan, run, failed.looped, again).expect("it goes on");
    assert_eq!(waits_at(&again.run), Some(&StepId::from("asked")));
}

#[test]
fn a_request_goes_on_with_the_run_once() {
    let plan = asks(&[], false, Some(Duration::from_secs(60)));
    let waits = waiting(&plan);
    assert_eq!(
        waits.awaited,
        [Awaited::Begin("asked".into(), Fit::default())]
    );
    let fence = waits.run.fence;
    let on = moved(&plan, waits.run, waits.looped, call(fence)).expect("it is awaited");
    assert_eq!(on.exits, [(ASKED, Exit::Then)]);
    assert_eq!(on.awaited, [Awaited::End("asked".into())]);
    let due = NOW.plus(Duration::from_secs(1));
    assert_eq!(on.timer, TimerChange::Set(due), "the pause's own");
    assert_eq!(on.run.data[&StepId::from("asked")]["answer"], "yes!");
    assert_eq!(on.run.held, Some(Held { key: None }));
    let told = messages(&on);
    let expect = [
        "script.logged asked heard",
        r#"webhook.accepted asked accepted  answer="yes""#,
        "wait.ended asked a request came",
    ];
    assert_eq!(told[..3], expect, "{told:?}");
    assert!(
        moved(&plan, on.run, on.looped, call(fence)).is_none(),
        "late"
    );
}

#[test]
fn a_request_that_a_handler_ignores_leaves_it_waiting() {
    let plan = asks(&[], false, Some(Duration::from_secs(60)));
    let waits = waiting(&plan);
    let fence = waits.run.fence;
    let logs = vec!["no".into()];
    let vain = Input::CalledInVain { fence, logs };
    let same = moved(&plan, waits.run.clone(), waits.looped, vain).expect("it is told");
    assert_eq!((&same.run.state, same.run.fence), (&waits.run.state, fence));
    assert_eq!((same.timer, same.awaited), (TimerChange::Keep, vec![]));
}

#[test]
fn nobody_calls_in_time_and_it_leaves_by_else() {
    let plan = asks(&[], false, Some(Duration::from_secs(60)));
    let waits = waiting(&plan);
    let fence = waits.run.fence;
    let late = moved(&plan, waits.run, waits.looped, Input::Due { fence }).expect("it is time");
    assert_eq!(late.exits, [(ASKED, Exit::Else)]);
    assert_eq!(late.awaited, [Awaited::End("asked".into())]);
    let told = "wait.ended asked no request came within 1 min";
    assert!(
        messages(&late).iter().any(|line| line == told),
        "{:?}",
        messages(&late)
    );
    let plan = asks(&[], false, None);
    let waits = waiting(&plan);
    assert_eq!((waits.timer, waits.run.due()), (TimerChange::Keep, None));
}

#[test]
fn a_stop_ends_the_wait() {
    let plan = asks(&[], false, None);
    let waits = waiting(&plan);
    let stopped = moved(&plan, waits.run, waits.looped, Input::Stop).expect("it ends");
    assert_eq!(stopped.awaited, [Awaited::End("asked".into())]);
    assert_eq!(stopped.run.status(), RunStatus::Stopped);
}

#[test]
fn each_request_of_one_that_repeats_is_a_child_run_and_the_run_goes_on_waiting() {
    let plan = asks(&[], true, Some(Duration::from_secs(60)));
    let waits = waiting(&plan);
    let (mut run, mut looped) = (waits.run, waits.looped);
    let (state, fence) = (run.state.clone(), run.fence);
    let mut children = BTreeSet::new();
    for _ in 0..2 {
        let on = moved(&plan, run, looped, call(fence)).expect("it is awaited");
        assert_eq!((&on.run.state, &on.awaited), (&state, &vec![]));
        let [child] = on.others.as_slice() else {
            panic!("one child: {:?}", on.others);
        };
        assert_eq!(child.run.parent, Some(on.run.id));
        assert_eq!(child.run.data[&StepId::from("asked")]["answer"], "yes!");
        assert_eq!(child.run.held, Some(Held { key: None }), "its caller's");
        assert_eq!(on.run.held, None);
        assert_eq!(child.exits, [(ASKED, Exit::Then)]);
        assert_eq!(child.run.step(), Some(&StepId::from("pause")));
        assert!(children.insert(child.run.id));
        looped = on.last_loop().clone();
        run = on.run;
    }
    let over = moved(&plan, run, looped, Input::Due { fence }).expect("it is time");
    assert_eq!(over.exits, [(ASKED, Exit::Else)]);
    let pause = over.run.due().expect("the other pause");
    assert!(pause > Timestamp::from_millis(0));
    let due = Input::Due {
        fence: over.run.fence,
    };
    let looped = over.last_loop().clone();
    let rests = moved(&plan, over.run, looped, due).expect("it is time");
    assert!(rests.run.waits_for_children(), "{:?}", rests.run.state);
}

#[test]
fn what_any_branch_behind_one_that_repeats_reads_is_there() {
    let mut plan = asks(&[], true, None);
    // `pause` reads nothing, the other branch reads the trigger's page.
    plan.steps[1].forks.then = vec![StepIx(3)];
    plan.steps[3].kind = StepKind::Stop {
        message: Some(crate::common::reference(StepIx(0), "page")),
        failed: false,
    };
    let waits = waiting(&plan);
    let fence = waits.run.fence;
    let on = moved(&plan, waits.run, waits.looped, call(fence)).expect("it is awaited");
    let page = |one: &Transition| one.run.data.get(&StepId::from("webhook")).cloned();
    let told: Vec<String> = on.others.iter().flat_map(messages_of).collect();
    assert!(
        told.iter().any(|line| line == "run.succeeded other 1"),
        "{told:?}"
    );
    assert!(
        on.others.iter().any(|one| page(one).is_some()),
        "{:?}",
        on.others
    );
}

/// What is told, with all that belongs to it.
fn messages_of(transition: &Transition) -> Vec<String> {
    let others = transition.others.iter().flat_map(messages_of);
    messages(transition).into_iter().chain(others).collect()
}
