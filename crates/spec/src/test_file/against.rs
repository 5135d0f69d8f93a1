//! A test file against the cycle that it tests: steps and connections that there are not.

use std::sync::Arc;

use velodrome_types::CycleId;

use super::{Answers, Canned, CycleTest, Shape, StepAnswers, TestFile, TestSettings};
use crate::diagnostic::{Diagnostic, Span};
use crate::keys::{Faults, closest};
use crate::plan::{Handoff, Plan, Step, StepKind};

/// Holds a test file against its cycle's plan. `others` are the cycles that it hands off to.
pub fn check_against(file: &TestFile, plan: &Plan, others: &[Arc<Plan>]) -> Vec<Diagnostic> {
    let mut known = Known {
        plan,
        others,
        faults: Faults::default(),
    };
    for settings in &file.settings {
        known.settings(settings);
    }
    for test in &file.tests {
        known.test(test);
    }
    let mut diagnostics = known.faults.0;
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    diagnostics
}

struct Known<'a> {
    plan: &'a Plan,
    others: &'a [Arc<Plan>],
    faults: Faults,
}

impl<'a> Known<'a> {
    fn test(&mut self, test: &CycleTest) {
        for (step, _) in &test.watermarks {
            self.list(step.value.as_str(), step.span);
        }
        for (step, _) in &test.expect.watermarks {
            self.list(step.value.as_str(), step.span);
        }
        for answers in &test.answers {
            self.answers(answers);
        }
        for step in test.deliveries.iter().filter_map(|sent| sent.step.as_ref()) {
            self.webhook(step.value.as_str(), step.span);
        }
        for (connection, span) in test
            .storage
            .iter()
            .map(|stored| (&stored.connection.value, stored.connection.span))
            .chain(
                test.expect
                    .storage
                    .iter()
                    .map(|stored| (&stored.connection.value, stored.connection.span)),
            )
        {
            self.connection(connection, span);
        }
        let requests = test.expect.requests.iter().flat_map(|list| &list.value);
        let error = test
            .expect
            .error
            .iter()
            .filter_map(|error| error.value.as_ref());
        for shape in requests.chain(&test.expect.log).chain(error) {
            self.named(shape);
        }
    }

    /// The plan of a cycle that a run here can come to.
    fn cycle(&mut self, id: Option<&CycleId>, span: Span) -> Option<&'a Plan> {
        let Some(id) = id else {
            return Some(self.plan);
        };
        let (plan, others) = (self.plan, self.others);
        let mut all = std::iter::once(plan).chain(others.iter().map(|plan| &**plan));
        let found = all.find(|plan| plan.cycle == *id);
        if found.is_none() {
            let message = format!("no run of `{}` comes to a cycle `{id}`", plan.cycle);
            let known: Vec<&str> = std::iter::once(plan.cycle.as_str())
                .chain(others.iter().map(|plan| plan.cycle.as_str()))
                .collect();
            let fault = self.faults.error("test.unknown_cycle", span, message);
            if let Some(meant) = closest(id.as_str(), known.into_iter()) {
                fault.hint(format!("did you mean `{meant}`?"));
            }
        }
        found
    }

    fn step(&mut self, plan: &'a Plan, id: &str, span: Span) -> Option<&'a Step> {
        let found = plan.find(id).map(|ix| plan.step(ix));
        if found.is_none() {
            let message = format!("cycle `{}` has no step `{id}`", plan.cycle);
            let known = plan.steps.iter().map(|step| step.id.as_str());
            let fault = self.faults.error("test.unknown_step", span, message);
            if let Some(meant) = closest(id, known) {
                fault.hint(format!("did you mean `{meant}`?"));
            }
        }
        found
    }

    fn answers(&mut self, answers: &StepAnswers) {
        let Some(plan) = self.cycle(answers.cycle.as_ref(), answers.span) else {
            return;
        };
        let Some(step) = self.step(plan, answers.step.as_str(), answers.span) else {
            return;
        };
        let hint = match &step.kind {
            StepKind::List(list) if list.method.def().response.records.is_some() => return,
            StepKind::List(_) => return self.no_records(answers),
            StepKind::Send(send) if send.target.is_none() => return self.no_records(answers),
            StepKind::Send(send) if send.handoff == Handoff::Http => {
                "the simulated server answers itself; `handoffs` expects what is posted"
            }
            StepKind::Send(_) => "a hand-off makes none; `handoffs` expects what is posted",
            _ => "only steps that ask an API are answered",
        };
        let message = format!("`{}` makes no request that could be answered", step.id);
        self.faults
            .error("test.no_request", answers.span, message)
            .hint(hint);
    }

    /// `records` has no place in an answer without a list.
    fn no_records(&mut self, answers: &StepAnswers) {
        let all = match &answers.answers {
            Answers::Always(answer) => std::slice::from_ref(answer),
            Answers::InOrder(answers) => answers,
        };
        for answer in all {
            let asks = matches!(
                &answer.outcome,
                Canned::Answer {
                    records: Some(_),
                    ..
                }
            );
            if asks {
                let message = format!("the method of `{}` brings no records", answers.step);
                self.faults
                    .error("test.no_records", answer.span, message)
                    .hint("write the `body` out");
            }
        }
    }

    fn list(&mut self, id: &str, span: Span) {
        let plan = self.plan;
        let Some(step) = self.step(plan, id, span) else {
            return;
        };
        if !matches!(step.kind, StepKind::List(_)) {
            let message = format!("`{id}` is no list step: it has no watermark");
            self.faults.error("test.unknown_step", span, message);
        }
    }

    fn webhook(&mut self, id: &str, span: Span) {
        let plan = self.plan;
        if self.step(plan, id, span).is_some() && plan.midway(id).is_none() {
            let message = format!("`{id}` is no webhook in the middle of the cycle");
            self.faults
                .error("test.unknown_step", span, message)
                .hint("without `step` it is sent to the trigger");
        }
    }

    /// The `cycle` and `step` that an expectation names.
    fn named(&mut self, shape: &Shape) {
        let text = |name: &str| {
            let field = shape.field(name)?;
            Some((field.text()?.to_owned(), field.span))
        };
        let cycle = text("cycle");
        let plan = match &cycle {
            Some((id, span)) => self.cycle(Some(&CycleId::from(id.as_str())), *span),
            None => Some(self.plan),
        };
        let (Some(plan), Some((step, span))) = (plan, text("step")) else {
            return;
        };
        // Without a cycle it may be any cycle's.
        let elsewhere =
            cycle.is_none() && self.others.iter().any(|other| other.find(&step).is_some());
        if !elsewhere {
            self.step(plan, &step, span);
        }
    }

    fn settings(&mut self, settings: &TestSettings) {
        let name = &settings.connection;
        self.connection(&name.value, name.span);
        let plans = std::iter::once(self.plan).chain(self.others.iter().map(|plan| &**plan));
        let mut methods = plans
            .flat_map(|plan| &plan.steps)
            .filter_map(|step| match &step.kind {
                StepKind::List(list) => Some(&list.method),
                StepKind::Send(send) => Some(&send.method),
                _ => None,
            });
        let used = methods.find(|method| method.connection.as_str() == name.value);
        let Some(def) = used.map(|method| &method.connector) else {
            return;
        };
        for (setting, _) in &settings.values {
            if def.settings.contains_key(&setting.value) {
                continue;
            }
            let message = format!(
                "connector `{}` has no setting `{}`",
                def.name, setting.value
            );
            let fault = self
                .faults
                .error("test.unknown_setting", setting.span, message);
            let known = def.settings.keys().map(String::as_str);
            if let Some(meant) = closest(&setting.value, known) {
                fault.hint(format!("did you mean `{meant}`?"));
            }
        }
    }

    fn connection(&mut self, name: &str, span: Span) {
        let all = || {
            std::iter::once(self.plan)
                .chain(self.others.iter().map(|plan| &**plan))
                .flat_map(|plan| &plan.steps)
                .map(|step| step.connection().to_string())
        };
        if all().any(|known| known == name) {
            return;
        }
        let known: Vec<String> = all().collect();
        let message = format!(
            "no step of cycle `{}` uses a connection `{name}`",
            self.plan.cycle
        );
        let fault = self.faults.error("test.unknown_connection", span, message);
        if let Some(meant) = closest(name, known.iter().map(String::as_str)) {
            fault.hint(format!("did you mean `{meant}`?"));
        }
    }
}
