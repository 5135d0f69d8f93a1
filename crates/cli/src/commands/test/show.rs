//! What `test` prints: a line a test, failures with their places, exits never taken.

use std::time::Duration;

use anyhow::Result;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use velodrome_cycle_test::{Coverage, FileReport, TestReport, exact};
use velodrome_spec::{Plan, render};
use velodrome_types::Level;

use super::super::check::json_of;
use crate::args::Global;
use crate::out;
use crate::shelf::Source;
use crate::terminal::{Colour, Layout, count, escape};

/// How results are shown to people.
pub(super) struct Shown {
    colour: Colour,
    log: bool,
}

impl Shown {
    pub(super) fn new(global: &Global, log: bool) -> Self {
        Self {
            colour: Colour::of_stdout(global.no_color),
            log,
        }
    }

    pub(super) fn file(&self, source: &Source, report: &FileReport) -> Result<()> {
        out::line(&source.shown)?;
        let names = report.tests.iter().map(|test| escape(&test.name.value));
        let width = names.map(|name| name.chars().count()).max().unwrap_or(0);
        for test in &report.tests {
            self.test(test, width)?;
        }
        out::line(&format!("  {}", exits(&report.coverage)))?;
        let failures: Vec<_> = report
            .tests
            .iter()
            .flat_map(|test| &test.failures)
            .chain(&report.failures)
            .cloned()
            .collect();
        out::line("")?;
        out::write(&escape_lines(&render(
            &failures,
            &source.shown,
            &source.text,
        )))
    }

    fn test(&self, test: &TestReport, width: usize) -> Result<()> {
        let verdict = if test.passed() {
            "ok    ".to_owned()
        } else {
            self.colour.red("failed")
        };
        let name = escape(&test.name.value);
        let laps = count(test.laps(), "lap");
        let line = format!(
            "  {verdict}  {name:<width$}  {laps:<7}  {}",
            exact(test.elapsed)
        );
        out::line(&line)?;
        if self.log {
            // Virtual time is no time of anybody's zone.
            let mut layout = Layout::new(self.colour, TimeZone::UTC);
            let told = || test.lines.iter().filter(|line| line.level >= Level::Info);
            told().for_each(|line| layout.widen(line));
            for line in told() {
                out::line(&format!("    {}", layout.show(line)))?;
            }
        }
        Ok(())
    }
}

/// `7 of 8 exits taken, 87%; never: …`.
fn exits(coverage: &Coverage) -> String {
    let told = format!(
        "{} of {} taken, {:.0}%",
        coverage.taken,
        count(coverage.all as u64, "exit"),
        coverage.percent().floor()
    );
    if coverage.never.is_empty() {
        return told;
    }
    let never: Vec<String> = coverage.never.iter().map(|never| never.shown()).collect();
    format!("{told}; never: {}", never.join(", "))
}

/// Rendered failures show values; none may control the terminal.
fn escape_lines(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.strip_suffix('\n') {
            Some(line) => format!("{}\n", escape(line)),
            None => escape(line),
        })
        .collect()
}

pub(super) fn json(source: &Source, plan: &Plan, report: &FileReport) -> Value {
    let tests: Vec<Value> = report
        .tests
        .iter()
        .map(|test| json_of_test(test, source))
        .collect();
    let coverage = &report.coverage;
    let never: Vec<Value> = coverage
        .never
        .iter()
        .map(|never| {
            json!({
                "step": never.step, "exit": never.exit, "to": never.to, "line": never.line,
            })
        })
        .collect();
    let failures: Vec<Value> = report
        .failures
        .iter()
        .map(|failure| json_of(failure, &source.shown))
        .collect();
    json!({
        "file": source.shown,
        "cycle": plan.cycle,
        "cycle_file": plan.sources.path,
        "ok": report.passed(),
        "tests": tests,
        "exits": { "taken": coverage.taken, "all": coverage.all, "never": never },
        "failures": failures,
    })
}

fn json_of_test(test: &TestReport, source: &Source) -> Value {
    let handoffs: Vec<Value> = test
        .handoffs
        .iter()
        .map(|posted| {
            json!({
                "cycle": posted.cycle, "step": posted.step, "lap": posted.lap, "to": posted.to,
                "body": posted.body,
            })
        })
        .collect();
    let failures: Vec<Value> = test
        .failures
        .iter()
        .map(|failure| json_of(failure, &source.shown))
        .collect();
    json!({
        "name": test.name.value,
        "line": test.name.span.line,
        "ok": test.passed(),
        "laps": test.laps(),
        "elapsed_ms": millis(test.elapsed),
        "loops": test.loops,
        "requests": test.requests,
        "handoffs": handoffs,
        "failures": failures,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
