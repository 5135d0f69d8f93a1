//! `test`: cycle tests, on the engine itself in virtual time.

mod bench;
mod show;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_cycle_test::FileReport;
use velodrome_spec::test_file::{TestFile, check_against, check_test_file, is_test_file};
use velodrome_spec::{Diagnostic, render};

use super::check::json_of;
use crate::args::{Global, Test};
use crate::config::{Settings, test_files};
use crate::exit::Ended;
use crate::out;
use crate::shelf::{Shelf, Source};
use crate::terminal::count;
use bench::Workshop;
use show::Shown;

/// What came of all files.
#[derive(Default)]
struct Tally {
    passed: u64,
    failed: u64,
    /// Files whose exits were not taken enough.
    uncovered: u64,
    invalid: u64,
    json: Vec<Value>,
}

pub(super) fn run(global: &Global, args: &Test) -> Result<()> {
    let settings = Settings::read(global)?;
    let sources: Vec<Source> = paths(&settings, args)?
        .into_iter()
        .map(Source::read)
        .collect::<Result<_>>()?;
    let shelf = Shelf::new(&settings, &sources)?;
    let workshop = Workshop::new(&settings, &shelf);
    let shown = Shown::new(global, args.log);
    let mut tally = Tally::default();
    for source in &sources {
        match checked(&shelf, &workshop, source) {
            Ok((bench, file)) => {
                let report = velodrome_cycle_test::run(&bench, &file)
                    .with_context(|| format!("starting an engine for `{}`", source.shown))?;
                tally.add(&report);
                if global.json {
                    tally.json.push(show::json(source, &bench.plan, &report));
                } else {
                    shown.file(source, &report)?;
                }
            }
            Err((at, faults)) => {
                tally.invalid += 1;
                if global.json {
                    let faults: Vec<Value> = faults
                        .iter()
                        .map(|fault| json_of(fault, &at.shown))
                        .collect();
                    tally
                        .json
                        .push(json!({ "file": source.shown, "faults": faults }));
                } else {
                    eprint!("{}", render(&faults, &at.shown, &at.text));
                }
            }
        }
    }
    tally.end(global)
}

/// The test files that were named, by themselves, by the cycle beside them or by a folder above them; those of the
/// cycles folder where nothing was.
fn paths(settings: &Settings, args: &Test) -> Result<Vec<PathBuf>> {
    let mut named = args.files.clone();
    if named.is_empty() {
        named.push(settings.cycles());
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in named {
        let found = if args.files.is_empty() || path.is_dir() {
            tests_below(&path)?
        } else {
            vec![tests_of(&path)]
        };
        for path in found {
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
    }
    Ok(paths)
}

fn tests_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let found = test_files(folder).map_err(|error| Ended::Invalid(format!("{error:#}")))?;
    if found.is_empty() {
        let message = format!(
            "there are no tests below `{}`: a test of `x.yaml` stands beside it as `x.test.yaml`",
            folder.display()
        );
        return Err(Ended::Usage(message).into());
    }
    Ok(found)
}

/// `x.test.yaml` for `x.yaml`.
fn tests_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    match name.strip_suffix(".yaml") {
        Some(stem) if !is_test_file(&name) => path.with_file_name(format!("{stem}.test.yaml")),
        _ => path.to_owned(),
    }
}

type Ready = (std::sync::Arc<velodrome_cycle_test::Bench>, TestFile);

/// A test file with its cycle on the bench; else the file that has faults, with them.
fn checked(
    shelf: &Shelf,
    workshop: &Workshop<'_>,
    source: &Source,
) -> Result<Ready, (Source, Vec<Diagnostic>)> {
    let (file, faults) = check_test_file(&source.text);
    let file = file.ok_or_else(|| (source.clone(), faults))?;
    let cycle = shelf
        .tested(source, &file)
        .map_err(|fault| (source.clone(), vec![fault]))?;
    let bench = workshop.bench(&cycle, &file)?;
    let faults = check_against(&file, &bench.plan, &bench.others);
    if faults.is_empty() {
        Ok((bench, file))
    } else {
        Err((source.clone(), faults))
    }
}

impl Tally {
    fn add(&mut self, report: &FileReport) {
        let passed = report.tests.iter().filter(|test| test.passed()).count() as u64;
        self.passed += passed;
        self.failed += report.tests.len() as u64 - passed;
        self.uncovered += u64::from(!report.failures.is_empty());
    }

    fn end(self, global: &Global) -> Result<()> {
        if global.json {
            out::json(&json!({
                "files": self.json, "passed": self.passed, "failed": self.failed,
                "invalid": self.invalid,
            }))?;
        } else {
            let mut told = format!("{} passed", count(self.passed, "test"));
            if self.failed > 0 {
                told.push_str(&format!(", {} failed", self.failed));
            }
            if self.uncovered > 0 {
                told.push_str(&format!(
                    ", {} with too few exits taken",
                    count(self.uncovered, "file")
                ));
            }
            out::line(&told)?;
        }
        if self.invalid > 0 {
            let files = count(self.invalid, "file");
            return Err(Ended::Invalid(format!("{files} could not be tested")).into());
        }
        if self.failed + self.uncovered > 0 {
            return Err(Ended::Failed.into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_stands_for_its_tests() {
        let check = |path: &str, expect: &str| {
            assert_eq!(tests_of(Path::new(path)), Path::new(expect));
        };
        check("cycles/x.yaml", "cycles/x.test.yaml");
        check("cycles/x.test.yaml", "cycles/x.test.yaml");
        check("x", "x");
    }
}
