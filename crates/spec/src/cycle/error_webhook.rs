//! `error_webhook`, of a cycle or in `velodrome.yaml`: where failed runs are told (SPEC §6).
//!
//! It is known before any run, so that what a run received never decides where its failure is told.

use super::header::Header;
use super::method::may_be_url;
use super::{Checker, CycleInput, Lookup};
use crate::cycle::names::CycleNames;
use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::expr::{Expr, HookTarget, Piece, Root, Segment};
use crate::keys::Faults;
use crate::values::{Names, hook, value};
use crate::yaml::Node;

const TAKES: &str =
    "it takes a URL, `${hook:CYCLE}`, `${env:X}`, `${secret:x}`, `${file:path}` and `${var:x}`";

impl Checker<'_> {
    pub(super) fn error_webhook(&mut self, node: &Node, header: &Header) -> Option<Expr> {
        let mut names = CycleWide {
            names: before_runs(&self.input, header),
            of: "`error_webhook` is",
            takes: TAKES,
        };
        let url = read(node, &mut names, &mut self.faults)?;
        let names = names.names;
        for (path, text) in &names.files {
            self.sources.add_file(path, text);
        }
        self.secrets.extend(names.secrets);
        if let Some(target) = named(&url)
            && header.cycle.as_ref() == Some(&target.cycle)
        {
            let message = "a cycle is not told of itself: no failed run of it is told anywhere";
            self.faults
                .warning("error_webhook.own", node.span, message)
                .hint("name the webhook of another cycle");
        }
        Some(url)
    }
}

/// The names of what is known before any run.
pub(super) fn before_runs<'a>(input: &CycleInput<'a>, header: &Header) -> CycleNames<'a> {
    CycleNames::new(&[], header, input.lookup, input.script_file)
}

/// A URL, checked as far as it is known.
pub(crate) fn read(node: &Node, names: &mut dyn Names, faults: &mut Faults) -> Option<Expr> {
    let url = value(node, names, faults)?;
    match &url {
        Expr::Literal(literal) if literal.is_string() => {}
        Expr::Ref(_) => {}
        Expr::Text(pieces) => {
            let is_hook = |piece: &Piece| matches!(piece, Piece::Ref(found) if matches!(found.root, Root::Hook(_)));
            if pieces.iter().any(is_hook) {
                faults
                    .error("value.url", node.span, "`${hook:…}` stands alone here")
                    .hint("write `error_webhook: ${hook:CYCLE}`");
                return None;
            }
        }
        _ => {
            let message = format!("`error_webhook` must be a URL, not {}", node.kind());
            faults.error("value.type", node.span, message).hint(TAKES);
            return None;
        }
    }
    if !may_be_url(&url) {
        faults
            .error(
                "value.url",
                node.span,
                "`error_webhook` must be a whole URL",
            )
            .hint("such as `https://alerts.example.com/velodrome`, or `${hook:CYCLE}`");
    }
    Some(url)
}

/// The webhook of this server that it names by itself.
pub fn named(url: &Expr) -> Option<&HookTarget> {
    match url {
        Expr::Ref(found) => match &found.root {
            Root::Hook(target) => Some(target),
            _ => None,
        },
        _ => None,
    }
}

/// What a cycle's files and settings say, but nothing of a run.
pub(super) struct CycleWide<'a> {
    pub(super) names: CycleNames<'a>,
    /// What is known before any run, with its verb.
    pub(super) of: &'static str,
    /// The hint.
    pub(super) takes: &'static str,
}

impl Names for CycleWide<'_> {
    fn name(
        &mut self,
        name: &str,
        path: &[Segment],
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        if name == "cycle" {
            return self.names.name(name, path, span, faults);
        }
        let message = format!("`{name}` is of a run, and {} known before any", self.of);
        faults
            .error("reference.not_passed", span, message)
            .hint(self.takes);
        None
    }

    fn kind(
        &mut self,
        kind: &str,
        argument: &str,
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        self.names.kind(kind, argument, span, faults)
    }
}

/// What the `error_webhook` of `velodrome.yaml` may name: what its other keys may, and a webhook.
pub(crate) struct ServerWide<'a>(pub(crate) &'a mut dyn Names);

impl Names for ServerWide<'_> {
    fn name(&mut self, name: &str, _: &[Segment], span: Span, faults: &mut Faults) -> Option<Root> {
        let message = format!("`{name}` is of a cycle, and this holds for all of them");
        faults
            .error("reference.not_passed", span, message)
            .hint("it takes a URL, `${hook:CYCLE}`, `${env:X}`, `${secret:x}` and `${file:path}`");
        None
    }

    fn kind(
        &mut self,
        kind: &str,
        argument: &str,
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        match kind {
            "hook" => Some(Root::Hook(hook(argument))),
            _ => self.0.kind(kind, argument, span, faults),
        }
    }
}

/// Whether the cycle that the `error_webhook` of `velodrome.yaml` names is there.
pub fn check_named_cycle(
    error_webhook: &Expr,
    span: Span,
    lookup: &dyn Lookup,
) -> Option<Diagnostic> {
    let target = named(error_webhook)?;
    let step = target.step.as_ref().map(velodrome_types::StepId::as_str);
    if lookup.hook_exists(target.cycle.as_str(), step) {
        return None;
    }
    Some(Diagnostic {
        severity: Severity::Error,
        code: velodrome_types::Code::new("reference.unknown_hook"),
        message: format!("no cycle here has the webhook `{}`", target.cycle),
        span,
        hint: Some("`${hook:CYCLE}` names a cycle of the cycles folder".to_owned()),
    })
}
