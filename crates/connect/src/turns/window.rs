//! A rate: so many requests in any stretch of so much time. Pure.
//!
//! A sliding window rather than a bucket: a bucket that is full lets through twice its size within one
//! period, which an API that counts refuses.

use std::collections::VecDeque;
use std::time::Duration;

use velodrome_spec::connector::Rate;
use velodrome_types::Timestamp;

/// Moments nearer to each other than this part of the period are kept as one, the later: a rate of
/// 100,000 a day needs no more memory than one of ten a second.
const PARTS: u32 = 1_000;

/// When requests left, as far back as counts.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) rate: Rate,
    left: VecDeque<(Timestamp, u32)>,
    count: u64,
}

impl Window {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            left: VecDeque::new(),
            count: 0,
        }
    }

    /// When the next request may leave; not after `now` where that is at once.
    pub(super) fn opens(&mut self, now: Timestamp) -> Timestamp {
        while let Some((at, number)) = self.left.front().copied() {
            if at.plus(self.rate.per) > now {
                break;
            }
            self.left.pop_front();
            self.count -= u64::from(number);
        }
        let mut over = (self.count + 1).saturating_sub(u64::from(self.rate.requests));
        for (at, number) in &self.left {
            if over == 0 {
                break;
            }
            over = over.saturating_sub(u64::from(*number));
            if over == 0 {
                return at.plus(self.rate.per);
            }
        }
        now
    }

    /// A request leaves.
    pub(super) fn leaves(&mut self, now: Timestamp) {
        self.count += 1;
        let near = self.rate.per.div_f64(f64::from(PARTS));
        match self.left.back_mut() {
            Some((at, number)) if now.since(*at) < near.max(Duration::from_millis(1)) => {
                *at = now.max(*at);
                *number += 1;
            }
            _ => self.left.push_back((now, 1)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn no_stretch_of_the_period_has_more_than_it_may() {
        for (requests, per) in [
            (1, 1_000),
            (3, 1_000),
            (10, 100),
            (7, 60_000),
            (2_500, 5_000),
        ] {
            let rate = Rate {
                requests,
                per: Duration::from_millis(per),
            };
            let mut window = Window::new(rate);
            let (mut now, mut left) = (at(0), Vec::new());
            for step in 0..6_000_u64 {
                // In bursts, with gaps that are no part of the period.
                if step % 37 == 0 {
                    now = now.plus(Duration::from_millis(per * 13 / 17 + step % 5));
                }
                now = window.opens(now).max(now);
                window.leaves(now);
                left.push(now);
            }
            for pair in left.windows(requests as usize + 1) {
                let stretch = pair[requests as usize].since(pair[0]);
                assert!(stretch >= rate.per, "{rate:?}: {stretch:?}");
            }
            assert!(window.left.len() <= PARTS as usize + 2, "{rate:?}");
        }
    }

    #[test]
    fn what_is_free_is_free_at_once() {
        let mut window = Window::new(Rate {
            requests: 2,
            per: Duration::from_secs(1),
        });
        assert_eq!(window.opens(at(5)), at(5));
        window.leaves(at(5));
        assert_eq!(window.opens(at(5)), at(5));
        window.leaves(at(300));
        assert_eq!(window.opens(at(400)), at(1_005));
        assert_eq!(window.opens(at(1_005)), at(1_005));
        window.leaves(at(1_005));
        assert_eq!(window.opens(at(1_010)), at(1_300));
    }
}
