//! What every handler has at hand: the engine and how the server was set up.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use velodrome_runtime::Engine;
use velodrome_store::Store;
use velodrome_types::Timestamp;

use crate::access::{Keys, SignInLinks};
use crate::console::Pace;
use crate::origin::KnownHosts;
use crate::token::TokenHash;
use crate::watching::Hub;

/// The most bytes of a request's body where nothing else is set (SPEC §5).
pub const DEFAULT_BODY_LIMIT: u64 = 1024 * 1024;

/// Where the server has the time from; `since=2h` in a query counts back from it.
#[derive(Clone)]
pub struct Now(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Now {
    /// Reads the time by calling this.
    pub fn new(read: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(read))
    }

    /// The time.
    pub(crate) fn read(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now(…)")
    }
}

/// How the server is set up.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// What this server's URLs begin with, without a slash at the end. Requests may name its host.
    pub service_url: String,
    /// Where the server listens. Requests may name these addresses as their host.
    pub listen: Vec<SocketAddr>,
    /// The most bytes of a request's body.
    pub body_limit: u64,
    /// The token that the API takes.
    pub admin_token: TokenHash,
    /// The one-time links that sign a browser in.
    pub sign_in_links: SignInLinks,
    /// Where the time comes from.
    pub now: Now,
    /// Answers without an end, such as a followed log, end when this is cancelled.
    pub shutdown: CancellationToken,
}

/// The state that routes share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) engine: Engine,
    pub(crate) options: ServerOptions,
    pub(crate) hosts: KnownHosts,
    pub(crate) keys: Keys,
    /// Where those meet who watch the log.
    pub(crate) hub: Arc<Hub<dyn Store>>,
    /// What pages saw of each cycle, to tell its rate.
    pub(crate) pace: Pace,
}

impl App {
    pub(crate) fn new(engine: Engine, options: ServerOptions) -> Self {
        let hosts = KnownHosts::new(&options.service_url, &options.listen);
        let keys = Keys::new(engine.key_for("console sessions"));
        let hub = Hub::new(Arc::clone(engine.store()), engine.log_changed());
        Self {
            engine,
            options,
            hosts,
            keys,
            hub,
            pace: Pace::default(),
        }
    }
}
