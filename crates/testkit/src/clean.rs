//! A pass in which nothing goes wrong, written down.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use velodrome_cycle_test::world;
use velodrome_runtime::simulated::{HandedOff, VirtualTime};
use velodrome_types::{LoopStatus, Timestamp};

use crate::faulty::{Faults, Faulty};
use crate::outcome::Outcome;
use crate::outside::{Exchange, Outside, Recorder, Request};
use crate::pass::Pass;
use crate::shipped::Case;

/// What a test comes to when nothing goes wrong but what it says itself.
#[derive(Clone, Debug)]
pub struct Clean {
    /// What came of it.
    pub outcome: Outcome,
    /// Its requests with their answers.
    pub exchanges: Vec<Exchange>,
    /// Its hand-offs.
    pub handoffs: Vec<HandedOff>,
    /// When each of its commits was begun.
    pub commits: Vec<Timestamp>,
    /// In how many forms, headers and key together, each request was sent.
    pub(crate) forms: BTreeMap<Request, usize>,
}

impl Clean {
    /// Plays a test once.
    ///
    /// # Panics
    ///
    /// The test does not end, or has no answer for a request: `velodrome test` says where.
    pub fn of(case: &Case) -> Self {
        let mut pass = Pass::with(case, Outside::default());
        let time = VirtualTime::new(case.test.start);
        let store = Faulty::new(pass.store().left(), Faults::default(), time.clone());
        let recorder = Arc::new(Recorder {
            world: world(&case.bench, &case.test, time.clone()),
            time: time.clone(),
            exchanges: Mutex::default(),
            outside: Arc::clone(&pass.outside),
        });
        pass.start_over(store, time, Arc::clone(&recorder) as _);
        pass.deliver();
        pass.run();
        let outcome = pass.outcome();
        let ended = outcome.open == 0 && outcome.answers.iter().all(Option::is_some);
        assert!(ended, "{} does not end: {outcome:#?}", case.name());
        let asked: BTreeSet<_> = pass
            .outside
            .asked()
            .into_iter()
            .map(|asked| (asked.what, asked.key, asked.headers))
            .collect();
        let mut forms = BTreeMap::new();
        for (what, ..) in asked {
            *forms.entry(what).or_default() += 1;
        }
        let exchanges = recorder
            .exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        Self {
            outcome,
            exchanges,
            handoffs: pass.handoffs(),
            commits: pass.store().begun(),
            forms,
        }
    }

    /// Whether every loop succeeded, and no request had to be made twice.
    pub fn is_smooth(&self) -> bool {
        let well = |exchange: &Exchange| {
            let asked = self
                .exchanges
                .iter()
                .filter(|other| other.what == exchange.what);
            asked.count() == 1
                && exchange
                    .outcome
                    .as_ref()
                    .is_ok_and(|answer| answer.status < 400)
        };
        !self.outcome.loops.is_empty()
            && self
                .outcome
                .loops
                .iter()
                .all(|looped| looped.status == LoopStatus::Succeeded)
            && self.exchanges.iter().all(well)
    }
}
