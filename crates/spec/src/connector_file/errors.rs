//! `errors:` and `error_fields:` of a connector: what its answers mean, and where they say so.

use velodrome_types::parse_duration;

use super::one_or_more;
use crate::connector::{ErrorAction, ErrorFields, ErrorRule, StatusMatch};
use crate::expr::Segment;
use crate::format::ERROR_FIELDS;
use crate::keys::{Faults, Keys, choice, text};
use crate::reference::{Part, WrittenRoot, parts};
use crate::yaml::{Node, Value};

/// `error_fields: {code: error.code, message: [error.message, title]}`.
pub(super) fn fields(node: &Node, faults: &mut Faults) -> ErrorFields {
    let mut fields = ErrorFields::default();
    let Some(mut keys) = Keys::in_table(node, &ERROR_FIELDS, "`error_fields`", faults) else {
        return fields;
    };
    for (key, places) in [("code", &mut fields.code), ("message", &mut fields.message)] {
        if let Some(node) = keys.get(key) {
            *places = one_or_more(node)
                .into_iter()
                .filter_map(|node| path(node, key, faults))
                .collect();
        }
    }
    keys.finish("`error_fields`", faults);
    fields
}

/// A path in a body, by the grammar of references.
fn path(node: &Node, key: &str, faults: &mut Faults) -> Option<Vec<Segment>> {
    let path = text(node, &format!("`{key}`"), faults)?;
    let dot = if path.starts_with('[') { "" } else { "." };
    let written = parts(&format!("${{body{dot}{path}}}"));
    match written.as_deref() {
        Ok([Part::Ref(written)])
            if written.default.is_none()
                && written.root == WrittenRoot::Name("body".to_owned())
                && !written.path.is_empty() =>
        {
            Some(written.path.clone())
        }
        _ => {
            let message = format!("`{path}` is no path such as `error.code` or `errors[0].code`");
            faults.error("connector.path", node.span, message);
            None
        }
    }
}

pub(super) fn rules(node: &Node, faults: &mut Faults) -> Vec<ErrorRule> {
    let Value::List(items) = &node.value else {
        faults.error(
            "value.type",
            node.span,
            format!("`errors` must be a list, not {}", node.kind()),
        );
        return Vec::new();
    };
    items
        .iter()
        .filter_map(|item| error_rule(item, faults))
        .collect()
}

fn error_rule(node: &Node, faults: &mut Faults) -> Option<ErrorRule> {
    let mut keys = Keys::of(node, "an error rule", faults)?;
    let mut status = Vec::new();
    for node in keys.get("status").into_iter().flat_map(one_or_more) {
        let shown = node
            .scalar()
            .map(|scalar| scalar.text.clone())
            .unwrap_or_default();
        match (
            shown.parse::<u16>(),
            shown
                .strip_suffix("xx")
                .and_then(|class| class.parse().ok()),
        ) {
            (Ok(code), _) => status.push(StatusMatch::Is(code)),
            (_, Some(class)) => status.push(StatusMatch::Class(class)),
            _ => {
                let message = format!("`{shown}` is no status: write 429 or 4xx");
                faults.error("value.type", node.span, message);
            }
        }
    }
    let code: Vec<String> = keys
        .get("code")
        .into_iter()
        .flat_map(one_or_more)
        .filter_map(|node| text(node, "`code`", faults))
        .collect();
    let message: Vec<String> = keys
        .get("message")
        .into_iter()
        .flat_map(one_or_more)
        .filter_map(|node| text(node, "`message`", faults))
        .map(|part| part.to_lowercase())
        .collect();
    let header = keys
        .get("header")
        .map_or_else(Vec::new, |node| header_texts(node, faults));
    let until_header = keys
        .get("until_header")
        .and_then(|node| text(node, "`until_header`", faults))
        .map(|name| name.to_ascii_lowercase());
    let words = [
        ("empty", ErrorAction::Empty),
        ("fail", ErrorAction::Fail),
        ("retry", ErrorAction::Retry),
        ("refresh_then_retry", ErrorAction::RefreshThenRetry),
        ("reconnect", ErrorAction::Reconnect),
        ("wait", ErrorAction::Wait(Vec::new())),
        ("restart_paging", ErrorAction::RestartPaging),
    ];
    let plain: Vec<(&str, usize)> = words
        .iter()
        .enumerate()
        .map(|(at, (word, _))| (*word, at))
        .collect();
    let action = keys
        .need("do", "an error rule", faults)
        .and_then(|node| choice(node, "`do`", &plain, faults));
    let mut action = words[action?].1.clone();
    if let ErrorAction::Wait(gaps) = &mut action {
        for node in keys.get("gaps").into_iter().flat_map(one_or_more) {
            if let Some(text) = text(node, "a gap", faults) {
                match parse_duration(&text) {
                    Ok(gap) => gaps.push(gap),
                    Err(error) => {
                        faults.error("value.duration", node.span, error.to_string());
                    }
                }
            }
        }
    }
    keys.finish("an error rule", faults);
    Some(ErrorRule {
        status,
        code,
        message,
        header,
        action,
        until_header,
    })
}

/// A map of header names to the texts that are looked for.
fn header_texts(node: &Node, faults: &mut Faults) -> Vec<(String, String)> {
    let Value::Map(entries) = &node.value else {
        let message = format!("`header` must be a map, not {}", node.kind());
        faults.error("value.type", node.span, message);
        return Vec::new();
    };
    entries
        .iter()
        .filter_map(|entry| {
            let wanted = text(&entry.value, "a header's text", faults)?;
            Some((entry.key.to_ascii_lowercase(), wanted))
        })
        .collect()
}
