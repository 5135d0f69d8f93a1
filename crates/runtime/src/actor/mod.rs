//! The task that drives one loop.
//!
//! ```text
//!   inbox ──┐                       ┌─▶ commit ─▶ perform (many at once)
//!           ├─▶ advance ─▶ Making ──┤                 │
//!   reports ┘        ▲              └─▶ hand-off ─────┘
//!      ▲             └──── next lap, in the same commit
//!      └─────────────────────────────── Report
//! ```
//!
//! All moves of a loop's runs happen here, one after another, so that a loop's laps never race. It
//! leaves memory when everything it has waits for a timer or has ended.

mod call;
mod commit;
mod family;
mod handoff;
mod inside;
mod lap;
mod load;
mod stop;

pub(crate) use handoff::refused;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt};
use tokio::sync::{mpsc, oneshot};
use velodrome_core::{
    Action, Facts, Input, ItemReport, Loop, RecordKey, Run, State, StepFailure, advance,
};
use velodrome_spec::Plan;
use velodrome_spec::plan::{Handoff, StepKind};
use velodrome_types::{CycleState, Event, LoopId, LoopStatus, RunId, StepId, Timestamp};

use crate::command::{self, By};
use crate::handlers::Purpose;
use crate::perform::{Item, Job, Report, drops_repeats};
use crate::registry::ToLoop;
use crate::seen::{Seen, SeenKeys};
use crate::shared::Shared;
use crate::unit::{Grown, Making};

/// A run of the loop that has not ended.
#[derive(Debug)]
struct Active {
    run: Run,
    plan: Arc<Plan>,
    /// The fence of the row that is stored.
    committed: u64,
}

/// How often a loop that a stopped cycle holds looks whether it may go on.
const HELD_LOOK: Duration = Duration::from_secs(1);

/// An action of a run that is under way; dropped, it is broken off.
struct Performing {
    run: RunId,
    job: Pin<Box<dyn Future<Output = Report> + Send>>,
}

impl Future for Performing {
    type Output = Report;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Report> {
        self.job.as_mut().poll(context)
    }
}

/// A loop in memory.
pub(crate) struct Actor {
    shared: Arc<Shared>,
    id: LoopId,
    looped: Loop,
    /// The state that is stored of the loop.
    stored: LoopStatus,
    runs: BTreeMap<RunId, Active>,
    performing: FuturesUnordered<Performing>,
    /// Actions that stay inside and begin a commit of their own.
    inside: VecDeque<(RunId, Action)>,
    /// Runs that others have begun and that have not taken their first step.
    begun: VecDeque<RunId>,
    /// Children that took their first step since old laps were last forgotten for them.
    children_begun: usize,
    /// The time of the move under way: all that one commit tells happened at one moment.
    now: Timestamp,
    /// The item of a `for_each` that the move under way is about, and its attempt.
    item: Option<(u64, u32)>,
    /// The records its lists have seen, once one of them drops repeats.
    seen: Option<Seen>,
    /// What the move under way remembers, with the loop's bound: taken in once it is committed.
    remembering: Option<(StepId, Vec<RecordKey>, u64)>,
    /// Set while the loop is to end once what is under way has been committed.
    stopping: Vec<oneshot::Sender<()>>,
    /// On whose word it is moved right now: the log tells it.
    by: Option<By>,
}

/// What a loop's task waits for.
enum Happened {
    Told(ToLoop),
    Reported(Box<Report>),
}

/// Why a loop's task ends before its loop does.
#[derive(Debug)]
pub(crate) enum Left {
    /// The store told that the outcome of a commit is unknown, or is closed.
    StoreGone,
    /// The stored loop is not what the task knows.
    Conflict,
}

impl Actor {
    /// A loop that has just been accepted, with what it is to do.
    pub(crate) fn accepted(
        shared: Arc<Shared>,
        looped: Loop,
        run: Run,
        plan: Arc<Plan>,
        action: Option<Action>,
    ) -> Self {
        let mut actor = Self::empty(shared, looped);
        actor.keep(run, plan, action);
        actor
    }

    /// The same with runs that the first one began at once.
    pub(crate) fn with_grown(mut self, grown: Vec<Grown>, plan: &Arc<Plan>) -> Self {
        for Grown { run, action } in grown {
            self.keep(run, Arc::clone(plan), action);
        }
        self
    }

    /// A loop that has ended, with the run that is to be taken up again.
    pub(crate) fn with_run(shared: Arc<Shared>, looped: Loop, run: Run, plan: Arc<Plan>) -> Self {
        let mut actor = Self::empty(shared, looped);
        actor.take_back(run, plan);
        actor
    }

    /// Takes a failed run up again: committed when this ends.
    pub(crate) async fn resume(
        &mut self,
        id: RunId,
        placed: bool,
        by: Option<By>,
    ) -> Result<(), ()> {
        self.by = by;
        self.now = self.shared.clock.now();
        // Open from here on: should it fail again at once, its place is given back.
        self.looped.placed = placed;
        self.looped.status = LoopStatus::Running;
        self.move_on(id, Input::Resume { placed }, Making::default())
            .await
            .map_err(|left| tracing::error!(loop_id = %self.id, ?left, "a run was not resumed"))?;
        self.by = None;
        self.forget_ended();
        Ok(())
    }

    /// Takes a run up again that has been taken in beside those that are on their way.
    pub(crate) async fn resume_here(&mut self, id: RunId, by: Option<By>) -> Result<(), Left> {
        let placed = self.looped.placed;
        self.by = by;
        self.move_on(id, Input::Resume { placed }, Making::default())
            .await?;
        self.by = None;
        self.forget_ended();
        Ok(())
    }

    /// Parents that were not waiting for a run have been looked at, and that is all.
    pub(crate) fn forget_ended(&mut self) {
        self.runs
            .retain(|_, active| !matches!(active.run.state, State::Finished { .. }));
    }

    /// Takes in a run that is to be taken up again.
    pub(crate) fn take_back(&mut self, run: Run, plan: Arc<Plan>) {
        let committed = run.fence;
        let active = Active {
            run,
            plan,
            committed,
        };
        self.runs.insert(active.run.id, active);
    }

    /// Whether a run of it has not ended.
    pub(crate) fn knows(&self, id: RunId) -> bool {
        self.runs.contains_key(&id)
    }

    /// Whether it has ended, or is about to.
    pub(crate) fn is_ending(&self) -> bool {
        self.looped.status.is_final() || !self.stopping.is_empty()
    }

    /// What all loops share.
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn empty(shared: Arc<Shared>, looped: Loop) -> Self {
        Self {
            now: shared.clock.now(),
            shared,
            id: looped.id,
            stored: looped.status,
            looped,
            runs: BTreeMap::new(),
            performing: FuturesUnordered::new(),
            inside: VecDeque::new(),
            begun: VecDeque::new(),
            children_begun: 0,
            item: None,
            seen: None,
            remembering: None,
            stopping: Vec::new(),
            by: None,
        }
    }

    /// Keeps a committed run and begins what it asked for.
    fn keep(&mut self, run: Run, plan: Arc<Plan>, action: Option<Action>) {
        let id = run.id;
        if matches!(run.state, State::Finished { .. }) {
            self.runs.remove(&id);
            return;
        }
        if matches!(run.state, State::Begun { .. }) {
            self.begun.push_back(id);
        }
        let committed = run.fence;
        self.runs.insert(
            id,
            Active {
                run,
                plan,
                committed,
            },
        );
        if let Some(action) = action {
            self.begin(id, action);
        }
    }

    fn begin(&mut self, id: RunId, action: Action) {
        let Some(active) = self.runs.get(&id) else {
            return;
        };
        if self.shared.draining.is_cancelled() || !self.stopping.is_empty() {
            // The action stands in the committed state: the next start issues it again, or the stop that
            // is under way ends the run.
            return;
        }
        if self.is_inside(&active.plan, &action) {
            let one_by_one = one_by_one(action);
            self.inside.extend(one_by_one.map(|action| (id, action)));
            return;
        }
        let (step, fence, calls) = match action {
            Action::List { step, fence, .. } => (step, fence, vec![(None, None)]),
            Action::Send {
                step, fence, built, ..
            } => (step, fence, vec![(built, None)]),
            Action::Compute { step, fence, .. } | Action::Evaluate { step, fence } => {
                (step, fence, vec![(None, None)])
            }
            Action::Items { step, fence, items } => {
                let calls = items.into_iter().map(|call| {
                    let item = Item::of(&self.shared, &active.plan, &active.run, &step, &call);
                    (call.built, item)
                });
                let calls = calls.collect();
                (step, fence, calls)
            }
        };
        let Some(ix) = active.plan.find(step.as_str()) else {
            return;
        };
        let seen = match &active.plan.step(ix).kind {
            StepKind::List(list) if drops_repeats(&active.plan, active.plan.step(ix), list) => {
                let seen = match self.seen.take() {
                    Some(seen) => Ok(seen),
                    None => Seen::load(&*self.shared.store, self.id),
                };
                seen.map(|seen| self.seen.insert(seen).of(&step))
                    .map_err(|error| error.to_string())
            }
            _ => Ok(SeenKeys::default()),
        };
        for (built, item) in calls {
            let job = Job {
                shared: Arc::clone(&self.shared),
                plan: Arc::clone(&active.plan),
                run: active.run.clone(),
                list: self.looped.lists.get(&step).cloned().unwrap_or_default(),
                seen: seen.clone(),
                step: ix,
                fence,
                built,
                item,
                inline: velodrome_core::InlineValues::new(),
                purpose: Purpose::Run,
            };
            let job = Box::pin(job.perform());
            self.performing.push(Performing { run: id, job });
        }
    }

    /// Starts the loop's task.
    pub(crate) fn start(self, inbox: mpsc::Receiver<ToLoop>) {
        let tasks = self.shared.tasks.clone();
        let task: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(self.run(inbox));
        tasks.drive(task);
    }

    /// Drives the loop until it has nothing under way.
    pub(crate) async fn run(mut self, mut inbox: mpsc::Receiver<ToLoop>) {
        let shared = Arc::clone(&self.shared);
        let left = self.drive(&mut inbox).await;
        if let Err(left) = left {
            tracing::error!(loop_id = %self.id, ?left, "the loop's task ends early");
            shared.registry.remove(self.id);
        }
    }

    async fn drive(&mut self, inbox: &mut mpsc::Receiver<ToLoop>) -> Result<(), Left> {
        loop {
            // Messages come first: a loop that only hands off to itself must hear that it is to stop.
            while let Ok(message) = inbox.try_recv() {
                self.now = self.shared.clock.now();
                self.told(message).await?;
            }
            if !self.stopping.is_empty() && self.performing.is_empty() {
                self.inside.clear();
                self.stop_all().await?;
            }
            // A cycle that is stopped begins no further step: the word that ends the loop is on its way.
            let held = self.shared.cycles.state(&self.looped.cycle) == CycleState::Stopped;
            if !held && let Some((id, action)) = self.inside.pop_front() {
                self.now = self.shared.clock.now();
                self.inside_alone(id, action).await?;
                // A loop that only hands off to itself must not keep its other steps from their turn, nor
                // a store that answers at once the other loops.
                if let Some(Some(report)) = self.performing.next().now_or_never() {
                    self.reported(report).await?;
                }
                tokio::task::yield_now().await;
                continue;
            }
            let begins = !self.begun.is_empty() && !self.shared.draining.is_cancelled();
            if begins && !held && self.stopping.is_empty() && self.has_room_for_children() {
                self.now = self.shared.clock.now();
                self.begin_children().await?;
                tokio::task::yield_now().await;
                continue;
            }
            if self.performing.is_empty()
                && self.inside.is_empty()
                && !begins
                && self.shared.registry.leave(self.id, inbox)
            {
                while let Some(message) = inbox.recv().await {
                    self.shared.tell_soon(self.id, message);
                }
                return Ok(());
            }
            let look = self.shared.clock.now().plus(HELD_LOOK);
            let happened = tokio::select! {
                biased;
                Some(message) = inbox.recv() => Happened::Told(message),
                Some(report) = self.performing.next(), if !self.performing.is_empty() => {
                    Happened::Reported(Box::new(report))
                }
                () = self.shared.clock.sleep_until(look), if held => continue,
            };
            self.now = self.shared.clock.now();
            match happened {
                Happened::Told(message) => self.told(message).await?,
                Happened::Reported(report) => self.reported(*report).await?,
            }
        }
    }

    async fn told(&mut self, message: ToLoop) -> Result<(), Left> {
        match message {
            ToLoop::Begin(beginning) => {
                let begun = self.begin_first_lap(beginning).await;
                // Its handler may have taken its time, and a stop has not seen a loop that was queued.
                if !self.looped.status.is_final() {
                    self.shared.stop_if_stopped(&self.looped.cycle, self.id);
                }
                begun
            }
            ToLoop::Due(run) => {
                let now = self.now;
                let due = self
                    .runs
                    .get(&run)
                    .filter(|active| active.run.due().is_some_and(|due| due <= now));
                if let Some(due) = due.and_then(|active| active.run.due()) {
                    let late = now.since(due).as_secs_f64();
                    self.shared.metrics.timer_lateness.observe(late);
                }
                match due.map(|active| active.run.fence) {
                    Some(fence)
                        if !self.shared.draining.is_cancelled() && self.stopping.is_empty() =>
                    {
                        self.move_on(run, Input::Due { fence }, Making::default())
                            .await
                    }
                    _ => Ok(()),
                }
            }
            ToLoop::AllHere(run) => self.move_on(run, Input::AllHere, Making::default()).await,
            ToLoop::AllPassed(run) => self.move_on(run, Input::AllPassed, Making::default()).await,
            // Loading has issued again what was under way.
            ToLoop::Recover => Ok(()),
            ToLoop::Stop { gently, by, done } => {
                self.stopping.push(done);
                self.by = by.or(self.by.take());
                if !gently {
                    self.performing.clear();
                    self.inside.clear();
                }
                Ok(())
            }
            ToLoop::StopRun { run, by, done } => Box::pin(self.stop_run(run, by, done)).await,
            ToLoop::Call(request) => Box::pin(self.called(*request)).await,
            ToLoop::Lap(request) => self.lap_by_request(*request).await,
            ToLoop::Retry(request) => self.retry(*request).await,
        }
    }

    async fn reported(&mut self, report: Report) -> Result<(), Left> {
        let Some(active) = self.runs.get(&report.run) else {
            return Ok(());
        };
        if self.is_lap_of_stopped(active, &report) {
            // The lap came just when its cycle was stopped. The word that ends the run, stopped like all the
            // others, is on its way; the refusal is no error of its own.
            return Ok(());
        }
        let mut making = Making::with_overlay(report.overlay);
        let now = self.now;
        making.foreign_reads(&active.plan, &active.run, &report.step, report.foreign, now);
        self.move_on(report.run, report.input, making).await
    }

    /// Whether it says that the own cycle, which is stopped, takes no further lap by request.
    fn is_lap_of_stopped(&self, active: &Active, report: &Report) -> bool {
        let refused = |failure: &StepFailure| failure.code.as_str() == "cycle.stopped";
        let refused = match &report.input {
            Input::Failed { failure, .. } => refused(failure),
            Input::Item {
                report: ItemReport::Failed(failure),
                ..
            } => refused(failure),
            _ => false,
        };
        let own = active.plan.find(report.step.as_str()).is_some_and(|ix| {
            let StepKind::Send(send) = &active.plan.step(ix).kind else {
                return false;
            };
            send.handoff == Handoff::Http
                && send
                    .target
                    .as_ref()
                    .is_some_and(|to| to.cycle == active.plan.cycle)
        });
        refused && own && self.shared.cycles.state(&active.plan.cycle) == CycleState::Stopped
    }

    /// Moves a run, follows it through what stays inside, and commits.
    async fn move_on(&mut self, id: RunId, input: Input, mut making: Making) -> Result<(), Left> {
        let Some(active) = self.runs.get(&id) else {
            return Ok(());
        };
        let (plan, before) = (
            Arc::clone(&active.plan),
            (active.run.clone(), self.looped.clone()),
        );
        making.expect_fence(id, active.committed);
        self.item = match &input {
            Input::Item { index, attempt, .. } => Some((*index, *attempt)),
            _ => None,
        };
        let Some(mut transition) =
            self.advance(&plan, active.run.clone(), self.looped.clone(), input)
        else {
            return Ok(());
        };
        if let Some(by) = &self.by {
            command::sign(&mut transition.lines, by);
        }
        let limit = plan.limits.remember;
        self.remembering = transition.keys.take().map(|(step, keys)| {
            let seen = self.seen.get_or_insert_default();
            making.write_parts(seen.writes(self.id, &step, &keys, limit));
            (step, keys, limit)
        });
        // An attempt that is made again has not happened: nothing of it may be seen by the next (I6).
        let again = |line: &velodrome_types::LogLine| line.event == Event::RetryScheduled;
        if transition.lines.iter().any(again) {
            making.take_overlay();
        }
        let (run, looped, action) = making.moved(transition);
        if let Some(step) = before.0.step() {
            making.tell_storage(&plan, step);
        }
        self.follow(plan, run, looped, action, making, before).await
    }

    fn advance(
        &self,
        plan: &Plan,
        run: Run,
        looped: Loop,
        input: Input,
    ) -> Option<velodrome_core::Transition> {
        let watermarks = self.shared.watermarks(&plan.cycle);
        let facts = Facts {
            now: self.now,
            jitter: self.shared.random.fraction(),
            cycle: self.shared.cycles.state(&plan.cycle),
            watermarks: &watermarks,
            statics: &*self.shared,
            ids: &self.shared.random,
        };
        let input = self.shared.vault.told(input);
        advance(plan, run, looped, input, &facts)
    }

    /// What follows once the loop has ended: its place is free.
    fn loop_over(&self, was_placed: bool) {
        if self.looped.status.is_final() {
            self.shared.loop_ended(&self.looped.cycle, was_placed);
        }
    }
}

/// Items each as an action of its own: each hand-off is a commit of its own.
fn one_by_one(action: Action) -> impl Iterator<Item = Action> {
    let actions: Vec<Action> = match action {
        Action::Items { step, fence, items } => items
            .into_iter()
            .map(|call| Action::Items {
                step: step.clone(),
                fence,
                items: vec![call],
            })
            .collect(),
        other => vec![other],
    };
    actions.into_iter()
}
