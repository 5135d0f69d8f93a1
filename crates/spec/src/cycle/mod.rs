//! A cycle file, checked: every fault at once, a plan only if there is none.
//!
//! ```text
//! nodes ─▶ top level ─▶ steps (kinds, values) ─▶ graph (trigger, ways) ─▶ references ─▶ liveness ─▶ Plan
//! ```

mod condition;
mod error_webhook;
pub(crate) use error_webhook::{ServerWide, read as read_error_webhook};
pub use error_webhook::{check_named_cycle, named as error_hook};
pub(crate) use fields::KINDS as FIELD_KINDS;
pub(crate) use form::{REQUEST_HANDLERS, WEBHOOK_HANDLERS};
pub(crate) use header::retention;
mod fields;
mod form;
mod graph;
mod header;
mod inline;
mod method;
mod names;
mod picture;
mod references;
mod schedule;
mod script;
pub use script::shared_keys;
mod step;
mod tool;
mod webhook;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use velodrome_types::{CycleId, Zone};

use crate::analyse::ScriptAnalyser;
use crate::connector::ConnectorDef;
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::Expr;
use crate::format;
use crate::graph::Graph;
use crate::keys::{Faults, Keys};
use crate::plan::{Plan, Sources, Step, StepIx, StepKind};
use crate::yaml::{self, Node, Value};

/// What is known of a connection that a file names.
#[derive(Clone, Debug)]
pub enum ConnectionLookup {
    /// It is declared; its connector.
    Found(Arc<ConnectorDef>),
    /// It is not declared, but a connector has this name.
    Undeclared(Arc<ConnectorDef>),
    /// Neither.
    Unknown,
}

/// What the checker asks about the world around a file.
pub trait Lookup {
    /// A connection by its name.
    fn connection(&self, name: &str) -> ConnectionLookup;
    /// The names of all connections, for guesses at what was meant.
    fn connections(&self) -> Vec<String>;
    /// Whether cycles may read this environment variable (`env_for_cycles`).
    fn env_allowed(&self, name: &str) -> bool;
    /// Whether a cycle has such a webhook.
    fn hook_exists(&self, cycle: &str, step: Option<&str>) -> bool;
    /// Whether each webhook must say who may call it: the server can be reached from elsewhere, and its
    /// settings say nothing of `auth`.
    fn auth_needed(&self) -> bool {
        false
    }
}

/// A cycle file to be checked.
#[derive(Clone, Copy)]
pub struct CycleInput<'a> {
    /// Its path, relative to the cycles folder, for messages.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Reads scripts.
    pub analyser: &'a dyn ScriptAnalyser,
    /// Knows connections and other cycles.
    pub lookup: &'a dyn Lookup,
    /// Reads a script or another file that the cycle names, relative to the cycles folder.
    pub script_file: &'a dyn Fn(&str) -> std::io::Result<String>,
}

impl fmt::Debug for CycleInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CycleInput")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// What came of checking.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The plan, if there is no error.
    pub plan: Option<Arc<Plan>>,
    /// Errors and warnings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// The cycle's id, if it could be read.
    pub cycle: Option<CycleId>,
    /// The cycle as a picture, as far as its steps could be read.
    pub graph: Option<Graph>,
    /// The secrets it reads, and where.
    pub secrets: Vec<(String, Span)>,
}

/// Checks a cycle file.
pub fn check_cycle(input: CycleInput<'_>) -> Checked {
    let root = match yaml::parse(input.text) {
        Ok(root) => root,
        Err(diagnostics) => {
            return Checked {
                plan: None,
                diagnostics,
                cycle: None,
                graph: None,
                secrets: Vec::new(),
            };
        }
    };
    let mut checker = Checker {
        input,
        faults: Faults::default(),
        sources: Sources::default(),
        undeclared: BTreeSet::new(),
        graph: None,
        secrets: Vec::new(),
        zone: Zone::UTC,
    };
    let (cycle, plan) = checker.check(&root);
    let mut diagnostics = checker.faults.0;
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    Checked {
        plan: plan.map(Arc::new),
        diagnostics,
        cycle,
        graph: checker.graph,
        secrets: checker.secrets,
    }
}

/// How long a caller is held where a webhook does not say it.
const RESPOND_WITHIN: Duration = Duration::from_secs(30);

/// A check under way.
struct Checker<'a> {
    input: CycleInput<'a>,
    faults: Faults,
    sources: Sources,
    /// Connections of which it has been said that nobody declares them.
    undeclared: BTreeSet<String>,
    graph: Option<Graph>,
    secrets: Vec<(String, Span)>,
    /// Where dates without an offset are read.
    zone: Zone,
}

impl Checker<'_> {
    /// Refuses a secret where its value would be kept or shown.
    fn no_secret<'e>(&mut self, values: impl IntoIterator<Item = &'e Expr>, span: Span, why: &str) {
        if values.into_iter().any(Expr::reads_secret) {
            let message = format!("a secret cannot stand here: {why}");
            self.faults
                .error("secret.misplaced", span, message)
                .hint("read it in the step that sends it: `${secret:…}` in `headers`, `query`, `map` or `url`");
        }
    }

    fn check(&mut self, root: &Node) -> (Option<CycleId>, Option<Plan>) {
        let Some(mut keys) = Keys::in_table(root, &format::CYCLE, "a cycle file", &mut self.faults)
        else {
            return (None, None);
        };
        let header = header::read(&mut keys, &mut self.faults);
        self.zone = header.zone.clone();
        let cycle = header.cycle.clone();
        let error_webhook = keys
            .get("error_webhook")
            .and_then(|node| self.error_webhook(node, &header));
        let schedule = keys
            .get("schedule")
            .and_then(|node| self.schedule(node, &header));
        let sends = keys.get("schedule").and_then(|node| match &node.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == "send"),
            _ => None,
        });
        let sends = sends.map(|entry| entry.key_span);
        let Some(steps_node) = keys.need("steps", "the cycle", &mut self.faults) else {
            keys.finish("a cycle", &mut self.faults);
            return (cycle, None);
        };
        keys.finish("a cycle", &mut self.faults);
        let Value::Map(entries) = &steps_node.value else {
            let message = format!("`steps` must be a map of steps, not {}", steps_node.kind());
            self.faults.error("value.type", steps_node.span, message);
            return (cycle, None);
        };
        let mut drafts = self.drafts(entries, &header);
        let ways = graph::check(&drafts, steps_node.span, &mut self.faults);
        if let Some(first) = ways.trigger.filter(|_| header.split != header::Split::None) {
            drafts[usize::from(first.0)].split_by_cycle();
        }
        graph::answers(&drafts, &mut self.faults);
        let apart = graph::apart(&drafts);
        let live = references::check(&drafts, &ways, &apart, &mut self.faults);
        if let Some(cycle) = &cycle {
            let name = header.title().unwrap_or(cycle.as_str());
            self.graph = Some(picture::of(cycle.as_str(), name, &drafts, ways.trigger));
        }
        if self.faults.is_fatal() {
            return (cycle, None);
        }
        let Some(trigger) = ways.trigger else {
            return (cycle, None);
        };
        let mut steps: Vec<Step> = drafts
            .into_iter()
            .zip(live)
            .filter_map(|(draft, live)| draft.finish(live))
            .collect();
        hold_callers(&mut steps);
        let takes = matches!(steps[usize::from(trigger.0)].kind, StepKind::Webhook(_));
        if let Some(span) = sends.filter(|_| !takes) {
            let message = "`send` is for a webhook, and this cycle begins with another step";
            self.faults
                .error("field.alone", span, message)
                .hint("remove it, or begin with a webhook that takes it");
            return (cycle, None);
        }
        self.sources.path = self.input.path.to_owned();
        self.sources.cycle = self.input.text.to_owned();
        let hash = hash(&self.sources);
        let mut plan = header.plan(hash, trigger, steps, std::mem::take(&mut self.sources));
        plan.error_webhook = error_webhook;
        plan.schedule = schedule;
        script::warn_shared_keys(&plan, self.input.text, &mut self.faults);
        (cycle, Some(plan))
    }
}

/// Says of each webhook how long its callers are held: where a way leads from it to a `respond` that no other
/// webhook stands before, for whoever calls that one is answered then.
fn hold_callers(steps: &mut [Step]) {
    let is_webhook = |step: &Step| matches!(step.kind, StepKind::Webhook(_));
    for at in 0..steps.len() {
        let mut open: Vec<StepIx> = steps[at].leads_to().collect();
        let mut seen = BTreeSet::new();
        let mut responds = false;
        while let Some(ix) = open.pop() {
            let step = &steps[usize::from(ix.0)];
            if !is_webhook(step) && seen.insert(ix) {
                responds |= matches!(step.kind, StepKind::Respond(_));
                open.extend(step.leads_to());
            }
        }
        if let StepKind::Webhook(webhook) = &mut steps[at].kind {
            let within = webhook.respond_within.unwrap_or(RESPOND_WITHIN);
            webhook.respond_within = responds.then_some(within);
        }
    }
}

/// Everything a plan was made from, each part behind its length so that no two lists of parts collide.
fn hash(sources: &Sources) -> String {
    let mut hasher = Sha256::new();
    let mut part = |text: &str| {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    };
    part(&sources.cycle);
    for (path, text) in &sources.scripts {
        part(path);
        part(text);
    }
    for (connection, connector, text) in &sources.connectors {
        part(connection);
        part(connector);
        part(text);
    }
    hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
