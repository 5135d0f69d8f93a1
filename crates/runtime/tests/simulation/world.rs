//! The APIs of the simulation: a list of so many pages, and a sink that keeps what it is sent. Both fail, cut
//! and dawdle by chance; the same request in the same place of a seed always fares the same.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use velodrome_connect::{Carrying, Incoming, Outgoing, Transport, TransportFault};
use velodrome_runtime::simulated::VirtualTime;
use velodrome_types::CycleId;

/// SplitMix64: small, and the same everywhere.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x5DEE_CE66)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// True once in so many.
    pub(crate) fn one_in(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }
}

/// A page that was asked for, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) cycle: CycleId,
    pub(crate) lap: u64,
    pub(crate) page: u64,
}

/// What the world has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<Asked>,
    /// Keys of what the sink has taken, in order.
    pub(crate) taken: Vec<String>,
    /// Keys of notices that were taken, in order.
    pub(crate) told: Vec<String>,
    pub(crate) faults: u64,
}

/// The world of one seed; it outlives crashes of the engine.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) pages: u64,
    inner: Mutex<(Chance, Seen)>,
}

impl World {
    pub(crate) fn new(seed: u64, pages: u64) -> Self {
        Self {
            pages,
            inner: Mutex::new((Chance::new(seed ^ 0xA0B1), Seen::default())),
        }
    }

    pub(crate) fn seen(&self) -> Seen {
        self.inner
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1
            .clone()
    }

    /// What is answered, and after how long.
    fn answer(&self, request: &Outgoing) -> (Duration, Result<Incoming, TransportFault>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (chance, seen) = &mut *inner;
        let takes = Duration::from_millis(1 + chance.below(400));
        let fault = chance.below(12);
        let (status, body) = match request.url.path() {
            "/list" => {
                let query = |wanted: &str| {
                    let found = request.url.query_pairs().find(|(name, _)| name == wanted);
                    found.and_then(|(_, value)| value.parse::<u64>().ok())
                };
                let page = query("page").unwrap_or(0);
                if let Some(asker) = &request.asker {
                    seen.asked.push(Asked {
                        cycle: asker.cycle.clone(),
                        lap: asker.lap,
                        page,
                    });
                }
                let more = page < self.pages;
                (
                    200,
                    format!(r#"{{"data":[{{"id":"{page}"}}],"more":{more}}}"#),
                )
            }
            _ => (200, "{}".to_owned()),
        };
        let key = request
            .headers
            .iter()
            .find(|(name, _)| name == "idempotency-key");
        let mut take = || match (key, request.url.path()) {
            (Some((_, key)), "/item") => seen.taken.push(key.clone()),
            (Some((_, key)), "/failed") => seen.told.push(key.clone()),
            _ => {}
        };
        let outcome = match fault {
            0 => Err(TransportFault::ConnectionRefused),
            1 => {
                // It arrived, and the answer did not.
                take();
                Err(TransportFault::Timeout)
            }
            2 => Ok((503, "{}".to_owned())),
            _ => {
                take();
                Ok((status, body))
            }
        };
        if fault < 3 {
            seen.faults += 1;
        }
        let outcome = outcome.map(|(status, body)| Incoming {
            status,
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: body.into(),
        });
        (takes, outcome)
    }
}

/// The world as one life of the engine reaches it.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) world: std::sync::Arc<World>,
    pub(crate) time: VirtualTime,
}

impl Transport for Reached {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let (takes, outcome) = self.world.answer(&request);
            let wait = match outcome {
                Err(TransportFault::Timeout) => request.timeout,
                _ => takes.min(request.timeout),
            };
            self.time.sleep(wait).await;
            outcome
        })
    }
}
