//! Telling of failed runs in virtual time: gaps, order, giving up, and what a crash leaves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use velodrome_connect::{BUILT_IN, Carrying, Errand, Incoming, Outgoing, Transport};
use velodrome_runtime::api::{BodyFormat, HookRequest};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, HeldFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::check_connector;
use velodrome_spec::expr::Expr;
use velodrome_store::{MemoryStore, Outbox as _};
use velodrome_types::{Json, Timestamp};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A notice that came: how long after the start, with which key, and its body.
#[derive(Clone, Debug)]
struct Came {
    after: Duration,
    key: String,
    body: Json,
}

/// How a notice is answered, with which `Retry-After`.
type Answer = dyn Fn(&Came) -> (u16, Option<&'static str>) + Send + Sync;

struct World {
    time: VirtualTime,
    came: Arc<Mutex<Vec<Came>>>,
    answer: Arc<Answer>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl Transport for World {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            assert_eq!(request.errand, Errand::Notice, "{request:?}");
            let key = request
                .headers
                .iter()
                .find(|(name, _)| name == "idempotency-key");
            let came = Came {
                after: self.time.now().since(start()),
                key: key.expect("it has a key").1.clone(),
                body: serde_json::from_slice(&request.body.unwrap_or_default()).expect("JSON"),
            };
            let (status, wait) = (self.answer)(&came);
            self.came.lock().expect("a fixture").push(came);
            Ok(Incoming {
                status,
                headers: wait
                    .map(|wait| ("retry-after".to_owned(), wait.to_owned()))
                    .into_iter()
                    .collect(),
                body: "{}".into(),
            })
        })
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").expect("a fixture")
}

const FAILS: &str = r#"
cycle: fails
steps:
  webhook: {use: generic_webhook.webhook, then: fails}
  fails: {use: stop, as: failed, message: "${webhook.why}"}
"#;

/// An engine whose notices are answered so, on a store that may have been used before.
struct Telling {
    simulated: Simulated,
    store: Arc<MemoryStore>,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Telling {
    fn new(store: MemoryStore, from: Timestamp, answer: Arc<Answer>) -> Self {
        let connectors = BUILT_IN.iter().map(|(name, text)| {
            let def = check_connector(name, text).0.expect("built in");
            (Arc::new(def), (*text).to_owned())
        });
        let mut held = HeldFiles::default();
        held.cycles.insert("fails.yaml".into(), FAILS.to_owned());
        let (store, time) = (Arc::new(store), VirtualTime::new(from));
        let came: Arc<Mutex<Vec<Came>>> = Arc::default();
        let world = World {
            time: time.clone(),
            came: Arc::clone(&came),
            answer,
        };
        let simulated = Simulated::start(SimulatedOptions {
            store: Arc::clone(&store) as _,
            files: CycleFiles::Held(Arc::new(held)),
            connectors: connectors.collect(),
            connections: Vec::new(),
            egress: Default::default(),
            response_limit: 1 << 20,
            error_webhook: Some(Expr::Literal("https://alerts.test/secret/path".into())),
            env: Default::default(),
            host: Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads())),
            world: Arc::new(world),
            time,
            seed: 1,
            jitter: Some(0.0),
            horizon: DAY,
            schedules: false,
        })
        .expect("a fixture");
        Self {
            simulated,
            store,
            came,
        }
    }

    fn fail(&self, why: &str) {
        let engine = self.simulated.engine().clone();
        let body = serde_json::json!({ "why": why }).to_string();
        let posted = self.simulated.add(async move {
            let request = HookRequest {
                cycle: "fails".into(),
                step: None,
                resume: None,
                by_operator: false,
                format: BodyFormat::Json,
                body: body.into(),
                headers: Default::default(),
                query: Default::default(),
                idempotency_key: None,
            };
            engine.receive(request).await
        });
        self.simulated.run_until(self.simulated.time().now());
        let answered = self
            .simulated
            .outcome(posted)
            .expect("it is answered at once");
        assert_eq!(answered.expect("it is accepted").status, 202);
    }

    fn after(&self, length: Duration) {
        self.simulated.run_until(start().plus(length));
    }

    fn came(&self) -> Vec<Came> {
        self.came.lock().expect("a fixture").clone()
    }

    /// What was told, in order, with the seconds after which it was.
    fn told(&self) -> Vec<(String, u64)> {
        let came = self.came();
        came.iter()
            .map(|came| {
                let why = came.body["Detail"].as_str().unwrap_or_default().to_owned();
                (why, came.after.as_secs())
            })
            .collect()
    }

    fn waits(&self) -> usize {
        let ever = Timestamp::from_millis(i64::MAX);
        self.store.outbox_heads(ever).expect("it reads").len()
    }
}

fn told(all: &[(&str, u64)]) -> Vec<(String, u64)> {
    all.iter()
        .map(|(why, at)| ((*why).to_owned(), *at))
        .collect()
}

#[test]
fn gaps_grow_to_an_hour_and_end_after_three_days() {
    let telling = Telling::new(MemoryStore::new(), start(), Arc::new(|_| (503, None)));
    telling.fail("one");
    telling.after(HOUR);
    let seconds: Vec<u64> = telling.told().iter().map(|(_, at)| *at).collect();
    assert_eq!(seconds, [0, 1, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047]);
    telling.after(DAY * 10);
    let came = telling.came();
    let last = came.last().expect("it came").after;
    assert!(last >= DAY * 3 && last < DAY * 3 + HOUR, "{last:?}");
    let gap = last - came[came.len() - 2].after;
    assert_eq!(gap, HOUR);
    assert!(came.iter().all(|came| came.key == telling.came()[0].key));
    assert!(came.iter().all(|came| came.body == telling.came()[0].body));
    assert_eq!(telling.waits(), 0, "it is given up");
}

#[test]
fn a_place_that_does_not_answer_gets_them_in_order_once_it_does() {
    let down = Arc::new(|came: &Came| (if came.after < SECOND * 10 { 503 } else { 200 }, None));
    let telling = Telling::new(MemoryStore::new(), start(), down);
    for why in ["one", "two", "three"] {
        telling.fail(why);
    }
    telling.after(HOUR);
    let tries = [("one", 0), ("one", 1), ("one", 3), ("one", 7), ("one", 15)];
    let rest = [("two", 15), ("three", 15)];
    assert_eq!(telling.told(), told(&[&tries[..], &rest].concat()));
    assert_eq!(telling.waits(), 0);
}

#[test]
fn one_that_is_refused_for_what_it_is_keeps_no_other_waiting() {
    let picky = |came: &Came| {
        let bad = came.body["Detail"] == "bad" && came.after < SECOND * 2;
        (if bad { 422 } else { 200 }, None)
    };
    let telling = Telling::new(MemoryStore::new(), start(), Arc::new(picky));
    telling.fail("bad");
    telling.fail("good");
    telling.after(HOUR);
    let expected = [("bad", 0), ("good", 0), ("bad", 1), ("bad", 3)];
    assert_eq!(telling.told(), told(&expected));
}

#[test]
fn what_the_place_asks_to_wait_is_waited() {
    let busy = |came: &Came| match came.after.as_secs() {
        0..600 => (429, Some("600")),
        _ => (200, None),
    };
    let telling = Telling::new(MemoryStore::new(), start(), Arc::new(busy));
    telling.fail("one");
    telling.fail("two");
    telling.after(HOUR);
    assert_eq!(
        telling.told(),
        told(&[("one", 0), ("one", 600), ("two", 600)])
    );
}

#[test]
fn a_place_that_is_gone_is_not_asked_again() {
    let telling = Telling::new(MemoryStore::new(), start(), Arc::new(|_| (410, None)));
    telling.fail("one");
    telling.after(DAY);
    assert_eq!(telling.told(), told(&[("one", 0)]));
    assert_eq!(telling.waits(), 0);
}

#[test]
fn a_crash_changes_neither_the_next_attempt_nor_the_order() {
    let died = Telling::new(
        MemoryStore::new(),
        start(),
        Arc::new(|_| (429, Some("600"))),
    );
    died.fail("one");
    died.fail("two");
    died.after(SECOND * 5);
    assert_eq!(died.told(), told(&[("one", 0)]));
    let key = died.came()[0].key.clone();
    let left = died.store.reopened();
    drop(died);
    let next = Telling::new(left, start().plus(SECOND * 60), Arc::new(|_| (200, None)));
    next.after(HOUR);
    assert_eq!(next.told(), told(&[("one", 600), ("two", 600)]));
    assert_eq!(next.came()[0].key, key);
    assert_eq!(next.waits(), 0);
}
