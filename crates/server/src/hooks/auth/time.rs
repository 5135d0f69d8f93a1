//! The time that a signature covers, as senders write it.

use velodrome_types::Timestamp;

/// More digits than seconds since 1970 will have for three thousand years: those are milliseconds.
const SECONDS_DIGITS: usize = 11;
/// No time is longer.
const MOST_DIGITS: usize = 14;

/// Whole seconds since 1970.
pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    let seconds = digits(text).filter(|_| text.len() <= SECONDS_DIGITS)?;
    Some(Timestamp::from_millis(seconds * 1000))
}

/// Seconds or milliseconds since 1970, or a date.
pub(super) fn any(text: &str) -> Option<Timestamp> {
    match digits(text) {
        Some(_) if text.len() <= SECONDS_DIGITS => seconds(text),
        Some(millis) => Some(Timestamp::from_millis(millis)),
        None => Timestamp::parse(text)
            .ok()
            .or_else(|| Timestamp::parse_http_date(text)),
    }
}

fn digits(text: &str) -> Option<i64> {
    let only = !text.is_empty() && text.len() <= MOST_DIGITS;
    (only && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_senders_write_them() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(any(text).map(Timestamp::as_millis), expect, "{text}");
        };
        check("1764072000", Some(1_764_072_000_000));
        check("1764072000123", Some(1_764_072_000_123));
        check("2025-11-25T12:00:00Z", Some(1_764_072_000_000));
        check("2025-11-25T13:00:00+01:00", Some(1_764_072_000_000));
        check("Tue, 25 Nov 2025 12:00:00 GMT", Some(1_764_072_000_000));
        for wrong in [
            "",
            "-1764072000",
            "+1764072000",
            "1764072000.5",
            "0x1",
            "now",
            "99999999999999999",
        ] {
            check(wrong, None);
        }
        assert_eq!(seconds("1764072000123"), None, "milliseconds for seconds");
        assert_eq!(seconds("2025-11-25T12:00:00Z"), None);
    }
}
