//! One seed: who posts what and when, what goes wrong, and what there is at the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use velodrome_connect::{BUILT_IN, Connection, EgressRules};
use velodrome_runtime::api::{BodyFormat, CycleCommand, HookRequest};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, Engine, ErrorWebhook, HeldFiles};
use velodrome_script::{ScriptHost, ScriptLimits};
use velodrome_spec::check_connector;
use velodrome_spec::connector::ConnectorDef;
use velodrome_store::{
    LogFilter, LogRead as _, LoopRow, MemoryStore, Namespace, ScriptStorage as _, Store,
};
use velodrome_types::{ConnectionId, CycleId, Json, LogLine, Timestamp};

use crate::faulty::{Faults, Faulty, loops};
use crate::world::{Chance, Reached, Seen, World};

/// The cycles that are posted to from outside.
pub(crate) const CYCLES: [&str; 7] = [
    "in_turn", "own", "http", "items", "parent", "fails", "alarms",
];
/// The cycles whose runs all fail.
pub(crate) const FAILING: [&str; 3] = ["fails", "alarms", "alerts"];
/// Items of one run of `items`.
pub(crate) const ITEMS: u64 = 7;
/// Nothing begins later than this; then all that goes on by itself goes on.
const ACT: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(6 * 3600);

const CONNECTOR: &str = r#"
connector: pages
base_url: https://api.test
methods:
  list:
    kind: list
    verb: GET
    path: /list
    inputs: {page: {type: integer, required: true, query: page}}
    response: {records: data, fields: {more: {path: more, when_empty: false}}}
    paging: by_hand
"#;

/// A page loop. `storage` is where it keeps its page, `head` what else the cycle says.
fn page_loop(id: &str, storage: &str, delay: &str, handoff: &str, head: &str) -> String {
    format!(
        r#"
cycle: {id}
{head}
retry: {{times: 30, first: 100 ms, max: 2 seconds}}
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, required: true}}}}
    script: |
      fn after_webhook() {{
          {storage}_storage_set("page", method_response.page);
          cycle_storage_increment("laps", 1);
          return true;
      }}
    then: list
  list:
    use: pages.list
    map: {{page: "${{webhook.page}}"}}
    script: |
      fn before_action() {{ cycle_storage_increment("asked", 1); return true; }}
    then: more
  more:
    use: decision
    if: {{left: "${{list.more}}", is: equals, right: true}}
    then: pause
  pause: {{use: delay, for: {delay}, then: next}}
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    handoff: {handoff}
    map: {{page: ignore}}
    script: |
      fn before_action() {{ method_request.page = {storage}_storage_get("page") + 1; return true; }}
"#
    )
}

fn files(chance: &mut Chance) -> HeldFiles {
    let delay = ["0 ms", "40 ms", "3 seconds"][chance.below(3) as usize];
    let mut files = HeldFiles::default();
    let mut put = |id: &str, text: String| {
        files.cycles.insert(format!("{id}.yaml"), text);
    };
    put(
        "in_turn",
        page_loop("in_turn", "cyclr", delay, "direct", "concurrency: 1"),
    );
    put("own", page_loop("own", "loop", delay, "direct", ""));
    put(
        "http",
        page_loop("http", "loop", delay, "http", "concurrency: 2"),
    );
    put(
        "items",
        format!(
            "cycle: items\nretry: {{times: 30, first: 100 ms, max: 2 seconds}}\nvariables: {{items: {:?}}}\nsteps:\n  \
             webhook: {{use: generic_webhook.webhook, then: each}}\n  \
             each: {{use: generic_webhook.post, url: \"https://api.test/item\", for_each: \"${{var:items}}\", parallel: 3, map: {{n: \"${{item}}\"}}}}\n",
            (0..ITEMS).collect::<Vec<_>>()
        ),
    );
    put(
        "parent",
        "cycle: parent\nsteps:\n  webhook: {use: generic_webhook.webhook, then: each}\n  \
         each: {use: generic_webhook.post, url: \"${hook:child}\", for_each: [1, 2, 3], parallel: 2, map: {n: \"${item}\"}}\n"
            .to_owned(),
    );
    put(
        "child",
        "cycle: child\nconcurrency: 1\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    script: |\n      \
         fn after_webhook() { return method_response.n != 2; }\n    then: pause\n  pause: {use: delay, for: 200 ms}\n"
            .to_owned(),
    );
    // Both fail; the one is told outside, where `velodrome.yaml` says, the other to a cycle that keeps count.
    let failing = |id: &str, head: &str| {
        format!(
            "cycle: {id}\n{head}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: pause}}\n  \
             pause: {{use: delay, for: 300 ms, then: fails}}\n  fails: {{use: stop, as: failed}}\n"
        )
    };
    put("fails", failing("fails", ""));
    put(
        "alarms",
        failing("alarms", "error_webhook: \"${hook:alerts}\""),
    );
    put(
        "alerts",
        "cycle: alerts\nsteps:\n  webhook:\n    use: generic_webhook.webhook\n    script: |\n      \
         fn after_webhook() { cycle_storage_increment(\"told\", 1); return true; }\n    then: fails\n  \
         fails: {use: stop, as: failed}\n"
            .to_owned(),
    );
    files
}

/// Something that somebody does.
#[derive(Clone, Debug)]
enum Act {
    Post(&'static str, Option<String>),
    Say(&'static str, CycleCommand),
    StopLoop,
}

/// An act, when it is done, and what is known of it.
#[derive(Clone, Debug)]
struct Planned {
    at: Timestamp,
    act: Act,
    begun: bool,
}

/// What there is at the end of a seed.
pub(crate) struct Ended {
    pub(crate) seed: u64,
    pub(crate) pages: u64,
    pub(crate) log: Vec<LogLine>,
    pub(crate) loops: Vec<LoopRow>,
    pub(crate) world: Seen,
    /// Loops whose acceptance somebody heard of.
    pub(crate) accepted: Vec<String>,
    /// Whether somebody stopped a cycle or a loop.
    pub(crate) stopped: bool,
    pub(crate) crashes: u64,
    pub(crate) refused: u64,
    /// What `cycle_storage` of each page loop counts: laps begun, lists asked.
    pub(crate) counted: Vec<(&'static str, Json, Json)>,
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ended")
            .field("seed", &self.seed)
            .field("pages", &self.pages)
            .field("loops", &self.loops.len())
            .field("accepted", &self.accepted.len())
            .field("stopped", &self.stopped)
            .field("crashes", &self.crashes)
            .field("refused", &self.refused)
            .field("faults", &self.world.faults)
            .finish_non_exhaustive()
    }
}

/// What many seeds came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    seeds: u64,
    loops: u64,
    crashes: u64,
    refused: u64,
    faults: u64,
    stopped: u64,
}

impl Totals {
    pub(crate) fn add(&mut self, ended: &Ended) {
        self.seeds += 1;
        self.loops += ended.loops.len() as u64;
        self.crashes += ended.crashes;
        self.refused += ended.refused;
        self.faults += ended.world.faults;
        self.stopped += u64::from(ended.stopped);
    }

    /// Whether each kind of trouble happened often enough for the seeds to mean something.
    pub(crate) fn is_rich(&self) -> bool {
        let often = |count: u64| count * 4 >= self.seeds;
        often(self.loops)
            && often(self.crashes)
            && often(self.faults)
            && self.refused > 0
            && self.stopped > 0
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").expect("a date")
}

fn plan(chance: &mut Chance) -> (Vec<Planned>, bool) {
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
    let mut stopped = false;
    if chance.one_in(3) {
        let cycle = CYCLES[chance.below(CYCLES.len() as u64) as usize];
        let (command, stops) = match chance.below(3) {
            0 => (CycleCommand::Stop, true),
            1 => (CycleCommand::Pause, false),
            _ => (CycleCommand::Finish, false),
        };
        stopped |= stops || matches!(command, CycleCommand::Finish);
        planned.push((at(chance), Act::Say(cycle, command)));
    }
    if chance.one_in(5) {
        stopped = true;
        planned.push((at(chance), Act::StopLoop));
    }
    // In the end everything may run.
    for cycle in CYCLES.into_iter().chain(["child"]) {
        planned.push((start().plus(ACT), Act::Say(cycle, CycleCommand::Start)));
    }
    planned.sort_by_key(|(at, _)| *at);
    let planned = planned
        .into_iter()
        .map(|(at, act)| Planned {
            at,
            act,
            begun: false,
        })
        .collect();
    (planned, stopped)
}

fn faults(chance: &mut Chance, life: u64) -> Faults {
    let mut faults = Faults::default();
    // Fewer lives than a cat's: the last one ends well.
    if life < 5 && !chance.one_in(4) {
        let number = chance.below(60);
        if chance.one_in(2) {
            faults.crash_before = Some(number);
        } else {
            faults.crash_after = Some(number);
        }
    }
    if chance.one_in(4) {
        let from = chance.below(60);
        faults.refuse = (from..from + 1 + chance.below(3)).collect();
    }
    faults
}

/// Plays a seed to its end.
pub(crate) fn run(seed: u64) -> Ended {
    let mut chance = Chance::new(seed);
    let world = Arc::new(World::new(seed, 2 + chance.below(5)));
    let files = Arc::new(files(&mut chance));
    let (planned, stopped) = plan(&mut chance);
    let planned = Arc::new(Mutex::new(planned));
    let accepted = Arc::new(Mutex::new(Vec::new()));
    let host = Arc::new(ScriptHost::new(ScriptLimits::default()));
    let mut left = MemoryStore::new();
    let (mut now, mut crashes, mut refused, mut life) = (start(), 0, 0, 0);
    let store = loop {
        let time = VirtualTime::new(now);
        let store = Faulty::new(left, faults(&mut chance, life), time.clone());
        let simulated = Simulated::start(options(
            Arc::clone(&store) as _,
            &files,
            &host,
            Reached {
                world: Arc::clone(&world),
                time: time.clone(),
            },
            seed ^ (life << 32),
        ));
        match simulated {
            Ok(simulated) if !store.has_crashed() => {
                store.started();
                act(&simulated, &planned, &accepted);
                simulated.run_until(start().plus(END));
                now = simulated.time().now();
            }
            Ok(_) => {}
            Err(error) => assert!(store.has_crashed(), "it did not start: {error}"),
        }
        refused += store.refused();
        if !store.has_crashed() {
            break store;
        }
        crashes += 1;
        life += 1;
        left = store.left();
        now = now.plus(Duration::from_millis(chance.below(10_000)));
    };
    let log = store
        .log_after(0, &LogFilter::default(), 1_000_000)
        .expect("it reads")
        .0;
    let counted = ["in_turn", "own", "http"].map(|cycle| {
        let namespace =
            Namespace::Cycle(ConnectionId::from("generic_webhook"), CycleId::from(cycle));
        let asked = Namespace::Cycle(ConnectionId::from("pages"), CycleId::from(cycle));
        let value = |namespace: &Namespace, key: &str| {
            let found = store.get(namespace, key).expect("it reads");
            found.map_or(Json::from(0), |found| found.value)
        };
        (cycle, value(&namespace, "laps"), value(&asked, "asked"))
    });
    let accepted = accepted
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    Ended {
        seed,
        pages: world.pages,
        log,
        loops: loops(&*store),
        world: world.seen(),
        accepted,
        stopped,
        crashes,
        refused,
        counted: counted.into(),
    }
}

fn options(
    store: Arc<dyn Store>,
    files: &Arc<HeldFiles>,
    host: &Arc<ScriptHost>,
    world: Reached,
    seed: u64,
) -> SimulatedOptions {
    static KNOWN: std::sync::OnceLock<Vec<(Arc<ConnectorDef>, String)>> =
        std::sync::OnceLock::new();
    let connectors = KNOWN.get_or_init(|| {
        let texts = BUILT_IN.iter().chain(&[("pages", CONNECTOR)]);
        let read = texts.map(|(name, text)| {
            let (def, faults) = check_connector(name, text);
            (
                Arc::new(def.unwrap_or_else(|| panic!("{faults:?}"))),
                (*text).to_owned(),
            )
        });
        read.collect()
    });
    let pages = connectors
        .iter()
        .find(|(def, _)| def.name == "pages")
        .expect("just read");
    let connection = Connection::with_defaults(ConnectionId::from("pages"), Arc::clone(&pages.0));
    SimulatedOptions {
        store,
        files: CycleFiles::Held(Arc::clone(files)),
        connectors: connectors.clone(),
        connections: vec![connection],
        egress: EgressRules::default(),
        response_limit: 1 << 20,
        error_webhook: Some(ErrorWebhook::Url("https://alerts.test/failed".into())),
        env: Default::default(),
        host: Arc::clone(host),
        time: world.time.clone(),
        world: Arc::new(world),
        seed,
        jitter: None,
        horizon: Duration::from_secs(60),
    }
}

/// Does what is planned and has not been begun, each at its time.
fn act(
    simulated: &Simulated,
    planned: &Arc<Mutex<Vec<Planned>>>,
    accepted: &Arc<Mutex<Vec<String>>>,
) {
    let all = planned
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    for (at, one) in all.into_iter().enumerate() {
        // What a person says last is said again after a crash: nobody knows whether it was heard.
        let last = one.at == start().plus(ACT);
        if one.begun && !last {
            continue;
        }
        let (engine, time) = (simulated.engine().clone(), simulated.time().clone());
        let (planned, accepted) = (Arc::clone(planned), Arc::clone(accepted));
        simulated.add(async move {
            time.sleep_until(one.at).await;
            planned.lock().unwrap_or_else(PoisonError::into_inner)[at].begun = true;
            if let Some(id) = perform(&engine, &time, one.act).await {
                accepted
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(id);
            }
        });
    }
}

/// Does it; gives the loop that was accepted, if one was.
async fn perform(engine: &Engine, time: &VirtualTime, act: Act) -> Option<String> {
    match act {
        Act::Post(cycle, key) => {
            let request = HookRequest {
                cycle: cycle.to_owned(),
                step: None,
                format: BodyFormat::Json,
                body: "{\"page\": 1}".into(),
                headers: Default::default(),
                query: Default::default(),
                idempotency_key: key,
            };
            let answer = engine.receive(request).await.ok()?;
            Some(answer.body["loop"].as_str()?.to_owned())
        }
        Act::Say(cycle, command) => {
            // Whoever is told that the disk refused says it again.
            while let Err(problem) = engine.command(&CycleId::from(cycle), command).await {
                assert_eq!(problem.status, 503, "{problem:?}");
                time.sleep(Duration::from_secs(1)).await;
            }
            None
        }
        Act::StopLoop => {
            if let Ok(id) = engine.find_loop("last") {
                let _ = engine.stop_loop(id).await;
            }
            None
        }
    }
}

/// A line of the log, short.
pub(crate) fn shown(line: &LogLine) -> String {
    format!(
        "{:>4} {} {:<8} {} lap {} {:<8} {:<18} {}",
        line.seq,
        line.time.time_of_day(),
        line.cycle
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        line.loop_id.map(|id| id.tail()).unwrap_or_default(),
        line.lap.unwrap_or(0),
        line.step
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        line.event.as_str(),
        line.message
    )
}
