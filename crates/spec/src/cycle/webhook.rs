//! A webhook's `dedupe`, and what only one in the middle of a cycle has. Who may call it: [`crate::callers`].

use std::time::Duration;

use velodrome_types::Json;

use super::names::CycleNames;
use crate::expr::Expr;
use crate::format;
use crate::keys::{Faults, Keys, duration, text, truth};
use crate::values::named;
use crate::yaml::Node;

/// How long a delivery is remembered where `dedupe` gives a field only.
const WITHIN: Duration = Duration::from_secs(24 * 3600);

/// `match`: fields of a request, each with what the waiting run has for it.
pub(super) fn matches(
    keys: &mut Keys<'_>,
    names: &mut CycleNames<'_>,
    faults: &mut Faults,
) -> Vec<(String, Expr)> {
    let Some(node) = keys.get("match") else {
        return Vec::new();
    };
    let mut fields = named(node, "`match`", names, faults);
    for (name, expr) in &fields {
        if matches!(expr, Expr::Literal(Json::Null)) || expr.reads_secret() {
            let message = format!("`{name}` must be a value that tells one run from others");
            faults
                .error("value.type", node.span, message)
                .hint("name what the run has: `match: {order_id: \"${webhook.order_id}\"}`");
        }
    }
    // One order, whatever that of the file: waiting runs are found by it.
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}

/// `repeat`.
pub(super) fn repeat(keys: &mut Keys<'_>, faults: &mut Faults) -> bool {
    keys.get("repeat")
        .and_then(|node| truth(node, "`repeat`", faults))
        .unwrap_or(false)
}

/// How long a run waits, where it is said.
pub(super) fn waits(keys: &mut Keys<'_>, faults: &mut Faults) -> Option<Duration> {
    keys.get("timeout")
        .and_then(|node| duration(node, "`timeout`", faults))
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
