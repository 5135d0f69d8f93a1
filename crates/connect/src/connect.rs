//! What all requests of a process share: the guard, keep-alive connections, tokens in memory.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;
use velodrome_spec::connector::MethodDef;
use velodrome_types::{ConnectionId, Timestamp};

use crate::connection::Connection;
use crate::egress::{Guard, GuardedResolver, Passage};
use crate::error::RequestError;
use crate::oauth::{TokenSet, TokenState, TokenStore};
use crate::options::{Clock, ConnectError, ConnectOptions};
use crate::request::{HttpRequest, MethodCall, build};
use crate::transport::Transport;

/// How long a connection may take to come up, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections kept for each host: as many as loops usually ask one API at once.
const IDLE_PER_HOST: usize = 64;
/// Where OAuth comes back to, behind `{service_url}`.
const CALLBACK: &str = "/connector/callback";

/// Executes connector definitions. One for each process.
pub struct Connect {
    options: ConnectOptions,
    clock: Clock,
    tokens: Arc<dyn TokenStore>,
    guard: Guard,
    /// Carries requests in place of sockets, in simulations.
    transport: Option<Arc<dyn Transport>>,
    tls: OnceLock<ClientConfig>,
    /// One client for each way of judging addresses, so that a connection which one way permits is
    /// never used again under another.
    clients: [OnceLock<Result<Client, String>>; 4],
    states: Mutex<HashMap<ConnectionId, Arc<ConnectionState>>>,
}

/// What is known of one connection in this process.
#[derive(Debug, Default)]
pub(crate) struct ConnectionState {
    pub(crate) tokens: TokenState,
    slots: Mutex<Option<(u32, Arc<Semaphore>)>>,
}

/// How a request leaves.
pub(crate) enum Way<'a> {
    Socket(&'a Client),
    Carried(&'a dyn Transport),
}

impl Connect {
    /// Reads the rules. Nothing is opened or asked yet.
    pub fn new(
        options: ConnectOptions,
        clock: Clock,
        tokens: Arc<dyn TokenStore>,
    ) -> Result<Self, ConnectError> {
        let guard = Guard::new(&options.egress, &options.own_addresses)?;
        let service = Url::parse(&options.redirect_base).ok();
        if !service.is_some_and(|url| matches!(url.scheme(), "http" | "https")) {
            return Err(ConnectError::ServiceUrl {
                url: options.redirect_base,
            });
        }
        Ok(Self {
            options,
            clock,
            tokens,
            guard,
            transport: None,
            tls: OnceLock::new(),
            clients: Default::default(),
            states: Mutex::default(),
        })
    }

    /// Lets requests be carried by this in place of sockets: none is opened from here on. The guard
    /// looks at URLs as before; what it would judge by a name's addresses passes.
    #[must_use]
    pub fn carried_by(self, transport: Arc<dyn Transport>) -> Self {
        Self {
            transport: Some(transport),
            ..self
        }
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
        self.state(connection).tokens.set(None);
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub(crate) fn tokens(&self) -> &dyn TokenStore {
        &*self.tokens
    }

    pub(crate) fn response_limit(&self) -> u64 {
        self.options.response_limit
    }

    pub(crate) fn redirect_url(&self) -> String {
        let base = self.options.redirect_base.trim_end_matches('/');
        format!("{base}{CALLBACK}")
    }

    pub(crate) fn state(&self, connection: &ConnectionId) -> Arc<ConnectionState> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = states.get(connection) {
            return Arc::clone(known);
        }
        Arc::clone(states.entry(connection.clone()).or_default())
    }

    /// A place among the connection's requests under way; `None` where there is no bound.
    pub(crate) async fn slot(&self, connection: &Connection) -> Option<OwnedSemaphorePermit> {
        let bound = connection.def.concurrent?.max(1);
        let state = self.state(&connection.id);
        let slots = {
            let mut slots = state.slots.lock().unwrap_or_else(PoisonError::into_inner);
            match &*slots {
                Some((known, semaphore)) if *known == bound => Arc::clone(semaphore),
                _ => {
                    let semaphore = Arc::new(Semaphore::new(bound as usize));
                    *slots = Some((bound, Arc::clone(&semaphore)));
                    semaphore
                }
            }
        };
        slots.acquire_owned().await.ok()
    }

    /// The client to ask this URL with, if it may be asked.
    pub(crate) fn client_for(&self, url: &Url) -> Result<&Client, RequestError> {
        let passage = self.guard.look(url)?;
        self.client_of(passage)
    }

    /// The way to this URL, if it may be asked.
    pub(crate) fn way_to(&self, url: &Url) -> Result<Way<'_>, RequestError> {
        let passage = self.guard.look(url)?;
        match &self.transport {
            Some(transport) => Ok(Way::Carried(&**transport)),
            None => self.client_of(passage).map(Way::Socket),
        }
    }

    /// The way to a URL of this process's own server; no other URL is taken.
    pub(crate) fn way_home(&self, url: &Url) -> Result<Way<'_>, RequestError> {
        let home = Url::parse(&self.options.redirect_base).ok();
        if home.is_none_or(|home| home.origin() != url.origin()) {
            let message = "a hand-off goes to this server only".to_owned();
            return Err(RequestError::permanent("request.refused_address", message));
        }
        if let Some(transport) = &self.transport {
            return Ok(Way::Carried(&**transport));
        }
        let passage = Passage {
            lifted: true,
            within_only: false,
        };
        self.client_of(passage).map(Way::Socket)
    }

    pub(crate) fn is_carried(&self) -> bool {
        self.transport.is_some()
    }

    fn client_of(&self, passage: Passage) -> Result<&Client, RequestError> {
        if self.is_carried() {
            let message = "a simulation opens no socket".to_owned();
            return Err(RequestError::permanent("request.network", message));
        }
        self.clients[passage.index()]
            .get_or_init(|| self.make_client(passage).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(|why| RequestError::permanent("request.network", why.clone()))
    }

    fn make_client(&self, passage: Passage) -> Result<Client, reqwest::Error> {
        let resolver = GuardedResolver {
            guard: self.guard.clone(),
            passage,
        };
        Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .user_agent(concat!("Velodrome/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(resolver)
            .tls_backend_preconfigured(self.tls.get_or_init(tls).clone())
            .build()
    }
}

/// TLS with the certificates of the system. Without any, only TLS fails, and says so.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        tracing::warn!("the system has no root certificates: no `https` request can succeed");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has suites for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
