//! Starting: files, connections, states, and what was under way before.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use thiserror::Error;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use velodrome_connect::{Connect, ConnectOptions, Connection, EgressRules};
use velodrome_script::{ScriptHost, ScriptLimits};
use velodrome_spec::connector::ConnectorDef;
use velodrome_store::{SealKey, Store, StoreError};
use velodrome_types::RunStatus;

use crate::clock::Clock;
use crate::connections::Connections;
use crate::cycles::Cycles;
use crate::engine::Engine;
use crate::handlers::Handlers;
use crate::plans::{Plans, Settled};
use crate::refusals::Refusals;
use crate::registry::{Registry, ToLoop};
use crate::shared::Shared;
use crate::tasks::{Task, Tasks};
use crate::timers::Timers;
use crate::tokens::{SealedTokens, is_signed_in};
use crate::{random, reload};

/// How many stored runs are looked at in one go while taking up what was under way.
const RECOVERY_CHUNK: usize = 1_000;

/// What an engine is started with.
#[derive(Debug)]
pub struct StartOptions {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Seals tokens and secrets.
    pub seal: Arc<SealKey>,
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
    /// Environment variables that cycles may read, with their values; `None` is not set.
    pub env: HashMap<String, Option<String>>,
    /// Whether a file with errors keeps the engine from starting.
    pub strict: bool,
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
    let clock = Clock::start();
    let host = Arc::new(ScriptHost::new(options.script_limits.clone()));
    let tokens = Arc::new(SealedTokens {
        store: Arc::clone(&options.store),
        seal: options.seal,
    });
    let connect = Connect::new(
        ConnectOptions {
            egress: options.egress,
            own_addresses: options.listen,
            response_limit: options.response_limit,
            redirect_base: options.service_url.clone(),
        },
        Arc::new(move || clock.now()),
        Arc::clone(&tokens) as _,
    )?;
    let mut declared = Vec::new();
    for connection in options.connections {
        let signed_in = is_signed_in(&*options.store, &connection.id)?;
        declared.push((connection, signed_in));
    }
    let store = options.store;
    let last_seq = store.last_seq();
    let shared = Arc::new(Shared {
        handlers: Handlers {
            host: Arc::clone(&host),
            store: Arc::clone(&store),
        },
        connect,
        connections: Connections::new(declared),
        plans: Plans::new(
            options.cycles,
            host,
            Settled::new(options.connectors, options.env),
        ),
        cycles: Cycles::default(),
        clock,
        service_url: options.service_url,
        workers: Semaphore::new(options.workers.max(1)),
        registry: Registry::default(),
        timers: Timers::new(),
        tasks: Tasks::default(),
        draining: CancellationToken::new(),
        log_seq: watch::Sender::new(last_seq),
        fatal: watch::Sender::new(None),
        handoff_key: random::key(),
        refusals: Refusals::default(),
        store,
    });
    for row in shared.store.cycle_rows()? {
        shared.cycles.set_state(&row.cycle, row.state);
    }
    let problems = reload::now(&shared).await;
    if options.strict && shared.plans.has_problems() {
        return Err(StartError::Files(problems.join("\n")));
    }
    for cycle in shared.plans.ids() {
        shared.recover_places(&cycle)?;
    }
    spawn(&shared);
    for cycle in shared.plans.ids() {
        shared.begin_next(&cycle);
    }
    Ok(Engine { shared })
}

fn spawn(shared: &Arc<Shared>) {
    let timers = Arc::clone(shared);
    shared
        .tasks
        .start(Task::Timers, async move { fire_timers(timers).await });
    let files = Arc::clone(shared);
    shared
        .tasks
        .start(Task::Reload, async move { reload::watch(files).await });
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
                    look = now.plus(std::time::Duration::from_secs(1));
                }
            }
        }
        while let Some((run, loop_id)) = shared.timers.pop(now) {
            let loop_id = match loop_id {
                Some(loop_id) => Some(loop_id),
                None => match shared.store.run(run) {
                    Ok(row) => row.map(|row| row.loop_id),
                    Err(error) => {
                        tracing::error!(%run, %error, "a waiting run cannot be read");
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
