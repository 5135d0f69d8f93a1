//! A connector's scripts around OAuth 2.0, over sockets: what they change of the exchange, new tokens on their
//! word, and that nothing secret is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use velodrome_connect::{BUILT_IN, Connection, EgressRules};
use velodrome_runtime::api::{BodyFormat, HookRequest};
use velodrome_runtime::{Engine, StartOptions};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::{ConnectorInput, check_connector_file};
use velodrome_store::{KeyRing, LogFilter, LogRead as _, MemoryStore, SealKey, Store};
use velodrome_types::{ConnectionId, Event, LogLine, LoopId};

/// A request as it came.
#[derive(Clone, Debug)]
struct Came {
    path: String,
    head: String,
    body: String,
}

/// An API whose tokens are `token-1`, `token-2` …, of which it takes one alone; of the others it says in a body
/// of 200 that they have expired.
#[derive(Debug)]
struct Api {
    url: String,
    came: Arc<Mutex<Vec<Came>>>,
    _task: JoinSet<()>,
}

impl Api {
    async fn taking(token: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a fixture");
        let url = format!("http://{}", listener.local_addr().expect("a fixture"));
        let came = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&came);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, token, Arc::clone(&seen)));
            }
        });
        Self {
            url,
            came,
            _task: task,
        }
    }

    fn at(&self, path: &str) -> Vec<Came> {
        let came = self.came.lock().expect("a fixture");
        came.iter()
            .filter(|one| one.path == path)
            .cloned()
            .collect()
    }
}

async fn serve(mut stream: TcpStream, token: &str, came: Arc<Mutex<Vec<Came>>>) {
    let mut seen = Vec::new();
    loop {
        let head_end = loop {
            if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&part[..read]),
            }
        };
        let head = String::from_utf8_lossy(&seen[..head_end]).to_lowercase();
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while seen.len() < head_end + length {
            let mut part = [0; 4096];
            match stream.read(&mut part).await {
                Ok(0) | Err(_) => return,
                Ok(read) => seen.extend_from_slice(&part[..read]),
            }
        }
        let body = String::from_utf8_lossy(&seen[head_end..head_end + length]).into_owned();
        seen.drain(..head_end + length);
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        let answer = {
            let mut came = came.lock().expect("a fixture");
            came.push(Came {
                path: path.clone(),
                head: head.clone(),
                body,
            });
            let asked = came.iter().filter(|one| one.path == "/token").count();
            match path.as_str() {
                "/token" => json!({
                    "given": format!("token-{asked}"), "refresh_token": "refresh-hush", "expires_in": 3600,
                }),
                _ if head.contains(&format!("authorization: bearer {token}\r\n")) => {
                    json!({"ok": true})
                }
                _ => json!({"error": "expired"}),
            }
        };
        let answer = answer.to_string();
        let text = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Its script renames what the endpoint gives, as a connector has to whose API says `given`.
const SHOP: &str = "
connector: shop
settings: {url: {title: URL}, hosts: {title: Hosts, default: []}}
auth:
  type: oauth2
  grant: client_credentials
  token_url: \"${settings.url}/token\"
  scopes: read
  headers: {authorization: \"Bearer ${auth.access_token}\"}
base_url: \"${settings.url}\"
script:
  language: LANGUAGE
  code: |
    CODE
methods:
  get: {kind: request, verb: GET, path: /get}
  order: {kind: request, verb: POST, path: /order, open_body: true}
";

const RHAI: &str = r#"
fn before_oauth2_token() { method_request.audience = "shop"; method_request_headers["x-app"] = "v"; action_data.from = "token"; }
fn after_oauth2_token() { method_response.access_token = method_response.given; }
fn before_oauth2_refresh() { method_request_headers["content-type"] = "application/json"; action_data.from = "refresh"; }
fn after_oauth2_refresh() { if action_data.from == "refresh" { method_response.access_token = method_response.given; } }
fn after_action() { if method_response.error == "expired" { throw AuthRefreshException(); } }
"#;

const JAVASCRIPT: &str = r#"
function before_oauth2_token() { method_request.audience = 'shop'; method_request_headers['x-app'] = 'v'; return true; }
function after_oauth2_token() { method_response.access_token = method_response.given; return true; }
function before_oauth2_refresh() { method_request_headers['content-type'] = 'application/json'; action_data.from = 'refresh'; return true; }
function after_oauth2_refresh() { if (action_data.from === 'refresh') method_response.access_token = method_response.given; return true; }
function after_action() { if (method_response.error === 'expired') throw new AuthRefreshException(); return true; }
"#;

fn shop(language: &str, code: &str) -> String {
    let code = code.trim().replace('\n', "\n    ");
    SHOP.replace("LANGUAGE", language).replace("CODE", &code)
}

struct Rig {
    engine: Engine,
    store: Arc<MemoryStore>,
    _folder: tempfile::TempDir,
}

impl Rig {
    async fn start(api: &Api, shop: &str, step: &str) -> Self {
        let folder = tempfile::tempdir().expect("a fixture");
        let cycle = format!(
            "cycle: c\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: ask}}\n{step}"
        );
        std::fs::write(folder.path().join("c.yaml"), cycle).expect("a fixture");
        let host = ScriptHost::new(ScriptLimits::default(), Workers::threads());
        let all = BUILT_IN.iter().map(|(_, text)| *text).chain([shop]);
        let connectors = all.map(|text| {
            let (def, faults) = check_connector_file(ConnectorInput {
                path: "shop.yaml",
                text,
                analyser: &host,
                script_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
            });
            let def = def.unwrap_or_else(|| panic!("{faults:#?}"));
            (Arc::new(def), text.to_owned())
        });
        let connectors: Vec<(Arc<ConnectorDef>, String)> = connectors.collect();
        let def = connectors.iter().find(|(def, _)| def.name == "shop");
        let def = &def.expect("a fixture").0;
        let mut connection = Connection::with_defaults(ConnectionId::from("shop"), Arc::clone(def));
        let at = api.url.trim_start_matches("http://").to_owned();
        connection
            .settings
            .insert("url".into(), api.url.clone().into());
        connection.settings.insert("hosts".into(), json!([at]));
        connection.client_id = Some("client".to_owned());
        connection.client_secret = Some("client-hush".to_owned().into());
        let store = Arc::new(MemoryStore::new());
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
                allow: vec![at],
                ..EgressRules::default()
            },
            response_limit: 1 << 20,
            workers: 16,
            script_limits: Default::default(),
            script_workers: Workers::threads(),
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
            _folder: folder,
        }
    }

    /// Runs the cycle once, to its end.
    async fn play(&self) -> Vec<LogLine> {
        let request = HookRequest {
            cycle: "c".into(),
            step: None,
            resume: None,
            by_operator: false,
            format: BodyFormat::Json,
            body: "{}".into(),
            headers: Default::default(),
            query: Default::default(),
            idempotency_key: None,
        };
        let answer = self.engine.receive(request).await.expect("it is accepted");
        let id: LoopId = answer.body["loop"]
            .as_str()
            .expect("a loop")
            .parse()
            .expect("an id");
        let mut changed = self.engine.log_changed();
        let wait = async {
            while !self
                .engine
                .loop_view(id)
                .expect("it is there")
                .status
                .is_final()
            {
                // A loop ends with a log line.
                let _ = tokio::time::timeout(Duration::from_secs(1), changed.changed()).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), wait)
            .await
            .expect("the loop ends");
        let lines = self.store.log_after(0, &LogFilter::default(), 10_000);
        lines.expect("a fixture").0
    }
}

fn of(lines: &[LogLine], event: Event) -> Vec<&LogLine> {
    lines.iter().filter(|line| line.event == event).collect()
}

const GET: &str = "  ask: {use: shop.get, retry: 0}\n";

#[tokio::test]
async fn an_auth_refresh_exception_refreshes_once_and_sends_the_call_again() {
    for (language, code) in [("rhai", RHAI), ("javascript", JAVASCRIPT)] {
        let api = Api::taking("token-2").await;
        let rig = Rig::start(&api, &shop(language, code), GET).await;
        let lines = rig.play().await;
        assert_eq!(
            of(&lines, Event::RunSucceeded).len(),
            1,
            "{language}: {lines:#?}"
        );
        assert_eq!(api.at("/get").len(), 2, "{language}");
        let [first, second] = api.at("/token").try_into().expect("two exchanges");
        // What the scripts made of them.
        assert!(
            first.body.contains("grant_type=client_credentials"),
            "{first:?}"
        );
        assert!(first.body.ends_with("&audience=shop"), "{first:?}");
        assert!(first.head.contains("x-app: v\r\n"), "{first:?}");
        let sent: Value = serde_json::from_str(&second.body).expect("JSON, as its header says");
        assert_eq!(sent["grant_type"], "refresh_token");
        assert_eq!(sent["refresh_token"], "refresh-hush");
        assert!(
            second.head.contains("content-type: application/json\r\n"),
            "{second:?}"
        );
        // The tokens that were found good stay.
        assert_eq!(of(&rig.play().await, Event::RunSucceeded).len(), 2);
        assert_eq!(api.at("/token").len(), 2);
    }
}

#[tokio::test]
async fn a_second_one_fails_the_step_and_says_what_to_do() {
    let api = Api::taking("none").await;
    let rig = Rig::start(&api, &shop("rhai", RHAI), GET).await;
    let lines = rig.play().await;
    let failed = of(&lines, Event::RunFailed)[0];
    assert_eq!(
        failed.code.as_ref().map(|code| code.as_str()),
        Some("script.auth_refresh")
    );
    assert!(
        failed.message.contains("velodrome connect shop"),
        "{}",
        failed.message
    );
    // Where it was thrown.
    assert!(
        failed.message.contains("(shop.yaml:18)"),
        "{}",
        failed.message
    );
    assert_eq!((api.at("/get").len(), api.at("/token").len()), (2, 2));
}

#[tokio::test]
async fn a_request_that_was_committed_is_sent_again_as_it_was_built() {
    let code = format!(
        "{}fn before_action() {{ method_request.id = uuid(); log(\"built\"); action_data.id = method_request.id; }}\n",
        RHAI.replace(
            "fn after_action() {",
            "fn after_action() { log(action_data.id); ",
        )
    );
    let api = Api::taking("token-2").await;
    let step = "  ask: {use: shop.order, retry: 0}\n";
    let rig = Rig::start(&api, &shop("rhai", &code), step).await;
    let lines = rig.play().await;
    assert_eq!(of(&lines, Event::RunSucceeded).len(), 1, "{lines:#?}");
    let [first, second] = api.at("/order").try_into().expect("two requests");
    assert_eq!(first.body, second.body);
    let key = |came: &Came| {
        let rest = came.head.split("idempotency-key: ").nth(1);
        rest.and_then(|rest| rest.split("\r\n").next())
            .map(str::to_owned)
    };
    assert!(key(&first).is_some());
    assert_eq!(key(&first), key(&second));
    let id: Value = serde_json::from_str(&first.body).expect("JSON");
    let said: Vec<&str> = of(&lines, Event::ScriptLogged)
        .iter()
        .map(|line| line.message.as_str())
        .collect();
    let id = id["id"].as_str().expect("an id");
    assert_eq!(said, ["built", id, id]);
}

#[tokio::test]
async fn loops_that_find_out_together_refresh_once() {
    let api = Api::taking("token-2").await;
    let rig = Arc::new(Rig::start(&api, &shop("rhai", RHAI), GET).await);
    let mut all = JoinSet::new();
    for _ in 0..8 {
        let rig = Arc::clone(&rig);
        all.spawn(async move { rig.play().await });
    }
    let _ = all.join_all().await;
    let lines = rig
        .store
        .log_after(0, &LogFilter::default(), 10_000)
        .expect("a fixture")
        .0;
    assert_eq!(of(&lines, Event::RunSucceeded).len(), 8);
    assert_eq!(api.at("/token").len(), 2);
}

#[tokio::test]
async fn what_a_handler_of_the_sign_in_throws_or_logs_shows_no_secret() {
    let code = RHAI.replace(
        "fn after_oauth2_token() {",
        "fn after_oauth2_token() { log(method_response); throw `got ${method_response.given} for ${method_request.client_secret}`; ",
    );
    let api = Api::taking("token-1").await;
    let rig = Rig::start(&api, &shop("rhai", &code), GET).await;
    let lines = rig.play().await;
    let failed = of(&lines, Event::RunFailed)[0];
    assert_eq!(
        failed.code.as_ref().map(|code| code.as_str()),
        Some("script.threw")
    );
    assert!(
        failed.message.contains("got ••• for ••• (shop.yaml:15)"),
        "{}",
        failed.message
    );
    let shown = format!("{lines:?}");
    for secret in ["token-1", "client-hush", "refresh-hush"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

#[tokio::test]
async fn a_script_cannot_send_secrets_to_another_host_nor_break_a_header() {
    for (does, expect) in [
        (
            "method_endpoint = \"http://elsewhere.test/token\";",
            "auth.host_refused",
        ),
        (
            "method_request_headers[\"x\"] = \"a\\r\\nb: c\";",
            "request.bad_header",
        ),
        ("return false;", "script.aborted"),
        ("cyclr_storage_set(\"a\", 1);", "storage.no_run"),
    ] {
        let code = RHAI.replace(
            "fn before_oauth2_token() {",
            &format!("fn before_oauth2_token() {{ if true {{ {does} }}"),
        );
        let api = Api::taking("token-1").await;
        let rig = Rig::start(&api, &shop("rhai", &code), GET).await;
        let lines = rig.play().await;
        let failed = of(&lines, Event::RunFailed)[0];
        assert_eq!(
            failed.code.as_ref().map(|code| code.as_str()),
            Some(expect),
            "{}",
            failed.message
        );
        assert!(api.at("/get").is_empty());
    }
}

#[tokio::test]
async fn where_the_browser_is_sent_is_a_scripts_to_change_but_not_to_which_host() {
    let rhai = "fn before_oauth2_authorise() { method_endpoint += \"&prompt=consent\"; }";
    let javascript =
        "function before_oauth2_authorise() { method_endpoint += '&prompt=consent'; return true; }";
    let away = "fn before_oauth2_authorise() { method_endpoint = \"http://elsewhere.test/\"; }";
    let no = "fn before_oauth2_authorise() { return false; }";
    for (language, code, expect) in [
        ("rhai", rhai, Ok("&prompt=consent")),
        ("javascript", javascript, Ok("&prompt=consent")),
        ("rhai", away, Err("auth.host_refused")),
        ("rhai", no, Err("script.aborted")),
    ] {
        let api = Api::taking("token-1").await;
        let person = shop(language, code).replace(
            "grant: client_credentials",
            "authorize_url: \"${settings.url}/auth\"",
        );
        let rig = Rig::start(&api, &person, GET).await;
        let begun = rig.engine.connect(&ConnectionId::from("shop")).await;
        let link = begun.expect("the connection signs in").url;
        let link = link.expect("a person signs in");
        let ticket = link.rsplit(['/', '=']).next().expect("a link has an end");
        let begun = rig.engine.sign_in_begin(ticket).await;
        match (begun, expect) {
            (Ok((url, _)), Ok(end)) => {
                assert!(url.starts_with(&format!("{}/auth?", api.url)), "{url}");
                assert!(url.ends_with(end), "{url}");
            }
            (Err(problem), Err(code)) => assert_eq!(problem.code.as_str(), code),
            (begun, expect) => panic!("{code}: {begun:?}, not {expect:?}"),
        }
    }
}
