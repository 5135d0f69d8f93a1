//! Requests of many loops through one limited connection, in virtual time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use velodrome_connect::{BUILT_IN, Carrying, Incoming, Outgoing, Transport};
use velodrome_runtime::api::{BodyFormat, HookRequest};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, HeldFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::check_connector;
use velodrome_store::{LogFilter, LogRead as _, MemoryStore};
use velodrome_types::{Event, LogLine, Timestamp};

const API: &str = "
connector: api
base_url: https://api.test
limits: {rate: [10 per second, 2000 per hour]}
methods:
  get: {kind: request, verb: GET, path: /x}
";

fn cycle(name: &str) -> String {
    format!(
        "cycle: {name}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: ask}}\n  ask: {{use: api.get, retry: 0}}\n"
    )
}

/// Notes who asks when, and says 429 to so many before it takes any.
#[derive(Debug)]
struct World {
    time: VirtualTime,
    asked: Mutex<Vec<(Timestamp, String)>>,
    refuses: Mutex<u32>,
}

impl Transport for World {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let asker = request.asker.expect("every request says who asks");
            let now = self.time.now();
            let told = (now, asker.cycle.to_string());
            self.asked.lock().expect("a fixture").push(told);
            self.time.sleep(Duration::from_millis(5)).await;
            let mut refuses = self.refuses.lock().expect("a fixture");
            let refused = *refuses > 0;
            *refuses = refuses.saturating_sub(1);
            Ok(Incoming {
                status: if refused { 429 } else { 200 },
                headers: match refused {
                    true => vec![("retry-after".to_owned(), "3600".to_owned())],
                    false => Vec::new(),
                },
                body: "{}".into(),
            })
        })
    }
}

struct Scene {
    simulated: Simulated,
    world: Arc<World>,
    store: Arc<MemoryStore>,
}

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").expect("a fixture")
}

fn scene(refuses: u32) -> Scene {
    let all = BUILT_IN.iter().chain(&[("api", API)]);
    let connectors = all.map(|(name, text)| {
        let (def, diagnostics) = check_connector(name, text);
        let def = def.unwrap_or_else(|| panic!("{diagnostics:?}"));
        (Arc::new(def), (*text).to_owned())
    });
    let mut held = HeldFiles::default();
    for name in ["greedy", "modest"] {
        held.cycles.insert(format!("{name}.yaml"), cycle(name));
    }
    let time = VirtualTime::new(start());
    let world = Arc::new(World {
        time: time.clone(),
        asked: Mutex::default(),
        refuses: Mutex::new(refuses),
    });
    let store = Arc::new(MemoryStore::new());
    let simulated = Simulated::start(SimulatedOptions {
        error_webhook: None,
        store: Arc::clone(&store) as _,
        files: CycleFiles::Held(Arc::new(held)),
        connectors: connectors.collect(),
        connections: Vec::new(),
        egress: Default::default(),
        response_limit: 1 << 20,
        env: Default::default(),
        host: Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads())),
        world: Arc::clone(&world) as _,
        time,
        seed: 1,
        jitter: None,
        horizon: Duration::from_secs(60),
        schedules: false,
    });
    Scene {
        simulated: simulated.expect("a fixture"),
        world,
        store,
    }
}

impl Scene {
    fn post(&self, cycle: &'static str, times: u32, until: Duration) {
        let engine = self.simulated.engine().clone();
        let posted = self.simulated.add(async move {
            for _ in 0..times {
                let request = HookRequest {
                    cycle: cycle.into(),
                    step: None,
                    resume: None,
                    by_operator: false,
                    format: BodyFormat::Json,
                    body: "{}".into(),
                    headers: Default::default(),
                    query: Default::default(),
                    idempotency_key: None,
                };
                engine.receive(request).await.expect("it is accepted");
            }
        });
        self.simulated.run_until(start().plus(until));
        self.simulated.outcome(posted).expect("all are posted");
    }

    /// When this cycle's first request left, in milliseconds from the start.
    fn first_of(&self, cycle: &str) -> u64 {
        let asked = self.world.asked.lock().expect("a fixture");
        let first = asked.iter().find(|(_, who)| who == cycle);
        let (at, _) = first.expect("it asked");
        at.since(start()).as_millis() as u64
    }

    fn log(&self, event: Event) -> Vec<LogLine> {
        let (mut lines, mut after) = (Vec::new(), 0);
        loop {
            let page = self.store.log_after(after, &LogFilter::default(), 1_000);
            let page = page.expect("a fixture").0;
            let Some(last) = page.last() else {
                return lines;
            };
            after = last.seq;
            lines.extend(page.into_iter().filter(|line| line.event == event));
        }
    }

    fn ended(&self) -> usize {
        self.log(Event::LoopSucceeded).len()
    }
}

#[test]
fn a_thousand_loops_of_one_cycle_do_not_starve_the_one_of_another() {
    let scene = scene(0);
    scene.post("greedy", 1_000, Duration::from_millis(500));
    scene.post("modest", 1, Duration::from_secs(200));
    assert_eq!(scene.ended(), 1_001);
    // Without turns it would leave after the thousand: in a hundred seconds.
    assert_eq!(scene.first_of("modest"), 1_000);
    let asked = scene.world.asked.lock().expect("a fixture");
    for ten in asked.windows(11) {
        let stretch = ten[10].0.since(ten[0].0);
        assert!(stretch >= Duration::from_secs(1), "{stretch:?}");
    }
    let last = asked.last().expect("they asked").0;
    assert_eq!(last.since(start()), Duration::from_secs(100));
}

#[test]
fn a_rate_that_is_used_up_for_long_is_waited_for_in_the_store() {
    let scene = scene(0);
    scene.post("greedy", 2_005, Duration::from_secs(3_000));
    assert_eq!(scene.ended(), 2_000);
    let held = scene.log(Event::RetryScheduled);
    assert_eq!(held.len(), 5);
    for line in &held {
        let code = line.code.as_ref().map(|code| code.as_str());
        assert_eq!(code, Some("request.held"));
        assert!(line.attempt.is_none(), "{line:?}");
    }
    scene
        .simulated
        .run_until(start().plus(Duration::from_secs(4_000)));
    // `retry: 0`: waiting for a turn is no attempt.
    assert_eq!(scene.ended(), 2_005);
}

#[test]
fn an_api_that_asks_to_wait_is_left_alone_by_every_cycle_until_then() {
    let scene = scene(1);
    scene.post("greedy", 1, Duration::from_secs(1));
    scene.post("modest", 3, Duration::from_secs(2));
    scene
        .simulated
        .run_until(start().plus(Duration::from_secs(7_200)));
    let asked = scene.world.asked.lock().expect("a fixture");
    let times: Vec<u64> = asked
        .iter()
        .map(|(at, _)| at.since(start()).as_secs())
        .collect();
    assert_eq!(times, [0, 3_600, 3_600, 3_600]);
    // The first one was refused, and `retry: 0` ends it; the others were never sent.
    assert_eq!(scene.ended(), 3);
}
