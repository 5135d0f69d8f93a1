//! A time zone of the IANA database, and dates read in it.

use std::fmt;

use jiff::tz::TimeZone;

use crate::time::{TimeError, Timestamp};

/// An IANA time zone. The database is part of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of this name, such as `Europe/Berlin`; `None` if there is none.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// The zone as the calendar library knows it.
    pub const fn rules(&self) -> &TimeZone {
        &self.0
    }

    /// Reads RFC 3339; without an offset it is this zone's time, and a date alone its first moment. A time
    /// that the clocks leap over is read as if they had not (an hour later by the new offset), one that
    /// comes twice is the first.
    ///
    /// # Errors
    ///
    /// The text is no date.
    pub fn parse(&self, text: &str) -> Result<Timestamp, TimeError> {
        if let Ok(moment) = Timestamp::parse(text) {
            return Ok(moment);
        }
        let civil: jiff::civil::DateTime = text.trim().parse().map_err(|_| TimeError {
            text: text.to_owned(),
        })?;
        let zoned = self.0.to_zoned_datetime(civil).map_err(|_| TimeError {
            text: text.to_owned(),
        })?;
        Ok(Timestamp::from_millis(zoned.timestamp().as_millisecond()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_without_an_offset_is_the_zones_own() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let check = |text: &str, expect: &str| {
            assert_eq!(
                berlin.parse(text).unwrap(),
                Timestamp::parse(expect).unwrap(),
                "{text}"
            );
        };
        check("2026-07-01T12:00:00", "2026-07-01T10:00:00Z");
        check("2026-01-01 12:00", "2026-01-01T11:00:00Z");
        check("2026-01-01", "2025-12-31T23:00:00Z");
        check("2026-01-01T12:00:00+05:00", "2026-01-01T07:00:00Z");
        // Clocks go from 02:00 to 03:00 on 2026-03-29, and back from 03:00 to 02:00 on 2026-10-25.
        check("2026-03-29T02:30:00", "2026-03-29T01:30:00Z");
        check("2026-10-25T02:30:00", "2026-10-25T00:30:00Z");
        assert!(berlin.parse("soon").is_err());
        assert!(Zone::named("Europe/Atlantis").is_none());
    }
}
