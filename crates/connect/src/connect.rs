//! What all requests of a process share: the guard, keep-alive connections, turns, tokens in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use url::Url;
use velodrome_spec::connector::MethodDef;
use velodrome_types::{ConnectionId, Timestamp};

use crate::connection::Connection;
use crate::egress::{Guard, Lookup, SystemLookup};
use crate::error::RequestError;
use crate::oauth::{SignInHooks, TokenSet, TokenState, TokenStore};
use crate::options::{ConnectError, ConnectOptions};
use crate::process::Process;
use crate::request::{HttpRequest, MethodCall, build};
use crate::transport::Transport;
use crate::turns::Turns;
use crate::ways::Ways;

/// Where OAuth comes back to, behind `{service_url}`.
const CALLBACK: &str = "/connector/callback";

/// Executes connector definitions. One for each process; cheap to clone.
#[derive(Clone)]
pub struct Connect(Arc<Parts>);

struct Parts {
    options: ConnectOptions,
    process: Arc<dyn Process>,
    tokens: Arc<dyn TokenStore>,
    hooks: Option<Arc<dyn SignInHooks>>,
    ways: Ways,
    turns: Turns,
    states: Mutex<HashMap<ConnectionId, Arc<TokenState>>>,
}

impl Connect {
    /// Reads the rules. Nothing is opened or asked yet.
    pub fn new(
        options: ConnectOptions,
        process: Arc<dyn Process>,
        tokens: Arc<dyn TokenStore>,
    ) -> Result<Self, ConnectError> {
        let service = Url::parse(&options.redirect_base)
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(service) = service else {
            return Err(ConnectError::ServiceUrl {
                url: options.redirect_base,
            });
        };
        let guard = Guard::new(&options.egress, &options.own_addresses, &service)?;
        Ok(Self(Arc::new(Parts {
            ways: Ways::new(guard, service, Arc::new(SystemLookup)),
            turns: Turns::new(options.workers, Arc::clone(&process)),
            options,
            process,
            tokens,
            hooks: None,
            states: Mutex::default(),
        })))
    }

    /// Lets requests be carried by this in place of sockets: none is opened from here on. The guard
    /// looks at URLs as before; what it would judge by a name's addresses passes.
    ///
    /// # Panics
    ///
    /// After it was cloned.
    #[must_use]
    pub fn carried_by(mut self, transport: Arc<dyn Transport>) -> Self {
        self.still_alone().ways.carried_by(transport);
        self
    }

    /// Lets a connector's scripts take part in its sign-in.
    ///
    /// # Panics
    ///
    /// After it was cloned.
    #[must_use]
    pub fn hooked_by(mut self, hooks: Arc<dyn SignInHooks>) -> Self {
        self.still_alone().hooks = Some(hooks);
        self
    }

    /// Lets names be looked up by this in place of the system's resolver.
    ///
    /// # Panics
    ///
    /// After it was cloned.
    #[must_use]
    pub fn looking_up_by(mut self, lookup: Arc<dyn Lookup>) -> Self {
        self.still_alone().ways.looking_up_by(lookup);
        self
    }

    fn still_alone(&mut self) -> &mut Parts {
        Arc::get_mut(&mut self.0).expect("set up before it is shared")
    }

    /// Builds a request: pure, and without credentials. `auth` gives what sign-in kept.
    ///
    /// Errors are permanent: `auth.needs_connection`, `request.missing_input`,
    /// `request.unknown_input`, `request.input_type`, `request.missing_url`, `request.bad_url`,
    /// `request.bad_header`, `reference.null_in_text`, `connector.*`.
    pub fn build(
        &self,
        connection: &Connection,
        auth: Option<&TokenSet>,
        method: &MethodDef,
        call: MethodCall,
    ) -> Result<HttpRequest, RequestError> {
        build(connection, auth, method, call)
    }

    /// Forgets what memory holds of a connection's tokens; the next request asks the store.
    pub fn forget(&self, connection: &ConnectionId) {
        self.token_state(connection).set(None);
    }

    /// How many requests wait for their turn.
    pub fn queued(&self) -> usize {
        self.turns().waiting()
    }

    /// Sends back whoever waits for a turn, and takes no further request: the process ends. What is under
    /// way goes on.
    pub fn close(&self) {
        self.0.turns.close();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.process.now()
    }

    pub(crate) fn process(&self) -> &dyn Process {
        &*self.0.process
    }

    pub(crate) fn tokens(&self) -> &dyn TokenStore {
        &*self.0.tokens
    }

    pub(crate) fn hooks(&self) -> Option<&dyn SignInHooks> {
        self.0.hooks.as_deref()
    }

    pub(crate) fn turns(&self) -> &Turns {
        &self.0.turns
    }

    pub(crate) fn ways(&self) -> &Ways {
        &self.0.ways
    }

    pub(crate) fn response_limit(&self) -> u64 {
        self.0.options.response_limit
    }

    pub(crate) fn redirect_url(&self) -> String {
        let base = self.0.options.redirect_base.trim_end_matches('/');
        format!("{base}{CALLBACK}")
    }

    pub(crate) fn token_state(&self, connection: &ConnectionId) -> Arc<TokenState> {
        let mut states = self.0.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = states.get(connection) {
            return Arc::clone(known);
        }
        Arc::clone(states.entry(connection.clone()).or_default())
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("options", &self.0.options)
            .finish_non_exhaustive()
    }
}
