//! Small things that every page shows in the same way: times, durations, states, ids.

use std::time::Duration;

use maud::{Markup, html};
use velodrome_types::{
    CycleState, Json, LogLine, LoopId, LoopStatus, RunId, RunStatus, Timestamp, format_duration,
};

/// A time as so long ago, with the exact one for whoever points at it.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! {
        time datetime=(at) title=(exact(at)) data-relative { (relative(at, now)) }
    }
}

/// The exact time, for people.
pub(super) fn exact(at: Timestamp) -> String {
    let text = at.to_string();
    text.replacen('T', " ", 1).replacen('Z', " UTC", 1)
}

/// The time of day, with the exact one for whoever points at it.
pub(super) fn time_of_day(at: Timestamp) -> Markup {
    html! { time.at datetime=(at) title=(exact(at)) { (at.time_of_day()) } }
}

/// As the page's script goes on to tell it.
fn relative(at: Timestamp, now: Timestamp) -> String {
    let millis = now.as_millis() - at.as_millis();
    let seconds = millis.unsigned_abs() / 1000;
    let count = match seconds {
        0 => return "now".to_owned(),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    };
    match millis > 0 {
        true => format!("{count} ago"),
        false => format!("in {count}"),
    }
}

/// How long something took.
pub(super) fn took(millis: u64) -> String {
    format_duration(Duration::from_millis(millis))
}

/// A count with its thousands apart.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A rate a second.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 100.0 => format!("{rate:.0} /s"),
        rate if rate >= 1.0 => format!("{rate:.1} /s"),
        rate if rate * 60.0 >= 1.0 => format!("{:.1} /min", rate * 60.0),
        rate => format!("{:.1} /h", rate * 3600.0),
    }
}

/// The state of a cycle.
pub(super) fn cycle_state(state: CycleState) -> Markup {
    let class = match state {
        CycleState::Running => "badge good",
        CycleState::Finishing | CycleState::Paused => "badge warn",
        CycleState::Stopped => "badge",
        CycleState::NeedsConnection | CycleState::Invalid => "badge bad",
    };
    badge(class, state.as_str())
}

/// The state of a run.
pub(super) fn run_status(status: RunStatus) -> Markup {
    let class = match status {
        RunStatus::Succeeded => "badge good",
        RunStatus::Failed => "badge bad",
        RunStatus::Running => "badge busy",
        RunStatus::Waiting | RunStatus::Queued => "badge warn",
        RunStatus::Stopped | RunStatus::Ignored => "badge",
    };
    badge(class, status.as_str())
}

/// The state of a loop.
pub(super) fn loop_status(status: LoopStatus) -> Markup {
    let class = match status {
        LoopStatus::Succeeded => "badge good",
        LoopStatus::Failed => "badge bad",
        LoopStatus::Running => "badge busy",
        LoopStatus::Waiting | LoopStatus::Queued => "badge warn",
        LoopStatus::Stopped => "badge",
    };
    badge(class, status.as_str())
}

pub(super) fn badge(class: &str, text: &str) -> Markup {
    html! { span class=(class) { (text.replace('_', " ")) } }
}

/// A run by the end of its id, which leads to it.
pub(super) fn run_link(id: RunId) -> Markup {
    html! { a.mono href={ "/runs/" (id) } title=(id) { "run …" (tail(&id.to_string())) } }
}

/// A loop, likewise.
pub(super) fn loop_link(id: LoopId) -> Markup {
    html! { a.mono href={ "/loops/" (id) } title=(id) { "loop …" (tail(&id.to_string())) } }
}

/// The last characters of an id, as commands take them.
pub(super) fn tail(id: &str) -> &str {
    id.get(id.len().saturating_sub(7)..).unwrap_or(id)
}

/// The class of a line by its level.
pub(super) fn level(line: &LogLine) -> &'static str {
    line.level.as_str()
}

/// JSON as people read it.
pub(super) fn pretty(value: &Json) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

/// A text as part of a path.
pub(super) fn segment(text: &str) -> String {
    use std::fmt::Write as _;
    let mut safe = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                safe.push(char::from(byte));
            }
            other => write!(safe, "%{other:02X}").expect("a text takes all"),
        }
    }
    safe
}

/// A query of those of these parameters that have a value.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.is_empty());
    serde_urlencoded::to_string(given.collect::<Vec<_>>()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_by_how_long_ago_they_are() {
        let check = |millis: i64, expect: &str| {
            let now = Timestamp::from_millis(1_000_000_000_000);
            let at = Timestamp::from_millis(1_000_000_000_000 - millis);
            assert_eq!(relative(at, now), expect);
        };
        check(999, "now");
        check(59_999, "59 s ago");
        check(60_000, "1 min ago");
        check(7_200_000, "2 h ago");
        check(200_000_000, "2 d ago");
        check(-90_000, "in 1 min");
    }

    #[test]
    fn counts_and_rates_are_told_for_people() {
        let check = |number, expect: &str| assert_eq!(count(number), expect);
        check(0, "0");
        check(999, "999");
        check(1_000, "1,000");
        check(12_345_678, "12,345,678");
        assert_eq!(rate(123.4), "123 /s");
        assert_eq!(rate(1.25), "1.2 /s");
        assert_eq!(rate(0.5), "30.0 /min");
        assert_eq!(rate(0.001), "3.6 /h");
    }

    #[test]
    fn a_segment_leaves_its_place_by_nothing_that_stands_in_it() {
        assert_eq!(segment("a/b?c#d%20 é"), "a%2Fb%3Fc%23d%2520%20%C3%A9");
    }
}
