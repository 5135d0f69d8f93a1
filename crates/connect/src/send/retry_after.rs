//! `Retry-After`: seconds or a date (RFC 9110 §10.2.3).

use std::time::Duration;

use velodrome_types::Timestamp;

/// The longest wait that is believed: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3_600);
/// From here on a number is a moment in seconds since 1970, not a length: 2001, or 31 years.
const MOMENTS: f64 = 1e9;
/// And from here on one in milliseconds.
const MOMENTS_MS: f64 = 1e12;

/// How long to wait. A date is measured from the answer's own `Date`, else from `now`; one that has
/// passed is no wait. `None` for what is neither.
pub(super) fn parse(text: &str, date: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = if text.bytes().next()?.is_ascii_digit() {
        let seconds: f64 = text.parse().ok()?;
        Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64()))
    } else {
        Timestamp::parse_http_date(text)?.since(date.unwrap_or(now))
    };
    Some(wait.min(LONGEST))
}

/// How long to wait by a header that tells until when: a moment as seconds or milliseconds since 1970
/// (GitHub's `x-ratelimit-reset`), a date, or what `Retry-After` takes. A moment is measured from `date`.
pub(super) fn until(text: &str, date: Option<Timestamp>, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let from = date.unwrap_or(now);
    let moment = match text.parse::<f64>() {
        Ok(number) if number >= MOMENTS_MS => Some(Timestamp::from_millis(number as i64)),
        Ok(number) if number >= MOMENTS => Some(Timestamp::from_millis((number * 1_000.0) as i64)),
        Ok(_) => None,
        Err(_) => Timestamp::parse(text).ok(),
    };
    match moment {
        Some(moment) => Some(moment.since(from).min(LONGEST)),
        None => parse(text, date, now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let now = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let check = |text: &str, date: Option<&str>, expect: Option<u64>| {
            let date = date.map(|date| Timestamp::parse(date).unwrap());
            let got = parse(text, date, now).map(|wait| wait.as_millis() as u64);
            assert_eq!(got, expect, "{text}");
        };
        check("0", None, Some(0));
        check("120", None, Some(120_000));
        check(" 120 ", None, Some(120_000));
        check("1.5", None, Some(1_500));
        check("99999999999999999999", None, Some(604_800_000));
        check("1e999", None, Some(604_800_000));
        check("Mon, 23 Nov 2026 12:01:00 GMT", None, Some(60_000));
        check(
            "Mon, 23 Nov 2026 12:01:00 GMT",
            Some("2026-11-23T12:00:30Z"),
            Some(30_000),
        );
        check("Mon, 23 Nov 2026 11:00:00 GMT", None, Some(0));
        check("Fri, 01 Jan 2100 00:00:00 GMT", None, Some(604_800_000));
        for bad in ["", "soon", "-5", "nan", "inf", "12 parsecs", "60,120"] {
            check(bad, None, None);
        }
    }

    #[test]
    fn a_moment_is_measured_from_the_answers_own_date() {
        let now = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
        let check = |text: &str, date: Option<&str>, expect: Option<u64>| {
            let date = date.map(|date| Timestamp::parse(date).unwrap());
            let got = until(text, date, now).map(|wait| wait.as_millis() as u64);
            assert_eq!(got, expect, "{text}");
        };
        let soon = now.as_millis() / 1_000 + 90;
        check(&soon.to_string(), None, Some(90_000));
        check(&(soon * 1_000).to_string(), None, Some(90_000));
        check(
            &soon.to_string(),
            Some("2026-11-23T12:01:00Z"),
            Some(30_000),
        );
        check(&(soon - 200).to_string(), None, Some(0));
        check("99999999999", None, Some(604_800_000));
        check("30", None, Some(30_000));
        check("2026-11-23T12:00:05Z", None, Some(5_000));
        check("Mon, 23 Nov 2026 12:01:00 GMT", None, Some(60_000));
        check("soon", None, None);
        check("-1", None, None);
        check("nan", None, None);
    }
}
