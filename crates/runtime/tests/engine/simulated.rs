//! The engine in virtual time: no real time passes, and a seed tells everything.

use std::sync::Arc;
use std::time::Duration;

use velodrome_connect::{BUILT_IN, Carrying, Incoming, Outgoing, Transport};
use velodrome_runtime::api::{BodyFormat, HookAnswer, HookRequest};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, HeldFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::check_connector;
use velodrome_store::{LogFilter, MemoryStore, Store};
use velodrome_types::{Event, LogLine, LoopStatus, Timestamp};

/// A world whose every answer takes a while: 200, or 503 to begin with.
#[derive(Debug)]
struct World {
    time: VirtualTime,
    takes: Duration,
    failures: std::sync::Mutex<u32>,
}

impl Transport for World {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            assert!(request.asker.is_some(), "{request:?}");
            self.time.sleep(self.takes).await;
            let mut failures = self.failures.lock().expect("a fixture");
            let status = if *failures > 0 { 503 } else { 200 };
            *failures = failures.saturating_sub(1);
            Ok(Incoming {
                status,
                headers: Vec::new(),
                body: "{}".into(),
            })
        })
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").expect("a fixture")
}

fn simulated(text: &str, seed: u64, failures: u32, store: Arc<dyn Store>) -> Simulated {
    let connectors = BUILT_IN.iter().map(|(name, text)| {
        let def = check_connector(name, text).0.expect("built in");
        (Arc::new(def), (*text).to_owned())
    });
    let mut held = HeldFiles::default();
    held.cycles.insert("long.yaml".into(), text.to_owned());
    let time = VirtualTime::new(start());
    Simulated::start(SimulatedOptions {
        store,
        files: CycleFiles::Held(Arc::new(held)),
        connectors: connectors.collect(),
        connections: Vec::new(),
        egress: Default::default(),
        response_limit: 1 << 20,
        error_webhook: None,
        env: Default::default(),
        host: Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads())),
        world: Arc::new(World {
            time: time.clone(),
            takes: Duration::from_millis(120),
            failures: failures.into(),
        }),
        time,
        seed,
        jitter: None,
        horizon: DAY,
        schedules: false,
    })
    .expect("a fixture")
}

fn post(simulated: &Simulated, until: Timestamp) -> HookAnswer {
    let engine = simulated.engine().clone();
    let posted = simulated.add(async move {
        let request = HookRequest {
            cycle: "long".into(),
            step: None,
            resume: None,
            by_operator: false,
            format: BodyFormat::Json,
            body: "{\"n\": 1}".into(),
            headers: Default::default(),
            query: Default::default(),
            idempotency_key: None,
        };
        engine.receive(request).await
    });
    simulated.run_until(until);
    let answered = simulated.outcome(posted).expect("it is answered at once");
    answered.expect("it is accepted")
}

fn log(store: &dyn Store) -> Vec<LogLine> {
    store
        .log_after(0, &LogFilter::default(), 1_000)
        .expect("a fixture")
        .0
}

const LONG: &str = r#"
cycle: long
steps:
  webhook: {use: generic_webhook.webhook, then: wait}
  wait: {use: delay, for: 30 days, then: ask}
  ask: {use: generic_webhook.get, url: "https://api.test/x"}
"#;

const DAY: Duration = Duration::from_secs(24 * 3600);

#[test]
fn thirty_days_pass_at_once_and_requests_take_what_the_world_says() {
    let store = Arc::new(MemoryStore::new());
    let simulated = simulated(LONG, 1, 0, Arc::clone(&store) as _);
    assert_eq!(post(&simulated, start().plus(DAY * 365)).status, 202);
    let id = simulated.engine().find_loop("last").unwrap();
    let over = simulated.engine().loop_view(id).unwrap();
    assert_eq!(over.status, LoopStatus::Succeeded);
    assert_eq!(over.elapsed_ms, 30 * 86_400_000 + 120);
    let answered = log(&*store)
        .into_iter()
        .find(|line| line.event == Event::ResponseReceived);
    assert_eq!(answered.unwrap().ms, Some(120));
}

#[test]
fn time_stops_where_it_is_told_to_and_goes_on_from_there() {
    let store = Arc::new(MemoryStore::new());
    let simulated = simulated(LONG, 1, 0, Arc::clone(&store) as _);
    post(&simulated, start().plus(DAY));
    let status = || {
        let id = simulated.engine().find_loop("last").unwrap();
        simulated.engine().loop_view(id).unwrap().status
    };
    assert_eq!(status(), LoopStatus::Waiting);
    assert!(simulated.time().now() <= start().plus(DAY));
    simulated.run_until(start().plus(DAY * 29));
    assert_eq!(status(), LoopStatus::Waiting);
    simulated.run_until(start().plus(DAY * 31));
    assert_eq!(status(), LoopStatus::Succeeded);
}

#[test]
fn the_same_seed_gives_the_same_log_and_another_one_does_not() {
    let told = |seed| {
        let store = Arc::new(MemoryStore::new());
        let simulated = simulated(LONG, seed, 3, Arc::clone(&store) as _);
        post(&simulated, start().plus(DAY * 365));
        serde_json::to_string(&log(&*store)).unwrap()
    };
    let first = told(1);
    assert!(first.contains("retry 3 of 5"), "{first}");
    assert_eq!(first, told(1));
    assert_ne!(first, told(2));
}

#[test]
fn what_a_crash_leaves_goes_on_in_the_next_engine() {
    let store = Arc::new(MemoryStore::new());
    let died = simulated(LONG, 1, 0, Arc::clone(&store) as _);
    post(&died, start().plus(DAY));
    let next = Arc::new(store.reopened());
    drop(died);
    let simulated = simulated(LONG, 2, 0, Arc::clone(&next) as _);
    simulated.run_until(start().plus(DAY * 365));
    let id = simulated.engine().find_loop("last").unwrap();
    let over = simulated.engine().loop_view(id).unwrap();
    assert_eq!(over.status, LoopStatus::Succeeded);
    assert_eq!(over.elapsed_ms, 30 * 86_400_000 + 120);
}
