//! The simulator's clock: real time, real time with an offset, or a frozen instant.
//!
//! Everything that Zoho would date (records, tokens, limits, the `Date` header) asks this clock, so
//! a test moves ten minutes or a day without waiting. Delays asked of the simulator itself
//! (`latency_ms`, `delay_ms`) are spent in real time.

use std::time::SystemTime;

use jiff::fmt::temporal::DateTimePrinter;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// How the clock stands when the simulator starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClockStart {
    /// It tells the machine's own time.
    #[default]
    Real,
    /// It begins here and runs on.
    Running(Timestamp),
    /// It stands here until it is moved.
    Frozen(Timestamp),
}

#[derive(Debug)]
pub(crate) enum Clock {
    Running { offset: SignedDuration },
    Frozen { at: Timestamp },
}

impl Clock {
    pub(crate) fn new(start: ClockStart) -> Self {
        match start {
            ClockStart::Real => Self::Running {
                offset: SignedDuration::ZERO,
            },
            ClockStart::Running(at) => Self::Running {
                offset: at.duration_since(machine_now()),
            },
            ClockStart::Frozen(at) => Self::Frozen { at },
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Running { offset } => plus(machine_now(), *offset),
            Self::Frozen { at } => *at,
        }
    }

    pub(crate) fn advance(&mut self, by: SignedDuration) {
        match self {
            Self::Running { offset } => *offset = offset.saturating_add(by),
            Self::Frozen { at } => *at = plus(*at, by),
        }
    }

    /// Moves to an instant; a frozen clock stays frozen, a running one runs on from there.
    pub(crate) fn set(&mut self, to: Timestamp) {
        match self {
            Self::Running { offset } => *offset = to.duration_since(machine_now()),
            Self::Frozen { at } => *at = to,
        }
    }

    pub(crate) fn freeze(&mut self) {
        *self = Self::Frozen { at: self.now() };
    }

    pub(crate) fn run(&mut self) {
        *self = Self::new(ClockStart::Running(self.now()));
    }

    pub(crate) fn is_frozen(&self) -> bool {
        matches!(self, Self::Frozen { .. })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the simulator reads the time"
)]
fn machine_now() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Adds, and stops at the ends of time.
pub(crate) fn plus(at: Timestamp, by: SignedDuration) -> Timestamp {
    let end = if by.is_negative() {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    at.checked_add(by).unwrap_or(end)
}

/// Cuts to the whole second, as Zoho's times are.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// `2026-03-11T16:40:27+01:00`: second precision and the user's numeric offset.
pub(crate) fn zoho_time(at: Timestamp, zone: &TimeZone) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(0));
    PRINTER.timestamp_with_offset_to_string(&at, zone.to_offset(at))
}

/// `Thu, 12 Mar 2026 08:00:00 GMT`, for the `Date` header.
pub(crate) fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Reads `If-Modified-Since`: ISO 8601 with an offset, as Zoho documents it, and nothing else.
pub(crate) fn parse_zoho_time(text: &str) -> Option<Timestamp> {
    let dated = text.as_bytes().get(10).is_some_and(|byte| *byte == b'T');
    if dated && !text.contains('[') {
        text.parse().ok()
    } else {
        None
    }
}
