//! The closed list of events in the run log (SPEC §11).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How much a log line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For those who look closely.
    Debug,
    /// What happened.
    Info,
    /// Something a person may want to know.
    Warn,
    /// Something failed.
    Error,
}

impl Level {
    /// Every level, from the least.
    pub const ALL: &'static [Self] = &[Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The level's name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|level| level.as_str() == text)
            .ok_or_else(|| format!("`{text}` is none of debug, info, warn, error"))
    }
}

macro_rules! events {
    ($($variant:ident = $text:literal,)+) => {
        /// What a log line tells. The number of a variant is its place in stored lines: append only.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "each variant is its name in SPEC §11, spelled beside it")]
        pub enum Event { $(#[serde(rename = $text)] $variant),+ }

        impl Event {
            /// Every event, in stored order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The event's name in the API.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

events! {
    WebhookAccepted = "webhook.accepted",
    WebhookIgnored = "webhook.ignored",
    WebhookRefused = "webhook.refused",
    WebhookReplayed = "webhook.replayed",
    RunStarted = "run.started",
    RunWaiting = "run.waiting",
    RunResumed = "run.resumed",
    RunSucceeded = "run.succeeded",
    RunFailed = "run.failed",
    RunStopped = "run.stopped",
    ScriptLogged = "script.logged",
    ScriptFailed = "script.failed",
    RequestSent = "request.sent",
    RequestFailed = "request.failed",
    ResponseReceived = "response.received",
    RetryScheduled = "retry.scheduled",
    DecisionTaken = "decision.taken",
    DelayStarted = "delay.started",
    DelayEnded = "delay.ended",
    WaitStarted = "wait.started",
    WaitEnded = "wait.ended",
    HandoffSent = "handoff.sent",
    HandoffFailed = "handoff.failed",
    ItemFailed = "item.failed",
    WatermarkHeld = "watermark.held",
    WatermarkMoved = "watermark.moved",
    WatermarkKept = "watermark.kept",
    StorageForeignRead = "storage.foreign_read",
    LoopStarted = "loop.started",
    LoopSucceeded = "loop.succeeded",
    LoopFailed = "loop.failed",
    LoopStopped = "loop.stopped",
    CycleLoaded = "cycle.loaded",
    CycleRejected = "cycle.rejected",
    CycleStarted = "cycle.started",
    CyclePaused = "cycle.paused",
    CycleFinishing = "cycle.finishing",
    CycleStopped = "cycle.stopped",
    CyclePurged = "cycle.purged",
    CycleRemoved = "cycle.removed",
    ScheduleFired = "schedule.fired",
    ScheduleSkipped = "schedule.skipped",
    ConnectionRefreshed = "connection.refreshed",
    ConnectionFailed = "connection.failed",
}

impl Event {
    /// The event's number in stored lines.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The event of a stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(number as usize).copied()
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Event {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .iter()
            .copied()
            .find(|event| event.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no event of the run log"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_lead_back() {
        for event in Event::ALL {
            assert_eq!(Event::from_number(event.number()), Some(*event));
            assert_eq!(event.as_str().parse(), Ok(*event));
        }
        assert_eq!(Event::from_number(200), None);
    }

    #[test]
    fn every_event_is_explained() {
        let page = include_str!("../../../docs/logs.md");
        for event in Event::ALL {
            let named = format!("`{event}`");
            let is_named = |line: &str| line.starts_with("| `") && line.contains(&named);
            assert!(
                page.lines().any(is_named),
                "docs/logs.md has no row of {event}"
            );
        }
    }
}
