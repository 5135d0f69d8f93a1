//! One seed: what goes wrong, and what there is at the end.

use std::sync::Arc;
use std::time::Duration;

use velodrome_connect::{Connection, EgressRules};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, EditedFiles};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::expr::Expr;
use velodrome_store::{
    LoopRow, MemoryStore, Namespace, ScriptStorage as _, Store, Watermarks as _,
};
use velodrome_testkit::{Chance, Faults, Faulty, lines, loops};
use velodrome_types::{ConnectionId, CycleId, Json, LogLine, StepId, Timestamp};

use crate::acts::{Acts, Done, start};
use crate::cycles::{EDITED, TOLD_AT, connectors, files};
use crate::world::{Reached, Seen, World};

const END: Duration = Duration::from_secs(6 * 3600);
/// Commits of one life whose length is drawn.
const HELD: u64 = 200;

/// What there is at the end of a seed.
pub(crate) struct Ended {
    pub(crate) seed: u64,
    pub(crate) pages: u64,
    pub(crate) log: Vec<LogLine>,
    pub(crate) loops: Vec<LoopRow>,
    pub(crate) world: Seen,
    pub(crate) done: Done,
    /// Whether somebody stopped a cycle or a loop.
    pub(crate) stops: bool,
    pub(crate) crashes: u64,
    pub(crate) refused: u64,
    /// What `cycle_storage` of each page loop counts: laps begun, lists asked.
    pub(crate) counted: Vec<(&'static str, Json, Json)>,
    /// What `marked` saw last of each record.
    pub(crate) saw: Vec<(String, i64)>,
    pub(crate) watermark: Option<Timestamp>,
    /// How many notices `alerts` counted.
    pub(crate) told: Json,
}

impl std::fmt::Debug for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ended")
            .field("seed", &self.seed)
            .field("pages", &self.pages)
            .field("loops", &self.loops.len())
            .field("accepted", &self.done.accepted.len())
            .field("edits", &self.done.edits.len())
            .field("stops", &self.stops)
            .field("crashes", &self.crashes)
            .field("refused", &self.refused)
            .field("faults", &self.world.faults)
            .finish_non_exhaustive()
    }
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
    // A disk that takes its time: what is looked at before a commit may be otherwise behind it.
    if chance.one_in(2) {
        for number in 0..HELD {
            let longest = if chance.one_in(30) { 800 } else { 30 };
            let hold = Duration::from_millis(chance.below(longest));
            faults.hold.insert(number, hold);
        }
    }
    faults
}

/// Plays a seed to its end.
pub(crate) fn run(seed: u64) -> Ended {
    let mut chance = Chance::new(seed);
    let world = Arc::new(World::new(seed, 2 + chance.below(5)));
    let files = Arc::new(EditedFiles::new(files(&mut chance)));
    let acts = Acts::of(&mut chance, Arc::clone(&files));
    let host = Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads()));
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
                simulated.add(store.started());
                acts.begin(&simulated, &store);
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
    let cycle = |connection: &str, cycle: &str| {
        Namespace::Cycle(ConnectionId::from(connection), CycleId::from(cycle))
    };
    let counted = EDITED.map(|id| {
        let value = |namespace: &Namespace, key: &str| {
            let found = store.get(namespace, key).expect("it reads");
            found.map_or(Json::from(0), |found| found.value)
        };
        (
            id,
            value(&cycle("generic_webhook", id), "laps"),
            value(&cycle("pages", id), "asked"),
        )
    });
    let told = store
        .get(&cycle("generic_webhook", "alerts"), "told")
        .expect("it reads")
        .map_or(Json::from(0), |found| found.value);
    let saw = store
        .list(&cycle("pages", "marked"), None, 1_000)
        .expect("it reads")
        .into_iter()
        .map(|(key, stored)| {
            let id = key.trim_start_matches("seen ").to_owned();
            (id, stored.value.as_i64().expect("a whole number"))
        });
    Ended {
        seed,
        pages: world.pages,
        log: lines(&*store),
        loops: loops(&*store),
        world: world.seen(),
        done: acts.done(),
        stops: acts.stops,
        crashes,
        refused,
        counted: counted.into(),
        saw: saw.collect(),
        watermark: store
            .watermark(&CycleId::from("marked"), &StepId::from("changed"))
            .expect("it reads"),
        told,
    }
}

fn options(
    store: Arc<dyn Store>,
    files: &Arc<EditedFiles>,
    host: &Arc<ScriptHost>,
    world: Reached,
    seed: u64,
) -> SimulatedOptions {
    let connectors = connectors();
    let pages = connectors
        .iter()
        .find(|(def, _)| def.name == "pages")
        .expect("just read");
    let connection = Connection::with_defaults(ConnectionId::from("pages"), Arc::clone(&pages.0));
    SimulatedOptions {
        error_webhook: Some(Expr::Literal(TOLD_AT.into())),
        store,
        files: CycleFiles::Edited(Arc::clone(files)),
        connectors: connectors.to_vec(),
        connections: vec![connection],
        egress: EgressRules::default(),
        response_limit: 1 << 20,
        env: Default::default(),
        host: Arc::clone(host),
        time: world.time.clone(),
        world: Arc::new(world),
        seed,
        jitter: None,
        horizon: Duration::from_secs(60),
        schedules: false,
    }
}

/// A line of the log, short.
pub(crate) fn shown(line: &LogLine) -> String {
    format!(
        "{:>4} {} {:<8} {:.4} {} lap {} {:<8} {:<18} {}",
        line.seq,
        line.time.time_of_day(),
        line.cycle
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        line.version.as_deref().unwrap_or_default(),
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
