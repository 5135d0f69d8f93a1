//! A step's script: where it stands, what is in it, and faults that point into the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Checker;
use super::form::Form;
use crate::analyse::ScriptFault;
use crate::diagnostic::{Diagnostic, Span};
use crate::format;
use crate::keys::{Faults, Keys, choice, list, text};
use crate::plan::{Language, Plan, StepScript};
use crate::yaml::{Entry, Node};

impl Checker<'_> {
    pub(super) fn script(&mut self, entry: &Entry, language: Language) -> Option<StepScript> {
        let node = &entry.value;
        if node.scalar().is_some() {
            return self.code(node, language);
        }
        let mut keys = Keys::in_table(node, &format::SCRIPT, "`script`", &mut self.faults)?;
        let words = [
            ("rhai", Language::Rhai),
            ("javascript", Language::JavaScript),
        ];
        let language = match keys.get("language") {
            Some(node) => choice(node, "`language`", &words, &mut self.faults),
            None => Some(language),
        };
        let code = keys.get("code");
        let file = keys.get("file");
        keys.finish("`script`", &mut self.faults);
        let language = language?;
        match (code, file) {
            (Some(code), None) => self.code(code, language),
            (None, Some(file)) => self.file(file),
            _ => {
                self.faults.error(
                    "field.missing",
                    node.span,
                    "`script` has either `code` or `file`",
                );
                None
            }
        }
    }

    fn code(&mut self, node: &Node, language: Language) -> Option<StepScript> {
        let code = text(node, "`script`", &mut self.faults)?;
        let first = first_line(node, &code);
        match self.input.analyser.analyse(language, &code) {
            Ok(analysis) => Some(StepScript {
                language,
                code: Arc::from(code),
                path: self.input.path.to_owned(),
                line: first.line,
                indent: first.column - 1,
                analysis,
            }),
            Err(found) => {
                for fault in found {
                    let at = offset(&code, fault.line, fault.column);
                    let len = code[at..].chars().next().map_or(0, char::len_utf8);
                    let span = node.inside(at, len);
                    self.script_fault(fault, span);
                }
                None
            }
        }
    }

    fn file(&mut self, node: &Node) -> Option<StepScript> {
        let path = text(node, "`file`", &mut self.faults)?;
        if !crate::values::is_below(&path) {
            let message = format!("`{path}` is not below the cycles folder");
            self.faults.error("script.file", node.span, message);
            return None;
        }
        let language = if path.ends_with(".js") {
            Language::JavaScript
        } else {
            Language::Rhai
        };
        let code = match (self.input.script_file)(&path) {
            Ok(code) => code,
            Err(error) => {
                self.faults.error(
                    "script.file",
                    node.span,
                    format!("`{path}` cannot be read: {error}"),
                );
                return None;
            }
        };
        match self.input.analyser.analyse(language, &code) {
            Ok(analysis) => {
                self.sources.scripts.push((path.clone(), code.clone()));
                Some(StepScript {
                    language,
                    code: Arc::from(code),
                    path,
                    line: 1,
                    indent: 0,
                    analysis,
                })
            }
            Err(found) => {
                for mut fault in found {
                    fault.message =
                        format!("{path}:{}:{}: {}", fault.line, fault.column, fault.message);
                    self.script_fault(fault, node.span);
                }
                None
            }
        }
    }

    /// Handlers that nothing calls at such a step.
    pub(super) fn handlers(&mut self, form: &Form, script: &StepScript, entry: &Entry) {
        if *form == Form::Unknown {
            return;
        }
        let called = form.handlers();
        for handler in &script.analysis.handlers {
            if called.contains(&handler.as_str()) {
                continue;
            }
            let message = format!("nothing calls `{handler}` at this step");
            let at = script.code.find(handler.as_str());
            let span = match at {
                Some(at) if script.path == self.input.path => entry.value.inside(at, handler.len()),
                _ => entry.key_span,
            };
            let fault = self.faults.warning("script.never_runs", span, message);
            if called.is_empty() {
                fault.hint("it sends and takes no requests: put the handler into a step that does");
            } else {
                fault.hint(format!("its handlers are {}", list(called)));
            }
        }
    }

    fn script_fault(&mut self, fault: ScriptFault, span: Span) {
        self.faults.error(fault.code, span, fault.message).hint = fault.hint;
    }
}

/// Where the first line of a script would begin if nothing stood before it: blank lines above the code
/// are part of it, and its least indented line gives the margin.
fn first_line(node: &Node, code: &str) -> Span {
    let start = code.len() - code.trim_start().len();
    let margin = code[..start].rsplit('\n').next().unwrap_or_default().len() as u32;
    let above = code[..start].matches('\n').count() as u32;
    let at = node.inside(start, 0);
    Span {
        line: at.line.saturating_sub(above),
        column: at.column.saturating_sub(margin).max(1),
        ..at
    }
}

/// The byte offset of a 1-based line and column of a text.
fn offset(text: &str, line: u32, column: u32) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1) as usize)
        .map(str::len)
        .sum();
    let shown = text[start..].lines().next().unwrap_or_default();
    let within = shown.char_indices().nth(column.saturating_sub(1) as usize);
    start + within.map_or(shown.len(), |(at, _)| at)
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
