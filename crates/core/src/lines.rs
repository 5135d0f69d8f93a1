//! Log lines of one run, with what they share filled in.

use velodrome_spec::Plan;
use velodrome_types::{Event, Level, LogLine, StepId, Timestamp};

use crate::run::Run;

/// Collects the log lines of one transition of one run.
#[derive(Debug)]
pub struct Lines<'a> {
    plan: &'a Plan,
    run: (velodrome_types::RunId, velodrome_types::LoopId, u64),
    now: Timestamp,
    lines: Vec<LogLine>,
}

impl<'a> Lines<'a> {
    /// Lines about this run at this moment.
    pub fn new(plan: &'a Plan, run: &Run, now: Timestamp) -> Self {
        Self {
            plan,
            run: (run.id, run.loop_id, run.lap),
            now,
            lines: Vec::new(),
        }
    }

    /// Adds a line and gives it for what else belongs to it.
    pub fn push(&mut self, level: Level, event: Event, message: impl Into<String>) -> &mut LogLine {
        let mut line = LogLine::new(self.now, level, event, message);
        line.cycle = Some(self.plan.cycle.clone());
        line.version = Some(self.plan.version().to_owned());
        (line.run, line.loop_id, line.lap) = (Some(self.run.0), Some(self.run.1), Some(self.run.2));
        self.lines.push(line);
        self.lines.last_mut().expect("just pushed")
    }

    /// Adds a line about a step.
    pub fn at(
        &mut self,
        step: &StepId,
        level: Level,
        event: Event,
        message: impl Into<String>,
    ) -> &mut LogLine {
        let line = self.push(level, event, message);
        line.step = Some(step.clone());
        line
    }

    /// The lines, in order.
    pub fn done(self) -> Vec<LogLine> {
        self.lines
    }
}
