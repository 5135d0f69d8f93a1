//! `check`: what a compiler would say of the cycle files, and of `velodrome.yaml` where it is named.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_spec::test_file::{check_against, check_test_file};
use velodrome_spec::{Diagnostic, Plan, Severity, Span, render, shared_keys};
use velodrome_types::{Code, CycleId};

use super::secret;
use crate::args::{Check, Global};
use crate::client::Client;
use crate::config::{Settings, cycle_files, test_files};
use crate::exit::Ended;
use crate::out;
use crate::shelf::{Shelf, Source};
use crate::terminal::count;

/// What was found so far.
#[derive(Default)]
struct Found {
    errors: u64,
    warnings: u64,
    json: Vec<Value>,
    owners: BTreeMap<CycleId, String>,
}

impl Found {
    fn tell(&mut self, global: &Global, source: &Source, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            match diagnostic.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
            }
        }
        if global.json {
            self.json.extend(
                diagnostics
                    .iter()
                    .map(|found| json_of(found, &source.shown)),
            );
        } else {
            eprint!("{}", render(diagnostics, &source.shown, &source.text));
        }
    }

    /// Two files cannot be one cycle; a running server keeps the first.
    fn own(&mut self, global: &Global, cycle: CycleId, source: &Source) {
        let Some(other) = self.owners.get(&cycle) else {
            self.owners.insert(cycle, source.shown.clone());
            return;
        };
        self.errors += 1;
        let message = format!("`{}` and `{other}` both declare `{cycle}`", source.shown);
        let hint = "rename one of them";
        if global.json {
            self.json.push(json!({
                "file": source.shown, "line": 1, "column": 1, "severity": "error",
                "code": "cycle.duplicate", "message": message, "hint": hint,
            }));
        } else {
            eprintln!("error[cycle.duplicate]: {message}\n  = help: {hint}\n");
        }
    }
}

/// The files that were named, and all below the folders that were; of the cycles folder where nothing was.
fn paths(settings: &Settings, args: &Check) -> Result<Vec<PathBuf>> {
    let mut named = args.files.clone();
    if named.is_empty() {
        named.push(settings.cycles());
    }
    let mut paths = Vec::new();
    for path in named {
        if args.files.is_empty() || path.is_dir() {
            paths.extend(cycle_files(&path)?);
            paths.extend(test_files(&path)?);
        } else {
            paths.push(path);
        }
    }
    Ok(paths)
}

pub(super) fn run(global: &Global, args: &Check) -> Result<()> {
    let settings = Settings::read(global)?;
    let paths = paths(&settings, args).map_err(|error| Ended::Invalid(format!("{error:#}")))?;
    let sources: Vec<Source> = paths.into_iter().map(Source::read).collect::<Result<_>>()?;
    let shelf = Shelf::new(&settings, &sources)?;
    let mut found = Found::default();
    let mut plans = Vec::new();
    let mut secrets = Vec::new();
    for source in &sources {
        if source.is_settings() {
            let (config, diagnostics) = shelf.check_settings(source);
            found.tell(global, source, &diagnostics);
            secrets.extend(config.map(|config| (source, config.secrets)));
        } else if source.is_test() {
            found.tell(global, source, &test_file(&shelf, source));
        } else {
            let checked = shelf.check(source);
            found.tell(global, source, &checked.diagnostics);
            if let Some(cycle) = checked.cycle {
                found.own(global, cycle, source);
            }
            plans.extend(checked.plan.map(|plan| (source, plan)));
            secrets.push((source, checked.secrets));
        }
    }
    let all: Vec<_> = plans.iter().map(|(_, plan)| Arc::clone(plan)).collect();
    for (at, fault) in shared_keys(&all) {
        found.tell(global, plans[at].0, &[fault]);
    }
    for (source, unset) in unset(global, secrets) {
        found.tell(global, source, &unset);
    }
    if global.json {
        out::json(&Value::Array(std::mem::take(&mut found.json)))?;
    }
    verdict(global, &found, &sources)
}

/// The secrets that files read and the server does not have; none where no server can be asked.
fn unset<'s>(
    global: &Global,
    read: Vec<(&'s Source, Vec<(String, Span)>)>,
) -> Vec<(&'s Source, Vec<Diagnostic>)> {
    if read.iter().all(|(_, secrets)| secrets.is_empty()) {
        return Vec::new();
    }
    let asked = super::wait(async {
        let client = Client::new(global)?;
        Ok(Client::glance(secret::names(&client)).await)
    });
    let Ok(Some(known)) = asked else {
        return Vec::new();
    };
    let is_set = |name: &str| known.iter().any(|item| item["name"] == name);
    let warn = |(name, span): (String, Span)| Diagnostic {
        severity: Severity::Warning,
        code: Code::new("secret.unset"),
        message: format!("the server has no secret `{name}`"),
        span,
        hint: Some(format!("run `velodrome secret set {name}`")),
    };
    let missing = |secrets: Vec<(String, Span)>| {
        let missing = secrets.into_iter().filter(|(name, _)| !is_set(name));
        missing.map(warn).collect()
    };
    read.into_iter()
        .map(|(source, secrets)| (source, missing(secrets)))
        .collect()
}

/// What is wrong with a test file; what is wrong with its cycle is told where that is checked.
fn test_file(shelf: &Shelf, source: &Source) -> Vec<Diagnostic> {
    let (file, mut diagnostics) = check_test_file(&source.text);
    let Some(file) = file else {
        return diagnostics;
    };
    match shelf.tested(source, &file) {
        Err(missing) => diagnostics.push(missing),
        Ok(cycle) => {
            if let Some(plan) = shelf.check(&cycle).plan {
                let others: Vec<Arc<Plan>> = shelf.reached(&plan);
                diagnostics.extend(check_against(&file, &plan, &others));
            }
        }
    }
    diagnostics
}

fn verdict(global: &Global, found: &Found, sources: &[Source]) -> Result<()> {
    let all = sources.len() as u64;
    if found.errors > 0 {
        let errors = count(found.errors, "error");
        return Err(Ended::Invalid(format!("{errors} in {}", count(all, "file"))).into());
    }
    if global.json {
        return Ok(());
    }
    let settings = sources.iter().any(Source::is_settings);
    let tests = sources.iter().filter(|source| source.is_test()).count() as u64;
    let what = match (settings, tests) {
        (true, _) => count(all, "file"),
        (false, 0) => count(all, "cycle"),
        (false, tests) if tests == all => count(tests, "test file"),
        (false, tests) => format!(
            "{} and {}",
            count(all - tests, "cycle"),
            count(tests, "test file")
        ),
    };
    match found.warnings {
        0 => out::line(&format!("{what} checked, all good")),
        warnings => out::line(&format!("{what} checked, {}", count(warnings, "warning"))),
    }
}

pub(super) fn json_of(diagnostic: &Diagnostic, file: &str) -> Value {
    json!({
        "file": file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    })
}
