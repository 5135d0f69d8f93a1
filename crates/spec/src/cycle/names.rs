//! What a reference in a cycle file may begin with.

use std::sync::Arc;

use velodrome_types::{CycleId, StepId};

use super::Lookup;
use super::header::Header;
use super::inline::{self, Reads};
use super::method::hook_of;
use crate::diagnostic::Span;
use crate::expr::{Expr, FileText, HookTarget, Root, Segment};
use crate::keys::{Faults, closest};
use crate::plan::StepIx;
use crate::script_text::ScriptPlace;
use crate::values::{Names, file, hook, secret, unknown};
use crate::yaml::Node;

/// The names of one cycle; collects which steps are read.
#[derive(Clone)]
pub(super) struct CycleNames<'a> {
    ids: &'a [StepId],
    cycle: Option<CycleId>,
    variables: Vec<String>,
    lookup: &'a dyn Lookup,
    read: &'a dyn Fn(&str) -> std::io::Result<String>,
    /// How inline scripts are read, where they may stand.
    pub(super) scripts: Option<ScriptPlace<'a>>,
    /// Whether `item` and `index` are there.
    pub(super) in_each: bool,
    /// The list step whose date the step commits.
    pub(super) watermark: Option<(StepIx, Span)>,
    pub(super) taken: Vec<StepRead>,
    /// Where `item` and `index` are read outside a `for_each`.
    pub(super) items: Vec<ItemRead>,
    /// Where the name stands that was resolved last.
    last: Last,
    /// The secrets that are read, and where.
    pub(super) secrets: Vec<(String, Span)>,
    /// The files that were read, by path.
    pub(super) files: Vec<(String, Arc<str>)>,
}

/// Which of the two lists a name went to.
#[derive(Clone, Copy, Debug)]
enum Last {
    Neither,
    Taken,
    Items,
}

/// A reference to a step.
#[derive(Clone, Debug)]
pub(super) struct StepRead {
    pub(super) step: StepIx,
    pub(super) path: Vec<Segment>,
    /// The first name of the path; empty where there is none.
    pub(super) name: String,
    pub(super) span: Span,
    /// Whether something stands in for a null.
    pub(super) has_default: bool,
}

/// A reference to `item` or `index`.
#[derive(Clone, Debug)]
pub(super) struct ItemRead {
    pub(super) name: String,
    pub(super) span: Span,
    /// Whether something stands in for a null.
    pub(super) has_default: bool,
}

/// What `run` and `cycle` have.
const RUN: &[&str] = &["id", "loop", "lap", "created"];
const CYCLE: &[&str] = &["id", "name", "version"];

impl<'a> CycleNames<'a> {
    pub(super) fn new(
        ids: &'a [StepId],
        header: &Header,
        lookup: &'a dyn Lookup,
        read: &'a dyn Fn(&str) -> std::io::Result<String>,
    ) -> Self {
        Self {
            ids,
            cycle: header.cycle.clone(),
            variables: header
                .variables
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
            lookup,
            read,
            scripts: None,
            in_each: false,
            watermark: None,
            taken: Vec::new(),
            items: Vec::new(),
            last: Last::Neither,
            secrets: Vec::new(),
            files: Vec::new(),
        }
    }

    fn find(&self, name: &str) -> Option<StepIx> {
        self.ids
            .iter()
            .position(|id| id.as_str() == name)
            .map(|at| StepIx(at as u16))
    }

    /// A step by its id, outside a reference.
    pub(super) fn step(&self, name: &str, span: Span, faults: &mut Faults) -> Option<StepIx> {
        let found = self.find(name);
        if found.is_none() {
            let fault = faults.error(
                "graph.unknown_step",
                span,
                format!("there is no step `{name}`"),
            );
            if let Some(meant) = closest(name, self.ids.iter().map(StepId::as_str)) {
                fault.hint(format!("did you mean `{meant}`?"));
            }
        }
        found
    }

    /// The webhook of this server that a URL names by itself.
    pub(super) fn target(&self, url: &Expr) -> Option<HookTarget> {
        let cycle = self.cycle.clone()?;
        hook_of(url, |ix| HookTarget {
            cycle: cycle.clone(),
            step: Some(self.ids[ix.0 as usize].clone()),
        })
    }

    fn one_of(known: &[&str], what: &str, path: &[Segment], span: Span, faults: &mut Faults) {
        let ok = matches!(path, [Segment::Key(key)] if known.contains(&key.as_str()));
        if !ok {
            let message = format!("`{what}` has {}", crate::keys::list(known));
            faults.error("reference.unknown_field", span, message);
        }
    }
}

impl CycleNames<'_> {
    /// The names of an expression: those that are no names of ours are the language's.
    fn used(&mut self, text: &str, node: &Node, faults: &mut Faults) -> (Vec<String>, Reads) {
        let (mut names, mut reads) = (Vec::new(), Vec::new());
        for used in inline::names(&text[1..]) {
            let span = inline::span(node, &used);
            if inline::is_refused(used.name) {
                let message = format!(
                    "`{}` is not there in an inline script, which only computes",
                    used.name
                );
                faults
                    .error("script.unknown_function", span, message)
                    .hint("use a `script` step, or a handler");
                continue;
            }
            let is_step = self.find(used.name);
            if is_step.is_none() && !matches!(used.name, "run" | "cycle" | "item" | "index") {
                continue;
            }
            let path = inline::path(used.field);
            self.name(used.name, &path, span, faults);
            if let (Some(step), Some(field)) = (is_step, used.field) {
                reads.push((step, field.to_owned()));
            }
            if !names.iter().any(|known| known == used.name) {
                names.push(used.name.to_owned());
            }
        }
        (names, reads)
    }
}

impl Names for CycleNames<'_> {
    fn defaulted(&mut self) {
        let has_default = match self.last {
            Last::Neither => None,
            Last::Taken => self.taken.last_mut().map(|read| &mut read.has_default),
            Last::Items => self.items.last_mut().map(|read| &mut read.has_default),
        };
        if let Some(has_default) = has_default {
            *has_default = true;
        }
    }

    fn inline(&mut self, text: &str, node: &Node, faults: &mut Faults) -> Option<Expr> {
        let Some(place) = self.scripts else {
            faults.error(
                "value.no_script",
                node.span,
                "an inline script cannot stand here",
            );
            return None;
        };
        let (names, reads) = self.used(text, node, faults);
        let script = inline::compile((text, node), &names, place, faults)?;
        Some(inline::expr(node, script, names, reads))
    }

    fn name(
        &mut self,
        name: &str,
        path: &[Segment],
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        self.last = Last::Neither;
        match name {
            "run" => {
                Self::one_of(RUN, "run", path, span, faults);
                return Some(Root::Run);
            }
            "cycle" => {
                Self::one_of(CYCLE, "cycle", path, span, faults);
                return Some(Root::Cycle);
            }
            "item" | "index" => {
                if !self.in_each {
                    self.last = Last::Items;
                    self.items.push(ItemRead {
                        name: name.to_owned(),
                        span,
                        has_default: false,
                    });
                }
                return Some(if name == "item" {
                    Root::Item
                } else {
                    Root::Index
                });
            }
            _ => {}
        }
        let Some(ix) = self.find(name) else {
            let known = self.ids.iter().map(StepId::as_str).chain(["run", "cycle"]);
            unknown(name, span, known, "step", faults);
            return None;
        };
        let first = match path.first() {
            Some(Segment::Key(key)) => key.clone(),
            _ => String::new(),
        };
        self.last = Last::Taken;
        self.taken.push(StepRead {
            step: ix,
            path: path.to_vec(),
            name: first,
            span,
            has_default: false,
        });
        Some(Root::Step(ix))
    }

    fn kind(
        &mut self,
        kind: &str,
        argument: &str,
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        match kind {
            "var" if self.variables.iter().any(|known| known == argument) => {
                Some(Root::Var(argument.to_owned()))
            }
            "var" => {
                let known = self.variables.iter().map(String::as_str);
                unknown(argument, span, known, "variable of this cycle", faults);
                None
            }
            "hook" => {
                let target = hook(argument);
                let own = self.cycle.as_ref() == Some(&target.cycle);
                let step = target.step.as_ref().map(StepId::as_str);
                let exists = if own {
                    step.is_none_or(|step| self.find(step).is_some())
                } else {
                    self.lookup.hook_exists(target.cycle.as_str(), step)
                };
                if !exists {
                    let message = format!("no cycle here has the webhook `{argument}`");
                    faults
                        .error("reference.unknown_hook", span, message)
                        .hint("`${hook:CYCLE}` or `${hook:CYCLE.STEP}`");
                    return None;
                }
                Some(Root::Hook(target))
            }
            "env" => {
                if !self.lookup.env_allowed(argument) {
                    let message =
                        format!("cycles may not read the environment variable `{argument}`");
                    faults
                        .error("reference.env_not_listed", span, message)
                        .hint(format!(
                            "list it in velodrome.yaml: `env_for_cycles: [{argument}]`"
                        ));
                }
                Some(Root::Env(argument.to_owned()))
            }
            "secret" => {
                let name = secret(argument, span, faults)?;
                self.secrets.push((name.clone(), span));
                Some(Root::Secret(name))
            }
            "file" => {
                let text = file(argument, span, self.read, faults)?;
                self.files.push((argument.to_owned(), Arc::clone(&text)));
                let path = argument.to_owned();
                Some(Root::File(FileText { path, text }))
            }
            other => {
                unknown(
                    other,
                    span,
                    ["var", "env", "secret", "file", "hook"].into_iter(),
                    "kind of reference",
                    faults,
                );
                None
            }
        }
    }
}
