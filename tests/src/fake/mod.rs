//! APIs that answer as their documents say: paging, filters, sign-in, limits. Each is a pure function of what it holds
//! and what is asked; what goes wrong is put in front of it by the test.
//!
//! They know nothing of the engine and check what it sends: a request that the real service would refuse is refused.

mod github;
mod hubspot;
mod stripe;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use axum::Router;
use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use github::{GitHub, TOKEN as GITHUB_TOKEN};
pub use hubspot::{HubSpot, TOKEN as HUBSPOT_TOKEN};
pub use stripe::{KEY as STRIPE_KEY, Stripe};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The verb, in upper case.
    pub verb: String,
    /// The path, without its query.
    pub path: String,
    /// The query, decoded.
    pub query: BTreeMap<String, String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: String,
    /// When it came.
    pub at: Instant,
    /// What the server's URL is.
    pub base: String,
}

impl Asked {
    /// A header; empty if it is missing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.get(name).and_then(|value| value.to_str().ok());
        found.unwrap_or_default()
    }

    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a form; nothing if its type is another.
    pub fn form(&self) -> BTreeMap<String, String> {
        match self.header("content-type") {
            "application/x-www-form-urlencoded" => pairs(&self.body),
            _ => BTreeMap::new(),
        }
    }

    /// A query parameter as a number.
    fn number(&self, name: &str) -> Option<u64> {
        self.query.get(name)?.parse().ok()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Value,
}

impl Reply {
    /// This status and this body.
    pub fn new(status: u16, body: Value) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }

    /// The same with a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// An API: what it holds and how it answers.
pub trait Api: Send + 'static {
    /// The answer to a request.
    fn answer(&mut self, asked: &Asked) -> Reply;
}

/// What a server is told to answer in place of the API: at the request of this number, from 0.
type Troubles = BTreeMap<usize, Reply>;

struct Shared<A> {
    api: A,
    asked: Vec<Asked>,
    troubles: Troubles,
}

/// A server with an API behind it; it ends when this is dropped.
#[expect(missing_debug_implementations, reason = "tests show what was asked")]
pub struct Fake<A> {
    url: String,
    shared: Arc<Mutex<Shared<A>>>,
    _serving: JoinSet<()>,
}

impl<A: Api> Fake<A> {
    /// Serves an API on a loopback port of its own.
    ///
    /// # Errors
    ///
    /// If there is no port.
    pub async fn start(api: A) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .context("binding a fake API")?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Mutex::new(Shared {
            api,
            asked: Vec::new(),
            troubles: Troubles::new(),
        }));
        let (world, base) = (Arc::clone(&shared), url.clone());
        let router = Router::new().fallback(move |request: Request| {
            let (world, base) = (Arc::clone(&world), base.clone());
            async move {
                let asked = read(request, base).await;
                written(lock(&world).answer(asked))
            }
        });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            // It ends with the test, so nobody would hear why.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            url,
            shared,
            _serving: serving,
        })
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its `host:port`.
    pub fn host(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared).asked.clone()
    }

    /// The request of this number, from 0, is answered so.
    pub fn trouble(&self, at: usize, reply: Reply) {
        lock(&self.shared).troubles.insert(at, reply);
    }

    /// Looks at what the API holds, or changes it.
    pub fn with<T>(&self, act: impl FnOnce(&mut A) -> T) -> T {
        act(&mut lock(&self.shared).api)
    }
}

impl<A: Api> Shared<A> {
    fn answer(&mut self, asked: Asked) -> Reply {
        let number = self.asked.len();
        self.asked.push(asked.clone());
        match self.troubles.remove(&number) {
            Some(trouble) => trouble,
            None => self.api.answer(&asked),
        }
    }
}

fn lock<A>(shared: &Mutex<Shared<A>>) -> MutexGuard<'_, Shared<A>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn read(request: Request, base: String) -> Asked {
    let at = Instant::now();
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20)
        .await
        .unwrap_or_default();
    Asked {
        verb: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: pairs(head.uri.query().unwrap_or_default()),
        headers: head.headers,
        body: String::from_utf8_lossy(&body).into_owned(),
        at,
        base,
    }
}

fn written(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body.to_string()));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    let headers = response.headers_mut();
    for (name, value) in reply.headers {
        if let Ok(value) = value.parse() {
            headers.insert(name, value);
        }
    }
    response
}

/// `a=1&b=2`, decoded.
fn pairs(text: &str) -> BTreeMap<String, String> {
    let uri = format!("/?{text}").parse::<Uri>().ok();
    let read = uri.and_then(|uri| Query::try_from_uri(&uri).ok());
    read.map(|Query(pairs)| pairs).unwrap_or_default()
}

/// The size of a page: what was asked, or the usual one; never more than the most.
fn size(asked: Option<u64>, usual: u64, most: u64) -> u64 {
    asked.unwrap_or(usual).min(most)
}
