//! How many runs have left each step by each exit, and how many are at each step; how many loops are in each state,
//! and how many notices wait: in memory, from what was committed.
//!
//! A transition says which exits its run took and where it stood before; `unit.rs` gathers that with the commit,
//! and [`Flows::committed`] counts it once the commit has happened, so that nothing is counted that a crash could
//! undo. Exits are counted since the server started. What stands at each step is counted once in the store,
//! beside commits: those that come meanwhile are kept and added if the count did not see them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use prometheus::IntCounter;
use velodrome_core::{Exit, Finish, Run, Standing, State};
use velodrome_spec::Plan;
use velodrome_spec::plan::{Step, StepIx, StepKind};
use velodrome_store::Standing as Stored;
use velodrome_types::{Code, CycleId, LoopStatus, RunStatus, StepId};

use crate::api::{EdgeFlow, FlowView, StepFlow};
use crate::metrics::{Ended, Metrics};

/// A run's move that is to be committed.
#[derive(Clone, Debug)]
pub(crate) struct Move {
    pub(crate) cycle: CycleId,
    /// The hash of the run's plan.
    pub(crate) plan: String,
    /// The exits that it left by, in order.
    pub(crate) exits: Vec<(StepIx, Exit)>,
    /// Where it was.
    was: Option<Standing>,
    /// Where it is.
    is: Option<Standing>,
    /// How it has ended, if this move ended it.
    ended: Option<Ended>,
    /// Where it failed and with what code, if it has.
    failed: Option<(StepId, Code)>,
    /// Whether it was accepted, and has not moved.
    accepted: bool,
}

impl Move {
    /// What a move has made of a run.
    pub(crate) fn of(run: &Run, was: Option<Standing>, exits: Vec<(StepIx, Exit)>) -> Self {
        let (ended, failed) = match &run.state {
            State::Finished { how } => (Some(Ended::of(how)), how),
            _ => {
                return Self {
                    exits,
                    was,
                    ..Self::unmoved(run)
                };
            }
        };
        let failed = match failed {
            Finish::Failed(failure) => Some((failure.step.clone(), failure.error.code.clone())),
            _ => None,
        };
        Self {
            exits,
            was,
            ended,
            failed,
            ..Self::unmoved(run)
        }
    }

    /// A run was accepted.
    pub(crate) fn accepted(run: &Run) -> Self {
        Self {
            accepted: true,
            ..Self::unmoved(run)
        }
    }

    fn unmoved(run: &Run) -> Self {
        Self {
            cycle: run.cycle.clone(),
            plan: run.plan.clone(),
            exits: Vec::new(),
            was: None,
            is: run.standing(),
            ended: None,
            failed: None,
            accepted: false,
        }
    }
}

/// What became of a loop's state in a commit: what it was, if the loop is not new, and what it is.
pub(crate) type LoopMove = (CycleId, Option<LoopStatus>, LoopStatus);

/// What there is a number of at each moment.
#[derive(Clone, Debug)]
enum Stands {
    /// Runs at a step.
    Run(CycleId, Standing),
    /// Loops in a state.
    Loop(CycleId, LoopStatus),
    /// Notices of failed runs.
    Notice,
}

/// The order of the last commit that the store's count has in it, while there is no such count.
const NOT_COUNTED: u64 = u64::MAX;

/// The numbers of every cycle.
#[derive(Debug)]
pub(crate) struct Flows {
    cycles: RwLock<HashMap<CycleId, Arc<CycleFlows>>>,
    /// By the plan's hash: where its exits are counted.
    plans: RwLock<HashMap<String, Arc<PlanFlows>>>,
    /// The last commit that the store's count has in it.
    counted: AtomicU64,
    /// What was committed before that is known, each with its commit.
    early: Mutex<Vec<(u64, Stands, i64)>>,
    notices: AtomicI64,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            cycles: RwLock::default(),
            plans: RwLock::default(),
            counted: AtomicU64::new(NOT_COUNTED),
            early: Mutex::default(),
            notices: AtomicI64::new(0),
        }
    }
}

type Counter = Arc<AtomicU64>;

/// An edge of the graph: a step, the exit's name with a case's text, and where it leads.
type Edge = (StepId, &'static str, Option<String>, Option<StepId>);

/// The numbers of one cycle, whatever versions its runs are on.
#[derive(Debug, Default)]
struct CycleFlows {
    edges: Mutex<BTreeMap<Edge, Counter>>,
    steps: RwLock<HashMap<StepId, Arc<StepCounts>>>,
    /// Loops that have not ended, by state.
    loops: [AtomicI64; OPEN.len()],
}

/// The states that are not final.
const OPEN: [LoopStatus; 3] = [LoopStatus::Queued, LoopStatus::Running, LoopStatus::Waiting];

#[derive(Debug, Default)]
struct StepCounts {
    running: AtomicI64,
    waiting: AtomicI64,
    failed: AtomicU64,
}

/// Where one version's exits are counted, by step.
#[derive(Debug)]
struct PlanFlows {
    exits: Vec<Vec<ExitCounts>>,
}

#[derive(Debug)]
struct ExitCounts {
    exit: Exit,
    /// One for each branch of a fork.
    edges: Vec<Counter>,
    metric: IntCounter,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CycleFlows {
    fn edge(&self, edge: Edge) -> Counter {
        Arc::clone(lock(&self.edges).entry(edge).or_default())
    }

    fn step(&self, step: &StepId) -> Arc<StepCounts> {
        let known = self.steps.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = known.get(step) {
            return Arc::clone(counts);
        }
        drop(known);
        let mut known = self.steps.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(step.clone()).or_default())
    }

    fn stand(&self, at: &Standing, by: i64) {
        let counts = self.step(&at.step);
        let count = if at.waits {
            &counts.waiting
        } else {
            &counts.running
        };
        count.fetch_add(by, Ordering::Relaxed);
    }
}

impl Flows {
    /// Counts what a commit has moved; `order` is its place among all commits, `plan_of` finds a plan by its hash.
    pub(crate) fn committed(
        &self,
        order: u64,
        moves: &[Move],
        metrics: &Metrics,
        plan_of: impl Fn(&str) -> Option<Arc<Plan>>,
    ) {
        for moved in moves {
            let cycle = self.of_cycle(&moved.cycle);
            if moved.accepted {
                metrics.of_cycle(&moved.cycle).lap();
            }
            if !moved.exits.is_empty()
                && let Some(flows) = self.of_plan(&moved.plan, &cycle, metrics, &plan_of)
            {
                for (step, exit) in &moved.exits {
                    flows.took(*step, *exit);
                }
            }
            if let Some(how) = moved.ended {
                let code = moved.failed.as_ref().map(|(_, code)| code);
                metrics.of_cycle(&moved.cycle).ended(metrics, how, code);
            }
            if let Some((step, _)) = &moved.failed {
                let failed = &cycle.step(step).failed;
                failed.fetch_add(1, Ordering::Relaxed);
            }
            if moved.was == moved.is {
                continue;
            }
            for (at, by) in [(&moved.was, -1), (&moved.is, 1)] {
                if let Some(at) = at {
                    self.stand(order, by, || Stands::Run(moved.cycle.clone(), at.clone()));
                }
            }
        }
    }

    /// Counts what has become of the loops of a commit.
    pub(crate) fn loops_moved(&self, order: u64, moves: &[LoopMove]) {
        for (cycle, was, is) in moves {
            if *was == Some(*is) {
                continue;
            }
            for (status, by) in [(*was, -1), (Some(*is), 1)] {
                if let Some(status) = status.filter(|status| !status.is_final()) {
                    self.stand(order, by, || Stands::Loop(cycle.clone(), status));
                }
            }
        }
    }

    /// Counts notices of failed runs that are new, less those that are gone.
    pub(crate) fn notices_moved(&self, order: u64, by: i64) {
        if by != 0 {
            self.stand(order, by, || Stands::Notice);
        }
    }

    /// How many notices of failed runs there are.
    pub(crate) fn notices(&self) -> u64 {
        number(&self.notices)
    }

    /// How many loops of a cycle are in each state that is not final.
    pub(crate) fn loops(&self, cycle: &CycleId) -> [(LoopStatus, u64); OPEN.len()] {
        let cycle = self.of_cycle(cycle);
        std::array::from_fn(|at| (OPEN[at], number(&cycle.loops[at])))
    }

    fn stand(&self, order: u64, by: i64, what: impl FnOnce() -> Stands) {
        let mut counted = self.counted.load(Ordering::Acquire);
        if counted == NOT_COUNTED {
            let mut early = lock(&self.early);
            counted = self.counted.load(Ordering::Acquire);
            if counted == NOT_COUNTED {
                early.push((order, what(), by));
                return;
            }
        }
        // The store's count has seen it otherwise.
        if order > counted {
            self.add(&what(), by);
        }
    }

    fn add(&self, what: &Stands, by: i64) {
        match what {
            Stands::Run(cycle, at) => self.of_cycle(cycle).stand(at, by),
            Stands::Loop(cycle, status) => {
                let cycle = self.of_cycle(cycle);
                if let Some(at) = OPEN.iter().position(|open| open == status) {
                    cycle.loops[at].fetch_add(by, Ordering::Relaxed);
                }
            }
            Stands::Notice => {
                self.notices.fetch_add(by, Ordering::Relaxed);
            }
        }
    }

    /// Takes over what the store has counted.
    pub(crate) fn counted(&self, stored: Stored) {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (cycle, step, status, runs) in stored.runs {
            let waits = status == RunStatus::Waiting;
            self.add(&Stands::Run(cycle, Standing { step, waits }), signed(runs));
        }
        for (cycle, status, loops) in stored.loops {
            self.add(&Stands::Loop(cycle, status), signed(loops));
        }
        self.add(&Stands::Notice, signed(stored.notices));
        let mut early = lock(&self.early);
        self.counted.store(stored.order, Ordering::Release);
        for (order, what, by) in std::mem::take(&mut *early) {
            if order > stored.order {
                self.add(&what, by);
            }
        }
    }

    fn of_cycle(&self, cycle: &CycleId) -> Arc<CycleFlows> {
        let known = self.cycles.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(flows) = known.get(cycle) {
            return Arc::clone(flows);
        }
        drop(known);
        let mut known = self.cycles.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(cycle.clone()).or_default())
    }

    /// Where a version is counted: a cycle's edges keep their numbers when it gets a new one.
    fn of_plan(
        &self,
        hash: &str,
        cycle: &CycleFlows,
        metrics: &Metrics,
        plan_of: impl Fn(&str) -> Option<Arc<Plan>>,
    ) -> Option<Arc<PlanFlows>> {
        let known = self.plans.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(flows) = known.get(hash) {
            return Some(Arc::clone(flows));
        }
        drop(known);
        let plan = plan_of(hash)?;
        let steps = plan.steps.iter();
        let flows = Arc::new(PlanFlows {
            exits: steps
                .map(|step| counters(&plan, step, cycle, metrics))
                .collect(),
        });
        let mut known = self.plans.write().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(known.entry(hash.to_owned()).or_insert(flows)))
    }

    /// What a cycle's runs have done and where they are, by its present version.
    pub(crate) fn view(&self, plan: &Plan) -> FlowView {
        let cycle = self.of_cycle(&plan.cycle);
        let mut edges = Vec::new();
        for step in &plan.steps {
            for exit in exits_of(step) {
                for (from, name, case, to) in edges_of(plan, step, exit) {
                    let edge = (from.clone(), name, case.clone(), to.clone());
                    edges.push(EdgeFlow {
                        step: from,
                        exit: name,
                        case,
                        to,
                        runs: cycle.edge(edge).load(Ordering::Relaxed),
                    });
                }
            }
        }
        let steps = plan.steps.iter().map(|step| {
            let counts = cycle.step(&step.id);
            // A run's moves may be counted in another order than they were committed in.
            let number =
                |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
            StepFlow {
                step: step.id.clone(),
                running: number(&counts.running),
                waiting: number(&counts.waiting),
                failed: counts.failed.load(Ordering::Relaxed),
            }
        });
        FlowView {
            edges,
            steps: steps.collect(),
            counted: self.counted.load(Ordering::Acquire) != NOT_COUNTED,
        }
    }
}

/// Moves may be counted in another order than they were committed in: for a moment there may be less than none.
fn number(count: &AtomicI64) -> u64 {
    u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0)
}

impl PlanFlows {
    fn took(&self, step: StepIx, exit: Exit) {
        let exits = self.exits.get(usize::from(step.0)).into_iter().flatten();
        for counts in exits.filter(|counts| counts.exit == exit) {
            counts.metric.inc();
            for edge in &counts.edges {
                edge.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn counters(plan: &Plan, step: &Step, cycle: &CycleFlows, metrics: &Metrics) -> Vec<ExitCounts> {
    let counts = |exit: Exit| {
        let edges = edges_of(plan, step, exit).into_iter();
        ExitCounts {
            exit,
            edges: edges.map(|edge| cycle.edge(edge)).collect(),
            metric: metrics.exit(plan.cycle.as_str(), step.id.as_str(), exit.as_str()),
        }
    };
    exits_of(step).into_iter().map(counts).collect()
}

/// The exits that a step has.
fn exits_of(step: &Step) -> Vec<Exit> {
    let mut exits = match &step.kind {
        StepKind::Stop { .. } => vec![Exit::End],
        StepKind::Switch(switch) => {
            let cases = 0..u16::try_from(switch.cases.len()).unwrap_or(u16::MAX);
            cases.map(Exit::Case).chain([Exit::Else]).collect()
        }
        StepKind::Decision(_) => vec![Exit::Then, Exit::Else],
        _ if step.otherwise.is_some() || step.has_two_exits() => vec![Exit::Then, Exit::Else],
        _ => vec![Exit::Then],
    };
    exits.extend(step.catch.map(|_| Exit::Catch));
    exits
}

/// The edges that an exit is in the graph: one for each branch of a fork, and one to the end of the run where it
/// names no step.
fn edges_of(plan: &Plan, step: &Step, exit: Exit) -> Vec<Edge> {
    let forks = &step.forks;
    let none = Vec::new();
    let (to, beside, case) = match exit {
        Exit::Then => (step.then, &forks.then, None),
        Exit::Else => (step.otherwise, &forks.otherwise, None),
        Exit::Catch => (step.catch, &forks.catch, None),
        Exit::Case(at) => match &step.kind {
            StepKind::Switch(switch) => match switch.cases.get(usize::from(at)) {
                Some((case, to)) => (Some(*to), &none, Some(case.clone())),
                None => (None, &none, None),
            },
            _ => (None, &none, None),
        },
        Exit::Split | Exit::End => (None, &none, None),
    };
    let name = |ix: StepIx| plan.step(ix).id.clone();
    let targets = [to.map(name)].into_iter();
    targets
        .chain(beside.iter().map(|ix| Some(name(*ix))))
        .map(|to| (step.id.clone(), exit.as_str(), case.clone(), to))
        .collect()
}
