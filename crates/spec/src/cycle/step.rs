//! One step: its `use`, its keys, its values.

use std::time::Duration;

use velodrome_types::{ConnectionId, OnError, RetryPolicy, StepId, Timestamp, check_name};

use super::names::CycleNames;
use super::{Checker, ConnectionLookup, header};
use crate::connector::MethodKind;
use crate::diagnostic::Span;
use crate::expr::{Expr, HookTarget, Reference, Root, Segment};
use crate::keys::{Faults, Keys, choice, closest, duration, text};
use crate::plan::{
    FirstRun, Handoff, IfUnknown, ListStep, Live, MethodUse, SendStep, Step, StepIx, StepKind,
    StepScript, WebhookStep,
};
use crate::values::value;
use crate::yaml::{Entry, Node, Value};

/// An exit as it is written.
#[derive(Clone, Debug)]
pub(super) struct ExitDraft {
    pub(super) to: String,
    pub(super) span: Span,
    pub(super) ix: Option<StepIx>,
}

/// A step that has been read; its exits are names still.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: StepId,
    pub(super) span: Span,
    name: Option<String>,
    pub(super) kind: Option<StepKind>,
    script: Option<StepScript>,
    pub(super) then: Option<ExitDraft>,
    pub(super) otherwise: Option<ExitDraft>,
    pub(super) catch: Option<ExitDraft>,
    on_error: OnError,
    retry: RetryPolicy,
    timeout: Duration,
    if_unknown: IfUnknown,
    /// Every reference to a step that stands in this one.
    pub(super) references: Vec<(StepIx, Vec<Segment>, String, Span)>,
}

const NOT_YET: &[&str] = &["split", "for_each", "parallel", "skip_failures"];
const WEBHOOK_NOT_YET: &[&str] = &["allow_ips", "origins", "respond_within", "match", "repeat"];
const TOOLS: &[&str] = &[
    "decision",
    "switch",
    "delay",
    "wait_until",
    "wait_all",
    "respond",
    "script",
    "stop",
];
const TOOLS_NOT_YET: &[&str] = &["switch", "wait_until", "wait_all", "respond", "script"];

impl Draft {
    /// The step, unless its kind could not be read.
    pub(super) fn finish(self, live: Live) -> Option<Step> {
        let exit = |exit: Option<ExitDraft>| exit.and_then(|exit| exit.ix);
        Some(Step {
            name: self.name.unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            kind: self.kind?,
            script: self.script,
            then: exit(self.then),
            otherwise: exit(self.otherwise),
            catch: exit(self.catch),
            on_error: self.on_error,
            retry: self.retry,
            timeout: self.timeout,
            if_unknown: self.if_unknown,
            live,
            line: self.span.line,
        })
    }

    /// Whether the step has a false exit.
    pub(super) fn has_else(&self) -> bool {
        match &self.kind {
            Some(StepKind::Decision(_)) | None => true,
            Some(StepKind::List(list)) => list.method.def().two_exits,
            Some(StepKind::Send(send)) => send.method.def().two_exits,
            _ => false,
        }
    }

    pub(super) fn is_webhook(&self) -> bool {
        matches!(self.kind, Some(StepKind::Webhook(_)))
    }
}

impl Checker<'_> {
    /// Reads every step.
    pub(super) fn drafts(&mut self, entries: &[Entry], header: &header::Header) -> Vec<Draft> {
        let ids: Vec<StepId> = entries
            .iter()
            .map(|entry| StepId::from(entry.key.as_str()))
            .collect();
        for entry in entries {
            if let Err(error) = check_name(&entry.key) {
                let message = format!("`{}` cannot name a step: {error}", entry.key);
                self.faults.error("name.invalid", entry.key_span, message);
            }
        }
        if entries.len() > usize::from(u16::MAX) {
            let span = entries
                .first()
                .map(|entry| entry.key_span)
                .unwrap_or_default();
            self.faults.error(
                "graph.too_many_steps",
                span,
                "a cycle has more than 65,535 steps",
            );
            return Vec::new();
        }
        let names = CycleNames::new(&ids, header, self.input.lookup);
        let mut drafts: Vec<Draft> = entries
            .iter()
            .map(|entry| self.draft(entry, names.clone(), header))
            .collect();
        for draft in &mut drafts {
            for exit in [&mut draft.then, &mut draft.otherwise, &mut draft.catch]
                .into_iter()
                .flatten()
            {
                let at = ids.iter().position(|id| id.as_str() == exit.to);
                exit.ix = at.map(|at| StepIx(at as u16));
            }
        }
        drafts
    }

    fn draft(&mut self, entry: &Entry, names: CycleNames<'_>, header: &header::Header) -> Draft {
        let mut names = names;
        let mut draft = Draft {
            id: StepId::from(entry.key.as_str()),
            span: entry.key_span,
            name: None,
            kind: None,
            script: None,
            then: None,
            otherwise: None,
            catch: None,
            on_error: header.on_error,
            retry: header.retry,
            timeout: Duration::from_secs(30),
            if_unknown: IfUnknown::Resend,
            references: Vec::new(),
        };
        let what = format!("step `{}`", entry.key);
        let Some(mut keys) = Keys::of(&entry.value, &what, &mut self.faults) else {
            return draft;
        };
        draft.name = keys
            .get("name")
            .and_then(|node| text(node, "`name`", &mut self.faults));
        keys.get("note");
        draft.then = self.exit(keys.entry("then"));
        draft.otherwise = self.exit(keys.entry("else"));
        draft.catch = self.exit(keys.entry("catch"));
        let faults = &mut self.faults;
        if let Some(found) = keys
            .get("on_error")
            .and_then(|node| header::on_error(node, faults))
        {
            draft.on_error = found;
        }
        if let Some(found) = keys
            .get("retry")
            .and_then(|node| header::retry(node, faults))
        {
            draft.retry = found;
        }
        if let Some(found) = keys
            .get("timeout")
            .and_then(|node| duration(node, "`timeout`", faults))
        {
            draft.timeout = found;
        }
        let unknown = [("resend", IfUnknown::Resend), ("fail", IfUnknown::Fail)];
        if let Some(found) = keys
            .get("if_unknown")
            .and_then(|node| choice(node, "`if_unknown`", &unknown, faults))
        {
            draft.if_unknown = found;
        }
        draft.script = keys.entry("script").and_then(|entry| self.script(entry));
        keys.not_yet(NOT_YET, &mut self.faults);
        if let Some(node) = keys.need("use", &what, &mut self.faults) {
            draft.kind = self.kind(node, &mut keys, &mut names);
        }
        draft.references = names.taken;
        keys.finish(&what, &mut self.faults);
        draft
    }

    fn exit(&mut self, entry: Option<&Entry>) -> Option<ExitDraft> {
        let entry = entry?;
        if matches!(entry.value.value, Value::List(_)) {
            self.faults
                .not_yet(entry.value.span, "a fork (an exit with several steps)");
            return None;
        }
        let to = text(&entry.value, &format!("`{}`", entry.key), &mut self.faults)?;
        Some(ExitDraft {
            to,
            span: entry.value.span,
            ix: None,
        })
    }

    fn kind(
        &mut self,
        node: &Node,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> Option<StepKind> {
        let used = text(node, "`use`", &mut self.faults)?;
        let Some((connection, method)) = used.split_once('.') else {
            return self.tool(&used, node, keys, names);
        };
        let connector = match self.input.lookup.connection(connection) {
            ConnectionLookup::Found(def) => def,
            ConnectionLookup::Undeclared(def) if def.needs_nothing() => def,
            ConnectionLookup::Undeclared(def) => {
                let fault = self.faults.warning(
                    "connection.undeclared",
                    node.span,
                    format!("connection `{connection}` is not declared"),
                );
                fault.hint(format!(
                    "declare it under `connections:` in velodrome.yaml, with `connector: {}`",
                    def.name
                ));
                def
            }
            ConnectionLookup::Unknown => {
                let message = format!("there is no connection `{connection}`");
                self.faults
                    .error("connection.unknown", node.span, message)
                    .hint("declare it under `connections:` in velodrome.yaml");
                return None;
            }
        };
        let Some(def) = connector.methods.get(method) else {
            let message = format!("connector `{}` has no method `{method}`", connector.name);
            let fault = self
                .faults
                .error("connector.unknown_method", node.span, message);
            match closest(method, connector.methods.keys().map(String::as_str)) {
                Some(meant) => fault.hint(format!("did you mean `{connection}.{meant}`?")),
                None => {
                    let known: Vec<&str> = connector.methods.keys().map(String::as_str).collect();
                    fault.hint(format!("it has {}", crate::keys::list(&known)));
                }
            }
            return None;
        };
        let kind = def.kind;
        let source = (
            connection.to_owned(),
            connector.name.clone(),
            connector.hash.clone(),
        );
        if !self.sources.connectors.contains(&source) {
            self.sources.connectors.push(source);
        }
        let method = MethodUse {
            connection: ConnectionId::from(connection),
            connector,
            method: method.to_owned(),
        };
        match kind {
            MethodKind::Webhook => Some(StepKind::Webhook(self.webhook(method.connection, keys))),
            MethodKind::UpdateWatermark => {
                let node = keys.need("of", "a watermark step", &mut self.faults)?;
                let of = text(node, "`of`", &mut self.faults)?;
                let of = names.step(&of, node.span, &mut self.faults)?;
                Some(StepKind::Watermark { of })
            }
            MethodKind::List => Some(StepKind::List(self.list(method, node.span, keys, names))),
            MethodKind::Request => Some(StepKind::Send(self.send(method, node.span, keys, names))),
        }
    }

    fn tool(
        &mut self,
        tool: &str,
        node: &Node,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> Option<StepKind> {
        match tool {
            "decision" => {
                let node = keys.need("if", "a decision", &mut self.faults)?;
                super::condition::read(node, names, &mut self.faults).map(StepKind::Decision)
            }
            "delay" => {
                let node = keys.need("for", "a delay", &mut self.faults)?;
                duration(node, "`for`", &mut self.faults).map(StepKind::Delay)
            }
            "stop" => {
                let message = keys
                    .get("message")
                    .and_then(|node| value(node, names, &mut self.faults));
                let words = [("succeeded", false), ("failed", true)];
                let failed = keys
                    .get("as")
                    .and_then(|node| choice(node, "`as`", &words, &mut self.faults));
                Some(StepKind::Stop {
                    message,
                    failed: failed.unwrap_or(false),
                })
            }
            tool if TOOLS_NOT_YET.contains(&tool) => {
                self.faults
                    .not_yet(node.span, &format!("the tool `{tool}`"));
                // Its own keys are not unknown.
                for key in [
                    "value", "cases", "at", "scope", "status", "headers", "body", "map",
                ] {
                    keys.get(key);
                }
                None
            }
            other => {
                let message = format!("`{other}` is neither a tool nor `connection.method`");
                let fault = self.faults.error("step.unknown_tool", node.span, message);
                match closest(other, TOOLS.iter().copied()) {
                    Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
                    None => fault.hint(
                        "a method is written `connection.method`, such as `generic_webhook.post`",
                    ),
                }
                None
            }
        }
    }

    fn webhook(&mut self, connection: ConnectionId, keys: &mut Keys<'_>) -> WebhookStep {
        keys.not_yet(WEBHOOK_NOT_YET, &mut self.faults);
        let faults = &mut self.faults;
        WebhookStep {
            connection,
            fields: keys
                .get("fields")
                .map_or_else(Vec::new, |node| super::fields::read(node, faults)),
            dedupe: keys
                .get("dedupe")
                .and_then(|node| super::fields::dedupe(node, faults)),
            auth: keys
                .get("auth")
                .map_or_else(Default::default, |node| super::fields::auth(node, faults)),
        }
    }

    /// The `map` of a step, against what its method takes.
    fn map(
        &mut self,
        method: &MethodUse,
        used: Span,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> Vec<(String, Expr)> {
        let def = method.def();
        let mut map = Vec::new();
        let mut mapped = Vec::new();
        if let Some(node) = keys.get("map") {
            let Value::Map(entries) = &node.value else {
                self.faults.error(
                    "value.type",
                    node.span,
                    format!("`map` must be a map, not {}", node.kind()),
                );
                return map;
            };
            for entry in entries {
                mapped.push(entry.key.as_str());
                if !def.inputs.contains_key(&entry.key) && !def.open_body {
                    let message = format!("`{}` takes no input `{}`", method.method, entry.key);
                    let fault = self
                        .faults
                        .error("step.unknown_input", entry.key_span, message);
                    match closest(&entry.key, def.inputs.keys().map(String::as_str)) {
                        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
                        None => {
                            let known: Vec<&str> = def.inputs.keys().map(String::as_str).collect();
                            fault.hint(format!("it takes {}", crate::keys::list(&known)));
                        }
                    }
                    continue;
                }
                if let Some(expr) = value(&entry.value, names, &mut self.faults) {
                    map.push((entry.key.clone(), expr));
                }
            }
        }
        for (name, input) in &def.inputs {
            if input.required && input.default.is_none() && !mapped.contains(&name.as_str()) {
                let message = format!("`{}` needs the input `{name}`", method.method);
                self.faults
                    .error("step.missing_input", used, message)
                    .hint(format!(
                        "add it under `map:`, such as `{name}: ${{webhook.{name}}}`"
                    ));
            }
        }
        map
    }

    fn list(
        &mut self,
        method: MethodUse,
        used: Span,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> ListStep {
        let map = self.map(&method, used, keys, names);
        let first_run = keys.get("first_run").and_then(|node| {
            let text = text(node, "`first_run`", &mut self.faults)?;
            match (text.as_str(), Timestamp::parse(&text)) {
                ("now", _) => Some(FirstRun::Now),
                (_, Ok(date)) => Some(FirstRun::From(date)),
                _ => {
                    let message = format!("`first_run` is `now` or a date, not `{text}`");
                    self.faults
                        .error("value.date", node.span, message)
                        .hint("write a date as \"2026-11-23T12:00:00Z\"");
                    None
                }
            }
        });
        ListStep {
            method,
            map,
            first_run: first_run.unwrap_or_default(),
        }
    }

    fn send(
        &mut self,
        method: MethodUse,
        used: Span,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> SendStep {
        let map = self.map(&method, used, keys, names);
        let takes_url = method.def().path.is_none();
        let url = keys.get("url").and_then(|node| {
            if !takes_url {
                let message = format!(
                    "`{}` knows its URL: `url` is for methods such as `post`",
                    method.method
                );
                self.faults.error("field.unknown", node.span, message);
            }
            value(node, names, &mut self.faults)
        });
        if takes_url && url.is_none() {
            self.faults.error(
                "field.missing",
                used,
                format!("`{}` needs a `url`", method.method),
            );
        }
        let target = url.as_ref().and_then(|url| names.target(url));
        let mut named = |key: &'static str, keys: &mut Keys<'_>, faults: &mut Faults| {
            keys.get(key)
                .map_or_else(Vec::new, |node| match &node.value {
                    Value::Map(entries) => entries
                        .iter()
                        .filter_map(|entry| {
                            Some((entry.key.clone(), value(&entry.value, names, faults)?))
                        })
                        .collect(),
                    _ => {
                        faults.error(
                            "value.type",
                            node.span,
                            format!("`{key}` must be a map, not {}", node.kind()),
                        );
                        Vec::new()
                    }
                })
        };
        let query = named("query", keys, &mut self.faults);
        let headers = named("headers", keys, &mut self.faults);
        let words = [("direct", Handoff::Direct), ("http", Handoff::Http)];
        let handoff = keys
            .get("handoff")
            .and_then(|node| choice(node, "`handoff`", &words, &mut self.faults));
        keys.not_yet(&["ok"], &mut self.faults);
        SendStep {
            method,
            map,
            url,
            target,
            query,
            headers,
            handoff: handoff.unwrap_or_default(),
        }
    }
}

/// The webhook that a URL names by itself: `${step.url}` or `${hook:…}` alone.
pub(super) fn hook_of(url: &Expr, own: impl Fn(StepIx) -> HookTarget) -> Option<HookTarget> {
    let Expr::Ref(Reference { root, path, .. }) = url else {
        return None;
    };
    match (root, path.as_slice()) {
        (Root::Step(ix), [Segment::Key(key)]) if key == "url" => Some(own(*ix)),
        (Root::Hook(target), []) => Some(target.clone()),
        _ => None,
    }
}
