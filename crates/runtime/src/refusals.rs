//! Refused webhook requests in the run log: one line a second at the most, so that whoever sends many
//! fills no disk; the line tells how many there were besides.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use velodrome_types::{CycleId, Event, Level, LogLine, Timestamp};

use crate::api::Problem;

/// At most one line in this time.
const PACE: Duration = Duration::from_secs(1);

/// What has been refused and not been told.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    told: Option<Timestamp>,
    silent: u64,
}

impl Refusals {
    /// The line to log for this refusal, if it is time for one.
    pub(crate) fn line(
        &self,
        cycle: &CycleId,
        problem: &Problem,
        now: Timestamp,
    ) -> Option<LogLine> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.told.is_some_and(|told| now.since(told) < PACE) {
            state.silent += 1;
            return None;
        }
        let besides = match std::mem::take(&mut state.silent) {
            0 => String::new(),
            more => format!(" (and {more} more since the last such line)"),
        };
        state.told = Some(now);
        let message = format!("{} {}{besides}", problem.status, problem.detail);
        let mut line = LogLine::new(now, Level::Warn, Event::WebhookRefused, message);
        line.cycle = Some(cycle.clone());
        line.code = Some(problem.code.clone());
        line.status = Some(problem.status);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_are_one_line_a_second() {
        let refusals = Refusals::default();
        let problem = Problem::new(422, "webhook.field_invalid", "`page` must be an integer");
        let line = |millis| {
            let at = Timestamp::from_millis(millis);
            refusals
                .line(&CycleId::from("c"), &problem, at)
                .map(|line| line.message)
        };
        assert_eq!(line(0).as_deref(), Some("422 `page` must be an integer"));
        assert_eq!(line(1), None);
        assert_eq!(line(999), None);
        let told = line(1_000);
        assert_eq!(
            told.as_deref(),
            Some("422 `page` must be an integer (and 2 more since the last such line)")
        );
    }
}
