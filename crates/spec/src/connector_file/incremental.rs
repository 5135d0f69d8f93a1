//! `incremental:` of a method: how a list asks only for what is new.

use std::time::Duration;

use super::method::sent;
use super::one_or_more;
use crate::connector::{Advance, DateFormat, IncrementalDef, SendAs};
use crate::format::INCREMENTAL;
use crate::keys::{Faults, Keys, choice, duration, text, truth};
use crate::yaml::Node;

const FORMATS: &[(&str, DateFormat)] = &[
    ("iso8601_offset_seconds", DateFormat::Iso8601OffsetSeconds),
    ("iso8601_utc_seconds", DateFormat::Iso8601UtcSeconds),
    ("iso8601_utc_millis", DateFormat::Iso8601UtcMillis),
    ("unix_seconds", DateFormat::UnixSeconds),
    ("unix_millis", DateFormat::UnixMillis),
    ("http_date", DateFormat::HttpDate),
    ("date", DateFormat::Date),
];

/// `in_values` tells whether the request's own values read `${since}`.
pub(super) fn read(node: &Node, in_values: bool, faults: &mut Faults) -> Option<IncrementalDef> {
    let mut keys = Keys::in_table(node, &INCREMENTAL, "`incremental`", faults)?;
    let field = keys
        .need("by", "`incremental`", faults)
        .and_then(|node| text(node, "`by`", faults));
    let send_as = sent(&mut keys, faults);
    if send_as.is_none() && !in_values {
        faults
            .error("field.missing", node.span, "the date is sent nowhere")
            .hint("say `query`, `header` or `field`, or write `${since}` where it belongs");
    }
    let format = keys
        .need("format", "`incremental`", faults)
        .and_then(|node| choice(node, "`format`", FORMATS, faults));
    let key: Vec<String> = keys
        .get("key")
        .into_iter()
        .flat_map(one_or_more)
        .filter_map(|node| text(node, "`key`", faults))
        .collect();
    let inclusive = keys
        .get("inclusive")
        .and_then(|node| truth(node, "`inclusive`", faults))
        .unwrap_or(true);
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
        send_as: send_as.unwrap_or(SendAs::Nowhere),
        format: format?,
        key,
        inclusive,
        overlap,
        advance: advance.unwrap_or(Advance::OnSuccess),
    })
}
