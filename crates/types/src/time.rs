//! A moment, to the millisecond.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A text is no date the engine reads.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no date: write RFC 3339 such as `2026-11-23T12:00:00Z`")]
pub struct TimeError {
    /// What was given.
    pub text: String,
}

/// Milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment so many milliseconds after 1970 began.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970 began.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This moment and so much later; stays at the end of time rather than overflow.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This moment and so much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The same moment without its milliseconds.
    #[must_use]
    pub fn whole_second(self) -> Self {
        Self(self.0 - self.0.rem_euclid(1000))
    }

    /// Reads RFC 3339 with any offset.
    pub fn parse(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError {
            text: text.to_owned(),
        };
        let moment: jiff::Timestamp = text.trim().parse().map_err(|_| error())?;
        Ok(Self(moment.as_millisecond()))
    }

    /// Reads an HTTP date as `Date` and `Retry-After` carry it (RFC 9110, IMF-fixdate).
    pub fn parse_http_date(text: &str) -> Option<Self> {
        let moment = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
        Some(Self(moment.timestamp().as_millisecond()))
    }

    /// Writes an HTTP date (RFC 9110, IMF-fixdate).
    pub fn to_http_date(self) -> String {
        self.moment()
            .strftime("%a, %d %b %Y %H:%M:%S GMT")
            .to_string()
    }

    fn moment(self) -> jiff::Timestamp {
        let clamped = self.0.clamp(
            jiff::Timestamp::MIN.as_millisecond(),
            jiff::Timestamp::MAX.as_millisecond(),
        );
        jiff::Timestamp::from_millisecond(clamped).expect("clamped into range")
    }

    /// `2026-11-23T12:00:00+00:00`: ISO 8601 with seconds and a numeric offset, as Zoho wants it.
    pub fn to_iso8601_offset_seconds(self) -> String {
        self.moment()
            .strftime("%Y-%m-%dT%H:%M:%S+00:00")
            .to_string()
    }

    /// `2026-11-23T12:00:00Z`.
    pub fn to_iso8601_utc_seconds(self) -> String {
        self.moment().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// The time of day in UTC to the millisecond, `12:00:03.318`.
    pub fn time_of_day(self) -> String {
        self.moment().strftime("%H:%M:%S%.3f").to_string()
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.moment().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_rfc_3339() {
        let at = Timestamp::from_millis(1_795_435_200_318);
        assert_eq!(at.to_string(), "2026-11-23T12:00:00.318Z");
        assert_eq!(Timestamp::parse("2026-11-23T13:00:00.318+01:00"), Ok(at));
        assert!(Timestamp::parse("yesterday").is_err());
    }

    #[test]
    fn reads_and_writes_http_dates() {
        let at = Timestamp::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(at.to_iso8601_offset_seconds(), "1994-11-06T08:49:37+00:00");
        assert_eq!(at.to_http_date(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
