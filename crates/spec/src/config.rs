//! `velodrome.yaml`: the settings of a server, all optional (SPEC §10).

use std::collections::BTreeMap;
use std::io;

use crate::callers::{self, WebhookAuth, WebhookDefaults};
use crate::config_value::with_environment;
use crate::cycle::{ServerWide, read_error_webhook};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Expr, FileText, Root, Segment};
use crate::format;
use crate::keys::{Faults, Keys, choice, duration, text, texts, whole};
use crate::plan::Retention;
use crate::values::{Names, file, secret, unknown, value};
use crate::yaml::{self, Node, Value};

/// A server's settings. Paths are as they are written: relative to the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What the server's URLs begin with; `None` follows `listen`.
    pub service_url: Option<String>,
    /// Where it listens.
    pub listen: String,
    /// The data folder.
    pub data: String,
    /// The cycles folder.
    pub cycles: String,
    /// The folder of a user's own connectors.
    pub connectors: Option<String>,
    /// Connections by name.
    pub connections: BTreeMap<String, ConnectionConfig>,
    /// Where requests may go.
    pub egress: EgressConfig,
    /// Bytes of a webhook's body.
    pub body_limit: u64,
    /// Bytes of an API's answer.
    pub response_limit: u64,
    /// Requests in flight at once.
    pub workers: u64,
    /// How `serve` writes its own log.
    pub log_format: LogFormat,
    /// Environment variables that cycles may read.
    pub env_for_cycles: Vec<String>,
    /// What one call of a script may use, where it is not the default.
    pub script_limits: ScriptLimitsConfig,
    /// How long finished runs are kept, for cycles that say nothing.
    pub retention: Retention,
    /// Where failed runs are told, for cycles that say nothing, and where it stands.
    pub error_webhook: Option<(Expr, Span)>,
    /// The file of the key that seals tokens; by default in the data folder.
    pub secret_key: Option<String>,
    /// The secrets that it reads, and where.
    pub secrets: Vec<(String, Span)>,
    /// What holds for webhooks that say nothing else.
    pub webhooks: WebhookDefaults,
}

/// `script_limits:`; what is not said is the default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptLimitsConfig {
    /// How long a call may take.
    pub time: Option<std::time::Duration>,
    /// Statements and expressions.
    pub operations: Option<u64>,
    /// Bytes held.
    pub memory: Option<u64>,
    /// Calls within calls.
    pub depth: Option<u64>,
    /// Bytes of a text.
    pub text: Option<u64>,
    /// Items of a list.
    pub list: Option<u64>,
}

/// A declared connection.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionConfig {
    /// Its connector.
    pub connector: String,
    /// Its settings: literals, or references alone or in a text.
    pub settings: Vec<(String, Expr)>,
    /// OAuth's client id.
    pub client_id: Option<Expr>,
    /// OAuth's client secret.
    pub client_secret: Option<Expr>,
    /// Where it stands, for messages.
    pub span: Span,
}

/// `egress:`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EgressConfig {
    /// Hosts, `host:port`s and ranges that may be reached though they are private.
    pub allow: Vec<String>,
    /// If not empty, nothing else may be reached.
    pub only: Vec<String>,
    /// The proxy that requests go through; its password may come from the environment.
    pub proxy: Option<Expr>,
}

/// `log_format:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_url: None,
            listen: "127.0.0.1:7300".to_owned(),
            data: "./data".to_owned(),
            cycles: "./cycles".to_owned(),
            connectors: None,
            connections: BTreeMap::new(),
            egress: EgressConfig::default(),
            body_limit: 1024 * 1024,
            response_limit: 32 * 1024 * 1024,
            workers: 256,
            log_format: LogFormat::Text,
            env_for_cycles: Vec::new(),
            script_limits: ScriptLimitsConfig::default(),
            retention: Retention::default(),
            error_webhook: None,
            secret_key: None,
            secrets: Vec::new(),
            webhooks: WebhookDefaults::default(),
        }
    }
}

/// Checks a `velodrome.yaml`. An empty file is all defaults. `files` reads what `${file:…}` names,
/// relative to the folder of the file.
pub fn check_config(
    source: &str,
    files: &dyn Fn(&str) -> io::Result<String>,
) -> (Option<Config>, Vec<Diagnostic>) {
    let blank = source
        .lines()
        .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
    if blank {
        return (Some(Config::default()), Vec::new());
    }
    let root = match yaml::parse(source) {
        Ok(root) => root,
        Err(diagnostics) => return (None, diagnostics),
    };
    let mut faults = Faults::default();
    let config = read(&root, files, &mut faults);
    let fatal = faults.is_fatal();
    let mut diagnostics = faults.0;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    (config.filter(|_| !fatal), diagnostics)
}

fn read(
    root: &Node,
    files: &dyn Fn(&str) -> io::Result<String>,
    faults: &mut Faults,
) -> Option<Config> {
    let mut keys = Keys::in_table(root, &format::SETTINGS, "velodrome.yaml", faults)?;
    let service_url = keys
        .get("service_url")
        .and_then(|node| text(node, "`service_url`", faults))
        .map(|url| url.trim_end_matches('/').to_owned());
    let mut config = Config {
        service_url,
        ..Config::default()
    };
    let put = |key: &'static str, place: &mut String, keys: &mut Keys<'_>, faults: &mut Faults| {
        if let Some(found) = keys
            .get(key)
            .and_then(|node| text(node, &format!("`{key}`"), faults))
        {
            *place = found;
        }
    };
    put("listen", &mut config.listen, &mut keys, faults);
    put("data", &mut config.data, &mut keys, faults);
    put("cycles", &mut config.cycles, &mut keys, faults);
    config.connectors = keys
        .get("connectors")
        .and_then(|node| text(node, "`connectors`", faults));
    if let Some(node) = keys.get("store")
        && text(node, "`store`", faults).is_some_and(|store| store != "embedded")
    {
        faults.not_yet(node.span, "a `store` other than `embedded`");
    }
    let mut names = ConfigNames {
        files,
        secrets: Vec::new(),
    };
    if let Some(node) = keys.get("connections") {
        config.connections = connections(node, &mut names, faults);
    }
    if let Some(node) = keys.get("egress") {
        config.egress = egress(node, &mut names, faults);
    }
    if let Some(found) = keys
        .get("body_limit")
        .and_then(|node| size(node, "`body_limit`", faults))
    {
        config.body_limit = found;
    }
    if let Some(found) = keys
        .get("response_limit")
        .and_then(|node| size(node, "`response_limit`", faults))
    {
        config.response_limit = found;
    }
    if let Some(found) = keys
        .get("workers")
        .and_then(|node| whole(node, "`workers`", 1, faults))
    {
        config.workers = found;
    }
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    if let Some(found) = keys
        .get("log_format")
        .and_then(|node| choice(node, "`log_format`", &formats, faults))
    {
        config.log_format = found;
    }
    if let Some(node) = keys.get("env_for_cycles") {
        config.env_for_cycles = words(node, "`env_for_cycles`", faults);
    }
    if let Some(node) = keys.get("script_limits") {
        config.script_limits = script_limits(node, faults);
    }
    config.secret_key = keys
        .get("secret_key")
        .and_then(|node| text(node, "`secret_key`", faults));
    if let Some(node) = keys.get("webhooks")
        && let Some(mut keys) = Keys::in_table(node, &format::WEBHOOKS, "`webhooks`", faults)
    {
        if let Some(node) = keys.get("auth") {
            config.webhooks.auth = callers::auth(node, &mut names, faults);
        }
        if let Some(node) = keys.get("trusted_proxies") {
            config.webhooks.trusted_proxies = callers::addresses(node, "`trusted_proxies`", faults);
        }
        keys.finish("`webhooks`", faults);
    }
    if let Some(node) = keys.get("retention") {
        config.retention = crate::cycle::retention(node, faults);
    }
    if let Some(node) = keys.get("error_webhook") {
        let url = read_error_webhook(node, &mut ServerWide(&mut names), faults);
        config.error_webhook = url.map(|url| (url, node.span));
    }
    config.secrets = names.secrets;
    keys.finish("velodrome.yaml", faults);
    Some(config)
}

fn connections(
    node: &Node,
    names: &mut ConfigNames<'_>,
    faults: &mut Faults,
) -> BTreeMap<String, ConnectionConfig> {
    let Value::Map(entries) = &node.value else {
        faults.error(
            "value.type",
            node.span,
            format!("`connections` must be a map, not {}", node.kind()),
        );
        return BTreeMap::new();
    };
    let mut connections = BTreeMap::new();
    for entry in entries {
        let what = format!("connection `{}`", entry.key);
        if let Err(error) = velodrome_types::check_name(&entry.key) {
            let message = format!("`{}` cannot name a connection: {error}", entry.key);
            faults.error("name.invalid", entry.key_span, message);
        }
        let Some(mut keys) = Keys::in_table(&entry.value, &format::CONNECTION, &what, faults)
        else {
            continue;
        };
        let connector = keys
            .need("connector", &what, faults)
            .and_then(|node| text(node, "`connector`", faults));
        let settings = match keys.get("settings").map(|node| (&node.value, node)) {
            Some((Value::Map(entries), _)) => entries
                .iter()
                .filter_map(|entry| Some((entry.key.clone(), value(&entry.value, names, faults)?)))
                .collect(),
            Some((_, node)) => {
                faults.error(
                    "value.type",
                    node.span,
                    format!("`settings` must be a map, not {}", node.kind()),
                );
                Vec::new()
            }
            None => Vec::new(),
        };
        let (mut client_id, mut client_secret) = (None, None);
        if let Some(node) = keys.get("auth")
            && let Some(mut keys) = Keys::in_table(node, &format::CONNECTION_AUTH, "`auth`", faults)
        {
            client_id = keys
                .get("client_id")
                .and_then(|node| value(node, names, faults));
            client_secret = keys
                .get("client_secret")
                .and_then(|node| value(node, names, faults));
            keys.finish("`auth`", faults);
        }
        keys.finish(&what, faults);
        if let Some(connector) = connector {
            let span = entry.key_span;
            let connection = ConnectionConfig {
                connector,
                settings,
                client_id,
                client_secret,
                span,
            };
            connections.insert(entry.key.clone(), connection);
        }
    }
    connections
}

fn egress(node: &Node, names: &mut ConfigNames<'_>, faults: &mut Faults) -> EgressConfig {
    let Some(mut keys) = Keys::in_table(node, &format::EGRESS, "`egress`", faults) else {
        return EgressConfig::default();
    };
    let mut list = |key: &'static str, keys: &mut Keys<'_>| {
        keys.get(key)
            .map_or_else(Vec::new, |node| words(node, &format!("`{key}`"), faults))
    };
    let allow = list("allow", &mut keys);
    let only = list("only", &mut keys);
    let proxy = keys
        .get("proxy")
        .and_then(|node| value(node, names, faults));
    keys.finish("`egress`", faults);
    EgressConfig { allow, only, proxy }
}

/// Texts without their places.
fn words(node: &Node, what: &str, faults: &mut Faults) -> Vec<String> {
    let found = texts(node, what, faults).into_iter();
    found.map(|(_, word)| word).collect()
}

fn script_limits(node: &Node, faults: &mut Faults) -> ScriptLimitsConfig {
    let mut limits = ScriptLimitsConfig::default();
    let Some(mut keys) = Keys::in_table(node, &format::SCRIPT_LIMITS, "`script_limits`", faults)
    else {
        return limits;
    };
    limits.time = keys
        .get("time")
        .and_then(|node| duration(node, "`time`", faults));
    let number = |key: &'static str, keys: &mut Keys<'_>, faults: &mut Faults| {
        keys.get(key)
            .and_then(|node| whole(node, &format!("`{key}`"), 1, faults))
    };
    limits.operations = number("operations", &mut keys, faults);
    limits.depth = number("depth", &mut keys, faults);
    limits.list = number("list", &mut keys, faults);
    let bytes = |key: &'static str, keys: &mut Keys<'_>, faults: &mut Faults| {
        keys.get(key)
            .and_then(|node| size(node, &format!("`{key}`"), faults))
    };
    limits.memory = bytes("memory", &mut keys, faults);
    limits.text = bytes("text", &mut keys, faults);
    keys.finish("`script_limits`", faults);
    limits
}

/// `1 MiB`, `500 kB`, `4096`.
fn size(node: &Node, what: &str, faults: &mut Faults) -> Option<u64> {
    if let Some(bytes) = node.to_json().as_u64() {
        return Some(bytes);
    }
    let written = text(node, what, faults)?;
    let digits = written.len()
        - written
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .len();
    let unit = match written[digits..].trim() {
        "B" => Some(1),
        "kB" => Some(1_000),
        "KiB" => Some(1 << 10),
        "MB" => Some(1_000_000),
        "MiB" => Some(1 << 20),
        "GB" => Some(1_000_000_000),
        "GiB" => Some(1 << 30),
        _ => None,
    };
    let bytes = written[..digits]
        .parse::<u64>()
        .ok()
        .zip(unit)
        .and_then(|(number, unit)| number.checked_mul(unit));
    if bytes.is_none() {
        let message = format!("{what} must be a size such as `1 MiB`, not `{written}`");
        faults.error("value.size", node.span, message);
    }
    bytes
}

/// What a reference in `velodrome.yaml` may begin with.
struct ConfigNames<'a> {
    files: &'a dyn Fn(&str) -> io::Result<String>,
    secrets: Vec<(String, Span)>,
}

impl Names for ConfigNames<'_> {
    fn name(&mut self, name: &str, _: &[Segment], span: Span, faults: &mut Faults) -> Option<Root> {
        unknown(
            name,
            span,
            std::iter::empty(),
            "name velodrome.yaml knows",
            faults,
        );
        None
    }

    fn kind(
        &mut self,
        kind: &str,
        argument: &str,
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        match kind {
            "env" => Some(Root::Env(argument.to_owned())),
            "secret" => {
                let name = secret(argument, span, faults)?;
                self.secrets.push((name.clone(), span));
                Some(Root::Secret(name))
            }
            "file" => {
                let text = file(argument, span, self.files, faults)?;
                let path = argument.to_owned();
                Some(Root::File(FileText { path, text }))
            }
            other => {
                unknown(
                    other,
                    span,
                    ["env", "secret", "file"].into_iter(),
                    "kind of reference",
                    faults,
                );
                None
            }
        }
    }
}

impl Config {
    /// What holds for webhooks that say nothing else, with its environment references replaced: they are
    /// the server's own, not those that cycles may read. One that is not set stays, and lets nobody pass.
    pub fn webhooks(&self, env: &dyn Fn(&str) -> Option<String>) -> WebhookDefaults {
        let mut webhooks = self.webhooks.clone();
        if let WebhookAuth::Required(auth) = &mut webhooks.auth {
            let user = match &mut auth.kind {
                callers::AuthKind::Basic { user } => Some(user),
                _ => None,
            };
            for expr in auth.secrets.iter_mut().chain(user) {
                if let Ok(settled) = with_environment(expr, env) {
                    *expr = settled;
                }
            }
        }
        webhooks
    }

    /// Whether a server that listens there and is called so must be told of each webhook who may call it.
    pub fn auth_needed(&self, listen: &str, service_url: Option<&str>) -> bool {
        self.webhooks.auth == WebhookAuth::Unsaid && callers::is_exposed(listen, service_url)
    }
}
