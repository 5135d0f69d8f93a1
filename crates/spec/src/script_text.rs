//! A script wherever one may stand, of a step or of a connector: its text, what is in it, and faults that
//! point into the file that holds it.

use std::sync::Arc;

use crate::analyse::{ScriptAnalyser, ScriptFault};
use crate::diagnostic::Span;
use crate::format;
use crate::keys::{Faults, Keys, choice, text};
use crate::plan::{Language, StepScript};
use crate::yaml::{Entry, Node};

/// The file that scripts stand in.
#[derive(Clone, Copy)]
pub(crate) struct ScriptPlace<'a> {
    /// The file's path, for messages.
    pub(crate) path: &'a str,
    /// Reads scripts.
    pub(crate) analyser: &'a dyn ScriptAnalyser,
    /// Reads a script file.
    pub(crate) file: &'a dyn Fn(&str) -> std::io::Result<String>,
    /// The folder that script files must be below, such as `the cycles folder`.
    pub(crate) folder: &'a str,
    /// What a text is written in that does not say so.
    pub(crate) language: Language,
}

impl ScriptPlace<'_> {
    /// Reads `script:`. A script file's path and text are put into `files`.
    pub(crate) fn read(
        self,
        entry: &Entry,
        files: &mut Vec<(String, String)>,
        faults: &mut Faults,
    ) -> Option<StepScript> {
        let node = &entry.value;
        if node.scalar().is_some() {
            return self.code(node, self.language, faults);
        }
        let mut keys = Keys::in_table(node, &format::SCRIPT, "`script`", faults)?;
        let words = [
            ("rhai", Language::Rhai),
            ("javascript", Language::JavaScript),
        ];
        let language = match keys.get("language") {
            Some(node) => choice(node, "`language`", &words, faults),
            None => Some(self.language),
        };
        let code = keys.get("code");
        let file = keys.get("file");
        keys.finish("`script`", faults);
        let language = language?;
        match (code, file) {
            (Some(code), None) => self.code(code, language, faults),
            (None, Some(file)) => self.file(file, files, faults),
            _ => {
                let message = "`script` has either `code` or `file`";
                faults.error("field.missing", node.span, message);
                None
            }
        }
    }

    fn code(self, node: &Node, language: Language, faults: &mut Faults) -> Option<StepScript> {
        let code = text(node, "`script`", faults)?;
        let first = first_line(node, &code);
        match self.analyser.analyse(language, &code) {
            Ok(analysis) => Some(StepScript {
                language,
                code: Arc::from(code),
                path: self.path.to_owned(),
                line: first.line,
                indent: first.column - 1,
                analysis,
            }),
            Err(found) => {
                for fault in found {
                    let at = offset(&code, fault.line, fault.column);
                    let len = code[at..].chars().next().map_or(0, char::len_utf8);
                    told(fault, node.inside(at, len), faults);
                }
                None
            }
        }
    }

    fn file(
        self,
        node: &Node,
        files: &mut Vec<(String, String)>,
        faults: &mut Faults,
    ) -> Option<StepScript> {
        let path = text(node, "`file`", faults)?;
        if !crate::values::is_below(&path) {
            let message = format!("`{path}` is not below {}", self.folder);
            faults.error("script.file", node.span, message);
            return None;
        }
        let language = if path.ends_with(".js") {
            Language::JavaScript
        } else {
            Language::Rhai
        };
        let code = match (self.file)(&path) {
            Ok(code) => code,
            Err(error) => {
                let message = format!("`{path}` cannot be read: {error}");
                faults.error("script.file", node.span, message);
                return None;
            }
        };
        match self.analyser.analyse(language, &code) {
            Ok(analysis) => {
                if files.iter().all(|(known, _)| *known != path) {
                    files.push((path.clone(), code.clone()));
                }
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
                    told(fault, node.span, faults);
                }
                None
            }
        }
    }
}

/// Handlers that nothing calls where the script stands. `own` tells whether its text stands in the file
/// itself, so that the place can be shown.
pub(crate) fn uncalled(
    script: &StepScript,
    entry: &Entry,
    own: bool,
    (called, place): (&[&str], &str),
    faults: &mut Faults,
) {
    for handler in &script.analysis.handlers {
        if called.contains(&handler.as_str()) {
            continue;
        }
        let message = format!("nothing calls `{handler}` {place}");
        let at = script.code.find(handler.as_str());
        let span = match at {
            Some(at) if own => entry.value.inside(at, handler.len()),
            _ => entry.key_span,
        };
        let fault = faults.warning("script.never_runs", span, message);
        if called.is_empty() {
            fault.hint("it sends and takes no requests: put the handler into a step that does");
        } else {
            fault.hint(format!("its handlers are {}", crate::keys::list(called)));
        }
    }
}

pub(crate) fn told(fault: ScriptFault, span: Span, faults: &mut Faults) {
    faults.error(fault.code, span, fault.message).hint = fault.hint;
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
pub(crate) fn offset(text: &str, line: u32, column: u32) -> usize {
    let start: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1) as usize)
        .map(str::len)
        .sum();
    let shown = text[start..].lines().next().unwrap_or_default();
    let within = shown.char_indices().nth(column.saturating_sub(1) as usize);
    start + within.map_or(shown.len(), |(at, _)| at)
}
