//! The organisation's limits: API credits in a rolling day, and calls at once. Off until set.

use std::collections::VecDeque;

use jiff::Timestamp;

use crate::errors::{CrmError, Limit};

const DAY_IN_MINUTES: i64 = 24 * 60;

#[derive(Debug, Default)]
pub(crate) struct Limits {
    credits: Option<u64>,
    concurrency: Option<u32>,
    running: u32,
    /// Credits spent, by minute since the epoch.
    spent: VecDeque<(i64, u64)>,
}

impl Limits {
    pub(crate) fn set_credits(&mut self, credits: Option<u64>) {
        self.credits = credits;
        self.spent.clear();
    }

    pub(crate) fn set_concurrency(&mut self, concurrency: Option<u32>) {
        self.concurrency = concurrency;
    }

    /// A call begins; [`Self::leave`] must follow. False: it is one too many.
    pub(crate) fn enter(&mut self) -> bool {
        self.running += 1;
        self.concurrency.is_none_or(|limit| self.running <= limit)
    }

    pub(crate) fn leave(&mut self) {
        self.running = self.running.saturating_sub(1);
    }

    /// Spends credits, and says how many remain once half are gone, as Zoho's header does.
    pub(crate) fn spend(&mut self, cost: u64, now: Timestamp) -> Result<Option<u64>, CrmError> {
        let Some(limit) = self.credits else {
            return Ok(None);
        };
        let minute = now.as_second().div_euclid(60);
        self.spent.retain(|(at, _)| *at > minute - DAY_IN_MINUTES);
        let used: u64 = self.spent.iter().map(|(_, cost)| cost).sum();
        if used.saturating_add(cost) > limit {
            return Err(CrmError::TooManyRequests(Limit::Credits));
        }
        match self.spent.back_mut() {
            Some((at, spent)) if *at == minute => *spent += cost,
            _ => self.spent.push_back((minute, cost)),
        }
        let used = used + cost;
        Ok((used.saturating_mul(2) >= limit).then(|| limit - used))
    }
}
