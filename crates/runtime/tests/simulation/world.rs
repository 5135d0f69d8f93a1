//! The APIs of the simulation: a list of so many pages, records that change, and a sink that keeps what it
//! is sent. All fail, cut and dawdle by chance; the same request in the same place of a seed always fares
//! the same.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use velodrome_connect::{Carrying, Incoming, Outgoing, Transport, TransportFault};
use velodrome_runtime::simulated::VirtualTime;
use velodrome_testkit::Chance;
use velodrome_types::{CycleId, Timestamp};

use crate::acts::start;

/// Changed records on a page.
const PER_PAGE: usize = 2;
/// Records change until then.
const CHANGES: u64 = 40_000;
/// Until then a list of changed records may be refused for good.
const REFUSES: Duration = Duration::from_secs(20);

/// A page that was asked for, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) cycle: CycleId,
    pub(crate) lap: u64,
    pub(crate) page: u64,
}

/// A page of changed records that was asked for, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AskedChanged {
    pub(crate) of: String,
    pub(crate) lap: u64,
    pub(crate) page: u64,
    pub(crate) since: Option<Timestamp>,
}

/// What the world has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) asked: Vec<Asked>,
    pub(crate) changed: Vec<AskedChanged>,
    /// When each record changed.
    pub(crate) changes: Vec<(Timestamp, String)>,
    /// Keys of what the sink has taken, in order.
    pub(crate) taken: Vec<String>,
    /// Keys of the notices that were taken, in order.
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
        let mut chance = Chance::new(seed ^ 0xC4A6);
        let records = 1 + chance.below(7);
        let mut changes = Vec::new();
        for id in 0..records {
            // Records are there from the beginning, and change a few times.
            changes.push((start().minus(Duration::from_secs(60 + id)), id.to_string()));
            for _ in 0..chance.below(4) {
                let at = start().plus(Duration::from_millis(chance.below(CHANGES)));
                changes.push((at, id.to_string()));
            }
        }
        changes.sort();
        let seen = Seen {
            changes,
            ..Seen::default()
        };
        Self {
            pages,
            inner: Mutex::new((Chance::new(seed ^ 0xA0B1), seen)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (Chance, Seen)> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn seen(&self) -> Seen {
        self.lock().1.clone()
    }

    /// What is answered, and after how long.
    fn answer(
        &self,
        request: &Outgoing,
        now: Timestamp,
    ) -> (Duration, Result<Incoming, TransportFault>) {
        let mut inner = self.lock();
        let (chance, seen) = &mut *inner;
        let takes = Duration::from_millis(1 + chance.below(400));
        let fault = chance.below(12);
        let refuses = chance.one_in(12);
        let (status, body) = match request.url.path() {
            "/list" => {
                let page = query(request, "page").and_then(|page| page.parse().ok());
                let page = page.unwrap_or(0);
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
            "/changed" if refuses && now.since(start()) < REFUSES => (400, "{}".to_owned()),
            "/changed" => changed(request, seen, now),
            _ => (200, "{}".to_owned()),
        };
        let key = header(request, "idempotency-key");
        let mut take = || match (key, request.url.path()) {
            (Some(key), "/item") => seen.taken.push(key.to_owned()),
            (Some(key), "/failed") => seen.told.push(key.to_owned()),
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
        if fault < 3 || status == 400 {
            seen.faults += 1;
        }
        let outcome = outcome.map(|(status, body)| Incoming {
            status,
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("date".to_owned(), now.to_http_date()),
            ],
            body: body.into(),
        });
        (takes, outcome)
    }
}

fn query(request: &Outgoing, wanted: &str) -> Option<String> {
    let found = request.url.query_pairs().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.into_owned())
}

fn header<'r>(request: &'r Outgoing, wanted: &str) -> Option<&'r str> {
    let found = request.headers.iter().find(|(name, _)| name == wanted);
    found.map(|(_, value)| value.as_str())
}

/// A page of the records that have changed since the filter's date, in order of their ids, as they are now.
fn changed(request: &Outgoing, seen: &mut Seen, now: Timestamp) -> (u16, String) {
    let since = header(request, "if-modified-since").and_then(|date| Timestamp::parse(date).ok());
    let page = query(request, "page").and_then(|page| page.parse().ok());
    let page: u64 = page.unwrap_or(0);
    seen.changed.push(AskedChanged {
        of: query(request, "loop").unwrap_or_default(),
        lap: request.asker.as_ref().map_or(0, |asker| asker.lap),
        page,
        since,
    });
    let mut records: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (at, id) in seen.changes.iter().filter(|(at, _)| *at <= now) {
        records.insert(id, *at);
    }
    records.retain(|_, at| since.is_none_or(|since| *at >= since));
    let before = page.saturating_sub(1) as usize * PER_PAGE;
    let data: Vec<_> = records
        .iter()
        .skip(before)
        .take(PER_PAGE)
        .map(|(id, at)| serde_json::json!({"id": id, "at": at.as_millis()}))
        .collect();
    let more = before + data.len() < records.len();
    if data.is_empty() {
        return (204, String::new());
    }
    (
        200,
        serde_json::json!({"data": data, "more": more}).to_string(),
    )
}

/// The world as one life of the engine reaches it.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) world: Arc<World>,
    pub(crate) time: VirtualTime,
}

impl Transport for Reached {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let (takes, outcome) = self.world.answer(&request, self.time.now());
            let wait = match outcome {
                Err(TransportFault::Timeout) => request.timeout,
                _ => takes.min(request.timeout),
            };
            self.time.sleep(wait).await;
            outcome
        })
    }
}
