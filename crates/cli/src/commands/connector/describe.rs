//! A connector as data: what `--json` prints, and what the form for people is made from.

use std::time::Duration;

use serde_json::{Value, json};
use velodrome_spec::connector::{
    Advance, AuthDef, DateFormat, IncrementalDef, InputDef, Limits, MethodDef, MethodKind, Pager,
    PagingDef, PagingStyle, SendAs,
};
use velodrome_spec::expr::{Expr, Piece};
use velodrome_spec::plan::FieldKind;
use velodrome_types::format_duration;

use crate::assemble::KnownConnector;

/// What a listing says of it.
pub(super) fn line(known: &KnownConnector) -> Value {
    let def = &known.def;
    json!({
        "connector": def.name,
        "title": def.title,
        "auth": auth(&def.auth),
        "methods": def.methods.len(),
        "from": from(known),
    })
}

/// All of it.
pub(super) fn whole(known: &KnownConnector) -> Value {
    let def = &known.def;
    let settings: Vec<Value> = def
        .settings
        .iter()
        .map(|(name, setting)| {
            json!({
                "name": name,
                "title": setting.title,
                "required": setting.default.is_none(),
                "default": setting.default,
                "values": setting.values,
                "secret": setting.secret,
            })
        })
        .collect();
    let methods: Vec<Value> = def.methods.values().map(method).collect();
    json!({
        "connector": def.name,
        "title": def.title,
        "docs": def.docs,
        "from": from(known),
        "auth": auth(&def.auth),
        "base_url": def.base_url.as_ref().map(said),
        "limits": limits(&def.limits),
        "settings": settings,
        "methods": methods,
    })
}

/// The file, or that it ships with the binary.
fn from(known: &KnownConnector) -> String {
    match &known.file {
        Some(file) => file.display().to_string(),
        None => "built in".to_owned(),
    }
}

fn auth(auth: &AuthDef) -> &'static str {
    match auth {
        AuthDef::None => "none",
        AuthDef::Bearer { .. } => "bearer",
        AuthDef::ApiKey { .. } => "api_key",
        AuthDef::Basic { .. } => "basic",
        AuthDef::OAuth2(_) => "oauth2",
    }
}

fn limits(limits: &Limits) -> Value {
    let rates: Vec<String> = limits
        .rates
        .iter()
        .map(|rate| format!("{} per {}", rate.requests, stretch(rate.per)))
        .collect();
    json!({"concurrent": limits.concurrent, "rate": rates})
}

/// `second`, or a length such as `10 s`.
fn stretch(per: Duration) -> String {
    match per.as_millis() {
        1_000 => "second".to_owned(),
        60_000 => "minute".to_owned(),
        3_600_000 => "hour".to_owned(),
        86_400_000 => "day".to_owned(),
        _ => format_duration(per),
    }
}

fn method(method: &MethodDef) -> Value {
    let inputs: Vec<Value> = method
        .inputs
        .iter()
        .map(|(name, def)| input(name, def))
        .collect();
    let response = &method.response;
    let fields: Vec<Value> = response
        .fields
        .iter()
        .map(|(name, field)| json!({"name": name, "title": field.title, "path": field.path}))
        .collect();
    json!({
        "name": method.name,
        "title": method.title,
        "kind": kind(method.kind),
        "verb": (!method.verb.is_empty()).then_some(&method.verb),
        "path": method.path.as_ref().map(said),
        "inputs": inputs,
        "open_body": method.open_body,
        "records": response.records,
        "fields": fields,
        "open": response.open,
        "paging": paging(&method.paging),
        "incremental": method.incremental.as_ref().map(incremental),
        "limits": limits(&method.limits),
        "exits": exits(method),
    })
}

fn input(name: &str, def: &InputDef) -> Value {
    json!({
        "name": name,
        "title": def.title,
        "type": typed(def.kind),
        "required": def.required,
        "default": def.default,
        "sent_as": place(&def.send_as),
    })
}

fn kind(kind: MethodKind) -> &'static str {
    match kind {
        MethodKind::Webhook => "webhook",
        MethodKind::List => "list",
        MethodKind::Request => "request",
        MethodKind::UpdateWatermark => "update_watermark",
        MethodKind::Storage(_) => "storage",
    }
}

/// The exits that a step of this method may have.
fn exits(method: &MethodDef) -> Vec<&'static str> {
    let mut exits = vec!["then"];
    if method.two_exits {
        exits.push("else");
    }
    if matches!(
        method.kind,
        MethodKind::List | MethodKind::Request | MethodKind::Storage(_)
    ) {
        exits.push("catch");
    }
    exits
}

fn typed(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Integer => "integer",
        FieldKind::Number => "number",
        FieldKind::Boolean => "boolean",
        FieldKind::Datetime => "datetime",
        FieldKind::Object => "object",
        FieldKind::List => "list",
        FieldKind::Any => "any",
    }
}

/// `query page`; null where it is part of the path or the body.
fn place(place: &SendAs) -> Option<String> {
    match place {
        SendAs::Query(name) => Some(format!("query {name}")),
        SendAs::Header(name) => Some(format!("header {name}")),
        SendAs::Body(name) => Some(format!("field {name}")),
        SendAs::Script(name) => Some(format!("script parameter {name}")),
        SendAs::Nowhere => None,
    }
}

fn paging(paging: &PagingDef) -> Value {
    match paging {
        PagingDef::None | PagingDef::Whole { .. } => Value::Null,
        PagingDef::ByHand { handoff, .. } => {
            let size = handoff.as_ref().map(|handoff| handoff.per_page);
            json!({"style": "by_hand", "size": size, "max_records": null})
        }
        PagingDef::Engine(pager) => json!({
            "style": style(pager),
            "size": pager.size.as_ref().map(|size| size.value),
            "max_records": pager.max_records,
        }),
    }
}

fn style(pager: &Pager) -> &'static str {
    match pager.style {
        PagingStyle::Page(_) => "page",
        PagingStyle::Offset { .. } => "offset",
        PagingStyle::Cursor { .. } => "cursor",
        PagingStyle::LastRecord { .. } => "last_record",
        PagingStyle::LinkHeader { .. } => "link_header",
        PagingStyle::NextUrl { .. } => "next_url",
        PagingStyle::Keyset { .. } => "keyset",
        PagingStyle::Handoff { .. } => "handoff",
    }
}

fn incremental(def: &IncrementalDef) -> Value {
    let format = match def.format {
        DateFormat::Iso8601OffsetSeconds => "iso8601_offset_seconds",
        DateFormat::Iso8601UtcSeconds => "iso8601_utc_seconds",
        DateFormat::Iso8601UtcMillis => "iso8601_utc_millis",
        DateFormat::UnixSeconds => "unix_seconds",
        DateFormat::UnixMillis => "unix_millis",
        DateFormat::HttpDate => "http_date",
        DateFormat::Date => "date",
    };
    let advance = match def.advance {
        Advance::ByStep => "by_step",
        Advance::OnSuccess => "on_success",
    };
    json!({
        "by": def.field,
        "sent_as": place(&def.send_as),
        "format": format,
        "key": def.key,
        "overlap": format_duration(def.overlap),
        "advance": advance,
    })
}

/// An expression as its definition says it.
fn said(expr: &Expr) -> String {
    match expr {
        Expr::Literal(Value::String(text)) => text.clone(),
        Expr::Literal(other) => other.to_string(),
        Expr::Ref(reference) => reference.source.clone(),
        Expr::Text(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Ref(reference) => reference.source.as_str(),
            })
            .collect(),
        // No URL is one of these.
        Expr::Ignore | Expr::List(_) | Expr::Object(_) | Expr::Script(_) => String::new(),
    }
}
