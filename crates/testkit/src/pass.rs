//! One pass through a test: deliveries, and as many lives of the process as crashes make of it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use velodrome_connect::Transport;
use velodrome_cycle_test::{before, request};
use velodrome_runtime::simulated::{HandedOff, Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, EditedFiles, Engine};
use velodrome_store::{MemoryStore, RunRow, Store};
use velodrome_types::{CycleId, Event, Timestamp};

use crate::clean::Clean;
use crate::faulty::{Faults, Faulty};
use crate::outcome::{Outcome, failed_runs, lines};
use crate::outside::{Outside, Reached};
use crate::shipped::Case;

/// Every pass begins with it; each life has ids of its own.
const SEED: u64 = 0x7465_7374_6b69_7421;
/// Timers are all kept in memory: virtual time would otherwise stop twice a minute to look for some.
const HORIZON: Duration = Duration::from_secs(200 * 365 * 24 * 3_600);
/// How long a process is down after a crash.
const DOWN: Duration = Duration::from_secs(3);
/// Lives beyond these are a bug: each but the last commits something.
const LIVES: u64 = 5_000;

/// What a request was sent with: its key and its other headers.
type Form = (Option<String>, Vec<(String, String)>);

/// Where a request is asked: cycle, step, lap.
type Place = (String, String, u64);

/// A pass through one test.
#[derive(Debug)]
pub struct Pass<'c> {
    case: &'c Case,
    /// The APIs.
    pub outside: Arc<Outside>,
    /// The cycle files.
    pub files: Arc<EditedFiles>,
    answers: Arc<Mutex<Vec<Option<u16>>>>,
    now: Timestamp,
    lives: u64,
    store: Arc<Faulty>,
    simulated: Option<Simulated>,
    handoffs: Vec<HandedOff>,
    /// Requests whose outcome went down with a process, where they were asked.
    lost: BTreeMap<Place, u64>,
    /// The most that one crash took.
    pub most_lost: u64,
}

impl<'c> Pass<'c> {
    /// A pass whose requests are answered as in the clean one. Nothing has happened yet.
    pub fn new(case: &'c Case, clean: &Clean) -> Self {
        Self::with(case, Outside::new(&clean.exchanges))
    }

    pub(crate) fn with(case: &'c Case, outside: Outside) -> Self {
        let store = MemoryStore::new();
        let before = store.commit(before(&case.bench.plan.cycle, &case.test));
        before
            .now_or_never()
            .expect("the memory store writes at once")
            .expect("what was there before can be stored");
        let now = case.test.start;
        Self {
            case,
            outside: Arc::new(outside),
            files: Arc::new(EditedFiles::new((*case.bench.files).clone())),
            answers: Arc::new(Mutex::new(vec![None; case.test.deliveries.len()])),
            now,
            lives: 0,
            store: Faulty::new(store, Faults::default(), VirtualTime::new(now)),
            simulated: None,
            handoffs: Vec::new(),
            lost: BTreeMap::new(),
            most_lost: 0,
        }
    }

    /// The store of this life.
    pub fn store(&self) -> &Arc<Faulty> {
        &self.store
    }

    /// The engine of this life.
    ///
    /// # Panics
    ///
    /// The process is gone.
    pub fn simulated(&self) -> &Simulated {
        self.simulated.as_ref().expect("the process is there")
    }

    /// Begins a life on what the last one left. It may be over when this returns: it crashed in starting.
    pub fn start(&mut self, faults: Faults) {
        let time = VirtualTime::new(self.now);
        let store = Faulty::new(self.store.left(), faults, time.clone());
        let world = Arc::new(Reached {
            outside: Arc::clone(&self.outside),
            time: time.clone(),
            store: Arc::clone(&store),
        });
        self.start_over(store, time, world);
    }

    pub(crate) fn start_over(
        &mut self,
        store: Arc<Faulty>,
        time: VirtualTime,
        world: Arc<dyn Transport>,
    ) {
        self.lives += 1;
        assert!(self.lives < LIVES, "the process crashes for ever");
        self.store = store;
        let bench = &self.case.bench;
        let started = Simulated::start(SimulatedOptions {
            store: Arc::clone(&self.store) as _,
            files: CycleFiles::Edited(Arc::clone(&self.files)),
            connectors: bench.connectors.clone(),
            connections: bench.connections.clone(),
            egress: bench.egress.clone(),
            response_limit: bench.response_limit,
            env: bench.env.clone(),
            host: Arc::clone(&bench.host),
            error_webhook: None,
            world,
            time,
            seed: SEED.wrapping_mul(self.lives),
            jitter: Some(0.0),
            horizon: HORIZON,
            schedules: false,
        });
        match started {
            Ok(simulated) if !self.store.has_crashed() => {
                simulated.add(self.store.started());
                self.simulated = Some(simulated);
            }
            Ok(_) => {}
            Err(error) => assert!(self.store.has_crashed(), "it did not start: {error}"),
        }
    }

    /// Posts what has not been answered yet, each at its time, with a key by which a repeat is known. What is for a run
    /// that waits comes behind what is to bring it there.
    pub fn deliver(&mut self) {
        let start = self.case.test.start;
        let Some(simulated) = &self.simulated else {
            return;
        };
        for (at, delivery) in self.case.test.deliveries.iter().enumerate() {
            if self.answers()[at].is_some() {
                continue;
            }
            let mut request = request(&self.case.bench.plan.cycle, delivery);
            request
                .idempotency_key
                .get_or_insert_with(|| format!("delivery-{at}"));
            let (engine, time) = (simulated.engine().clone(), simulated.time().clone());
            let answers = Arc::clone(&self.answers);
            let behind = match &delivery.step {
                Some(_) => time.now().plus(Duration::from_secs(1 + at as u64)),
                None => time.now(),
            };
            let when = start.plus(delivery.after).max(behind);
            simulated.add(async move {
                time.sleep_until(when).await;
                let status = loop {
                    match engine.receive(request.clone()).await {
                        Ok(answer) => break answer.status,
                        Err(problem) if problem.status == 503 => {
                            time.sleep(Duration::from_secs(1)).await;
                        }
                        Err(problem) => break problem.status,
                    }
                };
                answers.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(status);
            });
        }
    }

    /// Whoever was refused with this status asks again in the next [`Pass::deliver`].
    pub fn ask_again(&self, refused: u16) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        for answer in answers.iter_mut() {
            answer.take_if(|status| *status == refused);
        }
    }

    fn answers(&self) -> Vec<Option<u16>> {
        self.answers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Lets everything happen that happens by itself in this life.
    pub fn run(&mut self) {
        let until = self.case.test.start.plus(self.case.test.limits.time);
        if let Some(simulated) = &self.simulated {
            simulated.run_until(until);
            self.now = simulated.time().now();
        }
    }

    /// Somebody says something to the engine; everything happens that follows of it.
    ///
    /// # Panics
    ///
    /// The process is gone, or the answer never comes.
    pub fn say<T, F>(&mut self, what: impl FnOnce(Engine) -> F) -> T
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let said = what(self.simulated().engine().clone());
        let said = self.simulated().add(said);
        self.run();
        let answer = self.simulated().outcome(said);
        answer.expect("what was said is answered")
    }

    /// Whether this life is over.
    pub fn has_crashed(&self) -> bool {
        self.store.has_crashed()
    }

    /// The process ends now, if it has not; a moment later the next one may begin.
    pub fn crash(&mut self) {
        self.store.crash();
        self.end();
        let in_flight = self.unexplained();
        let places = in_flight.values().copied();
        self.most_lost = self.most_lost.max(places.max().unwrap_or(0));
        for (place, many) in in_flight {
            *self.lost.entry(place).or_default() += many;
        }
        self.now = self.now.plus(DOWN);
    }

    fn end(&mut self) {
        if let Some(simulated) = self.simulated.take() {
            self.handoffs.extend(simulated.seen().handoffs);
        }
    }

    /// A life with these faults, and as many without as it takes until everything has ended.
    pub fn through(&mut self, faults: Faults) {
        self.start(faults);
        self.deliver();
        self.run();
        while self.has_crashed() {
            self.crash();
            self.start(Faults::default());
            self.deliver();
            self.run();
        }
    }

    /// Every hand-off that was committed, the last life's too.
    pub fn handoffs(&self) -> Vec<HandedOff> {
        let mut all = self.handoffs.clone();
        all.extend(self.simulated.iter().flat_map(|life| life.seen().handoffs));
        all
    }

    /// What came of it.
    pub fn outcome(&self) -> Outcome {
        Outcome::of(&*self.store, self.answers())
    }

    /// Runs that have failed.
    pub fn failed(&self) -> Vec<RunRow> {
        failed_runs(&*self.store)
    }

    /// Requests whose outcome is neither committed nor went down with a process: those in flight; at the
    /// end, those that were sent again for no reason.
    pub fn unexplained(&self) -> BTreeMap<Place, u64> {
        let mut open: BTreeMap<Place, u64> = BTreeMap::new();
        for asked in self.outside.asked() {
            if let (Some(cycle), Some(step)) = (&asked.what.cycle, &asked.what.step) {
                *open
                    .entry((cycle.to_string(), step.to_string(), asked.what.lap))
                    .or_default() += 1;
            }
        }
        let mut take = |place: &Place, many: u64| {
            if let Some(open) = open.get_mut(place) {
                *open = open.saturating_sub(many);
            }
        };
        for (place, many) in &self.lost {
            take(place, *many);
        }
        for line in lines(&*self.store) {
            let is_outcome = matches!(
                line.event,
                Event::ResponseReceived
                    | Event::RetryScheduled
                    | Event::RequestFailed
                    | Event::ItemFailed
                    | Event::ScriptFailed
            );
            let (Some(cycle), Some(step), Some(lap)) = (&line.cycle, &line.step, line.lap) else {
                continue;
            };
            if is_outcome && line.item.is_some() == self.is_each(cycle, step.as_str()) {
                take(&(cycle.to_string(), step.to_string(), lap), 1);
            }
        }
        open.retain(|_, many| *many > 0);
        open
    }

    /// Whether a step runs once for each item: what became of each is told beside what became of it.
    fn is_each(&self, cycle: &CycleId, step: &str) -> bool {
        let found = self.case.plan(cycle).and_then(|plan| {
            let step = plan.step(plan.find(step)?);
            Some(step.each.is_some())
        });
        found.unwrap_or(false)
    }

    /// Requests that were made in another form when they were sent again: other headers, or another key.
    /// Each request of a run has one key for all its attempts.
    pub fn changed(&self, clean: &Clean) -> Option<String> {
        let mut seen: BTreeMap<_, Vec<Form>> = BTreeMap::new();
        for asked in self.outside.asked() {
            let forms = seen.entry(asked.what).or_default();
            let form = (asked.key, asked.headers);
            if !forms.contains(&form) {
                forms.push(form);
            }
        }
        seen.into_iter().find_map(|(what, forms)| {
            let usual = clean.forms.get(&what).copied().unwrap_or(0);
            (forms.len() > usual).then(|| format!("{what:?} was sent as {forms:?}"))
        })
    }
}
