//! One log line in columns: time, cycle, lap, step, message, and what belongs to its end.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;
use velodrome_types::{Event, Level, LogLine, format_duration};

use super::{Colour, escape};

/// The columns of a log, which widen as wider names come.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    colour: Colour,
    zone: TimeZone,
    cycle: usize,
    lap: usize,
    step: usize,
}

/// Where the end of a line begins, at the least.
const MESSAGE: usize = 38;

impl Layout {
    pub(crate) fn new(colour: Colour, zone: TimeZone) -> Self {
        Self {
            colour,
            zone,
            cycle: 0,
            lap: 5,
            step: 12,
        }
    }

    /// The line as text.
    pub(crate) fn show(&mut self, line: &LogLine) -> String {
        let cycle = line
            .cycle
            .as_ref()
            .map(|cycle| escape(cycle.as_str()))
            .unwrap_or_default();
        let step = line
            .step
            .as_ref()
            .map(|step| escape(step.as_str()))
            .unwrap_or_default();
        self.cycle = self.cycle.max(cycle.chars().count());
        self.step = self.step.max(step.chars().count());
        let lap = line.lap.map(|lap| format!("lap {lap}")).unwrap_or_default();
        self.lap = self.lap.max(lap.len());
        let message = escape(&line.message);
        let end = end_of(line);
        let body = if end.is_empty() {
            message.clone()
        } else {
            let pad = MESSAGE.saturating_sub(message.chars().count()).max(2);
            format!("{message}{}{end}", " ".repeat(pad))
        };
        let body = match line.level {
            Level::Error => self.colour.red(&body),
            Level::Warn => self.colour.yellow(&body),
            Level::Debug => self.colour.dim(&body),
            Level::Info if line.event == Event::HandoffSent => self.colour.cyan(&body),
            Level::Info => body,
        };
        let time = self.colour.dim(&self.time(line));
        let shown = format!(
            "{time}  {cycle:<cycle_width$}  {lap:<lap_width$}  {step:<step_width$}  {body}",
            cycle_width = self.cycle,
            lap_width = self.lap,
            step_width = self.step,
        );
        shown.trim_end().to_owned()
    }

    fn time(&self, line: &LogLine) -> String {
        jiff::Timestamp::from_millisecond(line.time.as_millis())
            .map(|at| {
                self.zone
                    .to_datetime(at)
                    .strftime("%H:%M:%S%.3f")
                    .to_string()
            })
            .unwrap_or_else(|_| line.time.to_string())
    }
}

/// What stands at the right: the run of an acceptance, the loop so far, the code of a fault.
fn end_of(line: &LogLine) -> String {
    let number = |name: &str| {
        line.data
            .as_ref()
            .and_then(|data| data.get(name))
            .and_then(Value::as_u64)
    };
    match line.event {
        Event::WebhookAccepted => line.run.map(|run| run.tail()).unwrap_or_default(),
        Event::HandoffSent => match (number("records"), number("laps"), number("ms")) {
            (Some(records), Some(laps), Some(ms)) => {
                let laps = if laps == 1 {
                    "1 lap".to_owned()
                } else {
                    format!("{laps} laps")
                };
                format!(
                    "{records} records, {laps}, {}",
                    format_duration(Duration::from_millis(ms))
                )
            }
            _ => String::new(),
        },
        _ => line
            .code
            .as_ref()
            .map(|code| escape(code.as_str()))
            .unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use velodrome_types::Timestamp;

    use super::*;

    fn line(value: Value) -> LogLine {
        let mut whole = json!({
            "seq": 1, "time": "2026-11-23T12:00:01.205Z", "level": "info", "cycle": "zoho_incremental", "lap": 3,
            "run": "run_01h455vb4pex5vsknk084sn02q",
        });
        whole
            .as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    fn shown(value: Value) -> String {
        let mut layout = Layout::new(Colour::OFF, TimeZone::UTC);
        layout.show(&line(value))
    }

    #[test]
    fn lines_look_as_the_specification_shows_them() {
        assert_eq!(
            shown(
                json!({"event": "webhook.accepted", "step": "webhook", "message": "accepted  page=3"})
            ),
            "12:00:01.205  zoho_incremental  lap 3  webhook       accepted  page=3                      …84sn02q"
        );
        assert_eq!(
            shown(
                json!({"event": "decision.taken", "step": "more_records", "message": "true → pause"})
            ),
            "12:00:01.205  zoho_incremental  lap 3  more_records  true → pause"
        );
        let data = json!({"records": 600, "laps": 3, "ms": 6200});
        assert_eq!(
            shown(
                json!({"event": "handoff.sent", "step": "next_page", "message": "→ lap 4  page=4", "data": data})
            ),
            "12:00:01.205  zoho_incremental  lap 3  next_page     → lap 4  page=4                       600 records, 3 laps, 6.2 s"
        );
        let failed = json!({
            "event": "retry.scheduled", "level": "warn", "step": "contacts", "code": "request.status",
            "message": "✗ 503 · retry 1 of 5 in 1.1 s",
        });
        assert!(shown(failed).ends_with("✗ 503 · retry 1 of 5 in 1.1 s         request.status"));
    }

    #[test]
    fn a_value_cannot_control_the_terminal() {
        let text =
            shown(json!({"event": "script.logged", "step": "webhook", "message": "\u{1b}[2Jgone"}));
        assert!(text.ends_with("\\x1b[2Jgone"), "{text}");
        assert!(Timestamp::parse("2026-11-23T12:00:01.205Z").is_ok());
    }
}
