//! When a schedule's moments are: what `every` and `cron` mean on the line of time.
//!
//! Nothing here knows the present: it is given, and so is how far the schedule has come. Where clocks
//! change, a cron expression goes by the rule of Vixie's cron, as the Open Cron Pattern Specification has
//! it: one that names a single hour, minute and second starts once a day, behind the gap where its time
//! is leapt over, and the first time where it comes twice; any other goes by what the clock on the wall
//! shows, whenever it shows it.

use std::cmp::Ordering;
use std::time::Duration;

use croner::errors::CronError;
use croner::{CivilDate, CivilDateTime, CivilTime, Cron, CronDateTime, Resolution, Weekday};
use jiff::tz::AmbiguousOffset;
use jiff::{SignedDuration, ZonedDateTime};
use velodrome_types::{Timestamp, Zone, format_duration};

/// So many missed moments are counted; what is more is not looked at one by one.
pub const COUNTED: u64 = 1_000;

/// `every` or `cron`.
#[derive(Clone, Debug, PartialEq)]
pub enum Rhythm {
    /// So long from one start to the next.
    Every(Duration),
    /// At what a cron expression says, in its zone.
    Cron(Box<CronRhythm>),
}

/// A cron expression with its zone.
#[derive(Clone, Debug, PartialEq)]
pub struct CronRhythm {
    text: String,
    cron: Cron,
    zone: Zone,
}

/// The moments that are due: the last of them, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The last.
    pub at: Timestamp,
    /// How many, this one included; [`COUNTED`] is that many or more.
    pub count: u64,
}

impl CronRhythm {
    /// Reads a cron expression: five fields, or six with seconds before them.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str, zone: Zone) -> Result<Self, String> {
        let cron: Cron = text.parse().map_err(|error: CronError| error.to_string())?;
        Ok(Self {
            text: text.to_owned(),
            cron,
            zone,
        })
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = Local::of(after, &self.zone)?;
        self.cron
            .find_next_occurrence(&after, false)
            .ok()
            .map(|found| found.timestamp())
    }

    fn last(&self, until: Timestamp) -> Option<Timestamp> {
        let until = Local::of(until, &self.zone)?;
        self.cron
            .find_previous_occurrence(&until, true)
            .ok()
            .map(|found| found.timestamp())
    }
}

impl Rhythm {
    /// The first moment behind this one; `None` where there is none any more.
    pub fn next(&self, passed: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(gap) => Some(passed.plus(*gap)),
            Self::Cron(cron) => cron.next(passed),
        }
    }

    /// What is due behind `passed`, up to `now`.
    pub fn due(&self, passed: Timestamp, now: Timestamp) -> Option<Due> {
        match self {
            Self::Every(gap) => {
                let gap = i64::try_from(gap.as_millis()).unwrap_or(i64::MAX).max(1);
                let gone = now.as_millis().saturating_sub(passed.as_millis());
                let count = gone.div_euclid(gap);
                let at = passed.as_millis().saturating_add(count.saturating_mul(gap));
                (count > 0).then(|| Due {
                    at: Timestamp::from_millis(at),
                    count: count.unsigned_abs().min(COUNTED),
                })
            }
            Self::Cron(cron) => {
                let mut due = None;
                let mut at = passed;
                for count in 1..=COUNTED {
                    match cron.next(at).filter(|next| *next <= now) {
                        None => return due,
                        Some(next) => at = next,
                    }
                    due = Some(Due { at, count });
                }
                let last = cron.last(now).unwrap_or(at).max(at);
                Some(Due {
                    at: last,
                    count: COUNTED,
                })
            }
        }
    }

    /// What tells it from any other rhythm, for the store. Two texts that differ are two schedules.
    pub fn rule(&self) -> String {
        match self {
            Self::Every(gap) => format!("every {} ms", gap.as_millis()),
            Self::Cron(cron) => format!("cron {} {}", cron.text, cron.zone),
        }
    }

    /// In words, for people.
    pub fn words(&self) -> String {
        match self {
            Self::Every(gap) => format!("every {}", format_duration(*gap)),
            Self::Cron(cron) => {
                let said = cron.cron.describe();
                let said = said.trim_end_matches('.');
                let mut letters = said.chars();
                let first: String = letters
                    .next()
                    .into_iter()
                    .flat_map(char::to_lowercase)
                    .collect();
                format!(
                    "{first}{} {} (cron `{}`)",
                    letters.as_str(),
                    cron.zone,
                    cron.text
                )
            }
        }
    }
}

/// A moment in a zone, as the search of cron's sees it.
#[derive(Clone, Debug)]
struct Local(ZonedDateTime);

impl Local {
    fn of(moment: Timestamp, zone: &Zone) -> Option<Self> {
        let moment = jiff::Timestamp::from_millisecond(moment.as_millis()).ok()?;
        Some(Self(moment.to_zoned_datetime(zone.rules().clone())))
    }

    fn timestamp(&self) -> Timestamp {
        Timestamp::from_millis(self.0.timestamp().as_millisecond())
    }
}

impl CronDateTime for Local {
    fn to_civil(&self) -> CivilDateTime {
        let at = self.0.datetime();
        let part = |number: i8| u32::from(number.unsigned_abs());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(i32::from(at.year()), part(at.month()), part(at.day())),
            CivilTime::from_parts_unchecked(part(at.hour()), part(at.minute()), part(at.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        let day = self.0.weekday().to_sunday_zero_offset();
        Weekday::from_days_from_sunday(u32::from(day.unsigned_abs()))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let part = |number: u32| i8::try_from(number).map_err(|_| CronError::InvalidDate);
        let year = i16::try_from(civil.year()).map_err(|_| CronError::InvalidDate)?;
        let at = jiff::civil::DateTime::new(
            year,
            part(civil.month())?,
            part(civil.day())?,
            part(civil.hour())?,
            part(civil.minute())?,
            part(civil.second())?,
            0,
        )
        .map_err(|_| CronError::InvalidDate)?;
        let invalid = |_| CronError::InvalidTime;
        let found = self.0.time_zone().to_ambiguous_zoned_datetime(at);
        Ok(match found.offset() {
            AmbiguousOffset::Unambiguous { .. } => {
                Resolution::Single(Self(found.unambiguous().map_err(invalid)?))
            }
            AmbiguousOffset::Fold { .. } => Resolution::Ambiguous(
                Self(found.clone().earlier().map_err(invalid)?),
                Self(found.later().map_err(invalid)?),
            ),
            AmbiguousOffset::Gap { .. } => Resolution::Gap,
        })
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0
            .checked_add(SignedDuration::from_secs(seconds))
            .ok()
            .map(Self)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.0.timestamp().cmp(&other.0.timestamp())
    }
}

#[cfg(test)]
mod tests;
