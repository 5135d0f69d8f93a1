//! How many runs have left each step by each exit, and how many are at each step: in memory, from what was
//! committed.
//!
//! A transition says which exits its run took and where it stood before; `unit.rs` gathers that with the commit,
//! and [`Flows::committed`] counts it once the commit has happened, so that nothing is counted that a crash could
//! undo. Exits are counted since the server started. What stands at each step is counted once in the store,
//! beside commits: those that come meanwhile are kept and added if the count did not see them.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use velodrome_core::{Exit, Finish, Run, Standing, State};
use velodrome_spec::Plan;
use velodrome_spec::plan::{Step, StepIx, StepKind};
use velodrome_store::Standing as Stored;
use velodrome_types::{CycleId, RunStatus, StepId};

use crate::api::{EdgeFlow, FlowView, StepFlow};

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
    /// Where it failed, if this move ended it so.
    failed: Option<StepId>,
}

impl Move {
    /// What a move has made of a run.
    pub(crate) fn of(run: &Run, was: Option<Standing>, exits: Vec<(StepIx, Exit)>) -> Self {
        let failed = match &run.state {
            State::Finished {
                how: Finish::Failed(failure),
            } => Some(failure.step.clone()),
            _ => None,
        };
        Self {
            cycle: run.cycle.clone(),
            plan: run.plan.clone(),
            exits,
            was,
            is: run.standing(),
            failed,
        }
    }
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
    /// Moves that were committed before that is known, each with its commit.
    early: Mutex<Vec<(u64, CycleId, Standing, i64)>>,
}

impl Default for Flows {
    fn default() -> Self {
        Self {
            cycles: RwLock::default(),
            plans: RwLock::default(),
            counted: AtomicU64::new(NOT_COUNTED),
            early: Mutex::default(),
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
}

#[derive(Debug, Default)]
struct StepCounts {
    running: AtomicI64,
    waiting: AtomicI64,
    failed: AtomicU64,
}

/// Where one version's exits are counted, by step; a fork's exit counts one for each of its branches.
#[derive(Debug)]
struct PlanFlows {
    exits: Vec<Vec<(Exit, Vec<Counter>)>>,
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
        plan_of: impl Fn(&str) -> Option<Arc<Plan>>,
    ) {
        for moved in moves {
            let cycle = self.of_cycle(&moved.cycle);
            if !moved.exits.is_empty()
                && let Some(flows) = self.of_plan(&moved.plan, &cycle, &plan_of)
            {
                for (step, exit) in &moved.exits {
                    flows.took(*step, *exit);
                }
            }
            if let Some(step) = &moved.failed {
                let failed = &cycle.step(step).failed;
                failed.fetch_add(1, Ordering::Relaxed);
            }
            if moved.was == moved.is {
                continue;
            }
            for (at, by) in [(&moved.was, -1), (&moved.is, 1)] {
                if let Some(at) = at {
                    self.stand(order, &moved.cycle, &cycle, at, by);
                }
            }
        }
    }

    fn stand(&self, order: u64, id: &CycleId, cycle: &CycleFlows, at: &Standing, by: i64) {
        let mut counted = self.counted.load(Ordering::Acquire);
        if counted == NOT_COUNTED {
            let mut early = lock(&self.early);
            counted = self.counted.load(Ordering::Acquire);
            if counted == NOT_COUNTED {
                early.push((order, id.clone(), at.clone(), by));
                return;
            }
        }
        // The store's count has seen it otherwise.
        if order > counted {
            cycle.stand(at, by);
        }
    }

    /// Takes over what the store has counted.
    pub(crate) fn counted(&self, stored: Stored) {
        for (cycle, step, status, runs) in stored.runs {
            let waits = status == RunStatus::Waiting;
            let at = Standing { step, waits };
            self.of_cycle(&cycle)
                .stand(&at, i64::try_from(runs).unwrap_or(i64::MAX));
        }
        let mut early = lock(&self.early);
        self.counted.store(stored.order, Ordering::Release);
        for (order, cycle, at, by) in std::mem::take(&mut *early) {
            if order > stored.order {
                self.of_cycle(&cycle).stand(&at, by);
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
            exits: steps.map(|step| counters(&plan, step, cycle)).collect(),
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

impl PlanFlows {
    fn took(&self, step: StepIx, exit: Exit) {
        let exits = self.exits.get(usize::from(step.0)).into_iter().flatten();
        for (_, counters) in exits.filter(|(known, _)| *known == exit) {
            for counter in counters {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

fn counters(plan: &Plan, step: &Step, cycle: &CycleFlows) -> Vec<(Exit, Vec<Counter>)> {
    let counter = |exit| {
        let edges = edges_of(plan, step, exit).into_iter();
        (exit, edges.map(|edge| cycle.edge(edge)).collect())
    };
    exits_of(step).into_iter().map(counter).collect()
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
