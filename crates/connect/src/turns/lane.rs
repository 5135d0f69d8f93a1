//! One set of limits: those of a connection, or of one method on it. Pure.

use std::time::Duration;

use velodrome_spec::connector::Limits;
use velodrome_types::Timestamp;

use super::window::Window;

/// What is counted against one set of limits.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    concurrent: Option<u32>,
    windows: Vec<Window>,
    under_way: u32,
    /// The API asked to wait until then.
    held_until: Option<Timestamp>,
    /// How often it asked in a row.
    asked: usize,
}

/// Whether a request may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Now,
    /// Not before then.
    At(Timestamp),
    /// When another has ended.
    Later,
}

impl Opening {
    /// What holds where both must.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(one), Self::At(two)) => Self::At(one.max(two)),
            (Self::At(then), _) | (_, Self::At(then)) => Self::At(then),
            (Self::Later, _) | (_, Self::Later) => Self::Later,
            (Self::Now, Self::Now) => Self::Now,
        }
    }
}

impl Lane {
    /// Takes the limits as they are now; what was counted stays counted.
    pub(super) fn take(&mut self, limits: &Limits) {
        self.concurrent = limits.concurrent;
        let same = self.windows.len() == limits.rates.len()
            && self
                .windows
                .iter()
                .zip(&limits.rates)
                .all(|(window, rate)| window.rate == *rate);
        if !same {
            let mut old = std::mem::take(&mut self.windows);
            for rate in &limits.rates {
                let known = old.iter().position(|window| window.rate == *rate);
                let window = known.map_or_else(|| Window::new(*rate), |at| old.swap_remove(at));
                self.windows.push(window);
            }
        }
    }

    pub(super) fn opening(&mut self, now: Timestamp) -> Opening {
        let held = self.held_until.filter(|until| *until > now);
        let then = self
            .windows
            .iter_mut()
            .map(|window| window.opens(now))
            .chain(held)
            .max()
            .filter(|then| *then > now);
        let full = self
            .concurrent
            .is_some_and(|most| self.under_way >= most.max(1));
        match then {
            Some(then) => Opening::At(then),
            None if full => Opening::Later,
            None => Opening::Now,
        }
    }

    pub(super) fn leaves(&mut self, now: Timestamp) {
        self.under_way += 1;
        for window in &mut self.windows {
            window.leaves(now);
        }
    }

    pub(super) fn ended(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
    }

    /// The API asks to wait: so long as it says, else by gaps that grow while it goes on asking. Requests
    /// that left before it asked the last time tell nothing new of how often.
    pub(super) fn hold(
        &mut self,
        left: Timestamp,
        now: Timestamp,
        said: Option<Duration>,
        gaps: &[Duration],
    ) {
        if self.held_until.is_none_or(|until| left >= until) {
            self.asked += 1;
        }
        let gap = gaps.get(self.asked.saturating_sub(1)).or(gaps.last());
        let Some(wait) = said.or(gap.copied()) else {
            return;
        };
        let until = now.plus(wait);
        self.held_until = Some(self.held_until.map_or(until, |known| known.max(until)));
    }

    /// A request that left then was taken.
    pub(super) fn taken(&mut self, left: Timestamp) {
        if self.held_until.is_none_or(|until| left >= until) {
            self.asked = 0;
        }
    }

    /// Whether it is the same with or without: nothing is limited, counted or held.
    pub(super) fn is_idle(&self) -> bool {
        self.concurrent.is_none()
            && self.under_way == 0
            && self.windows.is_empty()
            && self.held_until.is_none()
    }
}
