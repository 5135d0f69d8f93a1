//! One method of a connector.

use std::collections::BTreeMap;

use velodrome_types::Json;

use super::{ConnectorNames, Scripts, errors, incremental, paging, pairs, storage};
use crate::connector::{
    InputDef, Limits, MethodDef, MethodKind, PagingDef, RequestDefaults, ResponseDef,
    ResponseField, SendAs, StorageDoes,
};
use crate::cycle::{REQUEST_HANDLERS as REQUEST, WEBHOOK_HANDLERS as WEBHOOK};
use crate::format::{INPUT, METHOD, RESPONSE, RESPONSE_FIELD};
use crate::keys::{Faults, Keys, choice, text, truth};
use crate::plan::FieldKind;
use crate::values::value;
use crate::yaml::{Entry, Node, Value};

/// The types of inputs, as fields have them.
pub(super) const KINDS: &[(&str, FieldKind)] = crate::cycle::FIELD_KINDS;

pub(super) fn read(
    entry: &Entry,
    names: &mut ConnectorNames,
    scripts: &mut Scripts<'_>,
    faults: &mut Faults,
) -> Option<MethodDef> {
    let (name, node) = (entry.key.as_str(), &entry.value);
    let what = format!("method `{name}`");
    let mut keys = Keys::in_table(node, &METHOD, &what, faults)?;
    let kinds = [
        ("webhook", MethodKind::Webhook),
        ("list", MethodKind::List),
        ("request", MethodKind::Request),
        ("update_watermark", MethodKind::UpdateWatermark),
        ("storage", MethodKind::Storage(StorageDoes::Get)),
    ];
    let kind = keys
        .need("kind", &what, faults)
        .and_then(|node| choice(node, "`kind`", &kinds, faults))?;
    let does = match kind {
        MethodKind::Storage(_) => Some(storage::does(&what, &mut keys, faults)?),
        _ => None,
    };
    let kind = does.map_or(kind, MethodKind::Storage);
    let written = keys.get("inputs");
    let inputs = match (does, written) {
        (Some(does), _) => storage::inputs(does),
        (None, Some(node)) => inputs(node, faults),
        (None, None) => BTreeMap::new(),
    };
    names.inputs = inputs.keys().cloned().collect();
    let (paging, incremental) = (keys.get("paging"), keys.get("incremental"));
    names.last = paging::last_names(paging);
    names.since = incremental.map(|_| false);
    let asks = matches!(kind, MethodKind::List | MethodKind::Request);
    let verb = keys
        .get("verb")
        .and_then(|node| text(node, "`verb`", faults))
        .unwrap_or_default();
    if asks
        && !matches!(
            verb.as_str(),
            "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE"
        )
    {
        faults.error(
            "connector.verb",
            keys.span,
            format!("{what} needs a `verb`, such as GET"),
        );
    }
    let request = RequestDefaults {
        headers: keys
            .get("headers")
            .map_or_else(Vec::new, |node| pairs(node, names, faults)),
        query: keys
            .get("query")
            .map_or_else(Vec::new, |node| pairs(node, names, faults)),
    };
    let path = keys.get("path").and_then(|node| value(node, names, faults));
    let body = keys.get("body").and_then(|node| value(node, names, faults));
    let in_values = names.since == Some(true);
    let script = keys.entry("script").and_then(|entry| {
        let handlers = match kind {
            MethodKind::Webhook => WEBHOOK,
            MethodKind::List | MethodKind::Request => REQUEST,
            MethodKind::UpdateWatermark | MethodKind::Storage(_) => &[],
        };
        scripts.read(entry, (handlers, "of this method"), faults)
    });
    let decides = asks && scripts.decide(script.as_ref());
    let method = MethodDef {
        name: name.to_owned(),
        title: keys
            .get("title")
            .and_then(|node| text(node, "`title`", faults))
            .unwrap_or_else(|| name.to_owned()),
        kind,
        verb,
        path,
        request,
        body,
        inputs,
        open_body: keys
            .get("open_body")
            .and_then(|node| truth(node, "`open_body`", faults))
            .unwrap_or(false),
        response: match (does, keys.get("response")) {
            (Some(does), _) => storage::response(does),
            (None, Some(node)) => response(node, faults),
            (None, None) => ResponseDef {
                open: true,
                ..ResponseDef::default()
            },
        },
        paging: paging.map_or(PagingDef::None, |node| paging::read(node, faults)),
        incremental: incremental.and_then(|node| incremental::read(node, in_values, faults)),
        errors: keys
            .get("errors")
            .map_or_else(Vec::new, |node| errors::rules(node, faults)),
        limits: keys
            .get("limits")
            .map_or_else(Limits::default, |node| super::limits::read(node, faults)),
        two_exits: keys
            .get("two_exits")
            .and_then(|node| truth(node, "`two_exits`", faults))
            .unwrap_or(kind == MethodKind::List)
            || decides,
        script,
    };
    keys.finish(&what, faults);
    names.inputs.clear();
    names.last.clear();
    names.since = None;
    if method.paging.pager().is_some()
        && (kind != MethodKind::List || method.response.records.is_none())
    {
        let message = format!(
            "{what} pages, so it is a `list` whose `response` says where its `records` are"
        );
        faults.error("paging.no_records", node.span, message);
    }
    Some(method)
}

fn inputs(node: &Node, faults: &mut Faults) -> BTreeMap<String, InputDef> {
    let Value::Map(entries) = &node.value else {
        faults.error(
            "value.type",
            node.span,
            format!("`inputs` must be a map, not {}", node.kind()),
        );
        return BTreeMap::new();
    };
    let mut inputs = BTreeMap::new();
    for entry in entries {
        let what = format!("input `{}`", entry.key);
        let Some(mut keys) = Keys::in_table(&entry.value, &INPUT, &what, faults) else {
            continue;
        };
        let sent = sent(&mut keys, faults);
        let to_scripts = keys.get("script").and_then(|node| {
            if sent.is_some() {
                let message = "`script` beside another place: it is sent to one";
                faults.error("field.alone", node.span, message);
            }
            text(node, "`script`", faults).map(SendAs::Script)
        });
        let send_as = to_scripts.or(sent).unwrap_or(SendAs::Nowhere);
        let input = InputDef {
            title: keys
                .get("title")
                .and_then(|node| text(node, "`title`", faults))
                .unwrap_or_else(|| entry.key.clone()),
            kind: keys
                .get("type")
                .and_then(|node| choice(node, "`type`", KINDS, faults))
                .unwrap_or(FieldKind::Any),
            required: keys
                .get("required")
                .and_then(|node| truth(node, "`required`", faults))
                .unwrap_or(false),
            default: keys.get("default").map(Node::to_json),
            send_as,
        };
        keys.finish(&what, faults);
        inputs.insert(entry.key.clone(), input);
    }
    inputs
}

/// `query: name`, `header: name` or `field: name`; one of them.
pub(super) fn sent(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<SendAs> {
    let mut found = None;
    for key in ["query", "header", "field"] {
        let place = match key {
            "query" => SendAs::Query,
            "header" => SendAs::Header,
            _ => SendAs::Body,
        };
        let Some(node) = keys.get(key) else { continue };
        if found.is_some() {
            let message = format!("`{key}` beside another place: it is sent to one");
            faults.error("field.alone", node.span, message);
        }
        found = text(node, &format!("`{key}`"), faults).map(place);
    }
    found
}

fn response(node: &Node, faults: &mut Faults) -> ResponseDef {
    let Some(mut keys) = Keys::in_table(node, &RESPONSE, "`response`", faults) else {
        return ResponseDef::default();
    };
    let records = keys
        .get("records")
        .and_then(|node| text(node, "`records`", faults));
    let mut fields = BTreeMap::new();
    if let Some(Value::Map(entries)) = keys.get("fields").map(|node| &node.value) {
        for entry in entries {
            let what = format!("field `{}`", entry.key);
            let Some(mut keys) = Keys::in_table(&entry.value, &RESPONSE_FIELD, &what, faults)
            else {
                continue;
            };
            let path = keys
                .need("path", &what, faults)
                .and_then(|node| text(node, "`path`", faults));
            let field = ResponseField {
                title: keys
                    .get("title")
                    .and_then(|node| text(node, "`title`", faults))
                    .unwrap_or_else(|| entry.key.clone()),
                path: path.unwrap_or_default(),
                when_empty: keys.get("when_empty").map_or(Json::Null, Node::to_json),
            };
            keys.get("type");
            keys.finish(&what, faults);
            fields.insert(entry.key.clone(), field);
        }
    }
    let open = keys
        .get("open")
        .and_then(|node| truth(node, "`open`", faults))
        .unwrap_or(false);
    keys.finish("`response`", faults);
    ResponseDef {
        records,
        fields,
        open,
    }
}
