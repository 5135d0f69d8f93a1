//! Starting and stopping: one listener, one task.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use axum::response::Response;
use axum::routing::{any, get, post};
use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::answer::{Answer, Telling, dress};
use crate::errors::CrmError;
use crate::observe::observe;
use crate::options::SimOptions;
use crate::stats::Stats;
use crate::world::App;
use crate::{consent, crm, oauth, sim_api};

/// How long [`Sim::stop`] waits for answers under way.
const DRAIN: Duration = Duration::from_secs(5);

/// A request body's largest size: 100 records of every field are well below.
const BODY_LIMIT: usize = 4 << 20;

/// Why the simulator could not start.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on `{address}`; choose another address or port 0")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no randomness to make tokens from.
    #[error("the system gives no randomness to make tokens from")]
    Randomness,
}

/// A running simulator. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Sim {
    url: String,
    app: Arc<App>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Sim {
    /// `http://127.0.0.1:PORT`: the accounts server and the API domain in one.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it has answered so far.
    pub fn stats(&self) -> Stats {
        self.app.world().tally.stats()
    }

    /// Stops taking requests, lets those under way finish for up to five seconds, and ends.
    pub async fn stop(self) {
        let Self { stop, mut task, .. } = self;
        // An error means that the task has ended already.
        let _ = stop.send(());
        if tokio::time::timeout(DRAIN, &mut task).await.is_err() {
            task.abort();
        }
    }
}

/// Makes the contacts, opens the port and serves until stopped.
///
/// # Errors
///
/// The address cannot be listened on, or there is no randomness for tokens.
pub async fn start(options: SimOptions) -> Result<Sim, SimError> {
    let address = options.listen;
    let listening = |source| SimError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listening)?;
    let url = format!("http://{}", listener.local_addr().map_err(listening)?);
    let mut secret = [0; 64];
    getrandom::fill(&mut secret).map_err(|_| SimError::Randomness)?;
    let app = Arc::new(App::new(options, url.clone(), secret));
    let (stop, stopped) = oneshot::channel();
    let task = serve(listener, router(Arc::clone(&app)), stopped);
    Ok(Sim {
        url,
        app,
        stop,
        task,
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the simulator's one task; it knows no engine"
)]
fn serve(listener: TcpListener, router: Router, stopped: oneshot::Receiver<()>) -> JoinHandle<()> {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(async move {
        // An error means that the `Sim` was dropped, which stops as well.
        let _ = stopped.await;
    });
    tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the simulator's server ended");
        }
    })
}

fn router(app: Arc<App>) -> Router {
    let zoho = Router::new()
        .route("/oauth/v2/auth", get(consent::ask).post(consent::decide))
        .route(
            "/oauth/v2/token",
            post(oauth::token).get(oauth::token_by_get),
        )
        .route("/oauth/v2/token/revoke", post(oauth::revoke))
        .route("/oauth/serverinfo", get(oauth::server_info))
        .route("/crm/{*rest}", any(crm::handle))
        .fallback(no_such_page)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), observe));
    zoho.merge(sim_api::routes())
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(app)
}

async fn no_such_page() -> Response {
    dress(
        Answer::refusal(&CrmError::InvalidUrlPattern),
        &Telling::default(),
    )
}
