//! `use` with a method of a connection.

use velodrome_types::{ConnectionId, Json, Timestamp};

use super::names::CycleNames;
use super::{Checker, ConnectionLookup};
use crate::callers;
use crate::connector::{MethodKind, StatusMatch, StorageScope};
use crate::connector_file::SCOPE;
use crate::diagnostic::Span;
use crate::expr::{Expr, HookTarget, Reference, Root, Segment};
use crate::format;
use crate::keys::{Faults, Keys, choice, closest, duration, list, text};
use crate::plan::{
    FieldKind, FirstRun, Handoff, ListStep, MethodUse, SendStep, StepIx, StepKind, StorageStep,
    WebhookStep,
};
use crate::values::{named, value};
use crate::yaml::{Node, Value};

impl Checker<'_> {
    /// Reads a step that uses `connection.method`.
    pub(super) fn method(
        &mut self,
        (connection, method): (&str, &str),
        node: &Node,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> Option<StepKind> {
        let used = node.span;
        let method = self.method_use(connection, method, node)?;
        match method.def().kind {
            MethodKind::Webhook => {
                keys.also(&format::WEBHOOK);
                self.no_map(keys, "a webhook takes what comes");
                let webhook = self.webhook(method, used, keys, names);
                Some(StepKind::Webhook(webhook))
            }
            MethodKind::UpdateWatermark => {
                keys.also(&format::WATERMARK);
                self.no_map(keys, "a watermark step has `of` only");
                let node = keys.need("of", "a watermark step", &mut self.faults)?;
                let of = text(node, "`of`", &mut self.faults)?;
                let of = names.step(&of, node.span, &mut self.faults)?;
                names.watermark = Some((of, node.span));
                Some(StepKind::Watermark { of })
            }
            MethodKind::List => {
                keys.also(&format::LIST);
                Some(StepKind::List(self.list(method, used, keys, names)))
            }
            MethodKind::Storage(does) => {
                keys.also(&format::STORAGE);
                let map = self.map(&method, used, keys, names);
                self.storage_map(&map, keys);
                Some(StepKind::Storage(StorageStep { method, does, map }))
            }
            MethodKind::Request => {
                keys.also(&format::SEND);
                Some(StepKind::Send(self.send(method, used, keys, names)))
            }
        }
    }

    fn method_use(&mut self, connection: &str, method: &str, node: &Node) -> Option<MethodUse> {
        let connection_span = node.inside(0, connection.len());
        let connector = match self.input.lookup.connection(connection) {
            ConnectionLookup::Found(def) => def,
            ConnectionLookup::Undeclared(def)
                if def.needs_nothing() || !self.undeclared.insert(connection.to_owned()) =>
            {
                def
            }
            ConnectionLookup::Undeclared(def) => {
                let message = format!("connection `{connection}` is not declared");
                self.faults
                    .warning("connection.undeclared", connection_span, message)
                    .hint(format!(
                        "declare it under `connections:` in velodrome.yaml, with `connector: {}`",
                        def.name
                    ));
                def
            }
            ConnectionLookup::Unknown => {
                let message = format!("there is no connection `{connection}`");
                let known = self.input.lookup.connections();
                let fault = self
                    .faults
                    .error("connection.unknown", connection_span, message);
                match closest(connection, known.iter().map(String::as_str)) {
                    Some(meant) => fault.hint(format!("did you mean `{meant}.{method}`?")),
                    None => fault.hint("declare it under `connections:` in velodrome.yaml"),
                }
                return None;
            }
        };
        if !connector.methods.contains_key(method) {
            let span = node.inside(connection.len() + 1, method.len());
            let message = format!("connector `{}` has no method `{method}`", connector.name);
            let fault = self.faults.error("connector.unknown_method", span, message);
            match closest(method, connector.methods.keys().map(String::as_str)) {
                Some(meant) => fault.hint(format!("did you mean `{connection}.{meant}`?")),
                None => {
                    let known: Vec<&str> = connector.methods.keys().map(String::as_str).collect();
                    fault.hint(format!("it has {}", list(&known)));
                }
            }
            return None;
        }
        let source = (
            connection.to_owned(),
            connector.name.clone(),
            connector.hash.clone(),
        );
        if !self.sources.connectors.contains(&source) {
            self.sources.connectors.push(source);
        }
        Some(MethodUse {
            connection: ConnectionId::from(connection),
            connector,
            method: method.to_owned(),
        })
    }

    /// The inputs of a storage step: a scope that is known must be one, and no secret may be kept.
    fn storage_map(&mut self, map: &[(String, Expr)], keys: &mut Keys<'_>) {
        let Some(node) = keys.get("map") else { return };
        let span = |name: &str| match &node.value {
            Value::Map(entries) => entries
                .iter()
                .find(|entry| entry.key == name)
                .map_or(node.span, |entry| entry.value.span),
            _ => node.span,
        };
        for (name, expr) in map {
            let why = "script storage is read by people and by every script of the connection";
            self.no_secret([expr], span(name), why);
            if name != SCOPE {
                continue;
            }
            if let Expr::Literal(Json::String(text)) = expr
                && StorageScope::named(text).is_none()
            {
                let known: Vec<&str> = StorageScope::ALL.iter().map(|(_, name)| *name).collect();
                let message = format!("`scope` is {}, not `{text}`", list(&known));
                self.faults.error("value.choice", span(name), message);
            }
        }
    }

    fn no_map(&mut self, keys: &mut Keys<'_>, why: &str) {
        if let Some(entry) = keys.entry("map") {
            self.faults
                .error("field.unknown", entry.key_span, "this step has no inputs")
                .hint(why);
        }
    }

    fn webhook(
        &mut self,
        method: MethodUse,
        used: Span,
        keys: &mut Keys<'_>,
        names: &mut CycleNames<'_>,
    ) -> WebhookStep {
        let faults = &mut self.faults;
        let matches = super::webhook::matches(keys, names, faults);
        let auth = keys.get("auth");
        if auth.is_none() && self.input.lookup.auth_needed() {
            let message = "this server can be reached from elsewhere, and nothing says who may call this webhook";
            faults.error("auth.unsaid", used, message).hint(
                "`auth: {bearer: {secret: \"${secret:hook}\"}}` or another kind; `auth: none` lets anybody; \
                 for all webhooks under `webhooks:` in velodrome.yaml",
            );
        }
        WebhookStep {
            method,
            respond_within: keys
                .get("respond_within")
                .and_then(|node| duration(node, "`respond_within`", faults)),
            fields: keys
                .get("fields")
                .map_or_else(Vec::new, |node| super::fields::read(node, faults)),
            dedupe: keys
                .get("dedupe")
                .and_then(|node| super::webhook::dedupe(node, faults)),
            auth: auth.map_or_else(Default::default, |node| callers::auth(node, names, faults)),
            allow_ips: keys.get("allow_ips").map_or_else(Vec::new, |node| {
                callers::addresses(node, "`allow_ips`", faults)
            }),
            origins: keys
                .get("origins")
                .map_or_else(Vec::new, |node| callers::origins(node, faults)),
            matches,
            repeat: super::webhook::repeat(keys, faults),
            waits: super::webhook::waits(keys, faults),
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
                let message = format!("`map` must be a map, not {}", node.kind());
                self.faults.error("value.type", node.span, message);
                return map;
            };
            for entry in entries {
                mapped.push(entry.key.as_str());
                let input = def.inputs.get(&entry.key);
                if input.is_none() && !def.open_body {
                    let message = format!("`{}` takes no input `{}`", method.method, entry.key);
                    let fault = self
                        .faults
                        .error("step.unknown_input", entry.key_span, message);
                    let known: Vec<&str> = def.inputs.keys().map(String::as_str).collect();
                    match closest(&entry.key, known.iter().copied()) {
                        Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
                        None if known.is_empty() => fault.hint("it takes none"),
                        None => fault.hint(format!("it takes {}", list(&known))),
                    }
                    continue;
                }
                if let Some(expr) = value(&entry.value, names, &mut self.faults) {
                    if let Some(input) = input {
                        self.input_type(&entry.key, input.kind, &expr, entry.value.span);
                    }
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

    /// A value that cannot be what the input takes: a literal of another type, or a list for one value.
    fn input_type(&mut self, name: &str, kind: FieldKind, expr: &Expr, span: Span) {
        let one = !matches!(kind, FieldKind::List | FieldKind::Any | FieldKind::Object);
        let lists = match expr {
            Expr::List(_) | Expr::Literal(Json::Array(_)) => true,
            Expr::Ref(reference) => {
                let records = matches!(
                    (&reference.root, reference.path.as_slice()),
                    (Root::Step(_), [Segment::Key(key)]) if key == "records"
                );
                records || reference.path.contains(&Segment::Each)
            }
            _ => false,
        };
        if one && lists {
            let message = format!("`{name}` takes one value, and this is a list");
            self.faults
                .error("value.list_for_one", span, message)
                .hint("to send each item: `for_each: ${…}` on the step, and `${item}` here");
            return;
        }
        let Expr::Literal(literal) = expr else { return };
        if super::fields::convert(kind, literal).is_none() && !literal.is_null() {
            let message = format!(
                "`{name}` must be {}, not `{}`",
                super::fields::word(kind),
                literal
                    .as_str()
                    .map_or_else(|| literal.to_string(), str::to_owned)
            );
            self.faults.error("step.input_type", span, message);
        }
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
        let url_node = keys.get("url");
        let url = url_node.and_then(|node| {
            if !takes_url {
                let message = format!(
                    "`{}` knows its URL: `url` is for methods such as `post`",
                    method.method
                );
                self.faults.error("field.unknown", node.span, message);
            }
            let url = value(node, names, &mut self.faults)?;
            check_url(&url, node, &mut self.faults);
            Some(url)
        });
        if takes_url && url_node.is_none() {
            let message = format!("`{}` needs a `url`", method.method);
            self.faults.error("field.missing", used, message);
        }
        let target = url.as_ref().and_then(|url| names.target(url));
        let query = keys.get("query").map_or_else(Vec::new, |node| {
            named(node, "`query`", names, &mut self.faults)
        });
        let headers = keys
            .get("headers")
            .map_or_else(Vec::new, |node| headers(node, names, &mut self.faults));
        if target.is_some() {
            let sent = [&map, &query, &headers].into_iter().flatten();
            let sent: Vec<&Expr> = sent.map(|(_, expr)| expr).collect();
            let span = url_node.map_or(used, |node| node.span);
            let why = "what is handed to a webhook of this server is kept with its run";
            self.no_secret(sent, span, why);
        }
        let words = [("direct", Handoff::Direct), ("http", Handoff::Http)];
        let handoff_node = keys.get("handoff");
        let handoff =
            handoff_node.and_then(|node| choice(node, "`handoff`", &words, &mut self.faults));
        if let (Some(node), None, Some(_)) = (handoff_node, &target, &url) {
            let message =
                "`handoff` means something only where `url` names a webhook of this server";
            self.faults
                .warning("field.alone", node.span, message)
                .hint("such as `url: ${webhook.url}` or `url: ${hook:CYCLE}`");
        }
        let ok = keys
            .get("ok")
            .map_or_else(Vec::new, |node| statuses(node, &mut self.faults));
        SendStep {
            method,
            map,
            url,
            target,
            query,
            headers,
            ok,
            handoff: handoff.unwrap_or_default(),
        }
    }
}

/// `headers:`; a line break in a literal is refused.
pub(super) fn headers(
    node: &Node,
    names: &mut CycleNames<'_>,
    faults: &mut Faults,
) -> Vec<(String, Expr)> {
    let headers = named(node, "`headers`", names, faults);
    if let Value::Map(entries) = &node.value {
        for entry in entries {
            let broken = |text: &str| text.contains(['\r', '\n']);
            if entry
                .value
                .scalar()
                .is_some_and(|scalar| broken(&scalar.text))
                || broken(&entry.key)
            {
                faults
                    .error(
                        "request.bad_header",
                        entry.value.span,
                        "a header has a line break",
                    )
                    .hint("write it in one line; `|-` and `>-` keep no line break at the end");
            }
            let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
            if entry.key.is_empty() || !entry.key.chars().all(token) {
                let message = format!("`{}` cannot name a header", entry.key);
                faults.error("request.bad_header", entry.key_span, message);
            }
        }
    }
    headers
}

/// A literal URL must be one.
fn check_url(url: &Expr, node: &Node, faults: &mut Faults) {
    if !may_be_url(url) {
        faults
            .error("value.url", node.span, "`url` must be a whole URL")
            .hint("such as `https://api.example.com/orders`, or `${webhook.url}` for the cycle's own webhook");
    }
}

/// Whether it is a whole URL, as far as it is known: a reference at its beginning may give anything.
pub(super) fn may_be_url(url: &Expr) -> bool {
    let begin = match url {
        Expr::Literal(Json::String(text)) => text.as_str(),
        Expr::Text(pieces) => match pieces.first() {
            Some(crate::expr::Piece::Text(text)) => text.as_str(),
            _ => return true,
        },
        Expr::Ref(_) => return true,
        _ => "",
    };
    let rest = begin
        .strip_prefix("https://")
        .or_else(|| begin.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        !(rest.is_empty() && !matches!(url, Expr::Text(_)) || rest.starts_with('/'))
    })
}

/// `404`, `4xx`, or a list of such.
fn statuses(node: &Node, faults: &mut Faults) -> Vec<StatusMatch> {
    if let Value::List(items) = &node.value {
        return items
            .iter()
            .flat_map(|item| statuses(item, faults))
            .collect();
    }
    let text = node.scalar().map_or("", |scalar| scalar.text.as_str());
    let found = match text.strip_suffix("xx") {
        Some(class) => class
            .parse()
            .ok()
            .filter(|class| (1..=5).contains(class))
            .map(StatusMatch::Class),
        None => text
            .parse()
            .ok()
            .filter(|status| (100..=599).contains(status))
            .map(StatusMatch::Is),
    };
    if found.is_none() {
        faults
            .error(
                "value.type",
                node.span,
                "`ok` takes statuses such as 404 or `4xx`",
            )
            .hint("2xx is always good");
    }
    found.into_iter().collect()
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
