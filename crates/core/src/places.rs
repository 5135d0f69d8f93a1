//! Places: how many loops of a cycle are in progress, and whether a new one may begin.
//!
//! A loop takes its place when its first lap starts and keeps it until all its runs have ended; a lap
//! never queues, so a cycle that posts to itself cannot deadlock (SPEC §7).

/// The places of one cycle.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    taken: u64,
    queued: u64,
}

/// What happens to a new loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It starts at once; a place is taken.
    Start,
    /// It queues.
    Queue,
    /// The queue is full.
    Full,
}

impl Places {
    /// The places as a store tells them at start.
    pub fn recovered(taken: u64, queued: u64) -> Self {
        Self { taken, queued }
    }

    /// Decides on a new loop and counts it. `held` is a cycle whose queue does not move (paused).
    pub fn admit(
        &mut self,
        concurrency: Option<u32>,
        queue_limit: Option<u32>,
        held: bool,
    ) -> Admission {
        let free = concurrency.is_none_or(|places| self.taken < u64::from(places));
        if free && self.queued == 0 && !held {
            self.taken += 1;
            return Admission::Start;
        }
        if queue_limit.is_some_and(|limit| self.queued >= u64::from(limit)) {
            return Admission::Full;
        }
        self.queued += 1;
        Admission::Queue
    }

    /// Takes back what [`Places::admit`] counted, because the commit did not happen.
    pub fn withdraw(&mut self, admission: Admission) {
        match admission {
            Admission::Start => self.release(),
            Admission::Queue => self.unqueue(),
            Admission::Full => {}
        }
    }

    /// A placed loop has ended.
    pub fn release(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// A queued loop is gone without having started.
    pub fn unqueue(&mut self) {
        self.queued = self.queued.saturating_sub(1);
    }

    /// Takes a place for the next of the queue, if one is free. The caller begins that loop, and says
    /// when it has left the queue ([`Places::unqueue`]) or that nothing came of it ([`Places::release`]).
    pub fn take_next(&mut self, concurrency: Option<u32>, held: bool) -> bool {
        let free = concurrency.is_none_or(|places| self.taken < u64::from(places));
        if held || self.queued == 0 || !free {
            return false;
        }
        self.taken += 1;
        true
    }

    /// Loops in progress and loops queued.
    pub fn counts(&self) -> (u64, u64) {
        (self.taken, self.queued)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_is_given_in_order() {
        let mut places = Places::default();
        assert_eq!(places.admit(Some(1), Some(2), false), Admission::Start);
        assert_eq!(places.admit(Some(1), Some(2), false), Admission::Queue);
        assert_eq!(places.admit(Some(1), Some(2), false), Admission::Queue);
        assert_eq!(places.admit(Some(1), Some(2), false), Admission::Full);
        assert!(!places.take_next(Some(1), false));
        places.release();
        // The queue is not empty: a newcomer does not overtake it.
        assert_eq!(places.admit(Some(1), None, false), Admission::Queue);
        assert!(places.take_next(Some(1), false));
        assert_eq!(places.counts(), (1, 3), "it is queued until it has begun");
        places.unqueue();
        assert_eq!(places.counts(), (1, 2));
    }

    #[test]
    fn without_a_limit_all_start_unless_held() {
        let mut places = Places::default();
        assert_eq!(places.admit(None, None, false), Admission::Start);
        assert_eq!(places.admit(None, None, false), Admission::Start);
        assert_eq!(places.admit(None, None, true), Admission::Queue);
        assert!(!places.take_next(None, true));
        assert!(places.take_next(None, false));
    }

    #[test]
    fn withdrawing_leaves_no_trace() {
        let mut places = Places::default();
        let admission = places.admit(Some(1), None, false);
        places.withdraw(admission);
        assert_eq!(places, Places::default());
    }
}
