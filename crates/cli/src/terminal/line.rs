//! One log line in columns: time, cycle, lap, step, message, and what belongs to its end.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;
use velodrome_types::{Event, Level, LogLine, Timestamp, format_duration};

use super::{Colour, count, escape};

/// The columns of a log, which widen as wider names come.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    colour: Colour,
    zone: TimeZone,
    cycle: usize,
    lap: usize,
    step: usize,
}

/// Where, counted from the message, a fact at the right ends: acceptances and hand-offs of all laps
/// then stand under each other (SPEC §10).
const RIGHT: usize = 49;
/// The least gap before such a fact.
const GAP: usize = 2;
/// The gap before a fault's code, which follows its message.
const CODE_GAP: usize = 4;

/// What stands behind a message.
enum End {
    Nothing,
    /// A fact, ending at [`RIGHT`].
    Fact(String),
    /// The code of a fault.
    Code(String),
}

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

    /// Makes the columns wide enough for a line that is yet to be shown.
    pub(crate) fn widen(&mut self, line: &LogLine) {
        let (cycle, lap, step) = names(line);
        self.cycle = self.cycle.max(cycle.chars().count());
        self.lap = self.lap.max(lap.len());
        self.step = self.step.max(step.chars().count());
    }

    /// The line as text.
    pub(crate) fn show(&mut self, line: &LogLine) -> String {
        self.widen(line);
        let (cycle, lap, step) = names(line);
        let body = self.body(line);
        let time = self.colour.dim(&self.time(line.time));
        let shown = format!(
            "{time}  {cycle:<cycle_width$}  {lap:<lap_width$}  {step:<step_width$}  {body}",
            cycle_width = self.cycle,
            lap_width = self.lap,
            step_width = self.step,
        );
        shown.trim_end().to_owned()
    }

    /// The message, its end, and their colours: what failed is red, what goes on to a next lap cyan.
    fn body(&self, line: &LogLine) -> String {
        let message = self.message(line);
        let width = message.chars().count();
        let painted = match line.level {
            Level::Error => self.colour.red(&message),
            _ if message.starts_with('✗') => self.colour.red(&message),
            Level::Warn => self.colour.yellow(&message),
            Level::Debug => self.colour.dim(&message),
            Level::Info if line.event == Event::HandoffSent => self.colour.cyan(&message),
            Level::Info => message,
        };
        match end_of(line) {
            End::Nothing => painted,
            End::Fact(fact) => {
                let gap = RIGHT.saturating_sub(width + fact.chars().count()).max(GAP);
                format!("{painted}{:gap$}{}", "", self.colour.dim(&fact))
            }
            End::Code(code) => format!("{painted}{:CODE_GAP$}{}", "", self.colour.red(&code)),
        }
    }

    /// The message. The engine writes the end of a delay in UTC, and the reader's clock is another.
    fn message(&self, line: &LogLine) -> String {
        let message = escape(&line.message);
        let until = line
            .data
            .as_ref()
            .filter(|_| line.event == Event::DelayStarted)
            .and_then(|data| Timestamp::parse(data.get("until")?.as_str()?).ok());
        match until {
            Some(until) => message.replace(&until.time_of_day(), &self.time(until)),
            None => message,
        }
    }

    fn time(&self, at: Timestamp) -> String {
        jiff::Timestamp::from_millisecond(at.as_millis())
            .map(|at| {
                self.zone
                    .to_datetime(at)
                    .strftime("%H:%M:%S%.3f")
                    .to_string()
            })
            .unwrap_or_else(|_| at.to_string())
    }
}

/// Cycle, lap and step as they are shown; empty where a line has none.
fn names(line: &LogLine) -> (String, String, String) {
    let cycle = line.cycle.as_ref().map(|cycle| escape(cycle.as_str()));
    let lap = line.lap.map(|lap| format!("lap {lap}"));
    let step = line.step.as_ref().map(|step| escape(step.as_str()));
    (
        cycle.unwrap_or_default(),
        lap.unwrap_or_default(),
        step.unwrap_or_default(),
    )
}

/// The run of an acceptance, the loop so far at a hand-off, the code of a fault.
fn end_of(line: &LogLine) -> End {
    match line.event {
        Event::WebhookAccepted => line.run.map_or(End::Nothing, |run| End::Fact(run.tail())),
        Event::HandoffSent => so_far(line).map_or(End::Nothing, End::Fact),
        _ => line
            .code
            .as_ref()
            .map_or(End::Nothing, |code| End::Code(escape(code.as_str()))),
    }
}

/// `600 records, 3 laps, 6.2 s`.
fn so_far(line: &LogLine) -> Option<String> {
    let data = line.data.as_ref()?;
    let number = |name: &str| data.get(name).and_then(Value::as_u64);
    let (records, laps, ms) = (number("records")?, number("laps")?, number("ms")?);
    Some(format!(
        "{}, {}, {}",
        count(records, "record"),
        count(laps, "lap"),
        format_duration(Duration::from_millis(ms))
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

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

    /// The example of SPEC §10, word for word.
    const SPECIFIED: &str = "\
12:00:01.205  zoho_incremental  lap 3  webhook       accepted  page=3                         …84sn02q
12:00:01.317  zoho_incremental  lap 3  contacts      200 · 200 records · 41 kB · 112 ms
12:00:01.318  zoho_incremental  lap 3  more_records  true → pause
12:00:01.318  zoho_incremental  lap 3  pause         2 s, until 12:00:03.318
12:00:03.321  zoho_incremental  lap 3  next_page     → lap 4  page=4        600 records, 3 laps, 6.2 s
12:00:03.512  zoho_incremental  lap 4  contacts      ✗ 503 · retry 1 of 5 in 1.1 s    request.status
";

    #[test]
    fn lines_are_those_of_the_specification() {
        let lines = [
            json!({"event": "webhook.accepted", "step": "webhook", "message": "accepted  page=3"}),
            json!({
                "time": "2026-11-23T12:00:01.317Z", "event": "response.received", "step": "contacts",
                "message": "200 · 200 records · 41 kB · 112 ms", "records": 200, "status": 200, "ms": 112,
            }),
            json!({
                "time": "2026-11-23T12:00:01.318Z", "event": "decision.taken", "step": "more_records",
                "message": "true → pause",
            }),
            json!({
                "time": "2026-11-23T12:00:01.318Z", "event": "delay.started", "step": "pause",
                "message": "2 s, until 12:00:03.318", "data": {"until": "2026-11-23T12:00:03.318Z"},
            }),
            json!({
                "time": "2026-11-23T12:00:03.321Z", "event": "handoff.sent", "step": "next_page",
                "message": "→ lap 4  page=4", "data": {"records": 600, "laps": 3, "ms": 6200},
            }),
            json!({
                "time": "2026-11-23T12:00:03.512Z", "event": "retry.scheduled", "level": "warn", "lap": 4,
                "step": "contacts", "message": "✗ 503 · retry 1 of 5 in 1.1 s", "code": "request.status",
            }),
        ];
        let mut layout = Layout::new(Colour::OFF, TimeZone::UTC);
        let mut text = String::new();
        for value in lines {
            text.push_str(&layout.show(&line(value)));
            text.push('\n');
        }
        assert_eq!(text, SPECIFIED);
    }

    #[test]
    fn a_long_message_still_has_a_gap_before_its_end() {
        let message = format!("accepted  note={}", "x".repeat(60));
        let text =
            shown(json!({"event": "webhook.accepted", "step": "webhook", "message": message}));
        assert!(text.ends_with("xx  …84sn02q"), "{text}");
    }

    #[test]
    fn a_delay_ends_at_the_time_of_day_of_the_reader() {
        let value = json!({
            "time": "2026-11-23T12:00:01.318Z", "event": "delay.started", "step": "pause",
            "message": "2 s, until 12:00:03.318", "data": {"until": "2026-11-23T12:00:03.318Z"},
        });
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let text = Layout::new(Colour::OFF, zone).show(&line(value));
        assert!(text.starts_with("14:00:01.318  "), "{text}");
        assert!(text.ends_with("2 s, until 14:00:03.318"), "{text}");
    }

    #[test]
    fn failures_are_red_and_hand_offs_cyan() {
        let mut layout = Layout::new(Colour::ON, TimeZone::UTC);
        let mut shown = |value: Value| layout.show(&line(value));
        let failed = shown(json!({
            "event": "retry.scheduled", "level": "warn", "step": "contacts", "message": "✗ 503",
            "code": "request.status",
        }));
        assert!(failed.contains("\u{1b}[31m✗ 503\u{1b}[0m"), "{failed}");
        let sent =
            shown(json!({"event": "handoff.sent", "step": "next_page", "message": "→ lap 4"}));
        assert!(sent.contains("\u{1b}[36m→ lap 4\u{1b}[0m"), "{sent}");
    }

    #[test]
    fn a_value_cannot_control_the_terminal() {
        let text =
            shown(json!({"event": "script.logged", "step": "webhook", "message": "\u{1b}[2Jgone"}));
        assert!(text.ends_with("\\x1b[2Jgone"), "{text}");
    }
}
