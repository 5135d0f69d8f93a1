//! Forks, lists that are split, and the waits that join them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use velodrome_core::{
    Exit, Input, Loop, Run, SendAnswer, Start, State, StepFailure, Transition, WaitingOn,
    next_of_lap, over_for, with_descendants,
};
use velodrome_spec::Plan;
use velodrome_spec::plan::{Forks, Live, Step, StepIx, StepKind, WaitScope};
use velodrome_types::{Code, LoopStatus, RunId, RunStatus, StepId};

use crate::common::{accepted, messages, moved, page_loop, step};

fn script(id: &str) -> Step {
    step(id, StepKind::Script { map: Vec::new() })
}

/// webhook → a and b, which both lead to a `wait_all` and from there to the last step.
pub(crate) fn fork() -> Plan {
    let mut plan = page_loop(Duration::ZERO);
    let webhook = Step {
        then: Some(StepIx(1)),
        forks: Forks {
            then: vec![StepIx(2)],
            ..Forks::default()
        },
        ..plan.steps[0].clone()
    };
    let to_all = |id| Step {
        then: Some(StepIx(3)),
        ..script(id)
    };
    let all = Step {
        then: Some(StepIx(4)),
        ..step("all", StepKind::WaitAll(WaitScope::Lap))
    };
    plan.steps = vec![webhook, to_all("a"), to_all("b"), all, script("last")];
    plan
}

/// webhook → a script whose list is split → one step for each item, then a `wait_all` and the last step.
fn split() -> Plan {
    let mut plan = fork();
    plan.steps[0].forks = Forks::default();
    plan.steps[1] = Step {
        split: true,
        live: Live {
            names: ["body".to_owned(), "item".to_owned()].into(),
        },
        then: Some(StepIx(2)),
        ..script("a")
    };
    plan
}

pub(crate) fn begun(plan: &Plan) -> Transition {
    let accepted = accepted(plan);
    let begin = Input::Begin {
        body: json!({"page": 1}),
        logs: vec![],
    };
    moved(plan, accepted.run, accepted.looped, begin).expect("it begins")
}

/// The runs that a move began, as it leaves them.
fn children(transition: &Transition) -> Vec<Run> {
    let others = transition.others.iter();
    others
        .filter(|other| other.run.id != transition.run.id)
        .map(|other| other.run.clone())
        .collect()
}

fn sent(run: &Run, body: Value) -> Input {
    Input::Sent {
        fence: run.fence,
        answer: SendAnswer {
            body,
            ..SendAnswer::default()
        },
    }
}

fn failed(run: &Run) -> Input {
    Input::Failed {
        fence: run.fence,
        failure: StepFailure::permanent(Code::new("script.threw"), "no"),
    }
}

fn go(plan: &Plan, run: &Run, looped: &Loop, input: Input) -> Transition {
    moved(plan, run.clone(), looped.clone(), input).expect("it is awaited")
}

/// Where a run stands, in words.
fn at(run: &Run) -> String {
    let step = run.step().map(StepId::as_str).unwrap_or_default();
    format!("{} {step}", run.status()).trim().to_owned()
}

#[test]
fn a_fork_goes_on_in_the_run_and_begins_another_for_each_other_branch() {
    let plan = fork();
    let begun = begun(&plan);
    let [child] = &children(&begun)[..] else {
        panic!("one child: {begun:?}");
    };
    assert_eq!(
        (at(&begun.run), at(child)),
        ("running a".into(), "running b".into())
    );
    assert_eq!(child.begun_by(), Some(begun.run.id));
    assert_eq!(
        (child.loop_id, child.lap, child.root),
        (begun.run.loop_id, 1, begun.run.root)
    );
    let looped = begun.last_loop();
    assert_eq!(looped.kin[&begun.run.id].open, 1);
    assert!(
        !looped.open.contains_key(&child.id),
        "the loop counts children only"
    );
    assert_eq!(looped.status, LoopStatus::Running);
}

#[test]
fn of_those_that_come_to_a_wait_for_all_one_goes_on_once() {
    for first in ["parent", "child"] {
        let plan = fork();
        let begun = begun(&plan);
        let child = children(&begun).remove(0);
        let (one, other) = match first {
            "parent" => (begun.run.clone(), child),
            _ => (child, begun.run.clone()),
        };
        let waits = go(&plan, &one, begun.last_loop(), sent(&one, json!(1)));
        assert_eq!(at(&waits.run), "waiting all", "{first}");
        let none = next_of_lap(&plan, &waits.looped, [&waits.run, &other].into_iter());
        assert_eq!(none, None, "{first}: the other is on its way");

        let comes = go(&plan, &other, &waits.looped, sent(&other, json!(2)));
        let expect = if first == "parent" {
            "succeeded"
        } else {
            "waiting all"
        };
        assert_eq!(at(&comes.run), expect, "{first}");
        let runs = [&waits.run, &comes.run];
        let next = next_of_lap(&plan, &comes.looped, runs.into_iter());
        assert_eq!(next, Some(one.id), "{first}");
        let on = go(&plan, &waits.run, &comes.looped, Input::AllHere);
        assert_eq!(at(&on.run), "running last", "{first}");
        assert!(on.looped.gathered.is_empty(), "{first}");
    }
}

#[test]
fn a_run_that_is_alone_does_not_wait_for_all() {
    let mut plan = fork();
    plan.steps[0].forks = Forks::default();
    let begun = begun(&plan);
    let on = go(&plan, &begun.run, &begun.looped, sent(&begun.run, json!(1)));
    assert_eq!(at(&on.run), "running last");
}

#[test]
fn a_run_that_began_others_succeeds_when_they_have() {
    let mut plan = fork();
    for at in [1, 2] {
        plan.steps[at].then = None;
    }
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let waits = go(
        &plan,
        &begun.run,
        begun.last_loop(),
        sent(&begun.run, json!(1)),
    );
    assert_eq!(at(&waits.run), "waiting a");
    assert!(waits.run.waits_for_children() && waits.run.data.is_empty());
    assert_eq!(
        waits.looped.status,
        LoopStatus::Running,
        "its child is on its way"
    );

    let ended = go(&plan, &child, &waits.looped, sent(&child, json!(2)));
    assert_eq!(over_for(&ended.run, &ended.looped), Some(begun.run.id));
    assert!(
        !ended.looped.status.is_final(),
        "the one that waits has not ended"
    );
    let over = go(&plan, &waits.run, &ended.looped, Input::ChildrenOver);
    assert_eq!(at(&over.run), "succeeded");
    assert_eq!(over.looped.status, LoopStatus::Succeeded);
    assert!(over.looped.kin.is_empty());
}

#[test]
fn a_child_that_fails_fails_the_run_that_began_it_and_takes_it_along_when_it_goes_on() {
    let mut plan = fork();
    for at in [1, 2] {
        plan.steps[at].then = None;
    }
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let waits = go(
        &plan,
        &begun.run,
        begun.last_loop(),
        sent(&begun.run, json!(1)),
    );
    let ended = go(&plan, &child, &waits.looped, failed(&child));
    assert_eq!(at(&ended.run), "failed b");
    assert!(
        ended.notice.is_none()
            || ended
                .notice
                .as_ref()
                .is_some_and(|told| told.run == child.id)
    );
    let over = go(&plan, &waits.run, &ended.looped, Input::ChildrenOver);
    assert!(over.run.failed_by_child());
    assert!(over.notice.is_none(), "the failure has been told");
    assert_eq!(over.looped.status, LoopStatus::Failed);

    // It goes on: the run that began it waits again, and ends well with it.
    let again = go(
        &plan,
        &ended.run,
        &over.looped,
        Input::Resume { placed: true },
    );
    assert_eq!(at(&again.run), "running b");
    let parent = go(&plan, &over.run, &again.looped, Input::ChildAgain);
    assert!(parent.run.waits_for_children());
    assert_eq!(parent.looped.kin[&begun.run.id].failed, 0);
    let ended = go(
        &plan,
        &again.run,
        &parent.looped,
        sent(&again.run, json!(2)),
    );
    let over = go(&plan, &parent.run, &ended.looped, Input::ChildrenOver);
    assert_eq!(
        (at(&over.run), over.looped.status),
        ("succeeded".into(), LoopStatus::Succeeded)
    );
}

#[test]
fn a_failure_does_not_hold_those_that_wait_for_all_and_finds_that_one_has_gone_on() {
    let plan = fork();
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let waits = go(
        &plan,
        &begun.run,
        begun.last_loop(),
        sent(&begun.run, json!(1)),
    );
    let fails = go(&plan, &child, &waits.looped, failed(&child));
    let next = next_of_lap(&plan, &fails.looped, [&waits.run, &fails.run].into_iter());
    assert_eq!(next, Some(begun.run.id));
    let on = go(&plan, &waits.run, &fails.looped, Input::AllHere);
    let last = go(&plan, &on.run, &on.looped, sent(&on.run, json!(1)));
    assert!(last.run.failed_by_child(), "{:?}", last.run.state);

    let again = go(
        &plan,
        &fails.run,
        &last.looped,
        Input::Resume { placed: true },
    );
    let comes = go(&plan, &again.run, &again.looped, sent(&again.run, json!(2)));
    assert_eq!(
        at(&comes.run),
        "succeeded",
        "it does not go on a second time"
    );
}

#[test]
fn a_loop_still_fails_with_one_run_where_another_is_taken_up_again() {
    let plan = fork();
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let looped = begun.last_loop();
    let fails = go(&plan, &child, looped, failed(&child));
    let both = go(&plan, &begun.run, &fails.looped, failed(&begun.run));
    let first = |looped: &Loop| looped.failed.as_ref().map(|(run, _)| *run);
    assert_eq!(first(&both.looped), Some(child.id));
    let resume = Input::Resume { placed: true };
    let other = go(&plan, &both.run, &both.looped, resume.clone());
    assert_eq!(first(&other.looped), Some(child.id));
    let same = go(&plan, &fails.run, &both.looped, resume);
    assert_eq!(first(&same.looped), None);
}

#[test]
fn each_item_of_a_split_list_goes_on_by_itself() {
    let plan = split();
    let begun = begun(&plan);
    let items = json!([{"id": 1}, {"id": 2}, {"id": 3}]);
    let split = go(&plan, &begun.run, &begun.looped, sent(&begun.run, items));
    assert_eq!(at(&split.run), "waiting a");
    let children = children(&split);
    let ids: Vec<Value> = children
        .iter()
        .map(|child| {
            let item = child.branch.as_ref().and_then(|branch| branch.item.clone());
            let item = item.expect("it goes on with an item");
            json!([item.value["id"], item.index, item.count, at(child)])
        })
        .collect();
    assert_eq!(
        ids,
        [
            json!([1, 0, 3, "running b"]),
            json!([2, 1, 3, "running b"]),
            json!([3, 2, 3, "running b"])
        ]
    );
    assert!(
        children.iter().all(|child| child.data.is_empty()),
        "the list itself is not carried along"
    );
    let told = "run.waiting a split: 3 runs go on, one for each item".to_owned();
    assert!(messages(&split).contains(&told), "{:?}", messages(&split));
}

#[test]
fn a_list_that_is_empty_ends_the_run_and_what_is_no_list_fails_it() {
    let plan = split();
    for (given, expect) in [
        (json!([]), "succeeded"),
        (Value::Null, "succeeded"),
        (json!({"id": 1}), "failed a"),
        (json!("one"), "failed a"),
    ] {
        let begun = begun(&plan);
        let split = go(
            &plan,
            &begun.run,
            &begun.looped,
            sent(&begun.run, given.clone()),
        );
        assert_eq!(at(&split.run), expect, "{given}");
        if expect == "failed a" {
            let code = split
                .run
                .error()
                .map(|error| error.code.as_str().to_owned());
            assert_eq!(code.as_deref(), Some("split.no_list"));
        }
    }
}

#[test]
fn a_webhook_splits_a_body_that_is_a_list_and_no_other() {
    for (body, expect) in [
        (json!([{"id": 1}, {"id": 2}]), "waiting webhook"),
        (json!({"id": 1}), "running a"),
    ] {
        let mut plan = split();
        plan.steps[1].split = false;
        plan.steps[0].split = true;
        plan.steps[0].live.names.insert("body".to_owned());
        let accepted = accepted(&plan);
        let begin = Input::Begin {
            body: body.clone(),
            logs: vec![],
        };
        let begun = moved(&plan, accepted.run, accepted.looped, begin).expect("it begins");
        assert_eq!(at(&begun.run), expect, "{body}");
        let many = body.as_array().map_or(0, Vec::len);
        assert_eq!(children(&begun).len(), many, "{body}");
    }
}

#[test]
fn of_a_long_list_only_some_take_their_first_step_at_once() {
    let plan = split();
    let begun = begun(&plan);
    let items: Vec<Value> = (0..1_000).map(|at| json!({ "id": at })).collect();
    let split = go(
        &plan,
        &begun.run,
        &begun.looped,
        sent(&begun.run, json!(items)),
    );
    let children = children(&split);
    let waits = |child: &&Run| {
        matches!(
            child.state,
            State::Begun {
                start: Start::Behind(_)
            }
        )
    };
    assert_eq!(children.len(), 1_000);
    assert_eq!(children.iter().filter(waits).count(), 1_000 - 64);
    assert_eq!(split.last_loop().kin[&split.run.id].open, 1_000);
    let last = children.last().expect("there are some");
    let first_step = go(&plan, last, split.last_loop(), Input::Branch);
    assert_eq!(at(&first_step.run), "running b");
    // The row of the loop does not grow with its children.
    let row = serde_json::to_string(split.last_loop()).expect("it is JSON");
    assert!(row.len() < 1_000, "{}", row.len());
}

#[test]
fn children_that_end_at_once_are_part_of_the_same_move() {
    let mut plan = split();
    plan.steps[2] = Step {
        then: None,
        ..step("b", StepKind::Delay(Duration::ZERO))
    };
    let begun = begun(&plan);
    let split = go(
        &plan,
        &begun.run,
        &begun.looped,
        sent(&begun.run, json!([1, 2])),
    );
    let last = split.others.last().expect("it goes on with its children");
    assert_eq!(
        (last.run.id, at(&last.run)),
        (begun.run.id, "succeeded".into())
    );
    assert_eq!(split.last_loop().status, LoopStatus::Succeeded);
}

#[test]
fn a_lap_hands_off_once_whichever_of_its_runs_does() {
    let plan = fork();
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let mut looped = begun.last_loop().clone();
    assert_eq!(
        velodrome_core::may_begin_lap(&plan, &looped, &child),
        Ok(())
    );
    // The parent has begun lap 2.
    looped.laps = 2;
    let refused =
        velodrome_core::may_begin_lap(&plan, &looped, &child).map_err(|failure| failure.code);
    assert_eq!(refused, Err(Code::new("loop.forked")));
    let mut plan = plan;
    plan.limits.fork = true;
    assert_eq!(
        velodrome_core::may_begin_lap(&plan, &looped, &child),
        Ok(())
    );
}

#[test]
fn what_ends_with_a_run_is_it_and_whom_it_began_parents_first() {
    let plan = fork();
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let mut grandchild = child.clone();
    grandchild.id = RunId::from_bytes([9; 16]);
    grandchild.parent = Some(child.id);
    let runs = [grandchild.clone(), child.clone(), begun.run.clone()];
    let family = |of| with_descendants(of, runs.iter());
    assert_eq!(
        family(begun.run.id),
        [begun.run.id, child.id, grandchild.id]
    );
    assert_eq!(family(child.id), [child.id, grandchild.id]);
    assert_eq!(family(grandchild.id), [grandchild.id]);
    assert_eq!(family(RunId::from_bytes([8; 16])), []);
}

#[test]
fn a_branch_that_is_stopped_fails_whoever_waits_for_it_and_nobody_is_sent_to_it() {
    let plan = fork();
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let stopped = go(&plan, &child, begun.last_loop(), Input::Stop);
    assert_eq!(stopped.run.status(), RunStatus::Stopped);
    let kin = &stopped.looped.kin[&begun.run.id];
    assert_eq!((kin.open, kin.failed, kin.one_failed), (0, 1, None));
    assert!(!stopped.looped.status.is_final());
}

#[test]
fn a_stopped_lap_ends_all_its_runs_and_leaves_no_wait_behind() {
    let plan = fork();
    let begun = begun(&plan);
    let child = children(&begun).remove(0);
    let waits = go(
        &plan,
        &begun.run,
        begun.last_loop(),
        sent(&begun.run, json!(1)),
    );
    assert!(matches!(
        waits.run.state,
        State::Waiting {
            on: WaitingOn::All { .. },
            ..
        }
    ));
    let stopped = go(&plan, &waits.run, &waits.looped, Input::Stop);
    assert!(stopped.looped.gathered.is_empty());
    let stopped = go(&plan, &child, &stopped.looped, Input::Stop);
    assert_eq!(at(&stopped.run), "stopped");
    assert_eq!(stopped.looped.status, LoopStatus::Stopped);
    assert_eq!(stopped.run.status(), RunStatus::Stopped);
}

/// What a move takes from each place where runs stand and puts at another, its parts included.
fn standing(moved: &Transition, at: &mut BTreeMap<(String, bool), i64>) {
    let places = [(moved.was.clone(), -1), (moved.run.standing(), 1)];
    for (place, by) in places {
        if let Some(place) = place {
            *at.entry((place.step.to_string(), place.waits)).or_default() += by;
        }
    }
    for other in &moved.others {
        standing(other, at);
    }
}

fn exits(moved: &Transition) -> Vec<(StepIx, Exit)> {
    let others = moved.others.iter().flat_map(exits);
    moved.exits.iter().copied().chain(others).collect()
}

#[test]
fn what_moves_say_of_where_runs_stand_adds_up() {
    for plan in [fork(), split()] {
        let mut at = BTreeMap::new();
        let begun = begun(&plan);
        standing(&begun, &mut at);
        let items: Vec<Value> = (0..100).map(|at| json!({ "id": at })).collect();
        let next = go(
            &plan,
            &begun.run,
            begun.last_loop(),
            sent(&begun.run, json!(items)),
        );
        standing(&next, &mut at);
        let mut stand: BTreeMap<(String, bool), i64> = BTreeMap::new();
        // The last that is said of each run.
        let mut last: BTreeMap<RunId, Run> = BTreeMap::new();
        for moved in [&begun, &next] {
            last.insert(moved.run.id, moved.run.clone());
            last.extend(
                moved
                    .others
                    .iter()
                    .map(|other| (other.run.id, other.run.clone())),
            );
        }
        for place in last.values().filter_map(Run::standing) {
            *stand
                .entry((place.step.to_string(), place.waits))
                .or_default() += 1;
        }
        at.retain(|_, runs| *runs != 0);
        assert_eq!(at, stand);
        assert!(stand.values().sum::<i64>() >= 2, "{stand:?}");
    }
}

#[test]
fn each_item_of_a_split_list_leaves_by_the_exit_and_the_run_itself_does_not() {
    let plan = split();
    let begun = begun(&plan);
    assert_eq!(exits(&begun), [(StepIx(0), Exit::Then)]);
    let items = json!([{"id": 1}, {"id": 2}, {"id": 3}]);
    let split = go(&plan, &begun.run, &begun.looped, sent(&begun.run, items));
    let then = (StepIx(1), Exit::Then);
    assert_eq!(exits(&split), [(StepIx(1), Exit::Split), then, then, then]);
}
