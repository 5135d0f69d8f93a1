//! A step's script: where it stands, what is in it, and faults that point into the file.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Checker;
use crate::analyse::ScriptFault;
use crate::diagnostic::Span;
use crate::keys::{Faults, Keys, choice, text};
use crate::plan::{Language, Plan, StepScript};
use crate::yaml::{Entry, Node, Style};

impl Checker<'_> {
    pub(super) fn script(&mut self, entry: &Entry) -> Option<StepScript> {
        let node = &entry.value;
        if node.scalar().is_some() {
            return self.code(node, Language::Rhai);
        }
        let mut keys = Keys::of(node, "`script`", &mut self.faults)?;
        let words = [
            ("rhai", Language::Rhai),
            ("javascript", Language::JavaScript),
        ];
        let language = keys
            .get("language")
            .and_then(|node| choice(node, "`language`", &words, &mut self.faults))
            .unwrap_or(Language::Rhai);
        let code = keys.get("code");
        let file = keys.get("file");
        keys.finish("`script`", &mut self.faults);
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
        let block = node
            .scalar()
            .is_some_and(|scalar| scalar.style == Style::Block);
        // A block's text begins on the line below its `|`; how far it is indented, its first line tells.
        let (line, indent) = if block {
            block_place(self.input.text, node.span)
        } else {
            (node.span.line, node.span.column - 1)
        };
        match self.input.analyser.analyse(language, &code) {
            Ok(analysis) => Some(StepScript {
                language,
                code: Arc::from(code),
                path: self.input.path.to_owned(),
                line,
                indent,
                analysis,
            }),
            Err(found) => {
                for fault in found {
                    let span = place(
                        self.input.text,
                        line + fault.line.saturating_sub(1),
                        indent + fault.column,
                    );
                    self.script_fault(fault, span);
                }
                None
            }
        }
    }

    fn file(&mut self, node: &Node) -> Option<StepScript> {
        let path = text(node, "`file`", &mut self.faults)?;
        if path.starts_with('/') || path.split('/').any(|part| part == "..") {
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

    fn script_fault(&mut self, fault: ScriptFault, span: Span) {
        self.faults.error(fault.code, span, fault.message).hint = fault.hint;
    }
}

fn block_place(text: &str, span: Span) -> (u32, u32) {
    let mut line = span.line;
    // The span may begin at the `|` or at the first line of the text.
    let here = text.lines().nth(line as usize - 1).unwrap_or_default();
    let header = here.get(..).is_some_and(|here| {
        let end = here.split('#').next().unwrap_or_default().trim_end();
        end.ends_with(['|', '>'])
            || end.ends_with("|-")
            || end.ends_with(">-")
            || end.ends_with("|+")
    });
    if header {
        line += 1;
    }
    let mut first = text.lines().skip(line as usize - 1);
    let indent = first
        .find(|line| !line.trim().is_empty())
        .map_or(0, |line| line.len() - line.trim_start().len());
    (line, indent as u32)
}

/// The place of a line and a column in a text.
fn place(text: &str, line: u32, column: u32) -> Span {
    let start: usize = text
        .split_inclusive('\n')
        .take(line as usize - 1)
        .map(str::len)
        .sum();
    let shown = text[start..].lines().next().unwrap_or_default();
    let column = column.max(1).min(shown.chars().count() as u32 + 1);
    let offset = shown
        .char_indices()
        .nth(column as usize - 1)
        .map_or(shown.len(), |(at, _)| at);
    let start = start + offset;
    Span {
        start,
        end: (start + 1).min(text.len()),
        line,
        column,
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
            let span = place(text, script.line, script.indent + 1);
            let message = format!("every loop of this cycle writes `{key}` of `{family}` storage");
            faults
                .warning("storage.shared_key", span, message)
                .hint("use `loop_storage_*`, which each loop has for itself, or `concurrency: 1`");
        }
    }
}
