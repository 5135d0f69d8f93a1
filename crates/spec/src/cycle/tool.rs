//! `use` with a tool.

use super::Checker;
use super::form::Form;
use super::names::CycleNames;
use super::step::{Draft, exit};
use crate::expr::Expr;
use crate::format;
use crate::keys::{Keys, choice, closest, duration, list, text};
use crate::plan::{DatePlan, RespondStep, StepKind, SwitchStep, WaitScope};
use crate::values::{named, value};
use crate::yaml::{Node, Value};

/// Headers that say how an answer is carried.
const OWN_HEADERS: &[&str] = &["content-length", "transfer-encoding", "connection"];

impl Checker<'_> {
    /// Reads `use` and the keys that come with it.
    pub(super) fn kind(
        &mut self,
        node: &Node,
        draft: &mut Draft,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) {
        let Some(used) = text(node, "`use`", &mut self.faults) else {
            return;
        };
        draft.uses.clone_from(&used);
        if let Some((connection, method)) = used.split_once('.') {
            draft.kind = self.method((connection, method), node, keys, names);
            if let Some(kind) = &draft.kind {
                draft.form = Form::of(kind);
                let script = draft.script.as_ref();
                let decides = script.is_some_and(|script| script.analysis.has("action_condition"));
                if decides && !kind.hands_off() {
                    draft.form = std::mem::replace(&mut draft.form, Form::Unknown).deciding();
                }
            }
            return;
        }
        let mut tools = format::KINDS.iter().filter(|kind| kind.tool);
        let Some(tool) = tools.clone().find(|tool| tool.uses == used) else {
            let message = format!("`{used}` is neither a tool nor `connection.method`");
            let fault = self.faults.error("step.unknown_tool", node.span, message);
            match closest(&used, tools.clone().map(|tool| tool.uses)) {
                Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
                None => {
                    let known: Vec<&str> = tools.by_ref().map(|tool| tool.uses).collect();
                    fault.hint(format!(
                        "a method is written `connection.method`, such as `generic_webhook.post`; the tools are {}",
                        list(&known)
                    ));
                }
            }
            return;
        };
        keys.also(tool.table);
        draft.form = match used.as_str() {
            "decision" => Form::Decision,
            "switch" => Form::Switch,
            "delay" | "wait_until" => Form::Wait,
            "wait_all" => Form::WaitAll,
            "respond" => Form::Respond,
            "script" => Form::Script,
            _ => Form::Stop,
        };
        draft.kind = self.tool(&used, draft, keys, names);
        if used != "script"
            && let Some(entry) = keys.entry("map")
        {
            let message = format!("`{used}` has no inputs");
            self.faults
                .error("field.unknown", entry.key_span, message)
                .hint("`map` is for methods and for `script`");
        }
    }

    /// The step that runs; `None` where there is a fault or the tool does not run yet.
    fn tool(
        &mut self,
        tool: &str,
        draft: &mut Draft,
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
                let message = keys.get("message").and_then(|node| {
                    let message = value(node, names, &mut self.faults)?;
                    self.no_secret([&message], node.span, "the message is shown to people");
                    Some(message)
                });
                let words = [("succeeded", false), ("failed", true)];
                let failed = keys
                    .get("as")
                    .and_then(|node| choice(node, "`as`", &words, &mut self.faults));
                Some(StepKind::Stop {
                    message,
                    failed: failed.unwrap_or(false),
                })
            }
            "switch" => {
                let looked_at = keys
                    .need("value", "a switch", &mut self.faults)
                    .and_then(|node| value(node, names, &mut self.faults));
                let node = keys.need("cases", "a switch", &mut self.faults)?;
                self.cases(node, draft);
                // Where the cases lead is known when all steps have been read.
                Some(StepKind::Switch(SwitchStep {
                    value: looked_at?,
                    cases: Vec::new(),
                }))
            }
            "wait_until" => {
                let node = keys.need("at", "a wait", &mut self.faults)?;
                let at = self.date(node, names)?;
                let zone = self.zone.clone();
                Some(StepKind::WaitUntil(DatePlan { at, zone }))
            }
            "wait_all" => {
                let words = [("lap", WaitScope::Lap), ("cycle", WaitScope::Cycle)];
                let scope = keys
                    .get("scope")
                    .and_then(|node| choice(node, "`scope`", &words, &mut self.faults));
                Some(StepKind::WaitAll(scope.unwrap_or_default()))
            }
            "respond" => Some(StepKind::Respond(self.respond(keys, names))),
            _ => {
                let map = keys.get("map").map_or_else(Vec::new, |node| {
                    let map = named(node, "`map`", names, &mut self.faults);
                    let why = "a script step sends nothing: what it returns is kept with the run";
                    self.no_secret(map.iter().map(|(_, expr)| expr), node.span, why);
                    map
                });
                let runs = draft
                    .script
                    .as_ref()
                    .is_none_or(|script| script.analysis.has("run"));
                if keys.get("script").is_none() || !runs {
                    let message = "a `script` step needs a script with `fn run()`";
                    self.faults.error("script.no_run", draft.span, message);
                }
                Some(StepKind::Script { map })
            }
        }
    }

    fn cases(&mut self, node: &Node, draft: &mut Draft) {
        let Value::Map(entries) = &node.value else {
            let message = format!(
                "`cases` must be a map from texts to steps, not {}",
                node.kind()
            );
            self.faults.error("value.type", node.span, message);
            return;
        };
        let mut seen: Vec<String> = Vec::new();
        for entry in entries {
            let lower = entry.key.to_lowercase();
            if seen.contains(&lower) {
                let message = format!("`{}` is the same case as one before it", entry.key);
                self.faults
                    .error("value.case_twice", entry.key_span, message)
                    .hint("cases are compared without regard to upper and lower case");
            }
            seen.push(lower);
            let to = exit(&entry.value, "a case", &mut self.faults);
            let cases = &mut draft.exits.cases;
            cases.extend(to.map(|to| (entry.key.clone(), to)));
        }
    }

    /// A date, or a reference that gives one while the run is on.
    fn date(&mut self, node: &Node, names: &mut CycleNames<'_>) -> Option<Expr> {
        let found = value(node, names, &mut self.faults)?;
        self.no_secret([&found], node.span, "the date is shown to people");
        if let Expr::Literal(literal) = &found {
            let text = literal.as_str();
            if text.is_none_or(|text| self.zone.parse(text).is_err()) {
                self.faults
                    .error("value.date", node.span, "`at` is no date")
                    .hint("write `2026-11-23T12:00:00Z`, or a reference to one");
                return None;
            }
        }
        Some(found)
    }

    fn respond(&mut self, keys: &mut Keys<'_>, names: &mut CycleNames<'_>) -> RespondStep {
        let status = keys.get("status").and_then(|node| {
            let status = value(node, names, &mut self.faults)?;
            let number = match &status {
                Expr::Literal(literal) => Some(literal.as_u64().unwrap_or(0)),
                _ => None,
            };
            if number.is_some_and(|status| !(200..=599).contains(&status)) {
                let message = "`status` must be a number from 200 to 599";
                self.faults.error("value.type", node.span, message);
            }
            Some(status)
        });
        let headers = keys.get("headers").map_or_else(Vec::new, |node| {
            let headers = super::method::headers(node, names, &mut self.faults);
            for (name, _) in &headers {
                if OWN_HEADERS.contains(&name.to_ascii_lowercase().as_str()) {
                    let message = format!("the header `{name}` is the server's own to write");
                    self.faults.error("request.bad_header", node.span, message);
                }
            }
            headers
        });
        let body = keys
            .get("body")
            .and_then(|node| value(node, names, &mut self.faults));
        let respond = RespondStep {
            status,
            headers,
            body,
        };
        let fields = respond.headers.iter().map(|(_, expr)| expr);
        let all: Vec<&Expr> = fields.chain(&respond.status).chain(&respond.body).collect();
        if let Some(span) = keys.span_of("body").or_else(|| keys.span_of("headers")) {
            let why = "the answer is remembered under its key";
            self.no_secret(all, span, why);
        }
        respond
    }
}
