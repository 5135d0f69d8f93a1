//! The engine in a world of its own: virtual time, requests answered by whoever plays the world,
//! randomness from a seed.
//!
//! ```text
//!   Simulated ── block_on ─▶ one thread, no timers, no sockets
//!      │                        │ nothing left to do
//!      │                        ▼
//!      └──── until ──────▶ VirtualClock: on to the next moment that somebody waits for
//! ```
//!
//! What runs is the engine that serves, over any store: acceptance, the loops' tasks, timers, scripts,
//! building and judging of requests. The same options give the same outcome, line for line and id for
//! id. Anything that would really wait has nothing to wait with, and panics.

mod clock;
mod outside;
mod sign_in;
mod witness;

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use velodrome_connect::{Connection, EgressRules, Transport};
use velodrome_script::ScriptHost;
use velodrome_spec::callers::WebhookDefaults;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::expr::Expr;
use velodrome_spec::plan::Retention;
use velodrome_store::Store;
use velodrome_types::Timestamp;

pub(crate) use clock::VirtualClock;
pub(crate) use witness::Witness;
pub use witness::{HandedOff, Seen, TakenExit};

use crate::clock::Clock;
use crate::connections::{Declared, Said};
use crate::cycle_files::CycleFiles;
use crate::engine::Engine;
use crate::random::{Random, Seeded};
use crate::start::{Parts, StartError, Surroundings, assemble};
use crate::vault::Vault;
use outside::Outside;
use sign_in::SignedIn;

/// What a simulation begins with. All that is large is shared: beginning one is cheap.
#[derive(Clone, Debug)]
pub struct SimulatedOptions {
    /// Where everything is kept. One that has been used before is what a crash leaves behind.
    pub store: Arc<dyn Store>,
    /// The cycle files.
    pub files: CycleFiles,
    /// Every known connector, each with its definition's text.
    pub connectors: Vec<(Arc<ConnectorDef>, String)>,
    /// The declared connections. Each counts as signed in.
    pub connections: Vec<Connection>,
    /// Where requests may go.
    pub egress: EgressRules,
    /// The most bytes of an answer.
    pub response_limit: u64,
    /// Where failures are told of cycles that say nothing.
    pub error_webhook: Option<Expr>,
    /// What cycles may read of the environment.
    pub env: HashMap<String, Option<String>>,
    /// Runs handlers.
    pub host: Arc<ScriptHost>,
    /// Answers requests. It may let time pass by [`VirtualTime`].
    pub world: Arc<dyn Transport>,
    /// The time.
    pub time: VirtualTime,
    /// What ids and retry gaps are made from.
    pub seed: u64,
    /// How far retry gaps are stretched, from 0 to 1; `None` leaves it to the seed.
    pub jitter: Option<f64>,
    /// How far ahead timers are kept in memory; a server keeps a minute.
    pub horizon: Duration,
    /// Whether schedules start cycles; time then never stands still by itself.
    pub schedules: bool,
}

/// A simulation's clock, as whoever plays the world sees it.
#[derive(Clone, Debug)]
pub struct VirtualTime(Arc<VirtualClock>);

impl VirtualTime {
    /// A clock that stands at this moment.
    pub fn new(start: Timestamp) -> Self {
        Self(VirtualClock::new(start))
    }

    /// Now.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Waits so long, in virtual time.
    pub async fn sleep(&self, length: Duration) {
        self.sleep_until(self.now().plus(length)).await;
    }

    /// Waits until then; at once if it has passed.
    pub async fn sleep_until(&self, then: Timestamp) {
        self.0.sleep_until(then).await;
    }

    /// Makes time stand still at the next pause: [`Simulated::run_until`] returns.
    pub fn stand_still(&self) {
        self.0.stand_still();
    }
}

/// An engine in a world of its own. Dropping it is a crash: what was committed is in the store.
#[derive(Debug)]
pub struct Simulated {
    engine: Engine,
    time: VirtualTime,
    witness: Arc<Witness>,
    /// Last, so that the tasks go when nobody needs them any more.
    runtime: Runtime,
}

/// What a simulated server's URLs begin with.
pub const SERVICE_URL: &str = "http://velodrome.test";

impl Simulated {
    /// Starts an engine. Time stands still until [`Simulated::run_until`].
    ///
    /// # Errors
    ///
    /// As [`crate::start`]. A cycle file with faults is none: its cycle is `invalid`.
    ///
    /// # Panics
    ///
    /// Within an async runtime: a simulation is one of its own.
    pub fn start(options: SimulatedOptions) -> Result<Self, StartError> {
        let time = options.time;
        let on_park = Arc::clone(&time.0);
        let runtime = Builder::new_current_thread()
            .on_thread_park(move || on_park.idle())
            .build()
            .expect("a runtime without timers and sockets needs nothing of the system");
        let witness = Arc::new(Witness::default());
        let outside = Arc::new(Outside {
            world: options.world,
            home: OnceLock::new(),
        });
        let parts = Parts {
            vault: Arc::new(Vault::simulated(Arc::clone(&options.store))),
            store: options.store,
            tokens: Arc::new(SignedIn::to(&options.connections)),
            sealed_tokens: None,
            service_url: SERVICE_URL.to_owned(),
            listen: Vec::new(),
            files: options.files,
            connectors: options.connectors,
            connections: options
                .connections
                .into_iter()
                .map(|connection| Declared {
                    said: Said::by(&connection),
                    connection,
                    signed_in: true,
                })
                .collect(),
            egress: options.egress,
            response_limit: options.response_limit,
            workers: usize::from(u16::MAX),
            host: options.host,
            env: options.env,
            strict: false,
            retention: Retention::default(),
            // What is asked of callers is the server's to ask: nobody reaches a simulation from elsewhere.
            webhooks: WebhookDefaults::default(),
            exposed: false,
            error_webhook: options.error_webhook,
            traces: None,
            surroundings: Surroundings {
                clock: Clock::Virtual(Arc::clone(&time.0)),
                random: Random::Seeded(Seeded::new(options.seed, options.jitter)),
                horizon: options.horizon,
                transport: Some(Arc::clone(&outside) as _),
                witness: Some(Arc::clone(&witness)),
                schedules: options.schedules,
            },
        };
        let engine = runtime.block_on(assemble(parts))?;
        let _ = outside.home.set(Arc::downgrade(&engine.shared));
        Ok(Self {
            engine,
            time,
            witness,
            runtime,
        })
    }

    /// The engine. What it does it does while [`Simulated::run_until`] lets time pass.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The clock.
    pub fn time(&self) -> &VirtualTime {
        &self.time
    }

    /// What was committed so far, beside what is stored.
    pub fn seen(&self) -> Seen {
        self.witness.seen()
    }

    /// Adds a task to the simulation; it begins with the next [`Simulated::run_until`].
    pub fn add<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.runtime.spawn(task)
    }

    /// Lets everything happen that happens by itself before this moment. The clock then stands at the
    /// last thing that happened.
    pub fn run_until(&self, until: Timestamp) {
        self.runtime.block_on(self.time.0.run_until(until));
    }

    /// The outcome of a task that has ended.
    pub fn outcome<T>(&self, task: tokio::task::JoinHandle<T>) -> Option<T> {
        if !task.is_finished() {
            return None;
        }
        self.runtime.block_on(task).ok()
    }
}
