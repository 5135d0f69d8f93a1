//! What every part of the engine reaches.

use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use velodrome_connect::Connect;
use velodrome_core::{Admission, Places, State, may_hop, payload};
use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, HookTarget};
use velodrome_store::{CommitError, Committed, Store, StoreError, Unit};
use velodrome_types::{CycleId, CycleState, LogLine, LoopId, LoopStatus, RunId, StepId, Timestamp};

use crate::access::Access;
use crate::actor::Actor;
use crate::api::Problem;
use crate::clock::Clock;
use crate::connections::Connections;
use crate::cycles::Cycles;
use crate::flows::Flows;
use crate::gather::{self, Gatherers};
use crate::handlers::Handlers;
use crate::handoff::SignedOrigin;
use crate::metrics::{Metrics, Stored};
use crate::outbox::Outbox;
use crate::plans::Plans;
use crate::random::Random;
use crate::records::run_of;
use crate::refusals::Refusals;
use crate::registry::{Beginning, BeginningEnd, Registry, ToLoop};
use crate::replies::Replies;
use crate::resume_link::LinkKey;
use crate::retention::RetentionRules;
use crate::schedules::Schedules;
use crate::simulated::Witness;
use crate::tasks::{Task, Tasks};
use crate::timers::Timers;
use crate::tokens::SealedTokens;
use crate::traces::TraceRules;
use crate::unit::Making;
use crate::vault::Vault;

/// How long is waited before something that could not be read is looked at again.
pub(crate) const UNREADABLE_PAUSE: Duration = Duration::from_secs(1);

/// The engine's insides.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) handlers: Handlers,
    pub(crate) connect: Connect,
    pub(crate) connections: Connections,
    /// Tokens and clients as they are stored; `None` in a simulation, which has none.
    pub(crate) tokens: Option<Arc<SealedTokens>>,
    pub(crate) plans: Plans,
    pub(crate) cycles: Cycles,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// Notes what is committed, in a simulation.
    pub(crate) witness: Option<Arc<Witness>>,
    pub(crate) service_url: String,
    pub(crate) registry: Registry,
    pub(crate) timers: Timers,
    pub(crate) tasks: Tasks,
    pub(crate) outbox: Outbox,
    pub(crate) schedules: Schedules,
    /// Where failures are told of cycles that say nothing.
    pub(crate) error_webhook: RwLock<Option<Arc<Expr>>>,
    /// How long what has ended is kept.
    pub(crate) retention: RetentionRules,
    /// What is done about distributed traces.
    pub(crate) traces: Option<TraceRules>,
    /// Nothing new is taken and no action is begun.
    pub(crate) draining: CancellationToken,
    /// The newest committed log line's `seq`.
    pub(crate) log_seq: watch::Sender<u64>,
    /// Set once a commit's outcome is unknown: the process must exit (I8).
    pub(crate) fatal: watch::Sender<Option<String>>,
    pub(crate) handoff_key: [u8; 32],
    /// Signs the links of runs that wait for a request.
    pub(crate) link_key: LinkKey,
    /// Tokens for the API, and sessions that were ended.
    pub(crate) access: Access,
    /// Callers who wait for a `respond`.
    pub(crate) replies: Replies,
    /// What runs have done and where they are, in numbers.
    pub(crate) flows: Flows,
    /// What operators see of it.
    pub(crate) metrics: Metrics,
    /// Cycles of which a run waits for all.
    pub(crate) gatherers: Gatherers,
    /// Refused requests that have not been logged, and when one was last.
    pub(crate) refusals: Refusals,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("service_url", &self.service_url)
            .field("loops", &self.registry.len())
            .finish_non_exhaustive()
    }
}

impl velodrome_core::Statics for Shared {
    fn hook_url(&self, target: &HookTarget) -> String {
        self.hook_url_for(target)
    }

    fn resume_url(&self, cycle: &CycleId, step: &StepId, run: RunId) -> String {
        let token = self.link_key.token(cycle, step, run);
        format!("{}/hooks/{cycle}/{step}/{token}", self.service_url)
    }

    fn env(&self, name: &str) -> Option<String> {
        self.plans.env(name)
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.vault.secret(name)
    }

    fn hook_at(&self, url: &str) -> Option<HookTarget> {
        let rest = url.strip_prefix(&self.service_url)?;
        let mut parts = rest.strip_prefix("/hooks/")?.split('/');
        let named = |part: &&str| velodrome_types::check_name(part).is_ok();
        let cycle = parts.next().filter(named)?;
        let step = match parts.next() {
            None => None,
            Some(step) => Some(StepId::from(Some(step).filter(named)?)),
        };
        let target = HookTarget {
            cycle: CycleId::from(cycle),
            step,
        };
        parts.next().is_none().then_some(target)
    }

    fn error_webhook(&self) -> Option<Arc<Expr>> {
        let said = self.error_webhook.read();
        said.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Stored watermarks of one cycle.
#[derive(Debug)]
pub(crate) struct StoredWatermarks<'a> {
    store: &'a dyn Store,
    cycle: &'a CycleId,
}

impl velodrome_core::Watermarks for StoredWatermarks<'_> {
    fn get(&self, step: &StepId) -> Result<Option<Timestamp>, String> {
        self.store
            .watermark(self.cycle, step)
            .map_err(|error| error.to_string())
    }
}

impl Shared {
    pub(crate) fn hook_url_of(&self, cycle: &CycleId) -> String {
        format!("{}/hooks/{cycle}", self.service_url)
    }

    pub(crate) fn hook_url_for(&self, target: &HookTarget) -> String {
        match &target.step {
            Some(step) => format!("{}/hooks/{}/{step}", self.service_url, target.cycle),
            None => self.hook_url_of(&target.cycle),
        }
    }

    /// Tells elsewhere, from now on, of cycles that say nothing.
    pub(crate) fn set_error_webhook(&self, error_webhook: Option<Expr>) {
        let mut said = self
            .error_webhook
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *said = error_webhook.map(Arc::new);
    }

    /// Where people look at a run.
    pub(crate) fn run_url(&self, run: RunId) -> String {
        format!("{}/runs/{run}", self.service_url)
    }

    pub(crate) fn handoff_key(&self) -> &[u8; 32] {
        &self.handoff_key
    }

    pub(crate) fn watermarks<'a>(&'a self, cycle: &'a CycleId) -> StoredWatermarks<'a> {
        StoredWatermarks {
            store: &*self.store,
            cycle,
        }
    }

    /// What a cycle is doing: the operator's word, unless its file or a connection stands against it.
    pub(crate) fn state_of(&self, cycle: &CycleId) -> CycleState {
        match self.plans.current(cycle) {
            None => CycleState::Invalid,
            Some(plan) => match self.cycles.state(cycle) {
                CycleState::Running if self.connections.missing(&plan).is_some() => {
                    CycleState::NeedsConnection
                }
                state => state,
            },
        }
    }

    /// The plan of the next lap of a loop that hands off to itself. Whether the cycle is stopped was asked
    /// before the step began: asked again here, a stop in between would fail the run.
    pub(crate) fn lap_plan(&self, own: &Arc<Plan>) -> Arc<Plan> {
        self.plans
            .current(&own.cycle)
            .unwrap_or_else(|| Arc::clone(own))
    }

    /// The plan that a new run of this cycle begins on; refused where the cycle takes none.
    ///
    /// `own` is the plan of a lap's loop: it goes on while the cycle is finishing or paused, and on the
    /// version it has where the file is gone or has had errors since the start.
    pub(crate) fn target_plan(
        &self,
        cycle: &CycleId,
        own: Option<&Arc<Plan>>,
    ) -> Result<Arc<Plan>, Problem> {
        let current = self.plans.current(cycle);
        if let (None, Some(own)) = (&current, own)
            && self.cycles.state(cycle) != CycleState::Stopped
        {
            return Ok(Arc::clone(own));
        }
        let state = match current {
            Some(plan) => {
                let state = self.state_of(cycle);
                let takes = match state {
                    CycleState::Running | CycleState::Paused => true,
                    CycleState::Finishing | CycleState::NeedsConnection => own.is_some(),
                    CycleState::Stopped | CycleState::Invalid => false,
                };
                if takes {
                    return Ok(plan);
                }
                state
            }
            None if self.plans.is_known(cycle) => CycleState::Invalid,
            None => {
                return Err(Problem::new(
                    404,
                    "webhook.unknown",
                    format!("there is no cycle `{cycle}`"),
                ));
            }
        };
        Err(crate::accept::not_taking(cycle, state))
    }

    /// Whether a hand-off that came as a request is a lap of a loop of this cycle.
    pub(crate) fn is_loop_of(&self, origin: &SignedOrigin, cycle: &CycleId) -> bool {
        matches!(self.store.loop_row(origin.loop_id), Ok(Some(row)) if row.cycle == *cycle)
    }

    /// Whether a hand-off that came as a request may begin a loop of another cycle.
    pub(crate) fn may_hop_here(&self, origin: &SignedOrigin) -> Result<(), Problem> {
        let over = || Problem::new(409, "handoff.run_over", "the run that posts is not known");
        let unreadable =
            |error: StoreError| Problem::new(503, "store.unavailable", error.to_string());
        let row = self.store.run(origin.run).map_err(unreadable)?;
        let run = run_of(&self.vault, &row.ok_or_else(over)?).map_err(unreadable)?;
        if matches!(run.state, State::Finished { .. }) {
            let what = "the run that posts has ended";
            return Err(Problem::new(409, "handoff.run_over", what));
        }
        let plan = self
            .plans
            .of_run(&*self.store, &run.plan)
            .map_err(unreadable)?;
        may_hop(&plan, &run).map_err(|failure| Problem {
            code: failure.code,
            ..Problem::new(409, "handoff.refused", failure.message)
        })
    }

    /// Commits what was gathered. With `patience`, a commit that the disk refuses is offered again
    /// after that pause until it is taken or the engine drains.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        making: Making,
        patience: Option<Duration>,
    ) -> Result<(), CommitError> {
        let mut making = making;
        let set = std::mem::take(&mut making.set);
        let moves = std::mem::take(&mut making.moves);
        let handed_off = std::mem::take(&mut making.handed_off);
        let replies = std::mem::take(&mut making.replies);
        let loop_moves = making.loop_moves();
        let tells = !making.outbox.is_empty();
        let gathers = self.gatherers.concerned(&making);
        let (unit, hashes) = making.into_unit(|plan| self.plans.row_of(plan));
        let committed = self.commit_unit(unit, patience).await?;
        self.plans.stored(&hashes);
        let order = committed.order;
        self.flows
            .committed(order, &moves, &self.metrics, |hash| self.plan_of(hash));
        self.flows.loops_moved(order, &loop_moves);
        if tells {
            self.outbox.wake();
        }
        for (due, run, loop_id) in set {
            self.timers.set(due, run, loop_id);
        }
        for (run, reply) in replies {
            self.replies.give(run, &reply.answer(self));
        }
        if let Some(witness) = &self.witness {
            witness.saw(&moves, handed_off);
        }
        for cycle in gathers {
            gather::look_soon(self, &cycle);
        }
        Ok(())
    }

    /// The plan of this hash, for what can do without.
    pub(crate) fn plan_of(&self, hash: &str) -> Option<Arc<Plan>> {
        let plan = self.plans.of_run(&*self.store, hash);
        plan.inspect_err(
            |error| tracing::warn!(%error, "a plan cannot be read: its exits are not counted"),
        )
        .ok()
    }

    /// Commits a unit that is no run's move.
    pub(crate) async fn commit_unit(
        &self,
        unit: Unit,
        patience: Option<Duration>,
    ) -> Result<Committed, CommitError> {
        let mut unit = unit;
        self.vault.guard(&mut unit);
        for line in &mut unit.lines {
            if payload::shorten(line) {
                self.vault.redactor().line(line);
            }
        }
        let tally = self.metrics.tally(&unit);
        loop {
            let again = patience.map(|_| unit.clone());
            let watch = self.clock.stopwatch();
            let result = self.store.commit(unit).await;
            let stored = match &result {
                Ok(_) => Stored::Done,
                Err(CommitError::Conflict(_)) => Stored::Conflict,
                Err(CommitError::Refused(_) | CommitError::Storage { .. }) => Stored::Refused,
                Err(CommitError::Unknown(_) | CommitError::Closed) => Stored::Unknown,
            };
            self.metrics.committed(stored, watch.elapsed());
            match result {
                Ok(committed) => {
                    self.metrics.count(&tally);
                    self.flows.notices_moved(committed.order, tally.notices);
                    self.log_seq.send_if_modified(|seq| {
                        let newer = committed.last_seq > *seq;
                        *seq = (*seq).max(committed.last_seq);
                        newer
                    });
                    return Ok(committed);
                }
                Err(CommitError::Refused(why)) => {
                    let (Some(pause), Some(same)) = (patience, again) else {
                        return Err(CommitError::Refused(why));
                    };
                    tracing::error!(why, "the disk refuses a commit; it is offered again");
                    tokio::select! {
                        () = self.clock.sleep(pause) => unit = same,
                        () = self.draining.cancelled() => return Err(CommitError::Refused(why)),
                    }
                }
                Err(CommitError::Unknown(why)) => {
                    self.fatal.send_replace(Some(why.clone()));
                    self.draining.cancel();
                    return Err(CommitError::Unknown(why));
                }
                Err(error) => {
                    if matches!(error, CommitError::Closed) && !self.draining.is_cancelled() {
                        // The store went away under somebody else's commit (I8).
                        self.fatal.send_replace(Some(error.to_string()));
                        self.draining.cancel();
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Tells a loop something, bringing it into memory if it is not there.
    pub(crate) async fn tell(self: &Arc<Self>, id: LoopId, message: ToLoop) {
        let mut message = message;
        loop {
            let (sender, inbox) = self.registry.reach(id);
            if let Some(inbox) = inbox {
                let shared = Arc::clone(self);
                self.tasks.drive(async move {
                    match Actor::load(Arc::clone(&shared), id) {
                        Ok(Some(mut actor)) => {
                            actor.recover().await;
                            actor.run(inbox).await;
                        }
                        // It has ended: whoever waits for an answer sees the inbox close.
                        Ok(None) => shared.registry.remove(id),
                        Err(error) => {
                            tracing::error!(loop_id = %id, %error, "a stored loop cannot be read");
                            shared.give_back(id, inbox).await;
                        }
                    }
                });
            }
            match sender.send(message).await {
                Ok(()) => return,
                // The task left between the two lines above: bring it back.
                Err(refused) => message = refused.0,
            }
            if self.draining.is_cancelled() {
                return;
            }
        }
    }

    /// A loop could not be read: what it was told is told again after a pause, but for what somebody waits
    /// for the answer of.
    async fn give_back(self: &Arc<Self>, id: LoopId, mut inbox: mpsc::Receiver<ToLoop>) {
        self.registry.remove(id);
        inbox.close();
        let mut again = Vec::new();
        while let Some(message) = inbox.recv().await {
            if matches!(message, ToLoop::Due(_) | ToLoop::Recover) {
                again.push(message);
            }
        }
        if again.is_empty() {
            return;
        }
        let until = self.clock.now().plus(UNREADABLE_PAUSE);
        tokio::select! {
            () = self.clock.sleep_until(until) => {}
            () = self.draining.cancelled() => return,
        }
        for message in again {
            self.tell_soon(id, message);
        }
    }

    /// Tells a loop something from within a loop's task, which must not wait for itself.
    pub(crate) fn tell_soon(self: &Arc<Self>, id: LoopId, message: ToLoop) {
        let shared = Arc::clone(self);
        let telling: Pin<Box<dyn Future<Output = ()> + Send>> =
            Box::pin(async move { shared.tell(id, message).await });
        self.tasks.drive(telling);
    }

    /// A loop was stored after its cycle was stopped, so that the stop did not find it: it hears it now.
    pub(crate) fn stop_if_stopped(self: &Arc<Self>, cycle: &CycleId, id: LoopId) {
        if self.cycles.state(cycle) == CycleState::Stopped {
            let (done, _) = tokio::sync::oneshot::channel();
            self.tell_soon(
                id,
                ToLoop::Stop {
                    gently: true,
                    by: None,
                    done,
                },
            );
        }
    }

    /// Logs something that changed nothing, without making anybody wait for it.
    pub(crate) fn note(self: &Arc<Self>, line: LogLine) {
        let shared = Arc::clone(self);
        self.tasks.start(Task::Note, async move {
            let unit = Unit {
                lines: vec![line],
                ..Unit::default()
            };
            if let Err(error) = shared.commit_unit(unit, None).await {
                tracing::warn!(%error, "a log line was not stored");
            }
        });
    }

    /// Counts a cycle's loops as the store has them, when the cycle is first known.
    pub(crate) fn recover_places(&self, cycle: &CycleId) -> Result<(), StoreError> {
        self.cycles.recover(cycle, || {
            let (mut taken, mut queued) = (0, 0);
            for (status, count) in self.store.open_loops(cycle)? {
                match status {
                    LoopStatus::Queued => queued += count,
                    _ => taken += count,
                }
            }
            Ok(Places::recovered(taken, queued))
        })
    }

    /// A loop has ended: its place goes to the first of the queue.
    pub(crate) fn loop_ended(self: &Arc<Self>, cycle: &CycleId, was_placed: bool) {
        if was_placed {
            self.cycles.release(cycle);
        } else {
            self.cycles.unqueue(cycle);
        }
        self.begin_next(cycle);
        self.finish_if_done(cycle);
    }

    /// A loop that was admitted is not to be: its place, or its turn, goes to the next.
    pub(crate) fn withdraw(self: &Arc<Self>, cycle: &CycleId, admission: Admission) {
        self.cycles.withdraw(cycle, admission);
        self.begin_next(cycle);
        self.finish_if_done(cycle);
    }

    /// The loop that was on its way to its place has begun; the next may follow.
    pub(crate) fn began(self: &Arc<Self>, cycle: &CycleId) {
        self.cycles.begun(cycle);
        self.begin_next(cycle);
    }

    /// The queue goes on after a pause: what stands first in it cannot be read now.
    pub(crate) fn begin_again_soon(self: &Arc<Self>, cycle: CycleId) {
        let shared = Arc::clone(self);
        self.tasks.drive(async move {
            let until = shared.clock.now().plus(UNREADABLE_PAUSE);
            tokio::select! {
                () = shared.clock.sleep_until(until) => shared.began(&cycle),
                () = shared.draining.cancelled() => {}
            }
        });
    }

    /// What waited for a connection begins.
    pub(crate) fn begin_all(self: &Arc<Self>) {
        self.schedules.wake();
        for cycle in self.plans.ids() {
            self.begin_next(&cycle);
        }
    }

    /// Begins the first queued loop of a cycle, if a place is free.
    pub(crate) fn begin_next(self: &Arc<Self>, cycle: &CycleId) {
        if self.draining.is_cancelled() {
            return;
        }
        let Some(plan) = self.plans.current(cycle) else {
            return;
        };
        // They would fail one after the other; they begin when somebody has signed in.
        if self.connections.missing(&plan).is_some() {
            return;
        }
        if !self.cycles.take_next(cycle, plan.concurrency) {
            return;
        }
        match self.store.first_queued(cycle) {
            Ok(Some(row)) => {
                let shared = Arc::clone(self);
                let beginning = Beginning {
                    shared: Arc::clone(self),
                    cycle: cycle.clone(),
                    end: BeginningEnd::Lost,
                };
                self.tasks
                    .drive(async move { shared.tell(row.id, ToLoop::Begin(beginning)).await });
            }
            Ok(None) => self.cycles.none_to_begin(cycle),
            Err(error) => {
                tracing::error!(%cycle, %error, "the queue cannot be read");
                self.cycles.release(cycle);
                self.begin_again_soon(cycle.clone());
            }
        }
    }

    /// A cycle that is finishing stops when its last loop has ended.
    fn finish_if_done(self: &Arc<Self>, cycle: &CycleId) {
        if self.cycles.state(cycle) == CycleState::Finishing && self.cycles.counts(cycle) == (0, 0)
        {
            self.stop_cycle_soon(cycle.clone());
        }
    }

    /// Stops a cycle from within a loop's task, which must not wait for itself.
    pub(crate) fn stop_cycle_soon(self: &Arc<Self>, cycle: CycleId) {
        let shared = Arc::clone(self);
        self.tasks.drive(async move {
            if let Err(problem) = crate::command::stop(&shared, &cycle, None).await {
                tracing::error!(%cycle, %problem, "the cycle could not be stopped");
            }
        });
    }
}
