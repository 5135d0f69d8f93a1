//! `schedule` and `time_zone`.

use std::time::Duration;

use velodrome_types::{Timestamp, Zone};

use super::Checker;
use super::error_webhook::{CycleWide, before_runs};
use super::header::Header;
use crate::expr::Expr;
use crate::format;
use crate::keys::{Faults, Keys, choice, duration, text};
use crate::plan::{CatchUp, IfRunning, SchedulePlan};
use crate::schedule::{CronRhythm, Rhythm};
use crate::values::named;
use crate::yaml::{Entry, Node, Value};

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

impl Checker<'_> {
    pub(super) fn schedule(&mut self, node: &Node, header: &Header) -> Option<SchedulePlan> {
        let faults = &mut self.faults;
        let mut keys = Keys::in_table(node, &format::SCHEDULE, "`schedule`", faults)?;
        let (every, cron) = (keys.entry("every"), keys.entry("cron"));
        let rhythm = rhythm(node, every, cron, &header.zone, faults);
        let if_running = keys.get("if_running").and_then(|node| {
            let words = [("skip", IfRunning::Skip), ("queue", IfRunning::Queue)];
            choice(node, "`if_running`", &words, faults)
        });
        let catch_up = keys.get("catch_up").and_then(|node| {
            let words = [("once", CatchUp::Once), ("none", CatchUp::None)];
            choice(node, "`catch_up`", &words, faults)
        });
        let send = keys.get("send");
        keys.finish("`schedule`", faults);
        let send = send.map_or_else(Vec::new, |node| self.sent(node, header));
        Some(SchedulePlan {
            rhythm: rhythm?,
            send,
            if_running: if_running.unwrap_or_default(),
            catch_up: catch_up.unwrap_or_default(),
        })
    }

    /// What a start sends is known before any run, and is kept with the run that it begins.
    fn sent(&mut self, node: &Node, header: &Header) -> Vec<(String, Expr)> {
        let mut names = CycleWide {
            names: before_runs(&self.input, header),
            of: "what a schedule sends is",
            takes: "it takes literals, `${var:x}`, `${env:X}`, `${file:path}` and `${hook:CYCLE}`",
        };
        let fields = named(node, "`send`", &mut names, &mut self.faults);
        for (path, text) in &names.names.files {
            self.sources.add_file(path, text);
        }
        if let Value::Map(entries) = &node.value {
            for entry in entries {
                let of_it = fields.iter().filter(|(name, _)| *name == entry.key);
                self.no_secret(
                    of_it.map(|(_, value)| value),
                    entry.value.span,
                    "what a schedule sends is kept with the run and shown in the log",
                );
            }
        }
        fields
    }
}

fn rhythm(
    node: &Node,
    every: Option<&Entry>,
    cron: Option<&Entry>,
    zone: &Zone,
    faults: &mut Faults,
) -> Option<Rhythm> {
    match (every, cron) {
        (None, None) => {
            let message = "`schedule` has neither `every` nor `cron`";
            faults
                .error("field.missing", node.span, message)
                .hint("such as `schedule: {every: 5 minutes}` or `{cron: \"30 2 * * *\"}`");
        }
        (Some(_), Some(cron)) => {
            let message = "`schedule` has `every` or `cron`, not both";
            faults.error("field.alone", cron.key_span, message);
        }
        _ => {}
    }
    let every = every.and_then(|entry| self::every(&entry.value, faults));
    let cron = cron.and_then(|entry| self::cron(&entry.value, zone, faults));
    every.or(cron)
}

fn every(node: &Node, faults: &mut Faults) -> Option<Rhythm> {
    let gap = duration(node, "`every`", faults)?;
    if gap < LEAST {
        let message = "`every` must be at least 1 second";
        faults.error("value.duration", node.span, message);
        return None;
    }
    Some(Rhythm::Every(gap))
}

fn cron(node: &Node, zone: &Zone, faults: &mut Faults) -> Option<Rhythm> {
    let written = text(node, "`cron`", faults)?;
    let rhythm = match CronRhythm::parse(&written, zone.clone()) {
        Ok(cron) => Rhythm::Cron(Box::new(cron)),
        Err(error) => {
            let message = format!("`{written}` is no cron expression: {error}");
            faults.error("value.cron", node.span, message).hint(
                "minute, hour, day of month, month, day of week: \"30 2 * * *\" is every day at 02:30",
            );
            return None;
        }
    };
    if rhythm.next(Timestamp::from_millis(0)).is_none() {
        let message = format!("`{written}` never comes: no date fits it");
        faults
            .error("value.cron", node.span, message)
            .hint("look at the day and the month: no 30th is in February");
        return None;
    }
    Some(rhythm)
}
