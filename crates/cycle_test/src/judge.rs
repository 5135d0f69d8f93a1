//! What came of a test, held against what the file expects. Pure.
//!
//! What makes everything else meaningless is told alone: a request without an answer, a test that does
//! not end. A test that expects nothing of its loops expects them to succeed.

use velodrome_runtime::api::{LoopView, RunView};
use velodrome_spec::test_file::{CycleTest, ExpectedLoop, Placed, shown};
use velodrome_spec::{Diagnostic, Severity, Span};
use velodrome_store::Store;
use velodrome_types::{Code, Json, LoopStatus};

use crate::bench::Bench;
use crate::exact::exact;
use crate::outcome::{Outcome, answer_of};
use crate::world::{Unanswered, World};

mod kept;
mod lists;

/// What was not as expected, in order of the file.
pub(crate) fn judge(
    bench: &Bench,
    test: &CycleTest,
    outcome: &Outcome,
    store: &dyn Store,
    world: &World,
) -> Vec<Diagnostic> {
    let mut judge = Judge {
        bench,
        test,
        outcome,
        failures: Vec::new(),
    };
    if let Some(unanswered) = world.unanswered() {
        judge.no_answer(&unanswered);
        return judge.failures;
    }
    if judge.endless() {
        return judge.failures;
    }
    judge.answers();
    judge.loops();
    judge.error();
    judge.requests();
    judge.handoffs();
    judge.log();
    judge.storage(store);
    judge.watermarks(store);
    for (cycle, step, many, span) in world.left_over() {
        let of = if cycle == bench.plan.cycle {
            step.to_string()
        } else {
            format!("{cycle}.{step}")
        };
        let message = match many {
            1 => format!("an answer of `{of}` was never asked for"),
            many => format!("{many} answers of `{of}` were never asked for"),
        };
        judge.fail("test.unused_answer", span, message).hint =
            Some("remove it, or find out why the step did not ask".to_owned());
    }
    judge.failures.sort_by_key(|failure| failure.span.start);
    judge.failures
}

struct Judge<'a> {
    bench: &'a Bench,
    test: &'a CycleTest,
    outcome: &'a Outcome,
    failures: Vec<Diagnostic>,
}

impl Judge<'_> {
    fn fail(&mut self, code: &'static str, span: Span, message: String) -> &mut Diagnostic {
        self.failures.push(Diagnostic {
            severity: Severity::Error,
            code: Code::new(code),
            message,
            span,
            hint: None,
        });
        self.failures.last_mut().expect("just pushed")
    }

    /// An expectation that did not come true.
    fn missed(&mut self, span: Span, what: &str, expected: &str, got: &str) -> &mut Diagnostic {
        self.fail(
            "test.expected",
            span,
            format!("{what}: expected {expected}, got {got}"),
        )
    }

    fn no_answer(&mut self, unanswered: &Unanswered) {
        let Unanswered { asker, verb, url } = unanswered;
        let Some(asker) = asker else {
            let message = format!("a request that no step makes was not answered: {verb} {url}");
            self.fail("test.no_answer", self.test.name.span, message);
            return;
        };
        let own = asker.cycle == self.bench.plan.cycle;
        let name = if own {
            asker.step.to_string()
        } else {
            format!("{}.{}", asker.cycle, asker.step)
        };
        let said = self.test.answers.iter().find(|answers| {
            answers.step == asker.step
                && answers.cycle.as_ref().unwrap_or(&self.bench.plan.cycle) == &asker.cycle
        });
        let what = match said {
            Some(_) => "its answers are used up",
            None => "it has no answers",
        };
        let span = said.map_or(self.test.name.span, |answers| answers.span);
        let message = format!(
            "`{name}` asked {verb} {url} in lap {}, and {what}",
            asker.lap
        );
        self.fail("test.no_answer", span, message).hint = Some(match said {
            Some(_) => "add another, such as `- {status: 200, body: {}}`".to_owned(),
            None => format!("add `answers: {{{name}: [{{status: 200, body: {{}}}}]}}`"),
        });
    }

    /// Whether the test went past its limits, or stopped where nothing more happens.
    fn endless(&mut self) -> bool {
        let limits = self.test.limits;
        if self.outcome.too_many_laps {
            let message = format!("more than {} laps: does the loop end?", limits.laps);
            self.fail("test.endless", self.test.name.span, message).hint =
                Some("`limits: {laps: …}` allows more".to_owned());
            return true;
        }
        let open = |status: LoopStatus| !status.is_final();
        let expected = self
            .test
            .expect
            .loops
            .iter()
            .flat_map(|loops| &loops.value)
            .chain([&self.test.expect.first])
            .any(|looped| looped.status.is_some_and(|status| open(status.value)));
        if expected {
            return false;
        }
        let Some(run) = self.outcome.open.first() else {
            return false;
        };
        let at = run
            .step
            .as_ref()
            .map(|step| format!(" at `{step}`"))
            .unwrap_or_default();
        let (message, hint) = match run.due {
            Some(due) => (
                format!(
                    "lap {} of `{}` still waits{at}, until {due}: more than {} after the beginning",
                    run.lap,
                    run.cycle,
                    exact(limits.time)
                ),
                "`limits: {time: …}` allows more",
            ),
            None => (
                format!(
                    "lap {} of `{}` is {}{at}, and nothing more happens",
                    run.lap, run.cycle, run.status
                ),
                "`status: waiting` or another expects that",
            ),
        };
        self.fail("test.endless", self.test.name.span, message).hint = Some(hint.to_owned());
        true
    }

    fn answers(&mut self) {
        let got: Vec<Json> = self
            .outcome
            .answers
            .iter()
            .map(|answer| answer.as_ref().map_or(Json::Null, answer_of))
            .collect();
        if let Some(expected) = &self.test.expect.answers {
            let many = expected.value.len() > 1;
            for (at, (shape, got)) in expected.value.iter().zip(&got).enumerate() {
                let what = if many {
                    format!("answer {}", at + 1)
                } else {
                    "answer".to_owned()
                };
                self.fits(shape, got, &what);
            }
            return;
        }
        for (at, got) in got.iter().enumerate() {
            if got["status"].as_u64().is_some_and(|status| status < 400) {
                continue;
            }
            let which = match self.outcome.answers.len() {
                1 => String::new(),
                _ => format!(" request {} of `send`", at + 1),
            };
            let message = match got {
                Json::Null => format!("the webhook did not answer{which}: the test ended before"),
                got => format!(
                    "the webhook refused{which} with {}, {}: {}",
                    got["status"],
                    text(&got["code"]),
                    text(&got["body"]["detail"])
                ),
            };
            self.fail("test.refused", self.test.name.span, message).hint =
                Some("`expect: {answer: {status: …}}` expects that".to_owned());
        }
    }

    fn loops(&mut self) {
        let expect = &self.test.expect;
        let first = self.outcome.loops.first();
        self.one_loop(&expect.first, first, "");
        if let Some(expected) = &expect.loops {
            let got = &self.outcome.loops;
            if expected.value.len() != got.len() {
                let (wanted, got) = (expected.value.len().to_string(), got.len().to_string());
                self.missed(expected.span, "number of `loops`", &wanted, &got);
            }
            for (at, expected) in expected.value.iter().enumerate() {
                if let Some(got) = got.get(at) {
                    self.one_loop(expected, Some(got), &format!("loops[{at}]."));
                }
            }
            return;
        }
        let said = expect.first.status.is_some()
            || expect
                .error
                .as_ref()
                .is_some_and(|error| error.value.is_some());
        if said {
            return;
        }
        let ended_badly = self
            .outcome
            .loops
            .iter()
            .find(|looped| looped.status != LoopStatus::Succeeded);
        if let Some(looped) = ended_badly {
            let why = self.outcome.failed.as_ref().map(why).unwrap_or_default();
            let message = format!("the loop of `{}` {}{why}", looped.cycle, looped.status);
            self.fail("test.loop_failed", self.test.name.span, message)
                .hint = Some(format!(
                "`expect: {{status: {}}}` expects that",
                looped.status
            ));
        }
    }

    fn one_loop(&mut self, expected: &ExpectedLoop, got: Option<&LoopView>, path: &str) {
        let why = self.outcome.failed.as_ref().map(why);
        let mut held = |name: &str, place: Option<(Span, String)>, got: Option<String>| {
            let Some((span, expected)) = place else {
                return;
            };
            let got = got.unwrap_or_else(|| "no loop".to_owned());
            if expected != got {
                let what = format!("`{path}{name}`");
                let hint = why
                    .as_ref()
                    .filter(|_| name == "status")
                    .map(|why| format!("what happened{why}"));
                self.missed(span, &what, &expected, &got).hint = hint;
            }
        };
        fn said<T: Clone>(
            place: &Option<Placed<T>>,
            tell: impl Fn(T) -> String,
        ) -> Option<(Span, String)> {
            place
                .as_ref()
                .map(|place| (place.span, tell(place.value.clone())))
        }
        let quoted = |text: String| format!("`{text}`");
        held(
            "cycle",
            said(&expected.cycle, |cycle| quoted(cycle.to_string())),
            got.map(|got| quoted(got.cycle.to_string())),
        );
        held(
            "status",
            said(&expected.status, |status| quoted(status.to_string())),
            got.map(|got| quoted(got.status.to_string())),
        );
        held(
            "laps",
            said(&expected.laps, |laps| laps.to_string()),
            got.map(|got| got.laps.to_string()),
        );
        held(
            "records",
            said(&expected.records, |records| records.to_string()),
            got.map(|got| got.records.to_string()),
        );
        held(
            "elapsed",
            said(&expected.elapsed, exact),
            got.map(|got| exact(std::time::Duration::from_millis(got.elapsed_ms))),
        );
    }

    fn error(&mut self) {
        let Some(expected) = &self.test.expect.error else {
            return;
        };
        match (&expected.value, &self.outcome.failed) {
            (None, None) => {}
            (None, Some(run)) => {
                let got = format!("a failed run{}", why(run));
                self.missed(expected.span, "`error`", "none", &got);
            }
            (Some(_), None) => {
                self.missed(expected.span, "`error`", "a failed run", "none");
            }
            (Some(shape), Some(run)) => {
                let mut got = run.error.clone().unwrap_or(Json::Null);
                got["step"] = serde_json::json!(run.step);
                self.fits(shape, &got, "error");
            }
        }
    }
}

/// What a run failed with, to stand behind a word.
fn why(run: &RunView) -> String {
    let error = run.error.as_ref().unwrap_or(&Json::Null);
    let at = run
        .step
        .as_ref()
        .map(|step| format!(" at `{step}`"))
        .unwrap_or_default();
    format!(
        "{at}, lap {}: `{}`, {}",
        run.lap,
        text(&error["code"]),
        text(&error["message"])
    )
}

fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => shown(other),
    }
}
