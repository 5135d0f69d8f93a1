//! A step's script: where it stands, what is in it, and faults that point into the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Checker;
use crate::diagnostic::{Diagnostic, Span};
use crate::keys::{Faults, list};
use crate::plan::{Language, Plan, StepScript};
use crate::script_text::{ScriptPlace, uncalled};
use crate::yaml::Entry;

impl<'a> Checker<'a> {
    /// How scripts of this file are read, where they do not say their language.
    pub(super) fn script_place(&self, language: Language) -> ScriptPlace<'a> {
        ScriptPlace {
            path: self.input.path,
            analyser: self.input.analyser,
            file: self.input.script_file,
            folder: "the cycles folder",
            language,
        }
    }

    pub(super) fn script(&mut self, entry: &Entry, language: Language) -> Option<StepScript> {
        let place = self.script_place(language);
        place.read(entry, &mut self.sources.scripts, &mut self.faults)
    }

    /// Handlers that nothing calls at a step where these are called.
    pub(super) fn handlers(&mut self, called: &[&str], script: &StepScript, entry: &Entry) {
        let own = script.path == self.input.path;
        let called = (called, "at this step");
        uncalled(script, entry, own, called, &mut self.faults);
    }
}

/// Where a script first writes this key as a literal; the script's first line if it is not found.
fn literal(text: &str, script: &StepScript, key: &str) -> Span {
    let (line, column) = script
        .code
        .lines()
        .enumerate()
        .find_map(|(line, code)| {
            let at = code
                .find(&format!("\"{key}\""))
                .or_else(|| code.find(&format!("'{key}'")))?;
            Some((line, code[..at].chars().count()))
        })
        .unwrap_or_default();
    let (line, column) = (script.line as usize + line, script.indent as usize + column);
    let start: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let shown = text[start..].lines().next().unwrap_or_default();
    let offset = |column: usize| {
        let within = shown.char_indices().nth(column);
        start + within.map_or(shown.len(), |(at, _)| at)
    };
    Span {
        start: offset(column),
        end: offset(column + key.chars().count() + 2),
        line: line as u32,
        column: column as u32 + 1,
    }
}

/// `storage.shared_key`: a page under one literal key of a connection, while loops may run side by side.
pub(super) fn warn_shared_keys(plan: &Plan, text: &str, faults: &mut Faults) {
    if plan.concurrency == Some(1) {
        return;
    }
    let mut told = BTreeSet::new();
    for step in &plan.steps {
        let Some(script) = &step.script else { continue };
        for (family, key) in script
            .analysis
            .writes
            .iter()
            .filter(|(family, _)| family != "loop")
        {
            if !told.insert((family, key)) {
                continue;
            }
            let span = literal(text, script, key);
            let message = format!("every loop of this cycle writes `{key}` of `{family}` storage");
            faults
                .warning("storage.shared_key", span, message)
                .hint("use `loop_storage_*`, which each loop has for itself, or `concurrency: 1`");
        }
    }
}

/// `storage.shared_key` between cycles: two that write one literal key of one connection's storage.
/// Each is told at the place where it writes, by its place in `plans`.
pub fn shared_keys(plans: &[Arc<Plan>]) -> Vec<(usize, Diagnostic)> {
    let mut writers: BTreeMap<(String, String), Vec<(usize, Span)>> = BTreeMap::new();
    for (at, plan) in plans.iter().enumerate() {
        for step in &plan.steps {
            let Some(script) = &step.script else { continue };
            let shared = script.analysis.writes.iter();
            for (_, key) in shared.filter(|(family, _)| family == "cyclr") {
                let span = literal(&plan.sources.cycle, script, key);
                let places = writers
                    .entry((step.connection().to_string(), key.clone()))
                    .or_default();
                if places.iter().all(|(other, _)| *other != at) {
                    places.push((at, span));
                }
            }
        }
    }
    let mut told = Vec::new();
    for ((connection, key), places) in writers.into_iter().filter(|(_, places)| places.len() > 1) {
        for (at, span) in &places {
            let others: Vec<&str> = places
                .iter()
                .filter(|(other, _)| other != at)
                .map(|(other, _)| plans[*other].cycle.as_str())
                .collect();
            let mut faults = Faults::default();
            let message = format!(
                "`{key}` of `{connection}`'s storage is written by {} too",
                list(&others)
            );
            faults
                .warning("storage.shared_key", *span, message)
                .hint("use `loop_storage_*`, which each loop has for itself, or `cycle_storage_*`");
            told.extend(faults.0.into_iter().map(|fault| (*at, fault)));
        }
    }
    told
}
