//! Durations as people write them: `2 seconds`, `1h30m`, `PT2S`.

use std::time::Duration;

use thiserror::Error;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DurationError {
    /// A number without a unit.
    #[error("`{text}` has no unit: write `{text} seconds`")]
    BareNumber {
        /// What was given.
        text: String,
    },
    /// A unit that is none of ours.
    #[error("`{unit}` is no unit: use ms, s, m, h, d, w or the English word")]
    Unit {
        /// What was given.
        unit: String,
    },
    /// Neither number-and-unit pairs nor ISO 8601.
    #[error("`{text}` is no duration: write `2 seconds`, `1h30m` or `PT2S`")]
    Form {
        /// What was given.
        text: String,
    },
}

const DAY: u64 = 86_400_000;

fn unit_millis(unit: &str) -> Option<u64> {
    Some(match unit {
        "ms" | "millisecond" | "milliseconds" => 1,
        "s" | "second" | "seconds" => 1_000,
        "m" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => DAY,
        "w" | "week" | "weeks" => 7 * DAY,
        _ => return None,
    })
}

/// Reads a duration to the millisecond. Zero is allowed, a bare number is refused (SPEC §3).
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let form = || DurationError::Form {
        text: text.to_owned(),
    };
    let trimmed = text.trim();
    let millis = match trimmed.strip_prefix('P') {
        Some(iso) => iso_millis(iso).ok_or_else(form)?,
        None => pairs_millis(trimmed, text)?,
    };
    Ok(Duration::from_millis(millis))
}

fn pairs_millis(trimmed: &str, text: &str) -> Result<u64, DurationError> {
    let form = || DurationError::Form {
        text: text.to_owned(),
    };
    let mut rest = trimmed;
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(form());
    }
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let number: u64 = rest[..digits].parse().map_err(|_| form())?;
        rest = rest[digits..].trim_start();
        let letters = rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_ascii_alphabetic())
                .len();
        let unit = rest[..letters].to_ascii_lowercase();
        if unit.is_empty() {
            let bare = rest.is_empty() && trimmed.bytes().all(|b| b.is_ascii_digit());
            return Err(if bare {
                DurationError::BareNumber {
                    text: trimmed.to_owned(),
                }
            } else {
                form()
            });
        }
        let each = unit_millis(&unit).ok_or(DurationError::Unit { unit })?;
        total = number
            .checked_mul(each)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(form)?;
        rest = rest[letters..].trim_start();
    }
    Ok(total)
}

/// ISO 8601 without its `P`: weeks and days, then hours, minutes and seconds behind a `T`.
fn iso_millis(iso: &str) -> Option<u64> {
    let (date, time) = match iso.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (iso, ""),
    };
    if date.is_empty() && time.is_empty() {
        return None;
    }
    let days = iso_part(date, &[('W', 7 * DAY), ('D', DAY)])?;
    let rest = iso_part(time, &[('H', 3_600_000), ('M', 60_000), ('S', 1_000)])?;
    days.checked_add(rest)
}

fn iso_part(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut total: u64 = 0;
    for (letter, each) in units {
        if let Some((number, after)) = text.split_once(*letter) {
            let part = match number.split_once('.') {
                Some((whole, fraction)) if *letter == 'S' => {
                    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
                    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
                        return None;
                    }
                    whole
                        .parse::<u64>()
                        .ok()?
                        .checked_mul(1_000)?
                        .checked_add(digits.parse().ok()?)?
                }
                _ => number.parse::<u64>().ok()?.checked_mul(*each)?,
            };
            total = total.checked_add(part)?;
            text = after;
        }
    }
    text.is_empty().then_some(total)
}

/// A duration as a log shows it: `112 ms`, `2 s`, `1.1 s`, `4 min 10 s`, `3 h 2 min`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    if millis < 1_000 {
        return format!("{millis} ms");
    }
    if seconds < 60 {
        let tenths = (millis + 50) / 100;
        return if tenths.is_multiple_of(10) {
            format!("{} s", tenths / 10)
        } else {
            format!("{}.{} s", tenths / 10, tenths % 10)
        };
    }
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_spelling() {
        let check = |text: &str, millis: u64| {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        };
        check("2 seconds", 2_000);
        check("1 second", 1_000);
        check("2s", 2_000);
        check("0s", 0);
        check("0 seconds", 0);
        check("1h30m", 5_400_000);
        check("1 h 30 m", 5_400_000);
        check("250ms", 250);
        check("2 weeks", 14 * DAY);
        check("PT2S", 2_000);
        check("PT1H30M", 5_400_000);
        check("P1DT12H", 129_600_000);
        check("P2W", 14 * DAY);
        check("PT0.5S", 500);
    }

    #[test]
    fn refuses_the_rest_and_says_why() {
        assert_eq!(
            parse_duration("2"),
            Err(DurationError::BareNumber { text: "2".into() })
        );
        assert_eq!(
            parse_duration("2 fortnights"),
            Err(DurationError::Unit {
                unit: "fortnights".into()
            })
        );
        for bad in [
            "",
            "soon",
            "-2s",
            "2s 3",
            "P",
            "PT",
            "P1H",
            "1.5s",
            "99999999999999999999s",
            "PT1.xS",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn shows_what_people_read() {
        let show = |millis| format_duration(Duration::from_millis(millis));
        assert_eq!(show(112), "112 ms");
        assert_eq!(show(2_000), "2 s");
        assert_eq!(show(1_100), "1.1 s");
        assert_eq!(show(250_000), "4 min 10 s");
        assert_eq!(show(10_920_000), "3 h 2 min");
    }
}
