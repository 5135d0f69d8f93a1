//! A webhook's `dedupe`, and its keys that do not run yet. Who may call it: [`crate::callers`].

use std::time::Duration;

use super::names::CycleNames;
use crate::format;
use crate::keys::{Faults, Keys, duration, text, truth};
use crate::values::named;
use crate::yaml::Node;

/// How long a delivery is remembered where `dedupe` gives a field only.
const WITHIN: Duration = Duration::from_secs(24 * 3600);

/// Keys that are checked and do not run yet.
pub(super) fn check_later(keys: &mut Keys<'_>, names: &mut CycleNames<'_>, faults: &mut Faults) {
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
