//! How fast cycles begin runs, from how many they had begun each time that somebody looked.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use velodrome_types::{CycleId, Timestamp};

/// Over how long a rate is told, in milliseconds.
const SPAN: i64 = 30_000;
/// Looks closer together than this, in milliseconds, count as one.
const APART: i64 = 500;

/// What was seen of each cycle in the last half minute.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<HashMap<CycleId, VecDeque<(Timestamp, u64)>>>);

impl Pace {
    /// Runs begun a second, now that `total` have begun; none where there is nothing to compare with yet.
    pub(crate) fn of(&self, cycle: &CycleId, total: u64, now: Timestamp) -> Option<f64> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let looks = seen.entry(cycle.clone()).or_default();
        let age = |at: Timestamp| now.as_millis() - at.as_millis();
        while looks.front().is_some_and(|(at, _)| age(*at) > SPAN) {
            looks.pop_front();
        }
        if looks.back().is_none_or(|(at, _)| age(*at) >= APART) {
            looks.push_back((now, total));
        }
        let (first, before) = *looks.front()?;
        let millis = age(first);
        (millis >= APART).then(|| total.saturating_sub(before) as f64 * 1000.0 / millis as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_last_half_minute() {
        let (pace, cycle) = (Pace::default(), CycleId::from("pages"));
        let look = |millis, total| pace.of(&cycle, total, Timestamp::from_millis(millis));
        assert_eq!(look(0, 0), None);
        assert_eq!(look(100, 10), None);
        assert_eq!(look(1_000, 100), Some(100.0));
        assert_eq!(look(11_000, 100), Some(100.0 / 11.0));
        assert_eq!(look(31_500, 100), Some(0.0));
    }
}
