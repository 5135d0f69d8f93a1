//! A server that answers as a closure says and remembers what it was asked, tokens in memory, and
//! definitions built by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::Response as HttpResponse;
use secrecy::SecretString;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use velodrome_connect::{
    Connect, ConnectOptions, Connection, EgressRules, HttpRequest, News, Process, RequestError,
    Response, SendOptions, TokenFuture, TokenSet, TokenStore, TokenStoreError, Work,
};
use velodrome_spec::connector::{
    AuthDef, CallbackKept, ClientAuth, ConnectorDef, Grant, MethodDef, MethodKind, OAuth2Def,
    PagingDef, RequestDefaults, ResponseDef, SettingDef, TokenErrorAction,
};
use velodrome_spec::expr::{Expr, Piece, Reference, Root, Segment};
use velodrome_types::{ConnectionId, Json, JsonMap, Timestamp};

/// What a server was asked.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) verb: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What it answers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

pub(crate) fn reply(status: u16, body: impl Into<Vec<u8>>) -> Reply {
    Reply {
        status,
        headers: Vec::new(),
        body: body.into(),
    }
}

pub(crate) fn reply_json(status: u16, body: Json) -> Reply {
    reply(status, body.to_string())
}

impl Reply {
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// A server on loopback; ends when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(answer);
        let memory = Arc::clone(&seen);
        let app = Router::new().fallback(move |request: Request| {
            let (answer, memory) = (Arc::clone(&answer), Arc::clone(&memory));
            async move {
                let one = see(request).await;
                memory.lock().unwrap().push(one.clone());
                written(answer(&one))
            }
        });
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            at,
            seen,
            _tasks: tasks,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.at)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How often this path was asked.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.seen().iter().filter(|seen| seen.path == path).count()
    }
}

async fn see(request: Request) -> Seen {
    let (head, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20)
        .await
        .unwrap_or_default();
    Seen {
        verb: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap_or("?").to_owned()))
            .collect(),
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn written(reply: Reply) -> HttpResponse {
    let mut response = HttpResponse::builder().status(StatusCode::from_u16(reply.status).unwrap());
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(Bytes::from(reply.body))).unwrap()
}

/// Tokens in memory; counts and can be told to fail.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    pub(crate) kept: Mutex<BTreeMap<String, TokenSet>>,
    pub(crate) saves: Mutex<u32>,
    pub(crate) broken: Mutex<bool>,
}

impl Tokens {
    fn up(&self) -> Result<(), TokenStoreError> {
        match *self.broken.lock().unwrap() {
            true => Err(TokenStoreError("disk full".to_owned())),
            false => Ok(()),
        }
    }
}

impl TokenStore for Tokens {
    fn load<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, Option<TokenSet>> {
        Box::pin(async move { Ok(self.kept.lock().unwrap().get(connection.as_str()).cloned()) })
    }

    fn save<'a>(&'a self, connection: &'a ConnectionId, tokens: TokenSet) -> TokenFuture<'a, ()> {
        Box::pin(async move {
            self.up()?;
            *self.saves.lock().unwrap() += 1;
            self.kept
                .lock()
                .unwrap()
                .insert(connection.to_string(), tokens);
            Ok(())
        })
    }

    fn delete<'a>(&'a self, connection: &'a ConnectionId) -> TokenFuture<'a, ()> {
        Box::pin(async move {
            self.up()?;
            self.kept.lock().unwrap().remove(connection.as_str());
            Ok(())
        })
    }
}

/// A clock that a test moves.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Arc<watch::Sender<Timestamp>>);

impl Clock {
    fn at(start: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(start)))
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.send_modify(|now| *now = now.plus(by));
    }
}

/// The process of a test: its clock, tasks that nobody waits for, and what it heard.
#[derive(Debug)]
pub(crate) struct TestProcess {
    pub(crate) clock: Clock,
    tasks: Mutex<JoinSet<()>>,
    pub(crate) heard: Mutex<Vec<String>>,
}

impl Process for TestProcess {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn sleep_until(&self, then: Timestamp) -> Work {
        let mut now = self.clock.0.subscribe();
        Box::pin(async move {
            let _ = now.wait_for(|now| *now >= then).await;
        })
    }

    fn carry(&self, work: Work) {
        self.tasks.lock().unwrap().spawn(work);
    }

    fn heard(&self, connection: &ConnectionId, news: News) {
        let told = match news {
            News::Refreshed { until } => format!("{connection} refreshed until {until}"),
            News::Failed(error) => format!("{connection} failed {}", error.code),
        };
        self.heard.lock().unwrap().push(told);
    }
}

/// A process's `Connect` with all that it was given.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) connect: Connect,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) clock: Clock,
    pub(crate) process: Arc<TestProcess>,
}

impl Rig {
    /// Sends a request by a method that says nothing of it.
    pub(crate) async fn ask(
        &self,
        connection: &Connection,
        request: &HttpRequest,
        how: SendOptions,
    ) -> Result<Response, RequestError> {
        let method = method(&request.verb, None);
        self.connect.send(connection, &method, request, how).await
    }
}

/// A rig that may reach loopback.
pub(crate) fn rig() -> Rig {
    rig_with(options())
}

/// Loopback may be reached.
pub(crate) fn options() -> ConnectOptions {
    ConnectOptions {
        egress: EgressRules {
            allow: vec!["127.0.0.1".to_owned()],
            ..EgressRules::default()
        },
        ..ConnectOptions::default()
    }
}

pub(crate) fn rig_with(options: ConnectOptions) -> Rig {
    rig_on(options, Arc::new(Tokens::default()))
}

/// Whether a rig can be made.
pub(crate) fn rig_or_not(options: ConnectOptions) -> Result<(), String> {
    let tokens = Arc::new(Tokens::default());
    let process = rig().process;
    let made = Connect::new(options, process as _, tokens as _);
    made.map(drop).map_err(|error| error.to_string())
}

/// A rig on tokens that another has left behind.
pub(crate) fn rig_on(options: ConnectOptions, tokens: Arc<Tokens>) -> Rig {
    let noon = Timestamp::parse("2026-11-23T12:00:00Z").unwrap();
    let clock = Clock::at(noon);
    let process = Arc::new(TestProcess {
        clock: clock.clone(),
        tasks: Mutex::default(),
        heard: Mutex::default(),
    });
    let store: Arc<dyn TokenStore> = Arc::clone(&tokens) as _;
    let connect = Connect::new(options, Arc::clone(&process) as _, store).unwrap();
    Rig {
        connect,
        tokens,
        clock,
        process,
    }
}

/// `text("a${settings.b}")`: as the parser would read it; `?? "x"` gives a default.
pub(crate) fn text(source: &str) -> Expr {
    let mut pieces = Vec::new();
    let mut rest = source;
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, after) = after.split_once('}').unwrap();
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(Piece::Ref(reference(inner)));
        rest = after;
    }
    if pieces.is_empty() {
        return Expr::Literal(json!(rest));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    match pieces.as_slice() {
        [Piece::Ref(alone)] => Expr::Ref(alone.clone()),
        _ => Expr::Text(pieces),
    }
}

fn reference(inner: &str) -> Reference {
    let (path, default) = match inner.split_once(" ?? ") {
        Some((path, default)) => (path, Some(serde_json::from_str(default).unwrap())),
        None => (inner, None),
    };
    let mut parts = path.split('.');
    let root = match parts.next().unwrap() {
        "settings" => Root::Settings,
        "auth" => Root::Auth,
        "input" => Root::Input,
        other => Root::Var(other.to_owned()),
    };
    Reference {
        root,
        path: parts.map(|part| Segment::Key(part.to_owned())).collect(),
        default,
        source: format!("${{{inner}}}"),
    }
}

pub(crate) fn setting(default: Json, secret: bool) -> SettingDef {
    SettingDef {
        title: String::new(),
        default: Some(default),
        values: Vec::new(),
        secret,
    }
}

pub(crate) fn connector(auth: AuthDef, base_url: Option<&str>) -> ConnectorDef {
    ConnectorDef {
        name: "api".to_owned(),
        title: "API".to_owned(),
        docs: None,
        settings: BTreeMap::new(),
        auth,
        base_url: base_url.map(text),
        request: RequestDefaults::default(),
        error_fields: Default::default(),
        errors: Vec::new(),
        limits: Default::default(),
        methods: BTreeMap::new(),
        script: None,
        script_files: Vec::new(),
        path: String::new(),
        hash: String::new(),
    }
}

pub(crate) fn method(verb: &str, path: Option<&str>) -> MethodDef {
    MethodDef {
        name: String::new(),
        title: String::new(),
        kind: MethodKind::Request,
        verb: verb.to_owned(),
        path: path.map(text),
        request: RequestDefaults::default(),
        body: None,
        inputs: BTreeMap::new(),
        open_body: false,
        response: ResponseDef::default(),
        paging: PagingDef::None,
        incremental: None,
        errors: Vec::new(),
        limits: Default::default(),
        script: None,
        two_exits: false,
    }
}

pub(crate) fn connection(def: ConnectorDef) -> Connection {
    let mut made = Connection::with_defaults(ConnectionId::from("api"), Arc::new(def));
    made.client_id = Some("1000.CLIENT".to_owned());
    made.client_secret = Some(SecretString::from("hush-client"));
    made
}

/// A request as built for this URL.
pub(crate) fn request(verb: &str, url: &str) -> HttpRequest {
    HttpRequest {
        verb: verb.to_owned(),
        url: url.to_owned(),
        query: JsonMap::new(),
        headers: JsonMap::new(),
        body: None,
    }
}

pub(crate) fn how() -> SendOptions {
    SendOptions {
        ok: Vec::new(),
        timeout: Duration::from_secs(20),
        asker: None,
        idempotency_key: None,
        trace: None,
    }
}

/// OAuth as Zoho's, with everything at the setting `accounts_url`.
pub(crate) fn zoho_like(server: &Server) -> ConnectorDef {
    let oauth = OAuth2Def {
        grant: Grant::AuthorizationCode {
            authorize_url: text("${settings.accounts_url}/oauth/v2/auth"),
        },
        client_auth: ClientAuth::Body,
        authorize_params: vec![("access_type".to_owned(), text("offline"))],
        scopes: text("a.READ,b.READ"),
        token_url: text("${auth.accounts_server}/oauth/v2/token"),
        revoke_url: Some(text("${auth.accounts_server}/oauth/v2/token/revoke")),
        callback_keep: [
            ("accounts_server", "accounts-server"),
            ("location", "location"),
        ]
        .map(|(name, parameter)| CallbackKept {
            name: name.to_owned(),
            parameter: parameter.to_owned(),
            default: None,
        })
        .into(),
        token_keep: vec![("api_domain".to_owned(), "api_domain".to_owned())],
        hosts_allowed: vec![
            (
                "accounts_server".to_owned(),
                vec!["accounts.zoho.test".to_owned()],
            ),
            (
                "api_domain".to_owned(),
                vec![
                    "www.zohoapis.test".to_owned(),
                    "alt.zohoapis.test:8443".to_owned(),
                ],
            ),
        ],
        headers: vec![(
            "Authorization".to_owned(),
            text("Zoho-oauthtoken ${auth.access_token}"),
        )],
        refresh_before: Duration::from_secs(60),
        errors: vec![
            (
                vec!["access denied".to_owned()],
                TokenErrorAction::Wait(Duration::from_secs(600)),
            ),
            (vec!["invalid_code".to_owned()], TokenErrorAction::Reconnect),
            (vec!["invalid_client".to_owned()], TokenErrorAction::Fail),
        ],
    };
    let mut def = connector(
        AuthDef::OAuth2(Box::new(oauth)),
        Some("${auth.api_domain}/crm"),
    );
    let url = setting(json!(server.url("")), false);
    def.settings.insert("accounts_url".to_owned(), url);
    let hosts = setting(json!(server.at.to_string()), false);
    def.settings.insert("hosts".to_owned(), hosts);
    def
}

/// Tokens that a sign-in at this server would have left, good for so long.
pub(crate) fn signed_in(rig: &Rig, server: &Server, left: Duration) -> TokenSet {
    let tokens = TokenSet {
        access_token: "access-0".to_owned(),
        refresh_token: Some("refresh-0".to_owned()),
        expires_at: rig.clock.now().plus(left),
        kept: BTreeMap::from([
            ("accounts_server".to_owned(), server.url("")),
            ("api_domain".to_owned(), server.url("")),
        ]),
        scope: None,
        refused: false,
    };
    let mut kept = rig.tokens.kept.lock().unwrap();
    kept.insert("api".to_owned(), tokens.clone());
    tokens
}
