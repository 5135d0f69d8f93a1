//! A webhook's `dedupe`, `auth` and what else says who may call it.

use std::time::Duration;

use super::names::CycleNames;
use crate::expr::{Expr, Piece, Reference, Root};
use crate::format;
use crate::keys::{Faults, Keys, choice, duration, list, text, texts, truth};
use crate::plan::WebhookAuth;
use crate::values::{named, value};
use crate::yaml::{Node, Value};

/// How long a delivery is remembered where `dedupe` gives a field only.
const WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Keys that are checked and do not run yet.
pub(super) fn check_later(keys: &mut Keys<'_>, names: &mut CycleNames<'_>, faults: &mut Faults) {
    if let Some(node) = keys.get("allow_ips") {
        for (item, written) in texts(node, "`allow_ips`", faults) {
            if written.parse::<ipnet::IpNet>().is_err()
                && written.parse::<std::net::IpAddr>().is_err()
            {
                let message = format!("`{written}` is neither an address nor a range");
                faults
                    .error("value.address", item.span, message)
                    .hint("such as `203.0.113.7` or `10.0.0.0/8`");
            }
        }
    }
    if let Some(node) = keys.get("origins") {
        for (item, written) in texts(node, "`origins`", faults) {
            let host = written
                .strip_prefix("https://")
                .or_else(|| written.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
                let message = format!("`{written}` is no origin");
                faults
                    .error("value.url", item.span, message)
                    .hint("scheme, host and port only: `https://shop.example.com`");
            }
        }
    }
    if let Some(node) = keys.get("respond_within") {
        duration(node, "`respond_within`", faults);
    }
    if let Some(node) = keys.get("match") {
        named(node, "`match`", names, faults);
    }
    if let Some(node) = keys.get("repeat") {
        truth(node, "`repeat`", faults);
    }
}

pub(super) fn dedupe(node: &Node, faults: &mut Faults) -> Option<(String, Duration)> {
    if node.scalar().is_some() {
        return Some((text(node, "`dedupe`", faults)?, WITHIN));
    }
    let mut keys = Keys::in_table(node, &format::DEDUPE, "`dedupe`", faults)?;
    let key = keys
        .need("key", "`dedupe`", faults)
        .and_then(|node| text(node, "`key`", faults));
    let within = keys
        .get("within")
        .and_then(|node| duration(node, "`within`", faults))
        .unwrap_or(WITHIN);
    keys.finish("`dedupe`", faults);
    Some((key?, within))
}

/// The kinds of `auth` and the keys each needs (SPEC §5); those behind may be left out.
const KINDS: &[(&str, &[&str], &[&str])] = &[
    ("bearer", &["secret"], &[]),
    ("basic", &["user", "secret"], &[]),
    (
        "hmac",
        &["secret", "header"],
        &["algorithm", "encoding", "prefix", "signed", "timestamp"],
    ),
    ("standard_webhooks", &["secret"], &[]),
    ("github", &["secret"], &[]),
    ("stripe", &["secret"], &[]),
    ("slack", &["secret"], &[]),
    ("shopify", &["secret"], &[]),
];

/// Who may call: `none`, or one kind, which is checked and does not run yet.
pub(super) fn auth(node: &Node, names: &mut CycleNames<'_>, faults: &mut Faults) -> WebhookAuth {
    if node.scalar().is_some_and(|scalar| scalar.text == "none") {
        return WebhookAuth::None;
    }
    let kinds: Vec<&str> = KINDS.iter().map(|(kind, ..)| *kind).collect();
    let Value::Map(entries) = &node.value else {
        let message = format!("`auth` must be `none` or one kind, not {}", node.kind());
        faults.error("value.type", node.span, message).hint(format!(
            "the kinds are {}: `bearer: {{secret: \"${{secret:hook}}\"}}`",
            list(&kinds)
        ));
        return WebhookAuth::Unsaid;
    };
    let [entry] = entries.as_slice() else {
        let message = "`auth` has exactly one kind";
        faults.error("value.type", node.span, message);
        return WebhookAuth::Unsaid;
    };
    let Some((kind, needed, more)) = KINDS.iter().find(|(kind, ..)| *kind == entry.key) else {
        let message = format!("`{}` is no kind of `auth`", entry.key);
        let fault = faults.error("value.choice", entry.key_span, message);
        match crate::keys::closest(&entry.key, kinds.iter().copied()) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint(format!("the kinds are {}", list(&kinds))),
        }
        return WebhookAuth::Unsaid;
    };
    let what = format!("`{kind}`");
    if let Some(mut keys) = Keys::of(&entry.value, &what, faults) {
        for key in *needed {
            if let Some(node) = keys.need(key, &what, faults) {
                if *key == "secret" {
                    secret(node, names, faults);
                } else {
                    value(node, names, faults);
                }
            }
        }
        for key in *more {
            if let Some(node) = keys.get(key) {
                hmac_key(key, node, faults);
            }
        }
        keys.finish(&what, faults);
    }
    faults.not_yet(entry.key_span, "`auth` other than `none`");
    WebhookAuth::Unsaid
}

fn hmac_key(key: &str, node: &Node, faults: &mut Faults) {
    let words = |words: &[(&str, ())], faults: &mut Faults| {
        choice(node, &format!("`{key}`"), words, faults);
    };
    match key {
        "algorithm" => words(
            &[("sha1", ()), ("sha256", ()), ("sha384", ()), ("sha512", ())],
            faults,
        ),
        "encoding" => words(&[("hex", ()), ("base64", ())], faults),
        "signed" => words(&[("body", ()), ("timestamp.body", ())], faults),
        "timestamp" => {
            if let Some(mut keys) = Keys::of(node, "`timestamp`", faults) {
                if let Some(node) = keys.need("header", "`timestamp`", faults) {
                    text(node, "`header`", faults);
                }
                if let Some(node) = keys.get("tolerance") {
                    duration(node, "`tolerance`", faults);
                }
                keys.finish("`timestamp`", faults);
            }
        }
        _ => {
            text(node, &format!("`{key}`"), faults);
        }
    }
}

/// One or several references, never a literal: a secret does not stand in a file.
fn secret(node: &Node, names: &mut CycleNames<'_>, faults: &mut Faults) {
    if let Value::List(items) = &node.value {
        for item in items {
            secret(item, names, faults);
        }
        return;
    }
    let before = faults.0.len();
    let found = value(node, names, faults);
    // A reference that does not run yet is one all the same.
    let said = faults.0.len() > before;
    let reference = match &found {
        Some(Expr::Ref(Reference { root, .. })) => {
            matches!(root, Root::Secret(_) | Root::Env(_) | Root::File(_))
        }
        Some(Expr::Text(pieces)) => pieces.iter().any(|piece| matches!(piece, Piece::Ref(_))),
        Some(_) => false,
        None => said,
    };
    if !reference {
        faults
            .error(
                "auth.literal_secret",
                node.span,
                "a secret does not stand in the file",
            )
            .hint("name it: `secret: ${secret:hook}`, and `velodrome secret set hook`");
    }
}
