//! References to steps: whether the step has run by then, whether it has the field, and what of it
//! must be kept.

use super::graph::Ways;
use super::step::Draft;
use crate::expr::Segment;
use crate::keys::{Faults, closest, list};
use crate::plan::{Live, StepIx, StepKind};

/// Checks every reference and tells, step by step, which names something later reads.
pub(super) fn check(drafts: &[Draft], ways: &Ways, faults: &mut Faults) -> Vec<Live> {
    let mut live = vec![Live::default(); drafts.len()];
    for (at, draft) in drafts.iter().enumerate() {
        for (ix, path, name, span) in &draft.references {
            let read = &drafts[ix.0 as usize];
            // A webhook's URL is known before anything runs: any step may name it.
            if name == "url" && read.is_webhook() {
                continue;
            }
            if ways.trigger.is_some() && at != ix.0 as usize && !ways.some[at].is_empty() {
                if !ways.some[at].contains(ix) {
                    let message = format!("step `{}` is on no way to `{}`", read.id, draft.id);
                    faults
                        .error("reference.not_passed", *span, message)
                        .hint("only steps that have run can be read");
                    continue;
                }
                if !ways.every[at].contains(ix) {
                    let message = format!(
                        "not every way to `{}` passes `{}`: it may be null here",
                        draft.id, read.id
                    );
                    faults
                        .warning("reference.maybe_absent", *span, message)
                        .hint("give a default: `${… ?? …}`");
                }
            }
            if *ix == StepIx(at as u16) {
                let message = format!("step `{}` reads itself", draft.id);
                faults
                    .error("reference.not_passed", *span, message)
                    .hint("only steps that have run can be read");
                continue;
            }
            if matches!(path.first(), Some(Segment::Key(_))) {
                field(read, name, *span, faults);
                live[ix.0 as usize].names.insert(name.clone());
            } else {
                let message = format!("`${{{}}}` alone is no value", read.id);
                faults
                    .error("reference.unknown_field", *span, message)
                    .hint(format!(
                        "name a field: `${{{}.body}}` is all of it",
                        read.id
                    ));
            }
        }
    }
    live
}

/// The names that win over an answer's fields.
fn own_names(kind: &StepKind) -> &'static [&'static str] {
    match kind {
        StepKind::Webhook(_) => &["url", "body", "http", "error"],
        StepKind::List(_) => &[
            "body",
            "records",
            "count",
            "error",
            "last_successful_run_date",
            "http",
        ],
        StepKind::Send(_) => &["body", "error", "http"],
        StepKind::Watermark { .. }
        | StepKind::Decision(_)
        | StepKind::Delay(_)
        | StepKind::Stop { .. } => &["error"],
    }
}

fn field(read: &Draft, name: &str, span: crate::diagnostic::Span, faults: &mut Faults) {
    let Some(kind) = &read.kind else { return };
    let own = own_names(kind);
    if own.contains(&name) {
        return;
    }
    let described: Vec<&str> = match kind {
        StepKind::Webhook(_) => return,
        StepKind::List(step) if step.method.def().response.open => return,
        StepKind::Send(step) if step.method.def().response.open => return,
        StepKind::List(step) => step
            .method
            .def()
            .response
            .fields
            .keys()
            .map(String::as_str)
            .collect(),
        StepKind::Send(step) => step
            .method
            .def()
            .response
            .fields
            .keys()
            .map(String::as_str)
            .collect(),
        _ => Vec::new(),
    };
    if described.contains(&name) {
        return;
    }
    let message = format!("step `{}` has no field `{name}`", read.id);
    let fault = faults.error("reference.unknown_field", span, message);
    let known: Vec<&str> = described.iter().chain(own).copied().collect();
    match closest(name, known.iter().copied()) {
        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
        None => fault.hint(format!("it has {}", list(&known))),
    }
}
