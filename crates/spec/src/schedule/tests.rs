//! Expressions and moments from documents: what crontab(5) of Vixie's cron and the Open Cron Pattern
//! Specification say, worked out by hand against the calendars of two zones.

use super::*;

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a date")
}

fn cron(text: &str, zone: &str) -> Rhythm {
    let zone = Zone::named(zone).expect("a zone");
    Rhythm::Cron(Box::new(
        CronRhythm::parse(text, zone).unwrap_or_else(|why| panic!("`{text}`: {why}")),
    ))
}

/// The moments behind `after`, in order.
#[track_caller]
fn check(expression: &str, zone: &str, after: &str, expect: &[&str]) {
    let rhythm = cron(expression, zone);
    let mut passed = at(after);
    for expected in expect {
        let next = rhythm.next(passed).expect("a moment");
        assert_eq!(
            next,
            at(expected),
            "`{expression}` in {zone} after {passed:?}"
        );
        passed = next;
    }
}

#[test]
fn every_counts_from_what_was_due_and_does_not_drift() {
    let rhythm = Rhythm::Every(Duration::from_secs(300));
    let from = at("2026-01-01T00:00:00Z");
    assert_eq!(rhythm.next(from), Some(at("2026-01-01T00:05:00Z")));
    assert_eq!(rhythm.due(from, at("2026-01-01T00:04:59.999Z")), None);
    let due = |now| rhythm.due(from, at(now)).map(|due| (due.at, due.count));
    assert_eq!(
        due("2026-01-01T00:05:00Z"),
        Some((at("2026-01-01T00:05:00Z"), 1))
    );
    // Late by four minutes: the next is counted from 00:10.
    assert_eq!(
        due("2026-01-01T00:14:00Z"),
        Some((at("2026-01-01T00:10:00Z"), 2))
    );
    // A clock that went back makes nothing due.
    assert_eq!(due("2025-12-31T00:00:00Z"), None);
}

#[test]
fn the_last_of_many_missed_moments_is_found_without_counting_them() {
    let minutely = cron("* * * * *", "UTC");
    let due = minutely
        .due(at("2020-01-01T00:00:00Z"), at("2026-01-01T00:00:30Z"))
        .expect("some are due");
    assert_eq!((due.at, due.count), (at("2026-01-01T00:00:00Z"), COUNTED));
    let daily = cron("30 2 * * *", "Europe/Berlin");
    let due = daily.due(at("2026-01-01T00:00:00Z"), at("2026-01-04T00:00:00Z"));
    let expected = Due {
        at: at("2026-01-03T01:30:00Z"),
        count: 3,
    };
    assert_eq!(due, Some(expected));
    assert_eq!(daily.due(expected.at, at("2026-01-04T01:29:59Z")), None);
}

/// The examples of crontab(5).
#[test]
fn the_examples_of_vixies_manual() {
    // "run five minutes after midnight, every day"
    check(
        "5 0 * * *",
        "UTC",
        "2026-01-01T00:05:00Z",
        &["2026-01-02T00:05:00Z"],
    );
    // "run at 2:15pm on the first of every month"
    check(
        "15 14 1 * *",
        "UTC",
        "2026-01-02T00:00:00Z",
        &["2026-02-01T14:15:00Z"],
    );
    // "run at 10 pm on weekdays": 2026-01-02 is a Friday.
    let weekdays = ["2026-01-02T22:00:00Z", "2026-01-05T22:00:00Z"];
    check("0 22 * * 1-5", "UTC", "2026-01-02T00:00:00Z", &weekdays);
    // "run 23 minutes after midnight, 2am, 4am ..., everyday"
    let even = [
        "2026-01-01T00:23:00Z",
        "2026-01-01T02:23:00Z",
        "2026-01-01T04:23:00Z",
    ];
    check("23 0-23/2 * * *", "UTC", "2026-01-01T00:00:00Z", &even);
    // "run at 5 after 4 every sunday"
    check(
        "5 4 * * sun",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-04T04:05:00Z"],
    );
    // "30 4 1,15 * 5" runs on the 1st and 15th of each month, plus every Friday.
    let either = [
        "2026-01-01T04:30:00Z",
        "2026-01-02T04:30:00Z",
        "2026-01-09T04:30:00Z",
        "2026-01-15T04:30:00Z",
    ];
    check("30 4 1,15 * 5", "UTC", "2026-01-01T00:00:00Z", &either);
    // Sunday is 0 and 7.
    check(
        "0 0 * * 7",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-04T00:00:00Z"],
    );
    // Its nicknames.
    check(
        "@hourly",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-01T01:00:00Z"],
    );
    check(
        "@daily",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-02T00:00:00Z"],
    );
    check(
        "@weekly",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-04T00:00:00Z"],
    );
    check(
        "@monthly",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-02-01T00:00:00Z"],
    );
    check(
        "@yearly",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2027-01-01T00:00:00Z"],
    );
}

/// What the Open Cron Pattern Specification adds.
#[test]
fn the_modifiers_of_the_open_specification() {
    // Seconds come first where there are six fields.
    let seconds = ["2026-01-01T00:00:15Z", "2026-01-01T00:00:30Z"];
    check("*/15 * * * * *", "UTC", "2026-01-01T00:00:00Z", &seconds);
    // `L`: the last day of the month.
    let last = [
        "2026-01-31T12:00:00Z",
        "2026-02-28T12:00:00Z",
        "2026-03-31T12:00:00Z",
    ];
    check("0 12 L * *", "UTC", "2026-01-01T00:00:00Z", &last);
    // `#`: the second Monday; `L` behind it: the last Friday.
    check(
        "0 0 * * MON#2",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-12T00:00:00Z"],
    );
    check(
        "0 0 * * FRI#L",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-01-30T00:00:00Z"],
    );
    // `W`: the weekday next to the 15th, which is a Sunday in February 2026.
    check(
        "0 0 15W * *",
        "UTC",
        "2026-02-01T00:00:00Z",
        &["2026-02-16T00:00:00Z"],
    );
    // `+`: the 13th that is a Friday as well.
    check(
        "0 0 13 * +FRI",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2026-02-13T00:00:00Z"],
    );
    // Days of February.
    check(
        "0 0 29 2 *",
        "UTC",
        "2026-01-01T00:00:00Z",
        &["2028-02-29T00:00:00Z"],
    );
}

/// On 2026-03-29 Berlin goes from 02:00 CET to 03:00 CEST, on 2026-03-08 New York from 02:00 EST to 03:00 EDT.
#[test]
fn a_time_that_clocks_leap_over_comes_behind_the_gap() {
    let berlin = [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ];
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-03-28T00:00:00Z",
        &berlin,
    );
    let new_york = [
        "2026-03-07T07:30:00Z",
        "2026-03-08T07:00:00Z",
        "2026-03-09T06:30:00Z",
    ];
    check(
        "30 2 * * *",
        "America/New_York",
        "2026-03-07T06:00:00Z",
        &new_york,
    );
}

#[test]
fn an_interval_goes_by_the_clock_that_leaps() {
    // 01:45 CET is followed by 03:00 CEST.
    let berlin = [
        "2026-03-29T00:45:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-29T01:15:00Z",
    ];
    check(
        "*/15 * * * *",
        "Europe/Berlin",
        "2026-03-29T00:30:00Z",
        &berlin,
    );
    // The hour from 02:00 is not there that day.
    let at_half_past = ["2026-03-08T06:30:00Z", "2026-03-08T07:30:00Z"];
    check(
        "30 * * * *",
        "America/New_York",
        "2026-03-08T06:00:00Z",
        &at_half_past,
    );
}

/// On 2026-10-25 Berlin goes from 03:00 CEST to 02:00 CET, on 2026-11-01 New York from 02:00 EDT to 01:00 EST.
#[test]
fn a_time_that_comes_twice_counts_the_first_time() {
    let berlin = [
        "2026-10-24T00:30:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-26T01:30:00Z",
    ];
    check(
        "30 2 * * *",
        "Europe/Berlin",
        "2026-10-24T00:00:00Z",
        &berlin,
    );
    let new_york = [
        "2026-10-31T05:30:00Z",
        "2026-11-01T05:30:00Z",
        "2026-11-02T06:30:00Z",
    ];
    check(
        "30 1 * * *",
        "America/New_York",
        "2026-10-31T05:00:00Z",
        &new_york,
    );
}

#[test]
fn an_interval_comes_in_both_passes_of_the_hour() {
    let berlin = [
        "2026-10-25T00:00:00Z",
        "2026-10-25T00:30:00Z",
        "2026-10-25T01:00:00Z",
        "2026-10-25T01:30:00Z",
        "2026-10-25T02:00:00Z",
    ];
    check(
        "*/30 * * * *",
        "Europe/Berlin",
        "2026-10-24T23:30:00Z",
        &berlin,
    );
    let new_york = [
        "2026-11-01T05:30:00Z",
        "2026-11-01T06:30:00Z",
        "2026-11-01T07:30:00Z",
    ];
    check(
        "30 * * * *",
        "America/New_York",
        "2026-11-01T05:00:00Z",
        &new_york,
    );
}

#[test]
fn what_is_no_expression_is_refused() {
    for text in [
        "",
        "* * * *",
        "60 * * * *",
        "0 24 * * *",
        "0 0 32 * *",
        "0 0 * 13 *",
        "a * * * *",
        "*/0 * * * *",
    ] {
        assert!(CronRhythm::parse(text, Zone::UTC).is_err(), "{text}");
    }
    let never = cron("0 0 30 2 *", "UTC");
    assert_eq!(never.next(at("2026-01-01T00:00:00Z")), None);
}

#[test]
fn a_schedule_is_told_in_words_and_apart_from_others() {
    let daily = cron("30 2 * * *", "Europe/Berlin");
    assert_eq!(daily.words(), "at 02:30 Europe/Berlin (cron `30 2 * * *`)");
    assert_eq!(daily.rule(), "cron 30 2 * * * Europe/Berlin");
    let five = Rhythm::Every(Duration::from_secs(300));
    assert_eq!(
        (five.words(), five.rule()),
        ("every 5 min".to_owned(), "every 300000 ms".to_owned())
    );
}
