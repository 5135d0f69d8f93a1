//! Diagnostics as text: code, place, the line with a caret, a hint.

use std::fmt::Write as _;

use crate::diagnostic::{Diagnostic, Severity};

/// Renders diagnostics of one file the way a compiler does.
///
/// ```text
/// error[graph.unknown_step]: there is no step `nxt`
///   --> cycles/pages.yaml:5:11
///    |
///  5 |     then: nxt
///    |           ^^^
///    = help: did you mean `next`?
/// ```
pub fn render(diagnostics: &[Diagnostic], path: &str, text: &str) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        one(&mut out, diagnostic, path, text);
    }
    out
}

fn one(out: &mut String, diagnostic: &Diagnostic, path: &str, text: &str) {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let span = diagnostic.span;
    let line = text
        .lines()
        .nth(span.line.saturating_sub(1) as usize)
        .unwrap_or_default();
    // A tab is shown as one blank, so that the caret stands where the fault does.
    let shown: String = line
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let number = span.line.to_string();
    let gutter = " ".repeat(number.len());
    let before = span.column.saturating_sub(1) as usize;
    let rest = shown.chars().count().saturating_sub(before);
    let marked = text.get(span.start..span.end).map_or(1, |part| {
        part.lines().next().unwrap_or_default().chars().count()
    });
    let carets = "^".repeat(marked.clamp(1, rest.max(1)));
    let _ = writeln!(
        out,
        "{severity}[{}]: {}",
        diagnostic.code, diagnostic.message
    );
    let _ = writeln!(out, "{gutter}--> {path}:{}:{}", span.line, span.column);
    let _ = writeln!(out, "{gutter} |");
    let _ = writeln!(out, "{number} | {shown}");
    let _ = writeln!(out, "{gutter} | {}{carets}", " ".repeat(before));
    if let Some(hint) = &diagnostic.hint {
        let _ = writeln!(out, "{gutter} = help: {hint}");
    }
    out.push('\n');
}
