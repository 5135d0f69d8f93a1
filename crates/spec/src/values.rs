//! Values of a file as expressions: references resolved, escapes undone.

use std::io;
use std::sync::Arc;

use velodrome_types::{CycleId, Json, StepId, is_secret_name};

use crate::diagnostic::Span;
use crate::expr::{Expr, HookTarget, Piece, Reference, Root, Segment};
use crate::keys::{Faults, closest};
use crate::reference::{Part, Written, WrittenRoot, parts};
use crate::yaml::{Node, Style, Value};

/// What names a file's references may begin with.
pub(crate) trait Names {
    /// Resolves `${name.…}`.
    fn name(
        &mut self,
        name: &str,
        path: &[Segment],
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root>;
    /// Resolves `${kind:argument}`.
    fn kind(&mut self, kind: &str, argument: &str, span: Span, faults: &mut Faults)
    -> Option<Root>;
    /// The name that was resolved last has a default.
    fn defaulted(&mut self) {}
    /// Reads a value that begins with `=`, an inline script. Where nothing runs scripts there is none.
    fn inline(&mut self, _text: &str, node: &Node, faults: &mut Faults) -> Option<Expr> {
        faults
            .error("value.no_script", node.span, "an inline script cannot stand here")
            .hint("the values of steps may be inline scripts; a text that begins with `=` is written `{literal: \"= …\"}`");
        None
    }
}

/// Reads a value.
pub(crate) fn value(node: &Node, names: &mut dyn Names, faults: &mut Faults) -> Option<Expr> {
    match &node.value {
        Value::Scalar(scalar) => {
            if scalar.style == Style::Plain && scalar.text == "ignore" {
                return Some(Expr::Ignore);
            }
            match scalar.typed() {
                Json::String(text) => text_value(&text, node, names, faults),
                other => Some(Expr::Literal(other)),
            }
        }
        Value::List(items) => {
            let items: Vec<Option<Expr>> = items
                .iter()
                .map(|item| value(item, names, faults))
                .collect();
            let items: Vec<Expr> = items.into_iter().collect::<Option<_>>()?;
            Some(literal_if_plain(Expr::List(items)))
        }
        Value::Map(entries) => {
            if let [only] = entries.as_slice()
                && only.key == "literal"
            {
                return Some(Expr::Literal(only.value.to_json()));
            }
            let mut fields = Vec::new();
            let mut all = true;
            for entry in entries {
                match value(&entry.value, names, faults) {
                    Some(expr) => fields.push((entry.key.clone(), expr)),
                    None => all = false,
                }
            }
            all.then(|| literal_if_plain(Expr::Object(fields)))
        }
    }
}

/// A map from names to values.
pub(crate) fn named(
    node: &Node,
    what: &str,
    names: &mut dyn Names,
    faults: &mut Faults,
) -> Vec<(String, Expr)> {
    let Value::Map(entries) = &node.value else {
        let message = format!("{what} must be a map, not {}", node.kind());
        faults.error("value.type", node.span, message);
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|entry| Some((entry.key.clone(), value(&entry.value, names, faults)?)))
        .collect()
}

/// A list or an object that holds literals only is one itself.
fn literal_if_plain(expr: Expr) -> Expr {
    match expr {
        Expr::List(items) if items.iter().all(|item| matches!(item, Expr::Literal(_))) => {
            Expr::Literal(Json::Array(items.into_iter().filter_map(literal).collect()))
        }
        Expr::Object(fields)
            if fields
                .iter()
                .all(|(_, field)| matches!(field, Expr::Literal(_))) =>
        {
            Expr::Literal(Json::Object(
                fields
                    .into_iter()
                    .filter_map(|(name, field)| Some((name, literal(field)?)))
                    .collect(),
            ))
        }
        other => other,
    }
}

fn literal(expr: Expr) -> Option<Json> {
    match expr {
        Expr::Literal(value) => Some(value),
        _ => None,
    }
}

fn text_value(text: &str, node: &Node, names: &mut dyn Names, faults: &mut Faults) -> Option<Expr> {
    if text.starts_with('=') && !text.starts_with("==") {
        return names.inline(text, node, faults);
    }
    let parts = match parts(text) {
        Ok(parts) => parts,
        Err(wrong) => {
            let span = node.inside(wrong.offset, "${".len());
            faults
                .error("reference.syntax", span, wrong.message)
                .hint("a text `${` is written `$${`");
            return None;
        }
    };
    let mut pieces = Vec::new();
    let mut all = true;
    for part in parts {
        match part {
            Part::Text(text) => pieces.push(Piece::Text(text)),
            Part::Ref(written) => match resolve(written, node, names, faults) {
                Some(reference) => pieces.push(Piece::Ref(reference)),
                None => all = false,
            },
        }
    }
    if !all {
        return None;
    }
    Some(match pieces.as_slice() {
        [Piece::Text(text)] => Expr::Literal(Json::String(text.clone())),
        [Piece::Ref(reference)] => Expr::Ref(reference.clone()),
        _ => Expr::Text(pieces),
    })
}

fn resolve(
    written: Written,
    node: &Node,
    names: &mut dyn Names,
    faults: &mut Faults,
) -> Option<Reference> {
    let span = node.inside(written.offset, written.source.len());
    let root = match &written.root {
        WrittenRoot::Name(name) => {
            let root = names.name(name, &written.path, span, faults)?;
            if written.default.is_some() {
                names.defaulted();
            }
            root
        }
        WrittenRoot::Kind(kind, argument) => names.kind(kind, argument, span, faults)?,
    };
    Some(Reference {
        root,
        path: written.path,
        default: written.default,
        source: written.source,
    })
}

/// `${hook:CYCLE}` or `${hook:CYCLE.STEP}`.
pub(crate) fn hook(argument: &str) -> HookTarget {
    match argument.split_once('.') {
        Some((cycle, step)) => HookTarget {
            cycle: CycleId::from(cycle),
            step: Some(StepId::from(step)),
        },
        None => HookTarget {
            cycle: CycleId::from(argument),
            step: None,
        },
    }
}

/// The name in `${secret:NAME}`.
pub(crate) fn secret(argument: &str, span: Span, faults: &mut Faults) -> Option<String> {
    if is_secret_name(argument) {
        return Some(argument.to_owned());
    }
    let message = format!("`{argument}` cannot name a secret");
    faults
        .error("secret.name", span, message)
        .hint("letters, digits, `_`, `-` and `.`, such as `${secret:shop_token}`");
    None
}

/// What the file in `${file:PATH}` holds, as it stands.
pub(crate) fn file(
    path: &str,
    span: Span,
    read: &dyn Fn(&str) -> io::Result<String>,
    faults: &mut Faults,
) -> Option<Arc<str>> {
    if !is_below(path) {
        let message = format!("`{path}` is not below the folder that `${{file:…}}` reads from");
        faults
            .error("file.unreadable", span, message)
            .hint("give a path without `..` and without `/` at its beginning");
        return None;
    }
    match read(path) {
        Ok(text) => Some(Arc::from(text)),
        Err(error) => {
            let message = format!("the file `{path}` cannot be read: {error}");
            faults.error("file.unreadable", span, message);
            None
        }
    }
}

/// Whether a path, as it is written, stays below the folder it begins in.
pub(crate) fn is_below(path: &str) -> bool {
    !path.starts_with('/') && !path.contains('\\') && path.split('/').all(|part| part != "..")
}

/// Refuses a name that begins no reference.
pub(crate) fn unknown<'w>(
    name: &str,
    span: Span,
    known: impl Iterator<Item = &'w str>,
    what: &str,
    faults: &mut Faults,
) {
    let fault = faults.error("reference.unknown", span, format!("`{name}` is no {what}"));
    if let Some(meant) = closest(name, known) {
        fault.hint(format!("did you mean `{meant}`?"));
    }
}
