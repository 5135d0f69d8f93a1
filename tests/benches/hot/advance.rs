//! One move of a run of the page loop: the list has answered, the decision is taken, the delay begins.

use std::sync::Arc;

use divan::Bencher;
use serde_json::json;
use velodrome_core::{
    Acceptance, Delivery, Facts, Ids, Input, ListAnswer, Statics, Transition, Watermarks,
    accept_first_lap, advance,
};
use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, HookTarget};
use velodrome_types::{CycleId, CycleState, LoopId, RunId, StepId, Timestamp};

use crate::shipped;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// Nothing beside the run is asked for.
#[derive(Debug)]
struct Nothing;

impl Statics for Nothing {
    fn resume_url(&self, _: &CycleId, _: &StepId, _: RunId) -> String {
        String::new()
    }

    fn hook_url(&self, target: &HookTarget) -> String {
        format!("http://127.0.0.1:7300/hooks/{}", target.cycle)
    }

    fn env(&self, _: &str) -> Option<String> {
        None
    }

    fn secret(&self, _: &str) -> Option<String> {
        None
    }

    fn hook_at(&self, _: &str) -> Option<HookTarget> {
        None
    }

    fn error_webhook(&self) -> Option<Arc<Expr>> {
        None
    }
}

impl Watermarks for Nothing {
    fn get(&self, _: &StepId) -> Result<Option<Timestamp>, String> {
        Ok(None)
    }
}

impl Ids for Nothing {
    fn run_id(&self, now: Timestamp) -> RunId {
        RunId::new(now, [3; 10])
    }
}

const FACTS: Facts<'static> = Facts {
    now: NOW,
    jitter: 0.0,
    cycle: CycleState::Running,
    watermarks: &Nothing,
    statics: &Nothing,
    ids: &Nothing,
};

fn accepted(plan: &Plan) -> Acceptance {
    let delivery = Delivery {
        body: json!({"page": 1}),
        ..Delivery::default()
    };
    let ids = (RunId::new(NOW, [1; 10]), LoopId::new(NOW, [2; 10]));
    accept_first_lap(plan, ids, delivery, None, true, NOW)
}

fn begun(plan: &Plan) -> Transition {
    let Acceptance { run, looped, .. } = accepted(plan);
    let begin = Input::Begin {
        body: json!({"page": 1}),
        logs: Vec::new(),
    };
    advance(plan, run, looped, begin, &FACTS).expect("it was accepted")
}

fn answer() -> ListAnswer {
    let fields = json!({"more_records": true});
    ListAnswer {
        status: 200,
        count: 200,
        bytes: 77_000,
        ms: 112,
        url: "https://www.zohoapis.com/crm/v8/Contacts".into(),
        asked: json!({"page": 1}),
        page_hash: 1,
        fields: fields.as_object().cloned().unwrap_or_default(),
        date: Some(NOW),
        ..ListAnswer::default()
    }
}

#[divan::bench]
fn advance_accepted(bencher: Bencher<'_, '_>) {
    let plan = shipped::plan();
    bencher.bench(|| begun(divan::black_box(&plan)));
}

#[divan::bench]
fn advance_list_answered(bencher: Bencher<'_, '_>) {
    let plan = shipped::plan();
    let asking = begun(&plan);
    bencher
        .with_inputs(|| {
            let listed = Input::Listed {
                fence: asking.run.fence,
                answer: answer(),
            };
            (asking.run.clone(), asking.looped.clone(), listed)
        })
        .bench_values(|(run, looped, listed)| {
            advance(&plan, run, looped, listed, &FACTS).expect("the answer was awaited")
        });
}
