//! The engine's facade.
use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;
use velodrome_store::{LogFilter, LoopFilter, Namespace, PageRequest, RunFilter, Store};
use velodrome_types::{ConnectionId, CycleId, Json, LoopId, RunId};

use crate::api::*;

/// A running engine; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {}

impl Engine {
    /// Answers a webhook request: parse, fields, idempotency, place, `after_webhook`, commit.
    pub async fn receive(&self, request: HookRequest) -> Result<HookAnswer, Problem> { let _ = request; unreachable!() }
    /// Every known cycle, by id.
    pub fn cycles(&self) -> Vec<CycleView> { unreachable!() }
    /// One cycle.
    pub fn cycle(&self, id: &CycleId) -> Option<CycleView> { let _ = id; unreachable!() }
    /// Does what a person says to a cycle.
    pub async fn command(&self, id: &CycleId, command: CycleCommand) -> Result<CycleView, Problem> { let _ = (id, command); unreachable!() }
    /// A run by whole id, the last six or more characters of one, or `last`.
    pub fn find_run(&self, id: &str) -> Result<RunId, Problem> { let _ = id; unreachable!() }
    /// A loop, likewise.
    pub fn find_loop(&self, id: &str) -> Result<LoopId, Problem> { let _ = id; unreachable!() }
    /// A run.
    pub fn run(&self, id: RunId) -> Result<RunView, Problem> { let _ = id; unreachable!() }
    /// Runs, newest first.
    pub fn runs(&self, filter: &RunFilter, page: PageRequest) -> Result<Listing<RunView>, Problem> { let _ = (filter, page); unreachable!() }
    /// A loop.
    pub fn loop_view(&self, id: LoopId) -> Result<LoopView, Problem> { let _ = id; unreachable!() }
    /// Loops, newest first.
    pub fn loops(&self, filter: &LoopFilter, page: PageRequest) -> Result<Listing<LoopView>, Problem> { let _ = (filter, page); unreachable!() }
    /// Ends a loop at once, timers and children included.
    pub async fn stop_loop(&self, id: LoopId) -> Result<LoopView, Problem> { let _ = id; unreachable!() }
    /// The store's read side: log (`log_after`, `log_tail`), script storage, watermarks. Reads block shortly.
    pub fn store(&self) -> &Arc<dyn Store> { unreachable!() }
    /// Changes to the newest log line's `seq` after each commit.
    pub fn log_changed(&self) -> watch::Receiver<u64> { unreachable!() }
    /// Puts a value into script storage, as a person.
    pub async fn storage_set(&self, namespace: Namespace, key: String, value: Json) -> Result<(), Problem> { let _ = (namespace, key, value); unreachable!() }
    /// Removes a value from script storage, as a person.
    pub async fn storage_delete(&self, namespace: Namespace, key: String) -> Result<(), Problem> { let _ = (namespace, key); unreachable!() }
    /// Every declared connection.
    pub fn connections(&self) -> Vec<ConnectionView> { unreachable!() }
    /// A one-time URL of this server (`{service_url}/connector/start?ticket=…`) at which a browser signs the connection in.
    pub fn sign_in_url(&self, connection: &ConnectionId) -> Result<String, Problem> { let _ = connection; unreachable!() }
    /// The browser opened that URL: where to send it, and the cookie value that binds the state to it.
    pub fn sign_in_begin(&self, ticket: &str) -> Result<(String, String), Problem> { let _ = ticket; unreachable!() }
    /// The browser came back to `/connector/callback` with this query and that cookie.
    pub async fn sign_in_finish(&self, query: BTreeMap<String, String>, cookie: Option<String>) -> Result<ConnectionId, Problem> { let _ = (query, cookie); unreachable!() }
    /// Whether webhooks are taken (false while shutting down).
    pub fn is_ready(&self) -> bool { unreachable!() }
    /// Reads the cycle files again now and tells what is wrong with any (rendered diagnostics).
    pub async fn reload(&self) -> Vec<String> { unreachable!() }
    /// Stop taking, drain, close.
    pub async fn shutdown(&self) { unreachable!() }
    #[doc(hidden)]
    pub fn unused(_: LogFilter) {}
}

/// What an engine is started with.
#[derive(Debug)]
pub struct StartOptions {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// What this server's URLs begin with, without a slash at the end.
    pub service_url: String,
}

/// Starts an engine (more fields in `StartOptions` to come; the binary builds it).
pub async fn start(options: StartOptions) -> Result<Engine, StartError> { let _ = options; unreachable!() }

/// Why an engine did not start.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StartError {
    /// What is wrong and what to do.
    pub message: String,
}
