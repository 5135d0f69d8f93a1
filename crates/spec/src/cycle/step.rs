//! One step: the keys that every step has, and its exits as they are written.

use std::time::Duration;

use velodrome_types::{OnError, RetryPolicy, StepId, check_name};

use super::form::{ExitDraft, Exits, Form};
use super::header::Split;
use super::names::{CycleNames, ItemRead, StepRead};
use super::{Checker, header};
use crate::diagnostic::Span;
use crate::format;
use crate::keys::{Faults, Keys, choice, duration, text, truth, whole};
use crate::plan::{
    EachPlan, Forks, IfUnknown, Live, Step, StepIx, StepKind, StepScript, WaitScope,
};
use crate::values::value;
use crate::yaml::{Entry, Value};

/// A step that has been read; its exits are names still.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) id: StepId,
    pub(super) span: Span,
    name: Option<String>,
    /// What `use` says.
    pub(super) uses: String,
    /// What runs; `None` where `use` cannot be read or does not run yet.
    pub(super) kind: Option<StepKind>,
    pub(super) form: Form,
    /// Whether it runs once for each item of a list.
    pub(super) each: Option<EachPlan>,
    /// Whether `for_each` is written, be it right or not.
    pub(super) is_each: bool,
    /// Whether each item of its list goes on as a run of its own.
    pub(super) split: bool,
    own_split: Option<bool>,
    pub(super) script: Option<StepScript>,
    pub(super) exits: Exits,
    on_error: OnError,
    retry: RetryPolicy,
    timeout: Duration,
    if_unknown: IfUnknown,
    /// The list step whose date this one commits.
    pub(super) watermark: Option<(StepIx, Span)>,
    /// Keys that only a webhook in the middle of a cycle has, where they are written.
    pub(super) midway: Vec<(&'static str, Span)>,
    /// Every reference to a step that stands in this one.
    pub(super) references: Vec<StepRead>,
    /// Where it reads the item of a step before it that splits.
    pub(super) items: Vec<ItemRead>,
}

impl Draft {
    /// The cycle says that its first step splits; the step's own word counts for more.
    pub(super) fn split_by_cycle(&mut self) {
        let gives = matches!(self.form, Form::Webhook | Form::List { .. });
        self.split = self.own_split.unwrap_or(gives);
    }

    /// Whether it is a webhook each of whose requests makes a child run.
    pub(super) fn repeats(&self) -> bool {
        matches!(&self.kind, Some(StepKind::Webhook(webhook)) if webhook.repeat)
    }

    /// Whether a run that waits there for a request gives up some time.
    fn gives_up(&self) -> bool {
        matches!(&self.kind, Some(StepKind::Webhook(webhook)) if webhook.waits.is_some())
    }

    /// What is wrong with a webhook in the middle of a cycle.
    pub(super) fn check_midway(&self, faults: &mut Faults) {
        if let Some(exit) = self.exits.otherwise.first().filter(|_| !self.gives_up()) {
            let message = format!(
                "the run waits at `{}` until a request comes, and never leaves by `else`",
                self.id
            );
            faults
                .error("graph.no_else", exit.span, message)
                .hint("say how long it waits, such as `timeout: 3 days`, or remove `else`");
        }
    }

    /// What is wrong with a webhook that begins runs.
    pub(super) fn check_trigger(&self, faults: &mut Faults) {
        for (key, span) in &self.midway {
            let message = format!(
                "`{key}` is for a webhook in the middle of a cycle: no run waits at the trigger"
            );
            faults
                .error("field.alone", *span, message)
                .hint("remove it, or lead an exit of another step here");
        }
        if let Some(exit) = self.exits.otherwise.first() {
            let message = format!("the trigger `{}` has no false exit", self.id);
            faults.error("graph.no_else", exit.span, message).hint(
                "a webhook leaves by `else` only in the middle of a cycle, when its time is up",
            );
        }
    }

    /// Whether it is a `wait_all`, and then whether of the whole cycle.
    pub(super) fn joins_all(&self) -> Option<bool> {
        match self.kind {
            Some(StepKind::WaitAll(scope)) => Some(scope == WaitScope::Cycle),
            _ => None,
        }
    }

    /// The step, unless its kind could not be read.
    pub(super) fn finish(self, live: Live) -> Option<Step> {
        let exit = |exits: Vec<ExitDraft>| {
            let mut exits = exits.into_iter().filter_map(|exit| exit.ix);
            (exits.next(), exits.collect::<Vec<_>>())
        };
        let (then, beside_then) = exit(self.exits.then);
        let (otherwise, beside_otherwise) = exit(self.exits.otherwise);
        let (catch, beside_catch) = exit(self.exits.catch);
        let mut kind = self.kind?;
        if let StepKind::Switch(switch) = &mut kind {
            let cases = self.exits.cases.into_iter();
            switch.cases = cases
                .filter_map(|(text, exit)| Some((text.to_lowercase(), exit.ix?)))
                .collect();
        }
        Some(Step {
            name: self.name.unwrap_or_else(|| self.id.to_string()),
            id: self.id,
            kind,
            script: self.script,
            then,
            otherwise,
            catch,
            forks: Forks {
                then: beside_then,
                otherwise: beside_otherwise,
                catch: beside_catch,
            },
            split: self.split,
            on_error: self.on_error,
            retry: self.retry,
            timeout: self.timeout,
            if_unknown: self.if_unknown,
            each: self.each,
            live,
            line: self.span.line,
        })
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
        if let Some(first) = entries.get(usize::from(u16::MAX)) {
            let message = "a cycle has more than 65,535 steps";
            self.faults
                .error("graph.too_many_steps", first.key_span, message);
            return Vec::new();
        }
        let mut names = CycleNames::new(&ids, header, self.input.lookup, self.input.script_file);
        names.scripts = Some(self.script_place(header.language));
        let mut drafts: Vec<Draft> = entries
            .iter()
            .map(|entry| self.draft(entry, names.clone(), header))
            .collect();
        for draft in &mut drafts {
            for exit in draft.exits.all_mut() {
                let at = ids.iter().position(|id| id.as_str() == exit.to);
                exit.ix = at.map(|at| StepIx(at as u16));
            }
        }
        drafts
    }

    fn draft(
        &mut self,
        entry: &Entry,
        mut names: CycleNames<'_>,
        header: &header::Header,
    ) -> Draft {
        let mut draft = Draft {
            id: StepId::from(entry.key.as_str()),
            span: entry.key_span,
            name: None,
            uses: String::new(),
            kind: None,
            form: Form::Unknown,
            each: None,
            is_each: false,
            split: false,
            own_split: None,
            script: None,
            exits: Exits::default(),
            on_error: header.on_error,
            retry: header.retry,
            timeout: Duration::from_secs(30),
            if_unknown: IfUnknown::Resend,
            watermark: None,
            midway: Vec::new(),
            references: Vec::new(),
            items: Vec::new(),
        };
        let what = format!("step `{}`", entry.key);
        let Some(mut keys) = Keys::in_table(&entry.value, &format::COMMON, &what, &mut self.faults)
        else {
            return draft;
        };
        draft.name = keys
            .get("name")
            .and_then(|node| text(node, "`name`", &mut self.faults));
        keys.get("note");
        draft.exits.then = self.exits(keys.entry("then"));
        draft.exits.otherwise = self.exits(keys.entry("else"));
        draft.exits.catch = self.exits(keys.entry("catch"));
        self.on_failure(&mut draft, &mut keys);
        draft.is_each = keys.get("for_each").is_some();
        draft.each = self.for_each(&mut keys, &mut names);
        let script = keys.entry("script");
        draft.script = script.and_then(|entry| self.script(entry, header.language));
        if let Some(node) = keys.need("use", &what, &mut self.faults) {
            self.kind(node, &mut draft, &mut keys, &mut names);
            let midway = ["match", "repeat"].into_iter();
            draft.midway = midway
                .filter_map(|key| Some((key, keys.span_of(key)?)))
                .collect();
            self.each_fits(&draft, &keys);
            (draft.own_split, draft.split) = self.splits(&draft, &mut keys, header.split);
            if let (Some(script), Some(entry)) = (&draft.script, script) {
                let hands_off = draft.kind.as_ref().is_some_and(StepKind::hands_off);
                let called = match hands_off {
                    true => super::form::HANDOFF_HANDLERS,
                    false => draft.form.handlers(),
                };
                if draft.form != Form::Unknown {
                    self.handlers(called, script, entry);
                }
            }
            if draft.form != Form::Unknown {
                keys.finish(&what, &mut self.faults);
            }
        }
        draft.watermark = names.watermark;
        draft.references = names.taken;
        draft.items = names.items;
        for (path, text) in &names.files {
            self.sources.add_file(path, text);
        }
        self.secrets.extend(names.secrets);
        draft
    }

    fn on_failure(&mut self, draft: &mut Draft, keys: &mut Keys<'_>) {
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
    }

    /// Whether the step splits: its own word, and what comes of that and the cycle's.
    fn splits(
        &mut self,
        draft: &Draft,
        keys: &mut Keys<'_>,
        header: Split,
    ) -> (Option<bool>, bool) {
        let own = keys
            .get("split")
            .and_then(|node| truth(node, "`split`", &mut self.faults));
        let gives_items = draft.form.gives_list() && !draft.is_each;
        if own == Some(true)
            && !gives_items
            && draft.form != Form::Unknown
            && let Some(span) = keys.span_of("split")
        {
            let message = format!("step `{}` gives no list that could be split", draft.id);
            self.faults
                .error("graph.no_split", span, message)
                .hint("a list step splits its records; a `script` step and a method whose answer is not described split the list that they give");
        }
        // What is not written of a step falls on lists only: others give one only now and then.
        let by_cycle = header == Split::AllSteps && matches!(draft.form, Form::List { .. });
        (own, gives_items && own.unwrap_or(by_cycle))
    }

    /// `for_each` and the keys that mean nothing without it.
    fn for_each(&mut self, keys: &mut Keys<'_>, names: &mut CycleNames<'_>) -> Option<EachPlan> {
        let mut list = None;
        let each = keys.get("for_each");
        if let Some(node) = each {
            let may_be = match &node.value {
                Value::List(_) => true,
                _ => node
                    .scalar()
                    .is_some_and(|scalar| scalar.text.contains("${")),
            };
            if may_be {
                list = value(node, names, &mut self.faults);
                if let Some(list) = &list {
                    let why = "each item is kept with the run";
                    self.no_secret([list], node.span, why);
                }
            } else {
                let message = format!("`for_each` must be a list, not {}", node.kind());
                self.faults
                    .error("value.type", node.span, message)
                    .hint("name a list: `${contacts.records}`");
            }
            names.in_each = true;
        }
        let parallel = keys
            .get("parallel")
            .and_then(|node| whole(node, "`parallel`", 1, &mut self.faults))
            .unwrap_or(1);
        let skip_failures = keys
            .get("skip_failures")
            .and_then(|node| truth(node, "`skip_failures`", &mut self.faults))
            .unwrap_or(false);
        for key in ["parallel", "skip_failures"] {
            if let (None, Some(entry)) = (each, keys.entry(key)) {
                let message = format!("`{key}` means something with `for_each` only");
                self.faults
                    .error("field.alone", entry.key_span, message)
                    .hint("add `for_each: ${contacts.records}`, or remove it");
            }
        }
        Some(EachPlan {
            list: list?,
            parallel: u32::try_from(parallel).unwrap_or(u32::MAX),
            skip_failures,
        })
    }

    /// Methods and scripts run once for each item, tools do not; nor a list that has one date for all.
    fn each_fits(&mut self, draft: &Draft, keys: &Keys<'_>) {
        let Some(span) = keys.span_of("for_each") else {
            return;
        };
        let incremental = match &draft.kind {
            Some(StepKind::List(list)) => list.method.def().incremental.is_some(),
            _ => false,
        };
        match draft.form {
            Form::List { .. } if incremental => {
                let message = "`for_each` is not for a list of what has changed: its date is one for all items";
                self.faults
                    .error("for_each.incremental", span, message)
                    .hint("use a list without a date of its own, or begin a loop for each item: `for_each` at a step that posts to `${hook:…}`");
            }
            Form::Send { .. } | Form::List { .. } | Form::Script | Form::Unknown => {}
            _ => {
                let message = "`for_each` is for methods and for `script`";
                self.faults.error("field.alone", span, message);
            }
        }
    }

    fn exits(&mut self, entry: Option<&Entry>) -> Vec<ExitDraft> {
        let Some(entry) = entry else {
            return Vec::new();
        };
        let what = format!("`{}`", entry.key);
        match &entry.value.value {
            Value::List(items) => {
                let exits: Vec<ExitDraft> = items
                    .iter()
                    .filter_map(|item| exit(item, &what, &mut self.faults))
                    .collect();
                for (at, exit) in exits.iter().enumerate() {
                    if exits[..at].iter().any(|other| other.to == exit.to) {
                        let message = format!("`{}` stands in this fork twice", exit.to);
                        self.faults.error("graph.fork_twice", exit.span, message);
                    }
                }
                exits
            }
            _ => exit(&entry.value, &what, &mut self.faults)
                .into_iter()
                .collect(),
        }
    }
}

/// One exit: the id of a step.
pub(super) fn exit(node: &crate::yaml::Node, what: &str, faults: &mut Faults) -> Option<ExitDraft> {
    let to = text(node, what, faults)?;
    Some(ExitDraft {
        to,
        span: node.span,
        ix: None,
    })
}
