//! What a unit of work tells: read before it is given to the store, counted when it is stored.

use prometheus::IntCounter;
use velodrome_store::{Forget, OutboxWrite, Unit};
use velodrome_types::{CycleId, Event, LogLine, Metric};

use super::{CycleMetrics, Metrics};
use std::sync::Arc;

/// What is to be counted once a unit is stored.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    adds: Vec<(IntCounter, u64)>,
    levels: [u64; 4],
    /// Notices of failed runs that are new, less those that are gone.
    pub(crate) notices: i64,
}

impl Metrics {
    /// Reads a unit.
    pub(crate) fn tally(&self, unit: &Unit) -> Tally {
        let mut tally = Tally::default();
        let mut at: Option<(&CycleId, Arc<CycleMetrics>)> = None;
        for line in &unit.lines {
            tally.levels[line.level as usize] += 1;
            let Some(cycle) = &line.cycle else {
                self.of_none(line, &mut tally);
                continue;
            };
            if !tells(line) {
                continue;
            }
            // Most units tell of one cycle.
            let of = match &at {
                Some((known, of)) if *known == cycle => Arc::clone(of),
                _ => self.of_cycle(cycle),
            };
            self.of_line(line, cycle, &of, &mut tally);
            at = Some((cycle, of));
        }
        for forget in &unit.forget {
            let what = match forget {
                Forget::Loop(_) => "loop",
                Forget::Laps { .. } => "laps",
                Forget::Lines { .. } => "lines",
            };
            tally.add(self.counter(Metric::RetentionDeletions, &[what]), 1);
        }
        for write in &unit.outbox {
            tally.notices += match write {
                // One that was tried before is put back.
                OutboxWrite::Put(row) => i64::from(row.attempts == 0),
                OutboxWrite::Remove(..) => -1,
            };
        }
        tally
    }

    fn of_line(&self, line: &LogLine, cycle: &CycleId, of: &CycleMetrics, tally: &mut Tally) {
        let name = cycle.as_str();
        match line.event {
            Event::ResponseReceived => {
                let records = line.records.unwrap_or_default();
                tally.add(of.records.clone(), records);
            }
            Event::HandoffSent => tally.add(of.handoffs.clone(), 1),
            Event::RetryScheduled => {
                let code = line.code.as_ref().map(|code| self.code(code));
                let labels = [name, code.as_deref().unwrap_or_default()];
                tally.add(self.counter(Metric::Retries, &labels), 1);
            }
            Event::ScheduleFired | Event::ScheduleSkipped => {
                let fired = line.event == Event::ScheduleFired;
                let labels = [name, if fired { "fired" } else { "skipped" }];
                tally.add(self.counter(Metric::ScheduleStarts, &labels), 1);
            }
            Event::LoopSucceeded | Event::LoopFailed | Event::LoopStopped => {
                let end = line.event.as_str().trim_start_matches("loop.");
                tally.add(self.counter(Metric::LoopsEnded, &[name, end]), 1);
            }
            _ => {}
        }
    }

    /// A line that is about no cycle may be about a connection.
    fn of_none(&self, line: &LogLine, tally: &mut Tally) {
        let result = match line.event {
            Event::ConnectionRefreshed => "refreshed",
            Event::ConnectionFailed => "failed",
            _ => return,
        };
        let connection = line
            .data
            .as_ref()
            .and_then(|data| data["connection"].as_str());
        if let Some(connection) = connection {
            let labels = [connection, result];
            tally.add(self.counter(Metric::ConnectionRefreshes, &labels), 1);
        }
    }

    /// Counts what was read of a unit that is stored now.
    pub(crate) fn count(&self, tally: &Tally) {
        for (counter, by) in &tally.adds {
            counter.inc_by(*by);
        }
        for (counter, by) in self.levels.iter().zip(tally.levels) {
            if by > 0 {
                counter.inc_by(by);
            }
        }
    }
}

impl Tally {
    fn add(&mut self, counter: IntCounter, by: u64) {
        self.adds.push((counter, by));
    }
}

/// Whether a line about a cycle is counted by anything but its level.
fn tells(line: &LogLine) -> bool {
    match line.event {
        Event::ResponseReceived => line.records.is_some_and(|records| records > 0),
        Event::HandoffSent
        | Event::RetryScheduled
        | Event::ScheduleFired
        | Event::ScheduleSkipped
        | Event::LoopSucceeded
        | Event::LoopFailed
        | Event::LoopStopped => true,
        _ => false,
    }
}
