//! Where a walk stands.

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;
use velodrome_types::JsonMap;

/// What the next request asks. Stored while a walk is under way: variants are added, never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageAt {
    /// The first page.
    First,
    /// The page of this number, or behind so many records.
    Number(u64),
    /// The page of this token.
    Token(String),
    /// The page at this URL.
    Url(String),
    /// The page behind the record that has these fields.
    Behind(JsonMap),
}

/// Where a walk stands: what is asked next, and what it takes to see that it never ends.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PageCursor {
    /// What the next request asks.
    pub at: PageAt,
    /// Which page that is, from 1.
    pub page: u64,
    /// Records of the pages before, as the API sent them.
    pub records: u64,
    /// Pages without records just before.
    #[serde(default)]
    pub(super) empty: u32,
    /// A place that was asked before, as a hash; compared with each that follows.
    #[serde(default)]
    pub(super) mark: Option<u64>,
    /// How many more places are compared with it before a later one takes its turn, and how many then.
    #[serde(default)]
    pub(super) left: (u64, u64),
}

impl Default for PageCursor {
    fn default() -> Self {
        Self {
            at: PageAt::First,
            page: 1,
            records: 0,
            empty: 0,
            mark: None,
            left: (0, 1),
        }
    }
}

impl PageCursor {
    /// The cursor behind a page with so many records; `None` where this place was asked before.
    ///
    /// Brent's way of finding a cycle: one remembered place, moved ever less often, is met again by any
    /// walk that repeats itself, whatever the length of the cycle. Numbers only rise and need none of it.
    pub(super) fn onward(&self, at: PageAt, records: u64) -> Option<Self> {
        let mut next = Self {
            page: self.page.saturating_add(1),
            records: self.records.saturating_add(records),
            empty: if records == 0 { self.empty + 1 } else { 0 },
            ..self.clone()
        };
        if let Some(hash) = hash(&at) {
            if self.at == at || self.mark == Some(hash) {
                return None;
            }
            if next.left.0 == 0 {
                next.mark = Some(hash);
                let doubled = next.left.1.saturating_mul(2);
                next.left = (doubled, doubled);
            } else {
                next.left.0 -= 1;
            }
        }
        next.at = at;
        Some(next)
    }
}

fn hash(at: &PageAt) -> Option<u64> {
    let text = match at {
        PageAt::First | PageAt::Number(_) => return None,
        PageAt::Token(text) | PageAt::Url(text) => text.clone(),
        PageAt::Behind(fields) => serde_json::to_string(fields).unwrap_or_default(),
    };
    Some(XxHash3_64::oneshot(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_that_repeats_itself_is_seen_whatever_the_length_of_its_cycle() {
        for (lead, cycle) in [(0, 1), (0, 2), (3, 1), (3, 2), (7, 5), (40, 13), (100, 100)] {
            let mut cursor = PageCursor::default();
            let seen = (0_u64..).take(5_000).find(|step| {
                let place = match step.checked_sub(lead) {
                    Some(round) => lead + round % cycle,
                    None => *step,
                };
                match cursor.onward(PageAt::Token(format!("t{place}")), 1) {
                    Some(next) => {
                        cursor = next;
                        false
                    }
                    None => true,
                }
            });
            let seen = seen.unwrap_or_else(|| panic!("{lead}, {cycle}: never seen"));
            assert!(seen >= lead + cycle, "{lead}, {cycle}: seen at {seen}");
        }
    }

    #[test]
    fn places_that_differ_are_never_taken_for_repeats() {
        let mut cursor = PageCursor::default();
        for step in 0..20_000 {
            cursor = cursor
                .onward(PageAt::Url(format!("https://a.test/?after={step}")), 1)
                .unwrap_or_else(|| panic!("refused at {step}"));
        }
        assert_eq!((cursor.page, cursor.records), (20_001, 20_000));
    }
}
