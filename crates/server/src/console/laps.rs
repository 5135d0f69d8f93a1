//! Laps out of a loop's runs and log lines: what each was doing when.
//!
//! The log tells when something ended. The time between two lines of a run belongs to the later one, and where
//! that says how long it took itself, only so much of it: what was before is what the earlier line began, a
//! delay or the pause before a retry. Pure: the page reads, this counts.

use std::collections::HashMap;

use velodrome_runtime::api::RunView;
use velodrome_types::{Event, LogLine, RunId, RunStatus, Timestamp};

/// What a run did in a piece of its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// It waited for its loop's place.
    Queue,
    /// A request was out.
    Request,
    /// A delay.
    Delay,
    /// It waited for a request, or for other runs.
    Wait,
    /// The pause before another attempt.
    Retry,
    /// It handed off.
    HandOff,
    /// The engine or a script.
    Inside,
}

impl Doing {
    pub(super) const ALL: [Self; 7] = [
        Self::Request,
        Self::Delay,
        Self::Inside,
        Self::HandOff,
        Self::Retry,
        Self::Wait,
        Self::Queue,
    ];

    /// The class of its colour.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Queue => "p-queue",
            Self::Request => "p-request",
            Self::Delay => "p-delay",
            Self::Wait => "p-wait",
            Self::Retry => "p-retry",
            Self::HandOff => "p-handoff",
            Self::Inside => "p-inside",
        }
    }

    /// What people call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Queue => "queued",
            Self::Request => "request",
            Self::Delay => "delay",
            Self::Wait => "waiting",
            Self::Retry => "before a retry",
            Self::HandOff => "hand-off",
            Self::Inside => "engine and scripts",
        }
    }
}

/// A piece of a lap's time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The step; none before the first.
    pub(super) step: Option<String>,
    pub(super) doing: Doing,
    /// Milliseconds from the lap's beginning.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Whether it goes on.
    pub(super) open: bool,
}

/// A lap: a run of the loop's chain.
#[derive(Clone, Debug)]
pub(super) struct Lap {
    pub(super) run: RunView,
    pub(super) pieces: Vec<Piece>,
    /// Milliseconds from its acceptance to its end, or to now.
    pub(super) took: u64,
    /// Records that its lists brought.
    pub(super) records: u64,
    /// Attempts that failed.
    pub(super) retries: u64,
}

/// The laps of these runs, in their order. `lines` are the loop's, in order, as far as they are about them.
pub(super) fn laps(runs: Vec<RunView>, lines: &[LogLine], now: Timestamp) -> Vec<Lap> {
    let mut by_run: HashMap<RunId, Vec<&LogLine>> = HashMap::new();
    for line in lines {
        if let Some(run) = line.run {
            by_run.entry(run).or_default().push(line);
        }
    }
    runs.into_iter()
        .map(|run| {
            let lines = by_run.remove(&run.id).unwrap_or_default();
            lap(run, &lines, now)
        })
        .collect()
}

fn lap(run: RunView, lines: &[&LogLine], now: Timestamp) -> Lap {
    let ends = if run.status.is_final() {
        run.updated
    } else {
        now
    };
    let mut pieces = Pieces::from(run.created);
    let mut before = None;
    for line in lines {
        pieces.line(before, line);
        before = Some(*line);
    }
    if !run.status.is_final() {
        let step = run.step.as_ref().map(ToString::to_string);
        pieces.paused(before, now);
        pieces.push(step, going_on(&run, before), now, true);
    }
    Lap {
        pieces: pieces.done,
        took: between(run.created, ends),
        records: lines.iter().filter_map(|line| line.records).sum(),
        retries: count(lines, Event::RetryScheduled),
        run,
    }
}

fn count(lines: &[&LogLine], event: Event) -> u64 {
    lines.iter().filter(|line| line.event == event).count() as u64
}

fn between(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.as_millis() - from.as_millis()).unwrap_or(0)
}

/// What a run that has not ended is at.
fn going_on(run: &RunView, last: Option<&LogLine>) -> Doing {
    match (run.status, last.map(|line| line.event)) {
        (RunStatus::Queued, _) => Doing::Queue,
        (RunStatus::Waiting, last) => started(last).unwrap_or(Doing::Wait),
        (_, last) => started(last).unwrap_or(Doing::Request),
    }
}

/// What begins with a line.
fn started(event: Option<Event>) -> Option<Doing> {
    match event? {
        Event::DelayStarted => Some(Doing::Delay),
        Event::WaitStarted | Event::RunWaiting => Some(Doing::Wait),
        Event::RetryScheduled => Some(Doing::Retry),
        _ => None,
    }
}

/// What has been put together of a lap.
struct Pieces {
    begin: Timestamp,
    at: Timestamp,
    done: Vec<Piece>,
}

impl Pieces {
    fn from(begin: Timestamp) -> Self {
        Self {
            begin,
            at: begin,
            done: Vec::new(),
        }
    }

    fn line(&mut self, before: Option<&LogLine>, line: &LogLine) {
        let step = line.step.as_ref().map(ToString::to_string);
        self.paused(before, line.time);
        let began = started(before.map(|line| line.event));
        let doing = match line.event {
            Event::LoopStarted | Event::RunStarted => Doing::Queue,
            Event::DelayEnded => Doing::Delay,
            Event::WaitEnded => Doing::Wait,
            Event::HandoffSent | Event::HandoffFailed => Doing::HandOff,
            Event::ResponseReceived | Event::RequestFailed | Event::RetryScheduled => {
                // What the answer says that it took; what was before is a pause, or the engine's own.
                if let Some(ms) = line.ms {
                    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
                    let sent = line.time.as_millis().saturating_sub(ms);
                    let sent = Timestamp::from_millis(sent);
                    let earlier = before.and_then(|line| line.step.as_ref());
                    let waited = began.filter(|_| earlier == line.step.as_ref());
                    self.push(step.clone(), waited.unwrap_or(Doing::Inside), sent, false);
                }
                Doing::Request
            }
            _ => began.unwrap_or(Doing::Inside),
        };
        self.push(step, doing, line.time, false);
    }

    /// The pause that a line began, as far as it says how long: what comes after is the next attempt.
    fn paused(&mut self, before: Option<&LogLine>, now: Timestamp) {
        let Some(line) = before.filter(|line| line.event == Event::RetryScheduled) else {
            return;
        };
        let until = line
            .data
            .as_ref()
            .and_then(|data| data.get("until")?.as_str());
        if let Some(until) = until.and_then(|until| Timestamp::parse(until).ok()) {
            let step = line.step.as_ref().map(ToString::to_string);
            self.push(step, Doing::Retry, until.min(now), false);
        }
    }

    /// What was done from the last piece's end until then. A piece of the same doing goes on.
    fn push(&mut self, step: Option<String>, doing: Doing, until: Timestamp, open: bool) {
        if until <= self.at && !open {
            return;
        }
        let (from, to) = (between(self.begin, self.at), between(self.begin, until));
        self.at = until.max(self.at);
        match self.done.last_mut() {
            Some(last) if last.doing == doing && last.step == step && !last.open => {
                last.to = to.max(last.to);
                last.open = open;
            }
            _ => self.done.push(Piece {
                step,
                doing,
                from,
                to: to.max(from),
                open,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use velodrome_types::{CycleId, Level, LoopId, StepId};

    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(1_768_000_000_000 + millis)
    }

    fn run(status: RunStatus, updated: i64) -> RunView {
        let id = RunId::from_bytes([1; 16]);
        RunView {
            id,
            cycle: CycleId::from("pages"),
            version: "v".to_owned(),
            loop_id: LoopId::from_bytes([2; 16]),
            lap: 1,
            parent: None,
            root: id,
            hops: 0,
            status,
            step: Some(StepId::from("pause")),
            created: at(0),
            updated: at(updated),
            due: None,
            error: None,
        }
    }

    fn line(millis: i64, event: Event, step: &str, ms: Option<u64>) -> LogLine {
        let mut line = LogLine::new(at(millis), Level::Info, event, "");
        line.run = Some(RunId::from_bytes([1; 16]));
        line.step = Some(StepId::from(step));
        line.ms = ms;
        line
    }

    fn told(run: RunView, lines: &[LogLine], now: i64) -> Vec<String> {
        let laps = laps(vec![run], lines, at(now));
        laps[0]
            .pieces
            .iter()
            .map(|piece| {
                let step = piece.step.as_deref().unwrap_or("");
                let open = if piece.open { " …" } else { "" };
                format!("{step} {:?} {}-{}{open}", piece.doing, piece.from, piece.to)
            })
            .collect()
    }

    #[test]
    fn a_lap_is_its_request_its_delay_and_its_hand_off() {
        let lines = [
            line(0, Event::WebhookAccepted, "webhook", None),
            line(115, Event::ResponseReceived, "contacts", Some(112)),
            line(115, Event::DecisionTaken, "more_records", None),
            line(115, Event::DelayStarted, "pause", None),
            line(2118, Event::DelayEnded, "pause", None),
            line(2120, Event::HandoffSent, "next_page", None),
        ];
        assert_eq!(
            told(run(RunStatus::Succeeded, 2120), &lines, 9999),
            [
                "contacts Inside 0-3",
                "contacts Request 3-115",
                "pause Delay 115-2118",
                "next_page HandOff 2118-2120"
            ]
        );
    }

    #[test]
    fn what_goes_on_is_open_to_now() {
        let mut lines = vec![
            line(0, Event::WebhookAccepted, "webhook", None),
            line(10, Event::ResponseReceived, "contacts", Some(10)),
            line(10, Event::DelayStarted, "pause", None),
        ];
        assert_eq!(
            told(run(RunStatus::Waiting, 10), &lines, 700),
            ["contacts Request 0-10", "pause Delay 10-700 …"]
        );
        lines.pop();
        assert_eq!(
            told(run(RunStatus::Running, 10), &lines, 700),
            ["contacts Request 0-10", "pause Request 10-700 …"]
        );
    }

    #[test]
    fn a_retry_is_a_pause_between_two_requests() {
        let lines = [
            line(100, Event::RetryScheduled, "contacts", Some(100)),
            line(1250, Event::ResponseReceived, "contacts", Some(50)),
        ];
        assert_eq!(
            told(run(RunStatus::Succeeded, 1250), &lines, 9999),
            [
                "contacts Request 0-100",
                "contacts Retry 100-1200",
                "contacts Request 1200-1250"
            ]
        );
    }

    #[test]
    fn an_attempt_without_a_time_begins_when_its_pause_ends() {
        let mut retry = line(100, Event::RetryScheduled, "contacts", None);
        retry.data = Some(serde_json::json!({ "until": at(1100) }));
        let lines = [retry, line(1150, Event::RequestFailed, "contacts", None)];
        assert_eq!(
            told(run(RunStatus::Failed, 1150), &lines, 9999),
            [
                "contacts Request 0-100",
                "contacts Retry 100-1100",
                "contacts Request 1100-1150"
            ]
        );
        assert_eq!(
            told(run(RunStatus::Waiting, 100), &lines[..1], 600),
            [
                "contacts Request 0-100",
                "contacts Retry 100-600",
                "pause Retry 600-600 …"
            ]
        );
    }

    #[test]
    fn a_loop_that_queued_shows_it() {
        let lines = [
            line(0, Event::WebhookAccepted, "webhook", None),
            line(500, Event::LoopStarted, "webhook", None),
            line(510, Event::ResponseReceived, "contacts", Some(10)),
        ];
        let told = told(run(RunStatus::Succeeded, 510), &lines, 9999);
        assert_eq!(told, ["webhook Queue 0-500", "contacts Request 500-510"]);
    }

    #[test]
    fn a_run_whose_lines_are_gone_is_still_a_lap() {
        let laps = laps(vec![run(RunStatus::Succeeded, 40)], &[], at(99));
        assert_eq!((laps[0].took, laps[0].pieces.len()), (40, 0));
    }
}
