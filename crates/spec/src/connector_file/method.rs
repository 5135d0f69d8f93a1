//! One method of a connector.

use std::collections::BTreeMap;
use std::time::Duration;

use velodrome_types::Json;

use super::{ConnectorNames, errors, one_or_more, pairs};
use crate::connector::{
    Advance, DateFormat, IncrementalDef, InputDef, Limits, MethodDef, MethodKind, PagingDef,
    RequestDefaults, ResponseDef, ResponseField, SendAs, TokenHandoff,
};
use crate::keys::{Faults, Keys, choice, duration, text, truth, whole};
use crate::plan::FieldKind;
use crate::values::value;
use crate::yaml::{Node, Value};

/// The types of inputs, as fields have them.
pub(super) const KINDS: &[(&str, FieldKind)] = crate::cycle::FIELD_KINDS;

pub(super) fn read(
    name: &str,
    node: &Node,
    names: &mut ConnectorNames,
    faults: &mut Faults,
) -> Option<MethodDef> {
    let what = format!("method `{name}`");
    let mut keys = Keys::of(node, &what, faults)?;
    let kinds = [
        ("webhook", MethodKind::Webhook),
        ("list", MethodKind::List),
        ("request", MethodKind::Request),
        ("update_watermark", MethodKind::UpdateWatermark),
    ];
    let kind = keys
        .need("kind", &what, faults)
        .and_then(|node| choice(node, "`kind`", &kinds, faults))?;
    let inputs = keys
        .get("inputs")
        .map_or_else(BTreeMap::new, |node| inputs(node, faults));
    names.inputs = inputs.keys().cloned().collect();
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
    let method = MethodDef {
        name: name.to_owned(),
        title: keys
            .get("title")
            .and_then(|node| text(node, "`title`", faults))
            .unwrap_or_else(|| name.to_owned()),
        kind,
        verb,
        path: keys.get("path").and_then(|node| value(node, names, faults)),
        request,
        body: keys.get("body").and_then(|node| value(node, names, faults)),
        inputs,
        open_body: keys
            .get("open_body")
            .and_then(|node| truth(node, "`open_body`", faults))
            .unwrap_or(false),
        response: keys.get("response").map_or_else(
            || ResponseDef {
                open: true,
                ..ResponseDef::default()
            },
            |node| response(node, faults),
        ),
        paging: keys
            .get("paging")
            .map_or(PagingDef::None, |node| paging(node, faults)),
        incremental: keys
            .get("incremental")
            .and_then(|node| incremental(node, faults)),
        errors: keys
            .get("errors")
            .map_or_else(Vec::new, |node| errors(node, faults)),
        limits: keys
            .get("limits")
            .map_or_else(Limits::default, |node| super::limits::read(node, faults)),
        two_exits: keys
            .get("two_exits")
            .and_then(|node| truth(node, "`two_exits`", faults))
            .unwrap_or(kind == MethodKind::List),
    };
    keys.finish(&what, faults);
    names.inputs.clear();
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
        let Some(mut keys) = Keys::of(&entry.value, &what, faults) else {
            continue;
        };
        let send_as = sent(&mut keys, faults).unwrap_or(SendAs::Nowhere);
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

/// `query: name`, `header: name` or `field: name`.
fn sent(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<SendAs> {
    let query = keys
        .get("query")
        .and_then(|node| text(node, "`query`", faults))
        .map(SendAs::Query);
    let header = keys
        .get("header")
        .and_then(|node| text(node, "`header`", faults))
        .map(SendAs::Header);
    let field = keys
        .get("field")
        .and_then(|node| text(node, "`field`", faults))
        .map(SendAs::Body);
    query.or(header).or(field)
}

fn response(node: &Node, faults: &mut Faults) -> ResponseDef {
    let Some(mut keys) = Keys::of(node, "`response`", faults) else {
        return ResponseDef::default();
    };
    let records = keys
        .get("records")
        .and_then(|node| text(node, "`records`", faults));
    let mut fields = BTreeMap::new();
    if let Some(Value::Map(entries)) = keys.get("fields").map(|node| &node.value) {
        for entry in entries {
            let what = format!("field `{}`", entry.key);
            let Some(mut keys) = Keys::of(&entry.value, &what, faults) else {
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

fn paging(node: &Node, faults: &mut Faults) -> PagingDef {
    match node.scalar().map(|scalar| scalar.text.as_str()) {
        Some("none") => return PagingDef::None,
        Some("by_hand") => return PagingDef::ByHand { handoff: None },
        _ => {}
    }
    let Some(mut keys) = Keys::of(node, "`paging`", faults) else {
        return PagingDef::None;
    };
    let words = [
        ("by_hand", true),
        ("page", false),
        ("offset", false),
        ("cursor", false),
        ("last_record", false),
        ("link_header", false),
        ("next_url", false),
        ("keyset", false),
    ];
    if let Some(node) = keys.need("style", "`paging`", faults)
        && choice(node, "`style`", &words, faults) == Some(false)
    {
        faults.not_yet(node.span, "paging by the engine");
    }
    let handoff = keys.get("handoff").and_then(|node| handoff(node, faults));
    keys.finish("`paging`", faults);
    PagingDef::ByHand { handoff }
}

fn handoff(node: &Node, faults: &mut Faults) -> Option<TokenHandoff> {
    let mut keys = Keys::of(node, "`handoff`", faults)?;
    let need = |key: &'static str, keys: &mut Keys<'_>, faults: &mut Faults| {
        keys.need(key, "`handoff`", faults)
            .and_then(|node| text(node, key, faults))
    };
    let page = need("page", &mut keys, faults);
    let token = need("token", &mut keys, faults);
    let send = need("send", &mut keys, faults);
    let reach = keys
        .need("reach", "`handoff`", faults)
        .and_then(|node| whole(node, "`reach`", 1, faults));
    let per_page = keys
        .need("per_page", "`handoff`", faults)
        .and_then(|node| whole(node, "`per_page`", 1, faults));
    let when = keys.get("when").and_then(|node| {
        let mut keys = Keys::of(node, "`when`", faults)?;
        let setting = keys
            .need("setting", "`when`", faults)
            .and_then(|node| text(node, "`setting`", faults));
        let values: Vec<Json> = keys
            .get("in")
            .into_iter()
            .flat_map(one_or_more)
            .map(Node::to_json)
            .collect();
        keys.finish("`when`", faults);
        Some((setting?, values))
    });
    keys.finish("`handoff`", faults);
    Some(TokenHandoff {
        page: page?,
        reach: reach?,
        per_page: per_page?,
        token: token?,
        send: send?,
        when,
    })
}

fn incremental(node: &Node, faults: &mut Faults) -> Option<IncrementalDef> {
    let mut keys = Keys::of(node, "`incremental`", faults)?;
    let field = keys
        .need("by", "`incremental`", faults)
        .and_then(|node| text(node, "`by`", faults));
    let send_as = sent(&mut keys, faults);
    let formats = [
        ("iso8601_offset_seconds", DateFormat::Iso8601OffsetSeconds),
        ("iso8601_utc_seconds", DateFormat::Iso8601UtcSeconds),
        ("unix_seconds", DateFormat::UnixSeconds),
    ];
    let format = keys
        .need("format", "`incremental`", faults)
        .and_then(|node| choice(node, "`format`", &formats, faults));
    let key: Vec<String> = keys
        .get("key")
        .into_iter()
        .flat_map(one_or_more)
        .filter_map(|node| text(node, "`key`", faults))
        .collect();
    let overlap = keys
        .get("overlap")
        .and_then(|node| duration(node, "`overlap`", faults))
        .unwrap_or(Duration::ZERO);
    let words = [
        ("by_step", Advance::ByStep),
        ("on_success", Advance::OnSuccess),
    ];
    let advance = keys
        .get("advance")
        .and_then(|node| choice(node, "`advance`", &words, faults));
    keys.finish("`incremental`", faults);
    Some(IncrementalDef {
        field: field?,
        send_as: send_as?,
        format: format?,
        key,
        overlap,
        advance: advance.unwrap_or(Advance::OnSuccess),
    })
}
