//! One engine a test, from its deliveries until nothing is left to happen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use velodrome_runtime::api::{BodyFormat, HookAnswer, HookRequest, Listing, Problem, RunView};
use velodrome_runtime::simulated::{Simulated, SimulatedOptions, VirtualTime};
use velodrome_runtime::{CycleFiles, Engine, StartError};
use velodrome_spec::test_file::{CycleTest, StorageFamily, Stored, TestDelivery, TestFile};
use velodrome_spec::{Diagnostic, Severity};
use velodrome_store::{
    CommitError, LogFilter, LoopFilter, MemoryStore, Namespace, PageRequest, RunFilter, StorageOp,
    StorageWrite, Store, Unit, WatermarkWrite,
};
use velodrome_types::{Code, ConnectionId, CycleId, Event, Json, LogLine, RunStatus, Timestamp};

use crate::bench::Bench;
use crate::coverage::Coverage;
use crate::judge;
use crate::outcome::Outcome;
use crate::report::{FileReport, TestReport};
use crate::world::World;

/// Every test begins with it: ids are alike from run to run, whatever tests stand beside.
const SEED: u64 = 0x0076_656c_6f64_726f;
/// Timers are all kept in memory: virtual time would otherwise stop twice a minute to look for some.
const HORIZON: Duration = Duration::from_secs(200 * 365 * 24 * 3_600);
/// How many rows a listing gives at a time.
const CHUNK: usize = 1_000;

/// Runs every test of a file.
///
/// # Errors
///
/// Those of starting an engine: a setting of requests is wrong.
///
/// # Panics
///
/// Within an async runtime: each test is one of its own.
pub fn run(bench: &Arc<Bench>, file: &TestFile) -> Result<FileReport, StartError> {
    let mut tests = Vec::new();
    let mut taken = BTreeSet::new();
    for test in &file.tests {
        let (report, exits) = run_one(bench, test)?;
        taken.extend(exits);
        tests.push(report);
    }
    let coverage = Coverage::of(&bench.plan, &taken);
    let mut failures = Vec::new();
    if let Some(least) = file.coverage
        && coverage.percent() < least.value
    {
        let never: Vec<String> = coverage.never.iter().map(|never| never.shown()).collect();
        failures.push(Diagnostic {
            severity: Severity::Error,
            code: Code::new("test.coverage"),
            message: format!(
                "the tests take {} of {} exits, {:.0}%: less than {}%",
                coverage.taken,
                coverage.all,
                coverage.percent().floor(),
                least.value
            ),
            span: least.span,
            hint: Some(format!("no test takes {}", never.join(", "))),
        });
    }
    Ok(FileReport {
        tests,
        coverage,
        failures,
    })
}

type Exits = BTreeSet<(velodrome_spec::plan::StepIx, velodrome_core::Exit)>;

fn run_one(bench: &Arc<Bench>, test: &CycleTest) -> Result<(TestReport, Exits), StartError> {
    let time = VirtualTime::new(test.start);
    let world = Arc::new(World::new(bench, test, time.clone()));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let simulated = Simulated::start(SimulatedOptions {
        store: Arc::clone(&store),
        files: CycleFiles::Held(Arc::clone(&bench.files)),
        connectors: bench.connectors.clone(),
        connections: bench.connections.clone(),
        egress: bench.egress.clone(),
        response_limit: bench.response_limit,
        error_webhook: None,
        env: bench.env.clone(),
        host: Arc::clone(&bench.host),
        world: Arc::clone(&world) as _,
        time,
        seed: SEED,
        // A gap is as long as the file says: `elapsed` is then a number that people can work out.
        jitter: Some(0.0),
        horizon: HORIZON,
        schedules: false,
    })?;
    let mut failures = prepare(&simulated, &store, &bench.plan.cycle, test);
    let outcome = happen(&simulated, &store, &bench.plan.cycle, test, &world);
    if failures.is_empty() {
        failures = judge::judge(bench, test, &outcome, &*store, &world);
    }
    let exits = outcome
        .seen
        .exits
        .iter()
        .filter(|(cycle, ..)| *cycle == bench.plan.cycle)
        .map(|(_, step, exit)| (*step, *exit))
        .collect();
    let last = outcome.lines.last().map_or(test.start, |line| line.time);
    let report = TestReport {
        name: test.name.clone(),
        failures,
        elapsed: last.since(test.start),
        loops: outcome.loops,
        lines: outcome.lines,
        requests: outcome.requests,
        handoffs: outcome.seen.handoffs,
    };
    Ok((report, exits))
}

/// Puts into the store what the test says was there before.
fn prepare(
    simulated: &Simulated,
    store: &Arc<dyn Store>,
    cycle: &CycleId,
    test: &CycleTest,
) -> Vec<Diagnostic> {
    let committed = simulated.add(store.commit(before(cycle, test)));
    simulated.run_until(test.start);
    match simulated.outcome(committed) {
        Some(Err(CommitError::Storage { code, message })) => vec![Diagnostic {
            severity: Severity::Error,
            code: Code::new(code),
            message: format!("`storage` cannot be that before the test: {message}"),
            span: test.name.span,
            hint: None,
        }],
        _ => Vec::new(),
    }
}

/// What a test says is in the store before it begins.
pub fn before(cycle: &CycleId, test: &CycleTest) -> Unit {
    let storage = test.storage.iter().map(|stored| write(stored, cycle));
    let watermarks = test
        .watermarks
        .iter()
        .map(|(step, date)| WatermarkWrite::Set(cycle.clone(), step.value.clone(), *date));
    Unit {
        storage: storage.collect(),
        watermarks: watermarks.collect(),
        ..Unit::default()
    }
}

fn write(stored: &Stored<Json>, cycle: &CycleId) -> StorageWrite {
    let connection = ConnectionId::from(stored.connection.value.as_str());
    let namespace = match stored.family {
        StorageFamily::Cycle => Namespace::Cycle(connection, cycle.clone()),
        StorageFamily::Connection | StorageFamily::Loop => Namespace::Connection(connection),
    };
    StorageWrite {
        namespace,
        by: None,
        op: StorageOp::Set(stored.key.clone(), stored.value.clone()),
    }
}

fn happen(
    simulated: &Simulated,
    store: &Arc<dyn Store>,
    cycle: &CycleId,
    test: &CycleTest,
    world: &World,
) -> Outcome {
    let before = store.last_seq();
    let too_many_laps = Arc::new(AtomicBool::new(false));
    let watch = Watch {
        engine: simulated.engine().clone(),
        time: simulated.time().clone(),
        most: test.limits.laps,
        past: Arc::clone(&too_many_laps),
        seq: before,
    };
    simulated.add(watch.laps());
    let posted: Vec<_> = test
        .deliveries
        .iter()
        .map(|delivery| post(simulated, cycle, delivery, test.start))
        .collect();
    simulated.run_until(test.start.plus(test.limits.time));
    let answers = posted
        .into_iter()
        .map(|posted| simulated.outcome(posted))
        .collect();
    let engine = simulated.engine();
    let mut loops = Vec::new();
    newest_first(
        |page| engine.loops(&LoopFilter::default(), page).ok(),
        &mut loops,
    );
    loops.reverse();
    let of_status = |status: &[RunStatus]| {
        let filter = RunFilter {
            status: status.to_vec(),
            ..RunFilter::default()
        };
        let mut runs: Vec<RunView> = Vec::new();
        newest_first(|page| engine.runs(&filter, page).ok(), &mut runs);
        runs.reverse();
        runs
    };
    Outcome {
        answers,
        loops,
        open: of_status(&[RunStatus::Queued, RunStatus::Running, RunStatus::Waiting]),
        failed: of_status(&[RunStatus::Failed]).into_iter().next(),
        lines: lines(&**store, before),
        seen: simulated.seen(),
        requests: world.requests(),
        too_many_laps: too_many_laps.load(Ordering::Relaxed),
    }
}

/// A test's request to the cycle's webhook.
pub fn request(cycle: &CycleId, delivery: &TestDelivery) -> HookRequest {
    let key = ["idempotency-key", "webhook-id"]
        .into_iter()
        .find_map(|name| delivery.headers.get(name)?.as_str().map(str::to_owned));
    HookRequest {
        cycle: cycle.to_string(),
        step: delivery.step.as_ref().map(|step| step.value.to_string()),
        resume: None,
        format: BodyFormat::Json,
        body: Bytes::from(delivery.body.to_string()),
        headers: delivery.headers.clone(),
        query: delivery.query.clone(),
        idempotency_key: key,
        // A test begins what a schedule would.
        by_operator: true,
    }
}

fn post(
    simulated: &Simulated,
    cycle: &CycleId,
    delivery: &TestDelivery,
    start: Timestamp,
) -> JoinHandle<Result<HookAnswer, Problem>> {
    let request = request(cycle, delivery);
    let (engine, time) = (simulated.engine().clone(), simulated.time().clone());
    let at = start.plus(delivery.after);
    simulated.add(async move {
        time.sleep_until(at).await;
        engine.receive(request).await
    })
}

/// Ends a test that makes more laps than it may, though no time passes.
struct Watch {
    engine: Engine,
    time: VirtualTime,
    most: u64,
    past: Arc<AtomicBool>,
    seq: u64,
}

impl Watch {
    async fn laps(mut self) {
        let accepted = LogFilter {
            event: Some(Event::WebhookAccepted),
            ..LogFilter::default()
        };
        let mut changed = self.engine.log_changed();
        let mut laps = 0;
        while changed.changed().await.is_ok() {
            let store = self.engine.store();
            let Ok((lines, searched)) = store.log_after(self.seq, &accepted, CHUNK) else {
                return;
            };
            self.seq = searched;
            laps += lines.len() as u64;
            if laps > self.most {
                self.past.store(true, Ordering::Relaxed);
                self.time.stand_still();
                return;
            }
        }
    }
}

fn newest_first<T>(list: impl Fn(PageRequest) -> Option<Listing<T>>, into: &mut Vec<T>) {
    let mut after = None;
    loop {
        let Some(page) = list(PageRequest {
            after,
            limit: CHUNK,
        }) else {
            return;
        };
        into.extend(page.items);
        let next = page.next.and_then(|next| next.parse().ok());
        match next {
            Some(next) => after = Some(velodrome_store::Cursor(next)),
            None => return,
        }
    }
}

fn lines(store: &dyn Store, after: u64) -> Vec<LogLine> {
    let mut all = Vec::new();
    let mut seq = after;
    while let Ok((lines, searched)) = store.log_after(seq, &LogFilter::default(), CHUNK) {
        all.extend(lines);
        if searched <= seq {
            break;
        }
        seq = searched;
    }
    all
}
