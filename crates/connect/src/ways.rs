//! The ways out of the process: which client a URL is asked with, once the guard has looked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::Client;
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use crate::egress::{Guard, GuardedResolver, Lookup, Passage};
use crate::error::RequestError;
use crate::transport::Transport;

/// How long a connection may take to come up, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Idle connections kept for each host: as many as loops usually ask one API at once.
const IDLE_PER_HOST: usize = 64;

/// How a request leaves.
pub(crate) enum Way<'a> {
    Socket(&'a Client),
    Carried(&'a dyn Transport),
}

/// The ways out.
pub(crate) struct Ways {
    guard: Guard,
    service: Url,
    lookup: Arc<dyn Lookup>,
    /// Carries requests in place of sockets, in simulations.
    transport: Option<Arc<dyn Transport>>,
    tls: OnceLock<ClientConfig>,
    /// One client for each way of judging addresses, so that a connection which one way permits is
    /// never used again under another.
    clients: [OnceLock<Result<Client, String>>; Passage::COUNT],
}

impl Ways {
    pub(crate) fn new(guard: Guard, service: Url, lookup: Arc<dyn Lookup>) -> Self {
        Self {
            guard,
            service,
            lookup,
            transport: None,
            tls: OnceLock::new(),
            clients: Default::default(),
        }
    }

    pub(crate) fn carried_by(&mut self, transport: Arc<dyn Transport>) {
        self.transport = Some(transport);
    }

    pub(crate) fn looking_up_by(&mut self, lookup: Arc<dyn Lookup>) {
        self.lookup = lookup;
    }

    pub(crate) fn is_carried(&self) -> bool {
        self.transport.is_some()
    }

    /// The way to this URL, if it may be asked.
    pub(crate) async fn to(&self, url: &Url) -> Result<Way<'_>, RequestError> {
        let passage = self.guard.look(url)?;
        if let Some(transport) = &self.transport {
            return Ok(Way::Carried(&**transport));
        }
        let passage = self.guard.route(url, passage, &*self.lookup).await?;
        self.client_of(passage).map(Way::Socket)
    }

    /// The client to ask this URL with, if it may be asked; in a simulation there is none.
    pub(crate) async fn client_for(&self, url: &Url) -> Result<&Client, RequestError> {
        match self.to(url).await? {
            Way::Socket(client) => Ok(client),
            Way::Carried(_) => {
                let message = "a simulation opens no socket".to_owned();
                Err(RequestError::permanent("request.network", message))
            }
        }
    }

    /// The way to a URL of this process's own server; no other URL is taken.
    pub(crate) fn home(&self, url: &Url) -> Result<Way<'_>, RequestError> {
        if self.service.origin() != url.origin() {
            let message = "a hand-off goes to this server only".to_owned();
            return Err(RequestError::permanent("request.refused_address", message));
        }
        if let Some(transport) = &self.transport {
            return Ok(Way::Carried(&**transport));
        }
        self.client_of(Passage::HOME).map(Way::Socket)
    }

    fn client_of(&self, passage: Passage) -> Result<&Client, RequestError> {
        self.clients[passage.index()]
            .get_or_init(|| self.make_client(passage).map_err(|error| error.to_string()))
            .as_ref()
            .map_err(|why| RequestError::permanent("request.network", why.clone()))
    }

    fn make_client(&self, passage: Passage) -> Result<Client, reqwest::Error> {
        let resolver = GuardedResolver {
            guard: self.guard.clone(),
            passage,
            lookup: Arc::clone(&self.lookup),
        };
        // The environment's proxies are nobody's word: only the settings name one.
        let mut builder = Client::builder().no_proxy();
        if let Some(proxy) = self.guard.proxy().filter(|_| passage.proxied) {
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone())?);
        }
        builder
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
