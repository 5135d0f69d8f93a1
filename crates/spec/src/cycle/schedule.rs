//! `schedule` and `time_zone`: checked, and run by a later part of the engine.

use std::time::Duration;

use velodrome_types::Zone;

use crate::format;
use crate::keys::{Faults, Keys, choice, duration, text};
use crate::yaml::{Node, Value};

/// Starts closer together than this are no schedule but a loop.
const LEAST: Duration = Duration::from_secs(1);

/// An IANA time zone.
pub(super) fn zone(node: &Node, faults: &mut Faults) -> Option<Zone> {
    let name = text(node, "`time_zone`", faults)?;
    let found = Zone::named(&name);
    if found.is_none() {
        let message = format!("`{name}` is no time zone");
        faults
            .error("value.time_zone", node.span, message)
            .hint("write an IANA name such as `Europe/Berlin` or `UTC`");
    }
    found
}

pub(super) fn read(node: &Node, _zone: &Zone, faults: &mut Faults) {
    let Some(mut keys) = Keys::in_table(node, &format::SCHEDULE, "`schedule`", faults) else {
        return;
    };
    let every = keys.entry("every");
    let cron = keys.entry("cron");
    match (every, cron) {
        (None, None) => {
            faults
                .error(
                    "field.missing",
                    node.span,
                    "`schedule` has neither `every` nor `cron`",
                )
                .hint("such as `schedule: {every: 5 minutes}` or `{cron: \"30 2 * * *\"}`");
        }
        (Some(_), Some(cron)) => {
            faults.error(
                "field.alone",
                cron.key_span,
                "`schedule` has `every` or `cron`, not both",
            );
        }
        _ => {}
    }
    if let Some(entry) = every
        && let Some(gap) = duration(&entry.value, "`every`", faults)
        && gap < LEAST
    {
        faults.error(
            "value.duration",
            entry.value.span,
            "`every` must be at least 1 second",
        );
    }
    if let Some(entry) = cron {
        self::cron(&entry.value, faults);
    }
    if let Some(node) = keys.get("send")
        && !matches!(node.value, Value::Map(_))
    {
        let message = format!("`send` must be a map, not {}", node.kind());
        faults.error("value.type", node.span, message);
    }
    if let Some(node) = keys.get("if_running") {
        choice(node, "`if_running`", &[("skip", ()), ("queue", ())], faults);
    }
    if let Some(node) = keys.get("catch_up") {
        choice(node, "`catch_up`", &[("once", ()), ("none", ())], faults);
    }
    keys.finish("`schedule`", faults);
}

fn cron(node: &Node, faults: &mut Faults) {
    let Some(written) = text(node, "`cron`", faults) else {
        return;
    };
    if let Err(error) = written.parse::<croner::Cron>() {
        let message = format!("`{written}` is no cron expression: {error}");
        faults.error("value.cron", node.span, message).hint(
            "minute, hour, day of month, month, day of week: \"30 2 * * *\" is every day at 02:30",
        );
    }
}
