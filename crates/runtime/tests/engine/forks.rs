//! Forks, lists that are split, and `wait_all`, in virtual time: what goes on when, what a crash leaves, and
//! what thousands of runs in one lap cost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use velodrome_connect::{BUILT_IN, Carrying, Incoming, Outgoing, Transport};
use velodrome_runtime::api::{BodyFormat, HookRequest, LoopView, Problem, RunView};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, HeldFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::check_connector;
use velodrome_store::{Cursor, MemoryStore, PageRequest, RunFilter};
use velodrome_types::{LoopId, LoopStatus, RunId, RunStatus, Timestamp};

/// How long the world takes to answer a request.
const TAKES: Duration = Duration::from_millis(5);

/// Notes who is asked and when; answers 404 where it is told to, else 200.
#[derive(Debug)]
struct World {
    time: VirtualTime,
    asked: Mutex<Vec<(Timestamp, String)>>,
    refuses: Mutex<BTreeSet<String>>,
}

impl Transport for World {
    fn carry(&self, request: Outgoing) -> Carrying<'_> {
        Box::pin(async move {
            let path = request.url.path().to_owned();
            let asked = (self.time.now(), path.clone());
            self.asked.lock().expect("a fixture").push(asked);
            self.time.sleep(TAKES).await;
            let refused = self.refuses.lock().expect("a fixture").contains(&path);
            Ok(Incoming {
                status: if refused { 404 } else { 200 },
                headers: Vec::new(),
                body: "{}".into(),
            })
        })
    }
}

fn start() -> Timestamp {
    Timestamp::parse("2026-01-01T00:00:00Z").expect("a fixture")
}

pub(crate) struct Scene {
    pub(crate) simulated: Simulated,
    world: Arc<World>,
    pub(crate) store: Arc<MemoryStore>,
    text: String,
    seed: u64,
}

impl Scene {
    pub(crate) fn new(text: &str) -> Self {
        let time = VirtualTime::new(start());
        Self::on(text, Arc::new(MemoryStore::new()), time, 1)
    }

    fn on(text: &str, store: Arc<MemoryStore>, time: VirtualTime, seed: u64) -> Self {
        let connectors = BUILT_IN.iter().map(|(name, text)| {
            let def = check_connector(name, text).0.expect("built in");
            (Arc::new(def), (*text).to_owned())
        });
        let mut held = HeldFiles::default();
        held.cycles.insert("forked.yaml".into(), text.to_owned());
        let world = Arc::new(World {
            time: time.clone(),
            asked: Mutex::default(),
            refuses: Mutex::default(),
        });
        let simulated = Simulated::start(SimulatedOptions {
            store: Arc::clone(&store) as _,
            files: CycleFiles::Held(Arc::new(held)),
            connectors: connectors.collect(),
            connections: Vec::new(),
            egress: Default::default(),
            response_limit: 1 << 20,
            error_webhook: None,
            env: Default::default(),
            host: Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads())),
            world: Arc::clone(&world) as _,
            time,
            seed,
            jitter: None,
            horizon: Duration::from_secs(24 * 3600),
            schedules: false,
        })
        .expect("a fixture");
        Self {
            simulated,
            world,
            store,
            text: text.to_owned(),
            seed,
        }
    }

    /// The process dies and another begins on what was stored, in a world that remembers.
    pub(crate) fn crash(self) -> Self {
        let Self {
            simulated,
            world,
            store,
            text,
            seed,
        } = self;
        let time = VirtualTime::new(simulated.time().now());
        drop(simulated);
        let after = Self::on(&text, store, time, seed + 1);
        *after.world.asked.lock().expect("a fixture") =
            std::mem::take(&mut *world.asked.lock().expect("a fixture"));
        after
    }

    /// POSTs, and lets so much time pass from the start.
    pub(crate) fn post(&self, body: String, until: Duration) -> LoopId {
        let engine = self.simulated.engine().clone();
        let posted = self.simulated.add(async move {
            let request = HookRequest {
                cycle: "forked".into(),
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
        self.until(until);
        let answered = self.simulated.outcome(posted).expect("it is answered");
        let body = answered.expect("it is accepted").body;
        let id = body["loop"].as_str().expect("a loop");
        id.parse().expect("an id")
    }

    pub(crate) fn until(&self, until: Duration) {
        self.simulated.run_until(start().plus(until));
    }

    fn loop_of(&self, id: LoopId) -> LoopView {
        self.simulated.engine().loop_view(id).expect("it is stored")
    }

    pub(crate) fn runs(&self, status: &[RunStatus]) -> Vec<RunView> {
        let filter = RunFilter {
            status: status.to_vec(),
            ..RunFilter::default()
        };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = PageRequest {
                after,
                limit: 1_000,
            };
            let page = self.simulated.engine().runs(&filter, page);
            let page = page.expect("they are stored");
            found.extend(page.items);
            after = page.next.map(|at| Cursor(at.parse().expect("a cursor")));
            if after.is_none() {
                return found;
            }
        }
    }

    pub(crate) fn retry(&self, run: RunId, until: Duration) -> RunView {
        let engine = self.simulated.engine().clone();
        let retried = self
            .simulated
            .add(async move { engine.retry_run(run, None).await });
        self.until(until);
        let answer = self.simulated.outcome(retried).expect("it is answered");
        answer.expect("it is taken up again")
    }

    fn stop_run(&self, run: RunId, until: Duration) -> Result<RunView, Box<Problem>> {
        let engine = self.simulated.engine().clone();
        let stopped = self
            .simulated
            .add(async move { engine.stop_run(run).await });
        self.until(until);
        let answer = self.simulated.outcome(stopped).expect("it is answered");
        answer.map_err(Box::new)
    }

    pub(crate) fn refuse(&self, paths: &[&str]) {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        *self.world.refuses.lock().expect("a fixture") = paths;
    }

    /// How often each path was asked.
    fn asked(&self) -> BTreeMap<String, usize> {
        let mut times = BTreeMap::new();
        for (_, path) in self.world.asked.lock().expect("a fixture").iter() {
            *times.entry(path.clone()).or_default() += 1;
        }
        times
    }
}

pub(crate) fn items(count: u64) -> String {
    let items: Vec<u64> = (0..count).collect();
    serde_json::json!({ "items": items }).to_string()
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) const FORK: &str = r#"
cycle: forked
concurrency: 1
steps:
  webhook: {use: generic_webhook.webhook, then: [quick, pause]}
  quick: {use: generic_webhook.get, url: "https://api.test/quick", retry: 0}
  pause: {use: delay, for: 1 hour, then: slow}
  slow: {use: generic_webhook.get, url: "https://api.test/slow", retry: 0}
"#;

#[test]
fn a_loop_keeps_its_place_until_its_last_branch_has_ended() {
    let scene = Scene::new(FORK);
    let first = scene.post("{}".into(), secs(10));
    let second = scene.post("{}".into(), secs(20));
    assert_eq!(scene.loop_of(first).status, LoopStatus::Waiting);
    assert_eq!(scene.loop_of(second).status, LoopStatus::Queued);
    scene.until(secs(3 * 3600));
    assert_eq!(scene.loop_of(first).status, LoopStatus::Succeeded);
    let second = scene.loop_of(second);
    assert_eq!(second.status, LoopStatus::Succeeded);
    // It began when the first had ended.
    assert!(second.updated.since(start()) > secs(2 * 3600 - 1));
    let runs = scene.runs(&[]);
    assert_eq!(runs.len(), 4);
    for child in runs.iter().filter(|run| run.parent.is_some()) {
        let parent = runs.iter().find(|run| Some(run.id) == child.parent);
        let parent = parent.expect("its parent is stored");
        assert_eq!((child.loop_id, child.lap), (parent.loop_id, parent.lap));
        assert_eq!((child.root, child.hops), (parent.root, parent.hops));
    }
}

#[test]
fn a_branch_that_failed_goes_on_while_another_still_waits_for_its_time() {
    let scene = Scene::new(FORK);
    scene.refuse(&["/quick"]);
    let id = scene.post("{}".into(), secs(10));
    let failed = scene.runs(&[RunStatus::Failed]);
    let [failed] = failed.as_slice() else {
        panic!("{failed:?}");
    };
    assert_eq!(scene.loop_of(id).status, LoopStatus::Waiting);
    scene.refuse(&[]);
    scene.retry(failed.id, secs(30));
    assert_eq!(scene.asked()["/quick"], 2);
    let here = scene.loop_of(id);
    assert_eq!(here.status, LoopStatus::Waiting, "it kept its place");
    scene.until(secs(2 * 3600));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Succeeded);
    assert_eq!(scene.asked()["/slow"], 1, "its timer was not lost");
    // The place is free again, and was given back once; the clock stands where the last thing happened.
    let next = scene.post("{}".into(), secs(3_600 + 10));
    let last = scene.post("{}".into(), secs(3_600 + 20));
    assert_eq!(scene.loop_of(next).status, LoopStatus::Waiting);
    assert_eq!(scene.loop_of(last).status, LoopStatus::Queued);
}

#[test]
fn branches_taken_up_while_the_place_is_anothers_go_on_together_when_it_is_free() {
    let scene = Scene::new(
        &FORK
            .replace("then: [quick, pause]", "then: [quick, slow]")
            .replace("quick\", retry: 0", "quick\", retry: 0, then: pause")
            .replace(", then: slow", ""),
    );
    scene.refuse(&["/quick", "/slow"]);
    let first = scene.post("{}".into(), secs(10));
    scene.refuse(&[]);
    let second = scene.post("{}".into(), secs(20));
    assert_eq!(scene.loop_of(first).status, LoopStatus::Failed);
    assert_eq!(scene.loop_of(second).status, LoopStatus::Waiting);
    let mut failed = scene.runs(&[RunStatus::Failed]);
    // With the branch failed the run that began it, whose turn comes with one of its own.
    failed.retain(|run| {
        let error = run.error.as_ref().expect("it failed");
        error["code"] == "request.status"
    });
    assert_eq!(failed.len(), 2);
    for run in &failed {
        let view = scene.retry(run.id, secs(30));
        assert_eq!(view.status, RunStatus::Queued);
    }
    let queued = scene.runs(&[RunStatus::Queued]);
    assert_eq!(queued.len(), 2, "{queued:?}");
    assert_eq!(scene.loop_of(first).status, LoopStatus::Queued);
    assert_eq!(scene.asked()["/quick"], 2);
    scene.until(secs(3_600 + 60));
    assert_eq!(scene.loop_of(second).status, LoopStatus::Succeeded);
    assert_eq!(scene.loop_of(first).status, LoopStatus::Waiting);
    assert_eq!((scene.asked()["/quick"], scene.asked()["/slow"]), (3, 3));
    scene.until(secs(3 * 3_600));
    assert_eq!(scene.loop_of(first).status, LoopStatus::Succeeded);
}

pub(crate) const SPLIT: &str = r#"
cycle: forked
steps:
  webhook: {use: generic_webhook.webhook, fields: {items: {type: list, required: true}}, then: list}
  list:
    use: script
    map: {items: "${webhook.items}"}
    script: "fn run() { method_request.items }"
    split: true
    then: ask
  ask: {use: generic_webhook.get, url: "https://api.test/${item}", retry: 0}
"#;

#[test]
fn after_a_crash_only_what_was_on_its_way_is_asked_again() {
    let scene = Scene::new(SPLIT);
    // In the middle: some have ended, some are asked for, some have not begun.
    let id = scene.post(items(300), Duration::from_millis(12));
    let before = scene.asked();
    assert!((64..300).contains(&before.len()), "{}", before.len());
    let scene = scene.crash();
    scene.until(secs(60));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Succeeded);
    let asked = scene.asked();
    assert_eq!(asked.len(), 300);
    let again = asked.values().filter(|times| **times > 1).count();
    assert!(again <= 64, "{again} were asked again");
    assert!(asked.values().all(|times| *times <= 2), "{asked:?}");
    let runs = scene.runs(&[]);
    assert_eq!(runs.len(), 301);
    assert!(runs.iter().all(|run| run.status == RunStatus::Succeeded));
}

#[test]
fn a_loop_is_taken_up_with_every_item_that_failed() {
    let scene = Scene::new(SPLIT);
    scene.refuse(&["/1", "/3"]);
    let id = scene.post(items(5), secs(10));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Failed);
    scene.refuse(&[]);
    let engine = scene.simulated.engine().clone();
    let retried = scene
        .simulated
        .add(async move { engine.retry_loop(id, None).await });
    scene.until(secs(20));
    let answer = scene.simulated.outcome(retried).expect("it is answered");
    answer.expect("it is taken up again");
    assert_eq!(scene.loop_of(id).status, LoopStatus::Succeeded);
    let again = |path: &str| scene.asked()[path];
    assert_eq!((again("/0"), again("/1"), again("/3")), (1, 2, 2));
}

#[test]
fn ten_thousand_items_go_on_each_by_itself() {
    let scene = Scene::new(SPLIT);
    let id = scene.post(items(10_000), secs(600));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Succeeded);
    let asked = scene.asked();
    assert_eq!(asked.len(), 10_000);
    assert!(asked.values().all(|times| *times == 1));
    assert_eq!(scene.runs(&[]).len(), 10_001);
}

#[test]
fn ten_thousand_items_wait_each_for_its_time() {
    let text = SPLIT.replace(
        "then: ask\n",
        "then: pause\n  pause: {use: delay, for: 1 hour, then: ask}\n",
    );
    let scene = Scene::new(&text);
    let id = scene.post(items(10_000), secs(600));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Waiting);
    scene.until(secs(2 * 3600));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Succeeded);
    assert_eq!(scene.asked().len(), 10_000);
}

#[test]
fn a_loop_with_thousands_of_runs_is_stopped_at_once_and_asks_nobody_any_more() {
    let scene = Scene::new(SPLIT);
    let id = scene.post(items(2_000), Duration::from_millis(12));
    let asked = scene.asked().len();
    let engine = scene.simulated.engine().clone();
    let stopped = scene
        .simulated
        .add(async move { engine.stop_loop(id).await });
    scene.until(secs(60));
    let stopped = scene.simulated.outcome(stopped).expect("it is answered");
    assert_eq!(stopped.expect("it stops").status, LoopStatus::Stopped);
    assert!(scene.asked().len() <= asked + 64);
    let open = [RunStatus::Queued, RunStatus::Running, RunStatus::Waiting];
    assert!(scene.runs(&open).is_empty());
}

#[test]
fn a_run_is_stopped_with_those_it_began_and_its_loop_ends_where_nothing_else_goes_on() {
    let scene = Scene::new(SPLIT);
    let id = scene.post(items(2_000), Duration::from_millis(12));
    let asked = scene.asked().len();
    let parent = scene.loop_of(id).first_run;
    let stopped = scene.stop_run(parent, secs(60)).expect("it stops");
    assert_eq!(stopped.status, RunStatus::Stopped);
    assert!(scene.asked().len() <= asked + 64);
    let open = [RunStatus::Queued, RunStatus::Running, RunStatus::Waiting];
    assert!(scene.runs(&open).is_empty());
    assert_eq!(scene.loop_of(id).status, LoopStatus::Stopped);
    let again = scene.stop_run(parent, secs(61)).expect_err("it is over");
    assert_eq!((again.status, again.code.as_str()), (409, "run.over"));
}

#[test]
fn a_child_that_is_stopped_leaves_the_others_alone_and_its_parent_fails_when_they_are_through() {
    let scene = Scene::new(SPLIT);
    let id = scene.post(items(10), Duration::from_millis(3));
    let parent = scene.loop_of(id).first_run;
    let is_child = |run: &RunView| run.parent == Some(parent);
    let child = scene.runs(&[RunStatus::Running]).into_iter().find(is_child);
    let child = child.expect("some are on their way").id;
    let stopped = scene.stop_run(child, secs(60)).expect("it stops");
    assert_eq!(stopped.status, RunStatus::Stopped);
    assert_eq!(scene.runs(&[RunStatus::Succeeded]).len(), 9);
    let parent = scene.simulated.engine().run(parent).expect("it is stored");
    let error = parent.error.expect("it failed");
    assert_eq!(error["code"], "run.child_failed");
    assert!(!error.to_string().contains("run retry"), "{error}");
    assert_eq!(scene.loop_of(id).status, LoopStatus::Failed);
}

#[test]
fn a_stopped_run_is_stopped_also_after_a_crash() {
    let scene = Scene::new(SPLIT);
    let id = scene.post(items(200), Duration::from_millis(12));
    let parent = scene.loop_of(id).first_run;
    let told = Duration::from_millis(13);
    scene.stop_run(parent, told).expect("it stops");
    let scene = scene.crash();
    scene.until(secs(60));
    assert_eq!(scene.loop_of(id).status, LoopStatus::Stopped);
    assert!(
        scene
            .runs(&[RunStatus::Running, RunStatus::Waiting])
            .is_empty()
    );
}

const JOINED: &str = r#"
cycle: forked
steps:
  webhook: {use: generic_webhook.webhook, fields: {items: {type: list, required: true}}, then: list}
  list:
    use: script
    map: {items: "${webhook.items}"}
    script: "fn run() { method_request.items }"
    split: true
    then: ask
  ask: {use: generic_webhook.get, url: "https://api.test/${item}", retry: 0, then: all}
  all: {use: wait_all, SCOPE then: sum}
  sum: {use: generic_webhook.get, url: "https://api.test/sum", retry: 0}
"#;

#[test]
fn of_all_items_one_goes_on_from_a_wait_for_all_also_across_crashes() {
    let text = JOINED.replace("SCOPE ", "");
    for at in [1, 7, 12, 18, 24, 30] {
        let mut scene = Scene::new(&text);
        let id = scene.post(items(200), Duration::from_millis(at));
        for again in 1..4 {
            scene = scene.crash();
            scene.until(Duration::from_millis(at * (again + 1)));
        }
        scene.until(secs(60));
        assert_eq!(scene.loop_of(id).status, LoopStatus::Succeeded, "{at}");
        let asked = scene.asked();
        assert_eq!(asked.len(), 201, "{at}");
        // Asked again only where the process died while it was asked.
        let sums = asked["/sum"];
        assert!(sums <= 4, "{at}: {sums}");
        let runs = scene.runs(&[]);
        assert!(runs.iter().all(|run| run.status == RunStatus::Succeeded));
    }
}

#[test]
fn of_all_loops_of_a_cycle_one_run_goes_on_from_a_wait_for_the_cycle() {
    let text = JOINED.replace("SCOPE", "scope: cycle,");
    let scene = Scene::new(&text);
    let first = scene.post(items(100), Duration::from_millis(4));
    let scene = scene.crash();
    let second = scene.post(items(30), secs(60));
    assert_eq!(scene.asked()["/sum"], 1, "one of both loops");
    assert_eq!(scene.loop_of(first).status, LoopStatus::Succeeded);
    assert_eq!(scene.loop_of(second).status, LoopStatus::Succeeded);
}

/// Laps with a child for each item, of which one lap is to be kept.
const LAPS: &str = r#"
cycle: forked
retention: {laps: 1}
steps:
  webhook: {use: generic_webhook.webhook, fields: {left: integer, items: list}, then: [list, pause]}
  list: {use: script, map: {items: "${webhook.items}"}, script: "fn run() { method_request.items }", split: true, then: ask}
  ask: {use: generic_webhook.get, url: "https://api.test/item/${item}"}
  pause: {use: delay, for: 1 minute, then: enough}
  enough: {use: decision, if: "= webhook.left > 1", then: again}
  again: {use: generic_webhook.post, url: "${webhook.url}", map: {left: "= webhook.left - 1", items: "${webhook.items}"}}
"#;

#[test]
fn children_of_laps_that_are_not_kept_are_forgotten_as_others_come() {
    for (laps, children) in [(10, 300), (40, 20)] {
        let scene = Scene::new(LAPS);
        let items: Vec<usize> = (0..children).collect();
        let body = serde_json::json!({"left": laps, "items": items}).to_string();
        let id = scene.post(body, secs(3_600));
        let seen = scene.loop_of(id);
        assert_eq!((seen.status, seen.laps), (LoopStatus::Succeeded, laps));
        let asked = scene.asked();
        assert_eq!(asked.len(), children);
        assert!(asked.values().all(|times| *times as u64 == laps));
        let runs = scene.runs(&[]);
        // Each lap is a run, its branch that lists, and the children of that.
        let newest = runs.iter().filter(|run| run.lap >= laps - 1).count();
        assert_eq!(newest, 2 * (2 + children), "what is kept is kept whole");
        let most = newest + 250 + 2 * (2 + children);
        assert!(runs.len() < most, "{} of {laps} laps", runs.len());
    }
}
