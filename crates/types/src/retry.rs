//! What happens after a failed request (SPEC §6).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often a transient failure is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryTimes {
    /// So many times with growing gaps; 0 is never.
    Backoff(u32),
    /// Cyclr's five gaps: 5 m, 35 m, 1 h 35, 4 h 35, 10 h 35 (docs.cyclr.com, *Template settings*).
    Cyclr,
}

/// `retry: {times: 5, first: 1 second, factor: 2, max: 1 minute}`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// How often, or Cyclr's own ladder.
    pub times: RetryTimes,
    /// The first gap.
    pub first: Duration,
    /// What each gap is multiplied by to give the next.
    pub factor: f64,
    /// No gap is longer.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            times: RetryTimes::Backoff(5),
            first: Duration::from_secs(1),
            factor: 2.0,
            max: Duration::from_secs(60),
        }
    }
}

const CYCLR_GAPS: [Duration; 5] = [
    Duration::from_secs(5 * 60),
    Duration::from_secs(35 * 60),
    Duration::from_secs(95 * 60),
    Duration::from_secs(275 * 60),
    Duration::from_secs(635 * 60),
];

impl RetryPolicy {
    /// How many retries there are in all.
    pub fn limit(&self) -> u32 {
        match self.times {
            RetryTimes::Backoff(times) => times,
            RetryTimes::Cyclr => 5,
        }
    }

    /// The gap before retry `number`, counted from 1, or `None` when none is left.
    ///
    /// `jitter` is a random number in 0..=1: the gap is stretched by up to a fifth, never shortened.
    pub fn gap(&self, number: u32, jitter: f64) -> Option<Duration> {
        if number == 0 || number > self.limit() {
            return None;
        }
        match self.times {
            RetryTimes::Cyclr => CYCLR_GAPS.get(number as usize - 1).copied(),
            RetryTimes::Backoff(_) => {
                let grown = self.first.as_secs_f64() * self.factor.powi(number as i32 - 1);
                let capped = grown.min(self.max.as_secs_f64()).max(0.0);
                Some(Duration::from_secs_f64(
                    capped * (1.0 + 0.2 * jitter.clamp(0.0, 1.0)),
                ))
            }
        }
    }
}

/// What a step's unanswered failure does to the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// The run fails and can be resumed.
    #[default]
    StopRun,
    /// The run leaves by `then`; the step's fields are null.
    Ignore,
    /// The run fails and its cycle stops.
    StopCycle,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_double_up_to_the_cap_and_end() {
        let policy = RetryPolicy::default();
        let gaps: Vec<_> = (1..=6)
            .map(|n| policy.gap(n, 0.0).map(|d| d.as_secs()))
            .collect();
        assert_eq!(gaps, [Some(1), Some(2), Some(4), Some(8), Some(16), None]);
        let long = RetryPolicy {
            times: RetryTimes::Backoff(20),
            ..policy
        };
        assert_eq!(long.gap(20, 0.0), Some(Duration::from_secs(60)));
        assert_eq!(long.gap(1, 1.0), Some(Duration::from_millis(1_200)));
    }

    #[test]
    fn cyclr_has_its_own_ladder() {
        let policy = RetryPolicy {
            times: RetryTimes::Cyclr,
            ..RetryPolicy::default()
        };
        assert_eq!(
            policy.gap(5, 1.0),
            Some(Duration::from_secs(10 * 3600 + 35 * 60))
        );
        assert_eq!(policy.gap(6, 1.0), None);
    }
}
