//! Starting: files, connections, states, and what was under way before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use velodrome_connect::{
    Connect, ConnectOptions, Connection, EgressRules, Process, TokenStore, Transport,
};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::callers::WebhookDefaults;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::Retention;
use velodrome_store::{KeyRing, Store, StoreError};
use velodrome_types::RunStatus;

use crate::access::Access;
use crate::clock::Clock;
use crate::command;
use crate::connections::{Connections, Declared};
use crate::cycle_files::CycleFiles;
use crate::cycles::Cycles;
use crate::engine::Engine;
use crate::flows::Flows;
use crate::gather::{self, Gatherers};
use crate::handlers::{Handlers, Threads};
use crate::house::House;
use crate::metrics::Metrics;
use crate::outbox::{self, Outbox};
use crate::plans::{Plans, Settled};
use crate::random::Random;
use crate::redact::Redactor;
use crate::refusals::Refusals;
use crate::registry::{Registry, ToLoop};
use crate::reload;
use crate::replies::Replies;
use crate::retention::{self, RetentionRules};
use crate::schedules::{self, Schedules};
use crate::shared::{Shared, UNREADABLE_PAUSE};
use crate::sign_in_scripts::SignInScripts;
use crate::simulated::Witness;
use crate::tasks::{Task, Tasks};
use crate::timers::{HORIZON, Timers};
use crate::tokens::SealedTokens;
use crate::traces::TraceRules;
use crate::vault::Vault;

/// How many stored runs are looked at in one go while taking up what was under way.
const RECOVERY_CHUNK: usize = 1_000;

/// What an engine is started with.
#[derive(Debug)]
pub struct StartOptions {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Seals tokens and secrets.
    pub keys: Arc<KeyRing>,
    /// Learns what is secret, so that nothing shows it.
    pub redactor: Redactor,
    /// What this server's URLs begin with, without a slash at the end.
    pub service_url: String,
    /// Where this server listens: its own addresses count as private.
    pub listen: Vec<SocketAddr>,
    /// The folder of the cycle files.
    pub cycles: PathBuf,
    /// Every known connector, each with its definition's text.
    pub connectors: Vec<(Arc<ConnectorDef>, String)>,
    /// The declared connections.
    pub connections: Vec<Connection>,
    /// Where requests may go.
    pub egress: EgressRules,
    /// The most bytes of an answer.
    pub response_limit: u64,
    /// Requests in flight at once.
    pub workers: usize,
    /// Limits of one handler call.
    pub script_limits: ScriptLimits,
    /// Where JavaScript runs.
    pub script_workers: Workers,
    /// Environment variables that cycles may read, with their values; `None` is not set.
    pub env: HashMap<String, Option<String>>,
    /// Whether a file with errors keeps the engine from starting.
    pub strict: bool,
    /// How long finished runs are kept, for cycles that say nothing.
    pub retention: Retention,
    /// What holds for webhooks that say nothing else.
    pub webhooks: WebhookDefaults,
    /// Whether others can reach this server: then each webhook must say who may call it.
    pub exposed: bool,
    /// Where failures are told of cycles that say nothing: what it reads of the environment and of files in
    /// place, secrets and webhooks as they are when it is told.
    pub error_webhook: Option<Expr>,
    /// What is done about distributed traces; `None` is nothing.
    pub traces: Option<TraceRules>,
}

/// What of the settings may change while an engine runs.
#[derive(Debug)]
pub struct Reconfigure {
    /// Every known connector, each with its definition's text.
    pub connectors: Vec<(Arc<ConnectorDef>, String)>,
    /// The declared connections.
    pub connections: Vec<Connection>,
    /// Environment variables that cycles may read, with their values; `None` is not set.
    pub env: HashMap<String, Option<String>>,
    /// What holds for webhooks that say nothing else.
    pub webhooks: WebhookDefaults,
    /// Where failures are told of cycles that say nothing: what it reads of the environment and of files in
    /// place, secrets and webhooks as they are when it is told.
    pub error_webhook: Option<Expr>,
}

/// Why an engine did not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A setting of requests is wrong.
    #[error(transparent)]
    Connect(#[from] velodrome_connect::ConnectError),
    /// Files have errors and `--strict` was said; the errors, rendered.
    #[error("{0}")]
    Files(String),
}

/// Starts an engine.
///
/// # Errors
///
/// See [`StartError`]; nothing runs then.
pub async fn start(options: StartOptions) -> Result<Engine, StartError> {
    let vault = Vault::open(Arc::clone(&options.store), options.keys, options.redactor).await?;
    let vault = Arc::new(vault);
    let tokens = Arc::new(SealedTokens {
        store: Arc::clone(&options.store),
        vault: Arc::clone(&vault),
    });
    let connections = tokens.declared(options.connections)?;
    let parts = Parts {
        store: options.store,
        vault,
        sealed_tokens: Some(Arc::clone(&tokens)),
        tokens,
        service_url: options.service_url,
        listen: options.listen,
        files: CycleFiles::Folder(options.cycles),
        connectors: options.connectors,
        connections,
        egress: options.egress,
        response_limit: options.response_limit,
        workers: options.workers,
        host: Arc::new(ScriptHost::new(
            options.script_limits,
            options.script_workers,
        )),
        env: options.env,
        strict: options.strict,
        retention: options.retention,
        webhooks: options.webhooks,
        exposed: options.exposed,
        error_webhook: options.error_webhook,
        traces: options.traces,
        surroundings: Surroundings {
            clock: Clock::start(),
            random: Random::System,
            horizon: HORIZON,
            transport: None,
            witness: None,
            schedules: true,
        },
    };
    assemble(parts).await
}

/// What an engine is made of, in a server and in a simulation alike.
pub(crate) struct Parts {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) vault: Arc<Vault>,
    pub(crate) tokens: Arc<dyn TokenStore>,
    /// The same, where tokens are stored.
    pub(crate) sealed_tokens: Option<Arc<SealedTokens>>,
    pub(crate) service_url: String,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) files: CycleFiles,
    pub(crate) connectors: Vec<(Arc<ConnectorDef>, String)>,
    /// The declared connections.
    pub(crate) connections: Vec<Declared>,
    pub(crate) egress: EgressRules,
    pub(crate) response_limit: u64,
    pub(crate) workers: usize,
    pub(crate) host: Arc<ScriptHost>,
    /// What cycles may read of the environment.
    pub(crate) env: HashMap<String, Option<String>>,
    pub(crate) strict: bool,
    pub(crate) retention: Retention,
    /// What holds for webhooks that say nothing else.
    pub(crate) webhooks: WebhookDefaults,
    pub(crate) exposed: bool,
    pub(crate) error_webhook: Option<Expr>,
    pub(crate) traces: Option<TraceRules>,
    pub(crate) surroundings: Surroundings,
}

/// Where time and randomness come from and where requests go: all that a simulation has of its own.
pub(crate) struct Surroundings {
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    /// How far ahead timers are kept in memory.
    pub(crate) horizon: Duration,
    /// Carries requests in place of sockets.
    pub(crate) transport: Option<Arc<dyn Transport>>,
    /// Notes what is committed and not stored.
    pub(crate) witness: Option<Arc<Witness>>,
    /// Whether schedules start cycles.
    pub(crate) schedules: bool,
}

/// Puts an engine together and starts its tasks.
pub(crate) async fn assemble(parts: Parts) -> Result<Engine, StartError> {
    let Surroundings {
        clock,
        random,
        horizon,
        transport,
        witness,
        schedules: by_clock,
    } = parts.surroundings;
    let tasks = Tasks::default();
    let house = Arc::new(House::new(clock.clone(), tasks.clone()));
    let mut connect = Connect::new(
        ConnectOptions {
            egress: parts.egress,
            own_addresses: parts.listen,
            response_limit: parts.response_limit,
            redirect_base: parts.service_url.clone(),
            workers: parts.workers,
        },
        Arc::clone(&house) as Arc<dyn Process>,
        parts.tokens,
    )?;
    if let Some(transport) = transport {
        connect = connect.carried_by(transport);
    }
    let (host, store) = (parts.host, parts.store);
    let threads = match &witness {
        Some(_) => Threads::Own,
        None => Threads::pool(),
    };
    let connect = connect.hooked_by(Arc::new(SignInScripts {
        host: Arc::clone(&host),
        threads: threads.clone(),
        clock: clock.clone(),
    }));
    let last_seq = store.last_seq();
    let shared = Arc::new(Shared {
        handlers: Handlers {
            host: Arc::clone(&host),
            store: Arc::clone(&store),
            threads,
        },
        connect,
        connections: Connections::new(parts.connections, Arc::clone(&parts.vault)),
        link_key: parts.vault.link_key(),
        access: Access::load(&*store, &parts.vault, clock.now())?,
        vault: parts.vault,
        tokens: parts.sealed_tokens,
        plans: Plans::new(
            parts.files,
            host,
            Settled::new(parts.connectors, parts.env, parts.webhooks),
            parts.exposed,
        ),
        cycles: Cycles::default(),
        clock,
        random,
        witness,
        service_url: parts.service_url,
        registry: Registry::default(),
        timers: Timers::new(horizon),
        tasks,
        outbox: Outbox::default(),
        replies: Replies::default(),
        flows: Flows::default(),
        metrics: Metrics::default(),
        schedules: Schedules::default(),
        error_webhook: RwLock::new(parts.error_webhook.map(Arc::new)),
        retention: RetentionRules(parts.retention),
        traces: parts.traces,
        draining: CancellationToken::new(),
        log_seq: watch::Sender::new(last_seq),
        fatal: watch::Sender::new(None),
        handoff_key: crate::random::key(),
        gatherers: Gatherers::default(),
        refusals: Refusals::default(),
        store,
    });
    house.is_of(&shared);
    for row in shared.store.cycle_rows()? {
        shared.cycles.set_state(&row.cycle, row.state);
    }
    let problems = reload::now(&shared).await;
    if parts.strict && shared.plans.has_problems() {
        return Err(StartError::Files(problems.join("\n")));
    }
    for cycle in shared.plans.ids() {
        shared.recover_places(&cycle)?;
    }
    // Before any timer fires: a stopped cycle begins no further step.
    command::stop_again(&shared).await?;
    if by_clock {
        shared.schedules.recover(shared.store.schedule_rows()?);
        let kept = schedules::keep(Arc::clone(&shared));
        shared.tasks.start(Task::Schedules, kept);
    }
    spawn(&shared);
    for cycle in shared.plans.ids() {
        shared.begin_next(&cycle);
        let plan = shared.plans.current(&cycle);
        if plan.is_some_and(|plan| shared.gatherers.at_start(&plan)) {
            gather::look_soon(&shared, &cycle);
        }
    }
    Ok(Engine { shared, by: None })
}

fn spawn(shared: &Arc<Shared>) {
    let timers = Arc::clone(shared);
    shared
        .tasks
        .start(Task::Timers, async move { fire_timers(timers).await });
    if let Some(folder) = shared.plans.folder() {
        let (files, folder) = (Arc::clone(shared), folder.to_owned());
        shared.tasks.start(
            Task::Reload,
            async move { reload::watch(files, &folder).await },
        );
        let house = Arc::clone(shared);
        shared
            .tasks
            .start(Task::Retention, retention::keep_house(house));
    }
    let counting = Arc::clone(shared);
    let count = move || match counting.store.standing() {
        Ok(standing) => counting.flows.counted(standing),
        Err(error) => tracing::error!(%error, "the runs at each step cannot be counted"),
    };
    match &shared.witness {
        // A simulation has one thread.
        Some(_) => count(),
        None => drop(tokio::task::spawn_blocking(count)),
    }
    let told = Arc::clone(shared);
    shared.tasks.start(Task::Outbox, outbox::deliver(told));
    let interrupted = Arc::clone(shared);
    shared.tasks.start(Task::Recovery, async move {
        if let Err(error) = take_up(&interrupted).await {
            tracing::error!(%error, "what was under way cannot be read");
        }
    });
}

/// Brings back every loop that had a run at a step.
async fn take_up(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let rows = shared.store.unfinished(after, RECOVERY_CHUNK)?;
        let Some((last, _)) = rows.last() else {
            return Ok(());
        };
        after = *last;
        for (_, row) in rows {
            if row.status == RunStatus::Running && !shared.draining.is_cancelled() {
                shared.tell(row.loop_id, ToLoop::Recover).await;
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Fires timers as they come due, never early.
async fn fire_timers(shared: Arc<Shared>) {
    let mut look = shared.clock.now();
    loop {
        let now = shared.clock.now();
        if now >= look {
            match shared.timers.look(&*shared.store, now) {
                Ok(next) => look = next,
                Err(error) => {
                    tracing::error!(%error, "timers cannot be read");
                    look = now.plus(Duration::from_secs(1));
                }
            }
        }
        while let Some((run, loop_id)) = shared.timers.pop(shared.clock.behind()) {
            let loop_id = match loop_id {
                Some(loop_id) => Some(loop_id),
                None => match shared.store.run(run) {
                    Ok(row) => row.map(|row| row.loop_id),
                    Err(error) => {
                        tracing::error!(%run, %error, "a waiting run cannot be read");
                        shared.timers.again(now.plus(UNREADABLE_PAUSE), run);
                        None
                    }
                },
            };
            if let Some(loop_id) = loop_id {
                shared.tell(loop_id, ToLoop::Due(run)).await;
            }
        }
        let next = shared.timers.next().map_or(look, |next| next.min(look));
        tokio::select! {
            () = shared.clock.sleep_until(next) => {}
            () = shared.timers.earlier() => {}
            () = shared.draining.cancelled() => return,
        }
    }
}
