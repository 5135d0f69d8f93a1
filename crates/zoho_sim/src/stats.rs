//! Counts of what was asked and served, for a test or a demo to compare with what arrived.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

/// What the simulator has answered since it started, or since its counts were cleared.
///
/// Records count as served only when their whole answer was sent on its way: an answer that a
/// fault replaced or cut serves none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests for the list of contacts, whatever the answer.
    pub list_requests: u64,
    /// List requests answered with at least one record.
    pub list_requests_with_records: u64,
    /// Records in those answers, repeats included.
    pub records_served: u64,
    /// Different record ids in those answers.
    pub distinct_records: u64,
    /// Ids served more than once, with how often.
    pub repeated_records: BTreeMap<String, u32>,
    /// List requests by `page`, where no `page_token` was sent. No `page` is page 1.
    pub pages_asked: BTreeMap<u32, u64>,
    /// List requests that sent a `page_token`.
    pub page_tokens_asked: u64,
    /// CRM requests by the scheme of their `Authorization` header, in lower case.
    pub authorization_schemes: BTreeMap<String, u64>,
    /// Requests to the token endpoint.
    pub token_requests: u64,
    /// Access tokens that the token endpoint gave out.
    pub access_tokens_issued: u64,
    /// Answers that a fault delayed, replaced or cut.
    pub faults: u64,
}

/// Different pages counted; a client that asks for more is not walking.
const KEPT_PAGES: usize = 20_000;

/// Schemes counted; there are two of them.
const KEPT_SCHEMES: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    stats: Stats,
    served: HashMap<u64, u32>,
}

impl Tally {
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn list_asked(&mut self, page: Option<u32>) {
        self.stats.list_requests += 1;
        match page {
            None => self.stats.page_tokens_asked += 1,
            Some(page) => {
                let pages = &mut self.stats.pages_asked;
                if pages.len() < KEPT_PAGES || pages.contains_key(&page) {
                    *pages.entry(page).or_default() += 1;
                }
            }
        }
    }

    pub(crate) fn served(&mut self, ids: &[u64]) {
        if ids.is_empty() {
            return;
        }
        self.stats.list_requests_with_records += 1;
        self.stats.records_served += ids.len() as u64;
        for id in ids {
            *self.served.entry(*id).or_default() += 1;
        }
    }

    pub(crate) fn scheme(&mut self, scheme: &str) {
        let schemes = &mut self.stats.authorization_schemes;
        if schemes.len() < KEPT_SCHEMES || schemes.contains_key(scheme) {
            *schemes.entry(scheme.to_owned()).or_default() += 1;
        }
    }

    pub(crate) fn token_asked(&mut self) {
        self.stats.token_requests += 1;
    }

    pub(crate) fn token_issued(&mut self) {
        self.stats.access_tokens_issued += 1;
    }

    pub(crate) fn fault(&mut self) {
        self.stats.faults += 1;
    }

    pub(crate) fn stats(&self) -> Stats {
        let repeated = self.served.iter().filter(|(_, times)| **times > 1);
        Stats {
            distinct_records: self.served.len() as u64,
            repeated_records: repeated
                .map(|(id, times)| (id.to_string(), *times))
                .collect(),
            ..self.stats.clone()
        }
    }
}
