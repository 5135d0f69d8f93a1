//! An engine on a folder of its own, and a list API of so many pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use velodrome_connect::{BUILT_IN, Connection, EgressRules};
use velodrome_runtime::api::{BodyFormat, HookAnswer, HookRequest, LoopView, Problem};
use velodrome_runtime::{Engine, StartOptions};
use velodrome_spec::check_connector;
use velodrome_store::{KeyRing, LogFilter, MemoryStore, SealKey, Store, Unit};
use velodrome_types::{ConnectionId, LogLine, LoopId};

/// How long a test waits for what should come at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// A list API: `GET /list?page=n`, `more` until the last page.
pub(crate) struct FakeApi {
    pub(crate) url: String,
    pub(crate) asked: Arc<AtomicU32>,
    _task: JoinSet<()>,
}

impl FakeApi {
    pub(crate) async fn start(pages: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a fixture");
        let url = format!("http://{}", listener.local_addr().expect("a fixture"));
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, pages, Arc::clone(&counter)));
            }
        });
        Self {
            url,
            asked,
            _task: task,
        }
    }
}

async fn answer(mut stream: TcpStream, pages: u32, asked: Arc<AtomicU32>) {
    let mut seen = Vec::new();
    loop {
        let mut part = [0; 4096];
        match stream.read(&mut part).await {
            Ok(0) | Err(_) => return,
            Ok(read) => seen.extend_from_slice(&part[..read]),
        }
        while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&seen[..end]).into_owned();
            seen.drain(..end + 4);
            asked.fetch_add(1, Ordering::SeqCst);
            let page = head
                .split("page=")
                .nth(1)
                .and_then(|rest| rest.split([' ', '&']).next());
            let page: u32 = page.and_then(|page| page.parse().ok()).unwrap_or(0);
            let (status, body) = if page == 0 {
                ("400 Bad Request", r#"{"code":"NO_PAGE"}"#.to_owned())
            } else {
                let body = format!(r#"{{"data":[{{"id":"{page}"}}],"more":{}}}"#, page < pages);
                ("200 OK", body)
            };
            let length = body.len();
            let text = format!(
                "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
                 date: Mon, 23 Nov 2026 12:00:00 GMT\r\n\r\n{body}"
            );
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

const CONNECTOR: &str = r#"
connector: pages
settings:
  url: {title: URL}
base_url: "${settings.url}"
methods:
  list:
    kind: list
    verb: GET
    path: /list
    inputs: {page: {type: integer, required: true, query: page}}
    response: {records: data, fields: {more: {path: more, when_empty: false}}}
    paging: by_hand
"#;

/// The page loop over the made-up API.
pub(crate) fn page_loop(delay: &str) -> String {
    format!(
        r#"
cycle: pages
concurrency: 1
steps:
  webhook:
    use: generic_webhook.webhook
    fields: {{page: {{type: integer, required: true}}}}
    script: |
      fn after_webhook() {{ cyclr_storage_set("page", method_response.page); return true; }}
    then: list
  list:
    use: api.list
    map: {{page: "${{webhook.page}}"}}
    then: more
  more:
    use: decision
    if: {{left: "${{list.more}}", is: equals, right: "true"}}
    then: pause
  pause: {{use: delay, for: {delay}, then: next}}
  next:
    use: generic_webhook.post
    url: ${{webhook.url}}
    map: {{page: ignore}}
    script: |
      fn before_action() {{ method_request.page = cyclr_storage_get("page") + 1; return true; }}
"#
    )
}

/// An engine and what it stands on.
pub(crate) struct Fixture {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) api: FakeApi,
    _folder: TempDir,
}

impl Fixture {
    pub(crate) async fn new(pages: u32, cycles: &[(&str, String)]) -> Self {
        let api = FakeApi::start(pages).await;
        let folder = tempfile::tempdir().expect("a fixture");
        for (name, text) in cycles {
            std::fs::write(folder.path().join(name), text).expect("a fixture");
        }
        let store = Arc::new(MemoryStore::new());
        let mut connectors = Vec::new();
        for (name, text) in BUILT_IN.iter().chain(&[("pages", CONNECTOR)]) {
            let (def, diagnostics) = check_connector(name, text);
            let def = def.unwrap_or_else(|| panic!("{diagnostics:?}"));
            connectors.push((Arc::new(def), (*text).to_owned()));
        }
        let def = connectors
            .iter()
            .find(|(def, _)| def.name == "pages")
            .expect("a fixture");
        let mut connection =
            Connection::with_defaults(ConnectionId::from("api"), Arc::clone(&def.0));
        connection
            .settings
            .insert("url".into(), api.url.clone().into());
        let host = api.url.trim_start_matches("http://").to_owned();
        let engine = velodrome_runtime::start(StartOptions {
            store: Arc::clone(&store) as Arc<dyn Store>,
            keys: Arc::new(KeyRing::held(SealKey::from_bytes([7; 32]))),
            redactor: Default::default(),
            service_url: "http://127.0.0.1:1".into(),
            listen: Vec::new(),
            cycles: folder.path().to_owned(),
            connectors,
            connections: vec![connection],
            egress: EgressRules {
                allow: vec![host],
                ..EgressRules::default()
            },
            response_limit: 1 << 20,
            workers: 16,
            script_limits: Default::default(),
            script_workers: velodrome_script::Workers::threads(),
            env: Default::default(),
            strict: true,
            retention: Default::default(),
            webhooks: Default::default(),
            exposed: false,
            error_webhook: None,
            traces: None,
        })
        .await
        .expect("a fixture");
        Self {
            engine,
            store,
            api,
            _folder: folder,
        }
    }

    pub(crate) async fn post(
        &self,
        cycle: &str,
        body: &'static str,
    ) -> Result<HookAnswer, Problem> {
        let request = HookRequest {
            cycle: cycle.into(),
            step: None,
            resume: None,
            by_operator: false,
            format: BodyFormat::Json,
            body: body.into(),
            headers: Default::default(),
            query: Default::default(),
            idempotency_key: None,
        };
        self.engine.receive(request).await
    }

    /// POSTs and waits until the loop has ended.
    pub(crate) async fn run(&self, cycle: &str, body: &'static str) -> LoopView {
        let answer = self.post(cycle, body).await.expect("a fixture");
        let id: LoopId = answer.body["loop"]
            .as_str()
            .expect("a fixture")
            .parse()
            .expect("a fixture");
        self.over(id).await
    }

    pub(crate) async fn over(&self, id: LoopId) -> LoopView {
        let mut changed = self.engine.log_changed();
        let wait = async {
            loop {
                let seen = self.engine.loop_view(id).expect("a fixture");
                if seen.status.is_final() {
                    return seen;
                }
                // A loop ends with a log line.
                let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
            }
        };
        tokio::time::timeout(PATIENCE, wait)
            .await
            .expect("the loop ends")
    }

    pub(crate) fn log(&self, filter: &LogFilter) -> Vec<LogLine> {
        use velodrome_store::LogRead as _;
        self.store
            .log_after(0, filter, 10_000)
            .expect("a fixture")
            .0
    }

    /// How many commits there have been, this question's own included.
    pub(crate) async fn commits(&self) -> u64 {
        self.store
            .commit(Unit::default())
            .await
            .expect("a fixture")
            .order
    }
}
