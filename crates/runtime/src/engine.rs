//! The engine's facade: all that a server or a command line may ask of it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use velodrome_spec::graph::Graph;
use velodrome_spec::plan::StepKind;
use velodrome_store::{
    CommitError, Cursor, LoopFilter, Namespace, Page, PageRequest, RunFilter, StorageOp,
    StorageWrite, Store, StoreError, Unit,
};
use velodrome_types::{CycleId, CycleState, Json, LoopId, RunId, StepId, Timestamp};

use crate::api::{
    CycleCommand, CycleDeleted, CycleView, FlowView, HookAnswer, HookRequest, Listing, LoopView,
    Problem, RunView, StepView, Version, WaitView,
};
use crate::callers::Hook;
use crate::command::By;
use crate::handoff::SignedOrigin;
use crate::plans::Settled;
use crate::records::{loop_view, run_view};
use crate::shared::Shared;
use crate::start::Reconfigure;
use crate::tasks::Task;
use crate::{accept, command, delete_cycle, midway, reload, resume};

/// How long draining waits for requests in flight before the store is closed all the same: what is
/// lost then is sent again after the next start, as it was built.
const DRAIN: Duration = Duration::from_secs(10);

/// A running engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    pub(crate) shared: Arc<Shared>,
    /// On whose word, as the log tells it.
    pub(crate) by: Option<By>,
}

pub(crate) fn unreadable(error: StoreError) -> Problem {
    Problem::new(503, "store.unavailable", error.to_string())
}

impl Engine {
    /// The same engine, which does what it is told on this person's word: the log says `by` whom.
    #[must_use]
    pub fn by(&self, who: &str) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            by: Some(Arc::from(who)),
        }
    }

    /// On whose word, for the operator's log.
    pub(crate) fn by_text(&self) -> Option<String> {
        self.by.as_deref().map(str::to_owned)
    }

    /// Answers a webhook request: parse, fields, idempotency, place, `after_webhook`, commit.
    ///
    /// Once begun it is carried to its end, even if the caller goes away.
    ///
    /// # Errors
    ///
    /// Every refusal of SPEC §5 that is decided behind the server's own checks.
    pub async fn receive(&self, request: HookRequest) -> Result<HookAnswer, Problem> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move { accept::receive(&shared, request, None).await })
            .await
    }

    /// The webhook that a path names, with who may call it; none where nothing there takes requests, and
    /// [`Engine::receive`] says why.
    ///
    /// # Errors
    ///
    /// `cycle.invalid`: others can reach this server, and nothing says who may call.
    pub fn hook(&self, cycle: &str, step: Option<&str>) -> Result<Option<Hook>, Problem> {
        Hook::find(&self.shared, cycle, step)
    }

    /// Answers a request that this webhook's rules let in, by the version whose rules they are.
    ///
    /// # Errors
    ///
    /// As [`Engine::receive`].
    pub async fn receive_by(
        &self,
        hook: Hook,
        request: HookRequest,
    ) -> Result<HookAnswer, Problem> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move { accept::receive(&shared, request, Some(hook.plan)).await })
            .await
    }

    /// What the page of a waiting run's link shows; nothing is changed by looking.
    ///
    /// # Errors
    ///
    /// `webhook.unknown`, `wait.not_yet`, `wait.over`.
    pub fn waiting(&self, cycle: &str, step: &str, link: &str) -> Result<WaitView, Problem> {
        midway::view(&self.shared, cycle, step, link)
    }

    /// Whether this value of the hand-off header was signed by this process for this cycle: what comes
    /// with it comes from a cycle here, and asks nobody who may call.
    pub fn is_handoff(&self, value: &str, cycle: &str) -> bool {
        SignedOrigin::verify(value, self.shared.handoff_key())
            .is_some_and(|origin| origin.to.as_str() == cycle)
    }

    /// Notes that the server refused a request before the engine saw it. `why` is for the operator, where
    /// it says more than the caller is told.
    pub fn refused(&self, cycle: &str, problem: &Problem, why: Option<&str>) {
        let cycle = CycleId::from(cycle);
        let mut told = problem.clone();
        if let Some(why) = why {
            why.clone_into(&mut told.detail);
        }
        accept::refused(&self.shared, &cycle, &told);
    }

    /// Carries something to its end, even if the caller goes away.
    pub(crate) async fn spawned<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Problem>> + Send + 'static,
    ) -> Result<T, Problem> {
        match self.shared.tasks.start(Task::Acceptance, work).await {
            // A script may have thrown what it was given.
            Ok(answer) => answer.map_err(|mut problem| {
                self.shared.vault.redactor().problem(&mut problem);
                problem
            }),
            Err(_) => Err(Problem::new(
                500,
                "engine.fault",
                "the request could not be handled: please report this",
            )),
        }
    }

    /// Every known cycle, by id.
    pub fn cycles(&self) -> Vec<CycleView> {
        self.shared
            .plans
            .ids()
            .iter()
            .filter_map(|id| self.cycle(id))
            .collect()
    }

    /// One cycle.
    pub fn cycle(&self, id: &CycleId) -> Option<CycleView> {
        let shared = &self.shared;
        let known = shared.plans.entry(id)?;
        let (running, queued) = shared.cycles.counts(id);
        let state = shared.state_of(id);
        let missing = known
            .plan
            .as_ref()
            .and_then(|plan| shared.connections.missing(plan));
        let reason = match (state, missing) {
            (CycleState::NeedsConnection, Some((connection, why))) => Some(format!(
                "connection `{connection}`: {why}; run `velodrome connect {connection}`"
            )),
            _ => known.problems.clone(),
        };
        let plan = known.plan.as_ref();
        let steps = plan.map_or_else(Vec::new, |plan| {
            let name = |ix| plan.step(ix).id.clone();
            plan.steps
                .iter()
                .map(|step| StepView {
                    id: step.id.clone(),
                    kind: kind_of(&step.kind),
                    line: step.line,
                    then: step.then.map(name),
                    otherwise: step.otherwise.map(name),
                    catch: step.catch.map(name),
                })
                .collect()
        });
        Some(CycleView {
            id: id.clone(),
            name: plan.map_or_else(|| id.to_string(), |plan| plan.name.clone()),
            state,
            reason,
            version: plan.map(|plan| plan.version().to_owned()),
            file: known.file,
            webhook: plan
                .is_none_or(|plan| plan.webhook(plan.trigger).is_some())
                .then(|| shared.hook_url_of(id)),
            running,
            queued,
            concurrency: plan.and_then(|plan| plan.concurrency),
            schedule: plan.and_then(|plan| shared.schedules.view(plan, state)),
            steps,
        })
    }

    /// How many runs of a cycle went along each edge and how many are at each step: in memory, counted as it is
    /// committed. `None` where the cycle is not known or has no good version.
    pub fn flows(&self, cycle: &CycleId) -> Option<FlowView> {
        let plan = self.shared.plans.current(cycle)?;
        Some(self.shared.flows.view(&plan))
    }

    /// A cycle as a picture; none where its file cannot be drawn.
    pub fn graph(&self, cycle: &CycleId) -> Option<Arc<Graph>> {
        self.shared.plans.entry(cycle)?.graph
    }

    /// All metrics in Prometheus' text format 0.0.4; so many follow the log.
    pub fn metrics(&self, viewers: usize) -> String {
        self.shared.metrics.text(&self.shared, viewers)
    }

    /// Counts that a request to this cycle's webhook was answered with this status.
    pub fn webhook_answered(&self, cycle: &str, status: u16, took: Duration) {
        let cycle = CycleId::from(cycle);
        let known = self.shared.plans.is_known(&cycle).then_some(&cycle);
        self.shared.metrics.webhook_answered(known, status, took);
    }

    /// Does what a person says to a cycle.
    ///
    /// # Errors
    ///
    /// `cycle.unknown`, `store.unavailable`.
    pub async fn command(&self, id: &CycleId, command: CycleCommand) -> Result<CycleView, Problem> {
        let (shared, cycle, by) = (Arc::clone(&self.shared), id.clone(), self.by.clone());
        self.spawned(async move { command::cycle(&shared, &cycle, command, by.as_ref()).await })
            .await?;
        self.cycle(id)
            .ok_or_else(|| Problem::new(404, "cycle.unknown", format!("there is no cycle `{id}`")))
    }

    /// A run by whole id, the last six or more characters of one, or `last`.
    ///
    /// # Errors
    ///
    /// `run.unknown`, `run.ambiguous`, `api.bad_parameter`.
    pub fn find_run(&self, id: &str) -> Result<RunId, Problem> {
        let store = &self.shared.store;
        find(
            "run",
            id,
            |newest| {
                let page = store.runs(&RunFilter::default(), newest)?;
                Ok(page.items.iter().map(|row| row.id).collect())
            },
            |suffix| store.runs_ending(suffix),
        )
    }

    /// A loop, likewise.
    ///
    /// # Errors
    ///
    /// `loop.unknown`, `loop.ambiguous`, `api.bad_parameter`.
    pub fn find_loop(&self, id: &str) -> Result<LoopId, Problem> {
        let store = &self.shared.store;
        find(
            "loop",
            id,
            |newest| {
                let page = store.loops(&LoopFilter::default(), newest)?;
                Ok(page.items.iter().map(|row| row.id).collect())
            },
            |suffix| store.loops_ending(suffix),
        )
    }

    /// A run.
    ///
    /// # Errors
    ///
    /// `run.unknown`, `store.unavailable`.
    pub fn run(&self, id: RunId) -> Result<RunView, Problem> {
        let row = self.shared.store.run(id).map_err(unreadable)?;
        let row =
            row.ok_or_else(|| Problem::new(404, "run.unknown", format!("there is no run `{id}`")))?;
        run_view(&self.shared, &row).map_err(unreadable)
    }

    /// Runs, newest first.
    ///
    /// # Errors
    ///
    /// `store.unavailable`.
    pub fn runs(&self, filter: &RunFilter, page: PageRequest) -> Result<Listing<RunView>, Problem> {
        listing(self.shared.store.runs(filter, page), |row| {
            run_view(&self.shared, row)
        })
    }

    /// A loop.
    ///
    /// # Errors
    ///
    /// `loop.unknown`, `store.unavailable`.
    pub fn loop_view(&self, id: LoopId) -> Result<LoopView, Problem> {
        let row = self.shared.store.loop_row(id).map_err(unreadable)?;
        let row = row
            .ok_or_else(|| Problem::new(404, "loop.unknown", format!("there is no loop `{id}`")))?;
        loop_view(&self.shared.vault, &row, self.shared.clock.now()).map_err(unreadable)
    }

    /// Loops, newest first.
    ///
    /// # Errors
    ///
    /// `store.unavailable`.
    pub fn loops(
        &self,
        filter: &LoopFilter,
        page: PageRequest,
    ) -> Result<Listing<LoopView>, Problem> {
        let now = self.shared.clock.now();
        listing(self.shared.store.loops(filter, page), |row| {
            loop_view(&self.shared.vault, row, now)
        })
    }

    /// Ends a loop at once, timers and children included.
    ///
    /// # Errors
    ///
    /// `loop.unknown`, `loop.over`, `store.unavailable`.
    pub async fn stop_loop(&self, id: LoopId) -> Result<LoopView, Problem> {
        let before = self.loop_view(id)?;
        if before.status.is_final() {
            let what = format!("loop `{id}` has {} already", before.status);
            return Err(Problem::new(409, "loop.over", what));
        }
        command::stop_loop(&self.shared, id, self.by.as_ref()).await;
        self.loop_view(id)
    }

    /// Ends a run at once, with those that it began. Its loop goes on with what else there is of it, and ends
    /// where there is nothing.
    ///
    /// # Errors
    ///
    /// `run.unknown`, `run.over`, `store.unavailable`.
    pub async fn stop_run(&self, id: RunId) -> Result<RunView, Problem> {
        let before = self.run(id)?;
        if before.status.is_final() {
            let what = format!("run `{id}` is {} already", before.status);
            return Err(Problem::new(409, "run.over", what));
        }
        command::stop_run(&self.shared, before.loop_id, id, self.by.as_ref()).await;
        self.run(id)
    }

    /// Deletes all that is kept of a cycle whose file is gone: its queue, its loops with their runs and log
    /// lines, its watermarks, what its scripts stored for it, and what a person said of it.
    ///
    /// # Errors
    ///
    /// `cycle.unknown`, `cycle.has_file`, `cycle.in_progress`, `store.unavailable`, `server.shutting_down`.
    pub async fn delete_cycle(&self, id: &CycleId) -> Result<CycleDeleted, Problem> {
        let (shared, cycle, by) = (Arc::clone(&self.shared), id.clone(), self.by.clone());
        self.spawned(async move { delete_cycle::delete(&shared, &cycle, by.as_ref()).await })
            .await
    }

    /// Takes a failed run up again at the step where it failed, its loop with it. `version` must be said
    /// where the cycle has changed since the run began.
    ///
    /// # Errors
    ///
    /// `run.unknown`, `run.not_failed`, `run.version_needed`, `run.does_not_fit`, `run.nothing_ran`,
    /// `loop.over`, `cycle.stopped`, `store.unavailable`; nothing has changed then.
    pub async fn retry_run(&self, id: RunId, version: Option<Version>) -> Result<RunView, Problem> {
        // Goes on where the caller leaves: a place that was taken is never lost.
        let (shared, by) = (Arc::clone(&self.shared), self.by.clone());
        self.spawned(async move { resume::retry(&shared, id, version, by.as_ref()).await })
            .await?;
        self.run(id)
    }

    /// The same for the run that a loop failed with, and all others that failed in its lap.
    ///
    /// # Errors
    ///
    /// Those of [`Engine::retry_run`], `loop.unknown`, `loop.not_failed`.
    pub async fn retry_loop(
        &self,
        id: LoopId,
        version: Option<Version>,
    ) -> Result<LoopView, Problem> {
        let (shared, by) = (Arc::clone(&self.shared), self.by.clone());
        self.spawned(async move { resume::retry_loop(&shared, id, version, by.as_ref()).await })
            .await?;
        self.loop_view(id)
    }

    /// Begins a new loop with what a run was given, on the present version; no key is asked of it.
    ///
    /// # Errors
    ///
    /// `run.unknown`, `run.body_not_kept`, and what a webhook answers.
    pub async fn replay_run(&self, id: RunId) -> Result<HookAnswer, Problem> {
        let shared = Arc::clone(&self.shared);
        self.spawned(async move { resume::replay(&shared, id).await })
            .await
    }

    /// The store's read side: log, script storage, watermarks. Its reads block shortly.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.shared.store
    }

    /// Changes to the newest log line's `seq` after each commit that brought one.
    pub fn log_changed(&self) -> watch::Receiver<u64> {
        self.shared.log_seq.subscribe()
    }

    /// Puts a value into script storage, as a person.
    ///
    /// # Errors
    ///
    /// `storage.*` for what scripts could not put either, `store.unavailable`.
    pub async fn storage_set(
        &self,
        namespace: Namespace,
        key: String,
        value: Json,
    ) -> Result<(), Problem> {
        self.storage_write(namespace, StorageOp::Set(key, value))
            .await
    }

    /// Removes a value from script storage, as a person.
    ///
    /// # Errors
    ///
    /// `store.unavailable`.
    pub async fn storage_delete(&self, namespace: Namespace, key: String) -> Result<(), Problem> {
        self.storage_write(namespace, StorageOp::Delete(key)).await
    }

    async fn storage_write(&self, namespace: Namespace, op: StorageOp) -> Result<(), Problem> {
        let unit = Unit {
            storage: vec![StorageWrite {
                namespace,
                by: None,
                op,
            }],
            ..Unit::default()
        };
        self.shared
            .commit_unit(unit, None)
            .await
            .map(drop)
            .map_err(|error| match error {
                CommitError::Storage { code, message } => Problem::new(422, code, message),
                other => accept::uncommitted(other),
            })
    }

    /// Sets a list step's last successful run date, or forgets it, as a person; gives what it was.
    ///
    /// # Errors
    ///
    /// `cycle.unknown`, `watermark.unknown_step`, `store.unavailable`.
    pub async fn watermark_say(
        &self,
        cycle: CycleId,
        step: StepId,
        date: Option<Timestamp>,
    ) -> Result<Option<Timestamp>, Problem> {
        crate::watermark::say(&self.shared, cycle, step, date, self.by.as_ref()).await
    }

    /// The engine's time.
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Whether webhooks are taken; false while shutting down.
    pub fn is_ready(&self) -> bool {
        !self.shared.draining.is_cancelled()
    }

    /// Reads the cycle files again now and tells what is wrong with any, rendered.
    pub async fn reload(&self) -> Vec<String> {
        reload::now(&self.shared).await
    }

    /// Puts other connections, connectors and environment in force, and checks the cycle files against
    /// them. What is under way goes on as it began. Gives what is wrong with any file, rendered.
    ///
    /// # Errors
    ///
    /// The store cannot tell who is signed in; nothing has changed then.
    pub async fn reconfigure(&self, change: Reconfigure) -> Result<Vec<String>, StoreError> {
        // A simulation keeps those it began with.
        if let Some(tokens) = &self.shared.tokens {
            let declared = tokens.declared(change.connections)?;
            self.shared.connections.replace(declared);
        }
        self.shared.set_error_webhook(change.error_webhook);
        let settled = Settled::new(change.connectors, change.env, change.webhooks);
        self.shared.plans.settle(settled);
        Ok(reload::now(&self.shared).await)
    }

    /// A copy of everything as one moment has it; blocks while it is written.
    pub fn backup(&self) -> Result<std::fs::File, StoreError> {
        self.shared.store.backup()
    }

    /// Completes with the reason when the process must exit because a commit's outcome is unknown.
    pub async fn failed(&self) -> String {
        let mut fatal = self.shared.fatal.subscribe();
        let reason = fatal
            .wait_for(Option::is_some)
            .await
            .map(|reason| reason.clone());
        reason
            .ok()
            .flatten()
            .unwrap_or_else(|| "the store is gone".to_owned())
    }

    /// Stop taking, drain, close. What cannot be awaited is taken up again by the next start.
    pub async fn shutdown(&self) {
        self.shared.draining.cancel();
        self.shared.connect.close();
        let ended = self.shared.tasks.ended();
        if self.shared.clock.timeout(DRAIN, ended).await.is_none() {
            tracing::warn!(
                "requests were still in flight: they are sent again after the next start"
            );
        }
        if let Err(error) = self.shared.store.close().await {
            tracing::error!(%error, "the store did not close well");
        }
    }
}

/// A whole id, the last characters of one, or `last`.
pub(crate) fn find<T: std::str::FromStr>(
    what: &str,
    id: &str,
    newest: impl FnOnce(PageRequest) -> Result<Vec<T>, StoreError>,
    ending: impl FnOnce(&str) -> Result<Vec<T>, StoreError>,
) -> Result<T, Problem> {
    if let Ok(id) = id.parse() {
        return Ok(id);
    }
    let found = if id == "last" {
        newest(PageRequest {
            after: None,
            limit: 1,
        })
    } else {
        ending(suffix(id)?)
    };
    only(what, id, found.map_err(unreadable)?)
}

fn suffix(id: &str) -> Result<&str, Problem> {
    let tail = id.rsplit(['_', '…']).next().unwrap_or(id);
    if tail.len() >= 6
        && tail
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return Ok(tail);
    }
    Err(Problem::new(
        400,
        "api.bad_parameter",
        format!("`{id}` is no id: give a whole one, its last six or more characters, or `last`"),
    ))
}

fn only<T>(what: &str, id: &str, found: Vec<T>) -> Result<T, Problem> {
    let many = found.len() > 1;
    match found.into_iter().next() {
        Some(found) if !many => Ok(found),
        Some(_) => {
            let code = match what {
                "run" => "run.ambiguous",
                "token" => "token.ambiguous",
                _ => "loop.ambiguous",
            };
            Err(Problem::new(
                409,
                code,
                format!("more than one {what} ends with `{id}`: give more characters"),
            ))
        }
        None => {
            let code = match what {
                "run" => "run.unknown",
                "token" => "token.unknown",
                _ => "loop.unknown",
            };
            Err(Problem::new(
                404,
                code,
                format!("there is no {what} `{id}`"),
            ))
        }
    }
}

fn listing<Row, View>(
    page: Result<Page<Row>, StoreError>,
    view: impl Fn(&Row) -> Result<View, StoreError>,
) -> Result<Listing<View>, Problem> {
    let page = page.map_err(unreadable)?;
    // A damaged record must not hide the others (SPEC §9.8).
    let items = page
        .items
        .iter()
        .filter_map(|row| {
            view(row)
                .inspect_err(|error| tracing::error!(%error, "left out of a listing"))
                .ok()
        })
        .collect();
    Ok(Listing {
        items,
        next: page.next.map(|Cursor(at)| at.to_string()),
    })
}

fn kind_of(kind: &StepKind) -> &'static str {
    match kind {
        StepKind::Webhook(_) => "webhook",
        StepKind::List(_) => "list",
        StepKind::Send(_) => "request",
        StepKind::Storage(_) => "storage",
        StepKind::Script { .. } => "script",
        StepKind::Watermark { .. } => "watermark",
        StepKind::Decision(_) => "decision",
        StepKind::Respond(_) => "respond",
        StepKind::Switch(_) => "switch",
        StepKind::Delay(_) => "delay",
        StepKind::WaitUntil(_) => "wait_until",
        StepKind::WaitAll(_) => "wait_all",
        StepKind::Stop { .. } => "stop",
    }
}
