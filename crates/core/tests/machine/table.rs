//! Every state with every input: each pair is decided, none panics, and each transition is taken.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::branches::{begun, fork};
use crate::common::{accepted, asking, items, moved, page, page_by_engine, page_loop};
use crate::midway::{asks, call, waiting};
use serde_json::json;
use velodrome_core::{
    Acceptance, InlineValues, Input, ItemReport, Loop, Run, SendAnswer, Start, State, StepFailure,
};
use velodrome_spec::Plan;
use velodrome_types::{Code, RunStatus};

/// One run in each state, by name.
fn states() -> Vec<(&'static str, Plan, Run, Loop)> {
    let plan = page_loop(Duration::from_secs(2));
    let Acceptance { run, looped, .. } = accepted(&plan);
    let mut states = vec![("queued", run, looped)];
    let listing = asking(&plan);
    states.push(("listing", listing.run.clone(), listing.looped.clone()));
    let fence = listing.run.fence;
    let listed = Input::Listed {
        fence,
        answer: page(true),
    };
    let waits =
        moved(&plan, listing.run.clone(), listing.looped.clone(), listed).expect("a fixture");
    states.push(("delayed", waits.run.clone(), waits.looped.clone()));
    let fence = waits.run.fence;
    let sending = moved(&plan, waits.run, waits.looped, Input::Due { fence }).expect("a fixture");
    states.push(("sending", sending.run.clone(), sending.looped.clone()));
    let fence = sending.run.fence;
    let built = Input::Built {
        fence,
        request: json!({}),
        logs: vec![],
    };
    let built = moved(&plan, sending.run, sending.looped, built).expect("a fixture");
    states.push(("built", built.run, built.looped));
    let failure = StepFailure {
        kind: velodrome_core::FailureKind::Transient,
        ..StepFailure::permanent(Code::new("request.status"), "503")
    };
    let fence = listing.run.fence;
    let retry = moved(
        &plan,
        listing.run.clone(),
        listing.looped.clone(),
        Input::Failed { fence, failure },
    )
    .expect("a fixture");
    states.push(("retrying", retry.run, retry.looped));
    let fence = listing.run.fence;
    let failure = StepFailure::permanent(Code::new("request.status"), "400");
    let failed = moved(
        &plan,
        listing.run.clone(),
        listing.looped.clone(),
        Input::Failed { fence, failure },
    )
    .expect("a fixture");
    states.push(("failed", failed.run.clone(), failed.looped.clone()));
    let again = Input::Resume { placed: false };
    let again = moved(&plan, failed.run, failed.looped, again).expect("a fixture");
    states.push(("again", again.run, again.looped));
    let over = moved(&plan, listing.run, listing.looped, Input::Stop).expect("a fixture");
    states.push(("finished", over.run, over.looped));
    let mut states: Vec<_> = states
        .into_iter()
        .map(|(name, run, looped)| (name, plan.clone(), run, looped))
        .collect();
    let plan = items(&json!(["one"]), 1, false);
    let Acceptance { run, looped, .. } = accepted(&plan);
    let begin = Input::Begin {
        body: json!({}),
        logs: vec![],
    };
    let each = moved(&plan, run, looped, begin).expect("a fixture");
    states.push(("each", plan.clone(), each.run.clone(), each.looped.clone()));
    let failure = StepFailure {
        kind: velodrome_core::FailureKind::Transient,
        ..StepFailure::permanent(Code::new("request.status"), "503")
    };
    let again = Input::Item {
        fence: each.run.fence,
        index: 0,
        attempt: 1,
        report: ItemReport::Failed(failure),
    };
    let waits = moved(&plan, each.run, each.looped, again).expect("a fixture");
    states.push(("item waits", plan, waits.run, waits.looped));
    let mut plan = page_loop(Duration::from_secs(2));
    page_by_engine(&mut plan);
    let paging = asking(&plan);
    states.push((
        "paging",
        plan.clone(),
        paging.run.clone(),
        paging.looped.clone(),
    ));
    let failure = StepFailure {
        kind: velodrome_core::FailureKind::Transient,
        ..StepFailure::permanent(Code::new("request.status"), "503")
    };
    let fence = paging.run.fence;
    let failed = Input::Failed { fence, failure };
    let waits = moved(&plan, paging.run, paging.looped, failed).expect("a fixture");
    states.push(("page waits", plan, waits.run, waits.looped));
    let plan = asks(&[], false, Some(Duration::from_secs(60)));
    let asked = waiting(&plan);
    states.push(("asked", plan, asked.run, asked.looped));
    family(&mut states);
    states
}

/// Runs that began others, and those.
fn family(states: &mut Vec<(&'static str, Plan, Run, Loop)>) {
    let plan = fork();
    let begun = begun(&plan);
    let child = begun.others[0].run.clone();
    let sent = |run: &Run| Input::Sent {
        fence: run.fence,
        answer: SendAnswer::default(),
    };
    let looped = begun.last_loop().clone();
    let all = moved(&plan, begun.run.clone(), looped.clone(), sent(&begun.run));
    let all = all.expect("a fixture");
    states.push(("all", plan.clone(), all.run, all.looped));
    let unstepped = Run {
        state: State::Begun {
            start: Start::At(velodrome_types::StepId::from("b")),
        },
        ..child.clone()
    };
    states.push(("begun", plan.clone(), unstepped, looped.clone()));

    let mut plan = plan;
    plan.steps[1].then = None;
    plan.steps[2].then = None;
    let waits = moved(&plan, begun.run.clone(), looped, sent(&begun.run)).expect("a fixture");
    // Whatever is to come, its child has ended.
    let over = moved(&plan, child.clone(), waits.looped.clone(), sent(&child)).expect("a fixture");
    states.push(("children", plan.clone(), waits.run.clone(), over.looped));
    let failure = StepFailure::permanent(Code::new("script.threw"), "no");
    let failed = Input::Failed {
        fence: child.fence,
        failure,
    };
    let failed = moved(&plan, child, waits.looped, failed).expect("a fixture");
    let by_child = moved(&plan, waits.run, failed.looped, Input::ChildrenOver).expect("a fixture");
    states.push(("child failed", plan, by_child.run, by_child.looped));
}

fn inputs(fence: u64) -> Vec<(&'static str, Input)> {
    let failure = StepFailure::permanent(Code::new("request.status"), "400");
    vec![
        (
            "begin",
            Input::Begin {
                body: json!({"page": 1}),
                logs: vec![],
            },
        ),
        ("ignore", Input::Ignore { logs: vec![] }),
        (
            "built",
            Input::Built {
                fence,
                request: json!({}),
                logs: vec![],
            },
        ),
        (
            "listed",
            Input::Listed {
                fence,
                answer: page(false),
            },
        ),
        (
            "sent",
            Input::Sent {
                fence,
                answer: SendAnswer {
                    status: 200,
                    ..SendAnswer::default()
                },
            },
        ),
        ("failed", Input::Failed { fence, failure }),
        (
            "item",
            Input::Item {
                fence,
                index: 0,
                attempt: 1,
                report: ItemReport::Sent(SendAnswer::default()),
            },
        ),
        ("due", Input::Due { fence }),
        ("recover", Input::Recover),
        ("resume", Input::Resume { placed: true }),
        ("go on", Input::GoOn),
        ("stop", Input::Stop),
        ("branch", Input::Branch),
        ("children over", Input::ChildrenOver),
        ("child again", Input::ChildAgain),
        ("all here", Input::AllHere),
        ("all passed", Input::AllPassed),
        (
            "evaluated",
            Input::Evaluated {
                fence,
                values: InlineValues::new(),
                logs: vec![],
            },
        ),
        ("called", call(fence)),
        (
            "in vain",
            Input::CalledInVain {
                fence,
                logs: vec![],
            },
        ),
    ]
}

/// What each pair comes to: the status after it, `fault` for `engine.fault`, `-` for no change.
fn outcome(plan: &Plan, run: Run, looped: Loop, input: Input) -> String {
    let was_final = run.status().is_final();
    match moved(plan, run, looped, input) {
        None => "-".into(),
        Some(same) if was_final && same.run.status().is_final() => "-".into(),
        Some(transition) => match transition.run.error() {
            Some(error) if error.code.as_str() == "engine.fault" => "fault".into(),
            _ => transition.run.status().to_string(),
        },
    }
}

#[test]
fn every_pair_is_decided_as_the_table_says() {
    let columns = [
        "begin",
        "ignore",
        "built",
        "listed",
        "sent",
        "failed",
        "item",
        "due",
        "recover",
        "resume",
        "go on",
        "stop",
        "branch",
        "children over",
        "child again",
        "all here",
        "all passed",
        "evaluated",
        "called",
        "in vain",
    ];
    #[rustfmt::skip]
    let table = [
        ("queued", ["running", "ignored", "fault", "fault", "fault", "failed", "fault", "fault", "fault", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("listing", ["fault", "fault", "running", "succeeded", "succeeded", "failed", "fault", "fault", "running", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("delayed", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "running", "fault", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("sending", ["fault", "fault", "running", "running", "succeeded", "failed", "fault", "fault", "running", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("built", ["fault", "fault", "fault", "running", "succeeded", "failed", "fault", "fault", "running", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("retrying", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "running", "fault", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("each", ["fault", "fault", "fault", "fault", "fault", "fault", "waiting", "running", "running", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("item waits", ["fault", "fault", "fault", "fault", "fault", "fault", "waiting", "waiting", "waiting", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("paging", ["fault", "fault", "fault", "succeeded", "fault", "failed", "fault", "running", "running", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("page waits", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "waiting", "waiting", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("failed", ["-", "-", "-", "-", "-", "-", "-", "-", "-", "running", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
        ("again", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "running", "stopped", "fault", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("begun", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "running", "fault", "fault", "stopped", "running", "-", "-", "-", "-", "fault", "fault", "fault"]),
        ("children", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "stopped", "fault", "succeeded", "-", "-", "-", "fault", "fault", "fault"]),
        ("child failed", ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "waiting", "-", "-", "-", "-", "-"]),
        ("all", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "fault", "stopped", "fault", "-", "-", "running", "waiting", "fault", "fault", "fault"]),
        ("asked", ["fault", "fault", "fault", "fault", "fault", "fault", "fault", "waiting", "fault", "fault", "fault", "stopped", "fault", "-", "-", "-", "-", "fault", "waiting", "waiting"]),
        ("finished", ["-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-", "-"]),
    ];
    let states = states();
    let mut seen = BTreeSet::new();
    for (state, row) in table {
        let (_, plan, run, looped) = states
            .iter()
            .find(|(name, ..)| *name == state)
            .expect("a fixture");
        for (column, expected) in columns.iter().zip(row) {
            let input = inputs(run.fence)
                .into_iter()
                .find(|(name, _)| name == column)
                .expect("a fixture")
                .1;
            let got = outcome(plan, run.clone(), looped.clone(), input);
            assert_eq!(got, expected, "{state} with {column}");
            seen.insert(got);
        }
    }
    // Every status but `waiting` and `queued` is an outcome of the table; those two are its rows.
    for status in [
        RunStatus::Running,
        RunStatus::Succeeded,
        RunStatus::Failed,
        RunStatus::Stopped,
        RunStatus::Ignored,
    ] {
        assert!(seen.contains(status.as_str()), "no pair led to {status}");
    }
}
