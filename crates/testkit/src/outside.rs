//! The APIs of a pass: what each request was answered when nothing went wrong, said again, or its fate.
//!
//! A request is known by who asks, its verb, its URL and its body: one that was built another way than in
//! the clean pass is known to nobody, and ends the pass.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use velodrome_connect::{Carrying, Incoming, Outgoing, Transport, TransportFault};
use velodrome_runtime::simulated::VirtualTime;
use velodrome_types::{CycleId, LoopId, RunId, StepId};

use crate::faulty::Faulty;

/// What tells one request from another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The cycle that asks; `None` where no step does.
    pub cycle: Option<CycleId>,
    /// Its step.
    pub step: Option<StepId>,
    /// The lap.
    pub lap: u64,
    /// The verb.
    pub verb: String,
    /// The URL, ids of runs and loops taken out.
    pub url: String,
    /// The body, likewise.
    pub body: String,
}

impl Request {
    fn of(request: &Outgoing) -> Self {
        let asker = request.asker.as_ref();
        let body = request.body.as_deref().unwrap_or_default();
        Self {
            cycle: asker.map(|asker| asker.cycle.clone()),
            step: asker.map(|asker| asker.step.clone()),
            lap: asker.map_or(0, |asker| asker.lap),
            verb: request.verb.clone(),
            url: without_ids(request.url.as_str()),
            body: without_ids(&String::from_utf8_lossy(body)),
        }
    }

    /// Whether it changes nothing there.
    pub fn is_safe(&self) -> bool {
        matches!(self.verb.as_str(), "GET" | "HEAD")
    }
}

/// How many characters an id has behind its prefix.
const ID: usize = 26;

/// What stands behind `resume_` in the link of a run that waits for a request.
const LINK: usize = 43;

/// A text without the ids of runs and loops and the links of runs, which differ from pass to pass.
pub(crate) fn without_ids(text: &str) -> String {
    let mut left = text;
    let mut out = String::with_capacity(text.len());
    while let Some((at, prefix, length)) = [("run_", ID), ("loop_", ID), ("resume_", LINK)]
        .into_iter()
        .filter_map(|(prefix, length)| Some((left.find(prefix)?, prefix, length)))
        .min()
    {
        let end = at + prefix.len() + length;
        let is_id = left.get(at..end).is_some_and(|id| {
            length == LINK || id.parse::<RunId>().is_ok() || id.parse::<LoopId>().is_ok()
        });
        let (kept, rest) = if is_id {
            (at + prefix.len(), end)
        } else {
            (at + prefix.len(), at + prefix.len())
        };
        out.push_str(&left[..kept]);
        left = &left[rest..];
    }
    out.push_str(left);
    out
}

/// A request and what came of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The request.
    pub what: Request,
    /// How long it took.
    pub takes: Duration,
    /// What came.
    pub outcome: Result<Incoming, TransportFault>,
}

/// Writes down what another world answers.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) world: Arc<dyn Transport>,
    pub(crate) time: VirtualTime,
    pub(crate) exchanges: Mutex<Vec<Exchange>>,
    pub(crate) outside: Arc<Outside>,
}

impl Transport for Recorder {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let what = Request::of(&request);
            self.outside.note(&what, &request);
            let began = self.time.now();
            let outcome = self.world.carry(request).await;
            self.exchanges
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(Exchange {
                    what,
                    takes: self.time.now().since(began),
                    outcome: outcome.clone(),
                });
            outcome
        })
    }
}

/// What becomes of a request other than its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// 410: it will never be taken.
    Refused,
    /// 503: not now.
    Unavailable,
    /// It arrives, and no answer comes.
    Lost,
    /// It arrives, and the process ends before the answer does.
    Crash,
}

/// A request as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub what: Request,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Its other headers.
    pub headers: Vec<(String, String)>,
}

/// The APIs of one pass; they outlive crashes of the engine.
#[derive(Debug, Default)]
pub struct Outside {
    /// The answers to each request, in order; the last one is given again.
    answers: BTreeMap<Request, Vec<Exchange>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    /// How many answers of each were given.
    given: BTreeMap<Request, usize>,
    /// How often each shares a fate.
    fates: BTreeMap<Request, (Fate, u32)>,
    unknown: Option<Request>,
}

impl Outside {
    /// APIs that answer so.
    pub fn new(exchanges: &[Exchange]) -> Self {
        let mut answers: BTreeMap<Request, Vec<Exchange>> = BTreeMap::new();
        for exchange in exchanges {
            let of = answers.entry(exchange.what.clone()).or_default();
            of.push(exchange.clone());
        }
        Self {
            answers,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This request shares that fate so often, then is answered.
    pub fn doom(&self, what: &Request, fate: Fate, times: u32) {
        self.lock().fates.insert(what.clone(), (fate, times));
    }

    /// From now on every request is answered.
    pub fn mend(&self) {
        self.lock().fates.clear();
    }

    /// Every request, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// How often this request was asked.
    pub fn times(&self, what: &Request) -> usize {
        let state = self.lock();
        state
            .asked
            .iter()
            .filter(|asked| asked.what == *what)
            .count()
    }

    /// The first request that a pass without faults does not make.
    pub fn unknown(&self) -> Option<Request> {
        self.lock().unknown.clone()
    }

    fn note(&self, what: &Request, request: &Outgoing) {
        let (keys, headers): (Vec<_>, Vec<_>) = request
            .headers
            .iter()
            .cloned()
            .partition(|(name, _)| name == "idempotency-key");
        self.lock().asked.push(Asked {
            what: what.clone(),
            key: keys.into_iter().next().map(|(_, key)| key),
            headers,
        });
    }

    fn next(&self, what: &Request) -> Option<(Exchange, Option<Fate>)> {
        let mut state = self.lock();
        let known = self.answers.get(what).or_else(|| {
            state.unknown.get_or_insert_with(|| what.clone());
            // What is sent may tell of a failure before it: the place answers all the same.
            let place = |other: &Request| {
                let of = |request: &Request| {
                    (
                        request.step.clone(),
                        request.verb.clone(),
                        request.url.clone(),
                    )
                };
                of(other) == of(what)
            };
            let mut others = self.answers.iter().filter(|(other, _)| place(other));
            others.next().map(|(_, answers)| answers)
        });
        let answers = known?;
        let fate = state
            .fates
            .get_mut(what)
            .filter(|(_, times)| *times > 0)
            .map(|(fate, times)| {
                *times -= 1;
                *fate
            });
        let given = state.given.entry(what.clone()).or_default();
        let answer = answers.get(*given).or(answers.last())?.clone();
        // One that was refused was not answered: its answer is still to come.
        if !matches!(fate, Some(Fate::Refused | Fate::Unavailable)) {
            *given += 1;
        }
        Some((answer, fate))
    }
}

/// The outside as one life of the engine reaches it.
#[derive(Debug)]
pub(crate) struct Reached {
    pub(crate) outside: Arc<Outside>,
    pub(crate) time: VirtualTime,
    pub(crate) store: Arc<Faulty>,
}

impl Transport for Reached {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let what = Request::of(&request);
            self.outside.note(&what, &request);
            let Some((answer, fate)) = self.outside.next(&what) else {
                self.time.stand_still();
                return pending().await;
            };
            let takes = answer.takes.min(request.timeout);
            let status = |status| {
                Ok(Incoming {
                    status,
                    headers: vec![("content-type".to_owned(), "application/json".to_owned())],
                    body: "{}".into(),
                })
            };
            match fate {
                None => {
                    self.time.sleep(takes).await;
                    answer.outcome
                }
                Some(Fate::Lost) => {
                    self.time.sleep(request.timeout).await;
                    Err(TransportFault::Timeout)
                }
                Some(Fate::Crash) => {
                    self.time.sleep(takes).await;
                    self.store.crash();
                    pending().await
                }
                Some(Fate::Refused) => {
                    self.time.sleep(takes).await;
                    status(410)
                }
                Some(Fate::Unavailable) => {
                    self.time.sleep(takes).await;
                    status(503)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_out_and_nothing_else() {
        let check = |text: &str, expect: &str| assert_eq!(without_ids(text), expect);
        check("a run_ and a loop_x", "a run_ and a loop_x");
        check(
            "of run_01h455vb4pex5vsknk084sn02q, loop_01h455vb4pex5vsknk084sn02q/3",
            "of run_, loop_/3",
        );
        check("", "");
    }
}
