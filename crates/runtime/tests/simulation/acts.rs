//! Who does what, and when: people and callers of one seed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use velodrome_runtime::api::{BodyFormat, CycleCommand, HookRequest, Version};
use velodrome_runtime::simulated::{Simulated, VirtualTime};
use velodrome_runtime::{EditedFiles, Engine};
use velodrome_store::{LoopFilter, PageRequest};
use velodrome_testkit::{Chance, Faulty};
use velodrome_types::{CycleId, LoopStatus, Timestamp};

use crate::cycles::{CYCLES, EDITED, FAILING, bad_edit, delay, edition};

/// Nothing begins later than this; then all that goes on by itself goes on.
const ACT: Duration = Duration::from_secs(30);

/// When a seed begins.
pub(crate) fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").expect("a date")
}

/// Something that somebody does.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Post(&'static str, Option<String>),
    Say(&'static str, CycleCommand),
    StopLoop,
    /// Saves a cycle's file; no number is a file with a fault.
    Edit(&'static str, Option<u64>, &'static str),
    /// Takes every failed loop up again, but those that fail whatever is done.
    RetryFailed,
}

/// An act, when it is done, and what is known of it.
#[derive(Clone, Debug)]
struct Planned {
    at: Timestamp,
    act: Act,
    begun: bool,
    /// Said last, and again after a crash: nobody knows whether it was heard.
    last: bool,
}

/// A file that was saved.
#[derive(Clone, Debug)]
pub(crate) struct Edit {
    pub(crate) cycle: &'static str,
    /// The edition; none is a file with a fault.
    pub(crate) number: Option<u64>,
    pub(crate) at: Timestamp,
}

/// What came of the acts; it outlives crashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Done {
    /// Loops whose acceptance somebody heard of.
    pub(crate) accepted: Vec<String>,
    /// Files that were saved, in order.
    pub(crate) edits: Vec<Edit>,
    /// Stops that were said while a commit was under way.
    pub(crate) stopped_in_between: u64,
}

/// The acts of one seed.
#[derive(Debug)]
pub(crate) struct Acts {
    planned: Mutex<Vec<Planned>>,
    done: Mutex<Done>,
    files: Arc<EditedFiles>,
    /// Whether somebody stops a cycle or a loop.
    pub(crate) stops: bool,
}

fn locked<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn plan(chance: &mut Chance) -> (Vec<(Timestamp, Act)>, bool) {
    let mut planned = Vec::new();
    let at = |chance: &mut Chance| start().plus(Duration::from_millis(chance.below(20_000)));
    for number in 0..1 + chance.below(7) {
        let cycle = CYCLES[chance.below(CYCLES.len() as u64) as usize];
        // Now and then a request is sent twice with one key.
        let key = chance.one_in(3).then(|| format!("key-{number}"));
        let when = at(chance);
        planned.push((when, Act::Post(cycle, key.clone())));
        if key.is_some() {
            let again = when.plus(Duration::from_millis(chance.below(3_000)));
            planned.push((again, Act::Post(cycle, key)));
        }
    }
    let mut stops = false;
    if chance.one_in(3) {
        let cycle = CYCLES[chance.below(CYCLES.len() as u64) as usize];
        let (command, ends) = match chance.below(4) {
            0 | 1 => (CycleCommand::Stop, true),
            2 => (CycleCommand::Pause, false),
            _ => (CycleCommand::Finish, true),
        };
        stops |= ends;
        planned.push((at(chance), Act::Say(cycle, command)));
    }
    if chance.one_in(5) {
        stops = true;
        planned.push((at(chance), Act::StopLoop));
    }
    let mut when = start();
    for number in 0..chance.below(4) {
        when = when.plus(Duration::from_millis(chance.below(8_000)));
        let cycle = EDITED[chance.below(EDITED.len() as u64) as usize];
        if chance.one_in(4) {
            planned.push((when, Act::Edit(cycle, None, "")));
            when = when.plus(Duration::from_millis(chance.below(5_000)));
        }
        planned.push((when, Act::Edit(cycle, Some(number + 2), delay(chance))));
    }
    planned.sort_by_key(|(at, _)| *at);
    (planned, stops)
}

impl Acts {
    pub(crate) fn of(chance: &mut Chance, files: Arc<EditedFiles>) -> Arc<Self> {
        let (planned, stops) = plan(chance);
        let usual = planned.into_iter().map(|(at, act)| (at, act, false));
        // In the end everything may run.
        let started = CYCLES
            .into_iter()
            .chain(["child"])
            .map(|cycle| Act::Say(cycle, CycleCommand::Start));
        let last = started
            .chain([Act::RetryFailed])
            .map(|act| (start().plus(ACT), act, true));
        let planned = usual.chain(last).map(|(at, act, last)| Planned {
            at,
            act,
            begun: false,
            last,
        });
        Arc::new(Self {
            planned: Mutex::new(planned.collect()),
            done: Mutex::default(),
            files,
            stops,
        })
    }

    pub(crate) fn done(&self) -> Done {
        locked(&self.done).clone()
    }

    /// Does what has not been begun, each at its time.
    pub(crate) fn begin(self: &Arc<Self>, simulated: &Simulated, store: &Arc<Faulty>) {
        let all = locked(&self.planned).clone();
        for (number, one) in all.into_iter().enumerate() {
            if one.begun && !one.last {
                continue;
            }
            let acting = Acting {
                acts: Arc::clone(self),
                engine: simulated.engine().clone(),
                time: simulated.time().clone(),
                store: Arc::clone(store),
            };
            simulated.add(async move {
                acting.time.sleep_until(one.at).await;
                locked(&acting.acts.planned)[number].begun = true;
                acting.perform(one.act).await;
            });
        }
    }
}

/// Somebody, in one life of the engine.
struct Acting {
    acts: Arc<Acts>,
    engine: Engine,
    time: VirtualTime,
    store: Arc<Faulty>,
}

impl Acting {
    async fn perform(&self, act: Act) {
        match act {
            Act::Post(cycle, key) => {
                let request = HookRequest {
                    cycle: cycle.to_owned(),
                    step: None,
                    resume: None,
                    by_operator: false,
                    format: BodyFormat::Json,
                    body: "{\"page\": 1}".into(),
                    headers: Default::default(),
                    query: Default::default(),
                    idempotency_key: key,
                };
                let answer = self.engine.receive(request).await.ok();
                let id = answer.and_then(|answer| Some(answer.body["loop"].as_str()?.to_owned()));
                locked(&self.acts.done).accepted.extend(id);
            }
            Act::Say(cycle, command) => {
                if command == CycleCommand::Stop && self.commit_is_under_way().await {
                    locked(&self.acts.done).stopped_in_between += 1;
                }
                // Whoever is told that the disk refused says it again.
                while let Err(problem) = self.engine.command(&CycleId::from(cycle), command).await {
                    assert_eq!(problem.status, 503, "{problem:?}");
                    self.time.sleep(Duration::from_secs(1)).await;
                }
            }
            Act::StopLoop => {
                if let Ok(id) = self.engine.find_loop("last") {
                    let _ = self.engine.stop_loop(id).await;
                }
            }
            Act::Edit(cycle, number, delay) => {
                let text = match number {
                    Some(number) => edition(cycle, number, delay),
                    None => bad_edit(cycle),
                };
                self.acts.files.put(&format!("{cycle}.yaml"), text);
                locked(&self.acts.done).edits.push(Edit {
                    cycle,
                    number,
                    at: self.time.now(),
                });
                self.engine.reload().await;
            }
            Act::RetryFailed => self.retry_failed().await,
        }
    }

    /// Waits a while for a moment between a commit's beginning and its end.
    async fn commit_is_under_way(&self) -> bool {
        for _ in 0..1_000 {
            if self.store.under_way() > 0 {
                return true;
            }
            self.time.sleep(Duration::from_millis(2)).await;
        }
        false
    }

    async fn retry_failed(&self) {
        let failed = LoopFilter {
            status: vec![LoopStatus::Failed],
            ..LoopFilter::default()
        };
        let page = PageRequest {
            after: None,
            limit: 1_000,
        };
        loop {
            let found = self.engine.loops(&failed, page);
            let mut found = found.map_or_else(|_| Vec::new(), |found| found.items);
            found.retain(|looped| !FAILING.contains(&looped.cycle.as_str()));
            if found.is_empty() {
                return;
            }
            for looped in found {
                // One whose cycle is still about to start, or that the disk refused, is tried again.
                // Where its cycle was edited meanwhile the version must be said.
                if self.engine.retry_loop(looped.id, None).await.is_err() {
                    let began_with = Some(Version::Original);
                    let _ = self.engine.retry_loop(looped.id, began_with).await;
                }
            }
            self.time.sleep(Duration::from_secs(1)).await;
        }
    }
}
