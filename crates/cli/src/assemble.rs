//! The one place where a store meets the engine and the engine a server.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use velodrome_connect::{BUILT_IN, Connection, EgressRules, Late};
use velodrome_runtime::{Engine, Redactor, StartError, StartOptions, read_below};
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_server::{Now, ServerOptions, SignInLinks, TokenHash};
use velodrome_spec::callers::{WebhookDefaults, is_exposed};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::expr::Expr;
use velodrome_spec::{
    Config, ConnectorInput, Unset, check_connector, check_connector_file, render, with_environment,
};
use velodrome_store::KeyRing;
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};
use velodrome_types::{ConnectionId, Json};

use crate::SCRIPT_WORKER;
use crate::config::Settings;
use crate::exit::Ended;
use crate::otel::Traces;
use crate::settings_watch;

/// What is served, once flags, environment and file are laid over each other.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    pub(crate) listen: String,
    pub(crate) service_url: Option<String>,
    pub(crate) data: PathBuf,
    pub(crate) cycles: PathBuf,
    pub(crate) strict: bool,
    /// Learns what is secret, so that nothing shows it.
    pub(crate) redactor: Redactor,
}

impl Plan {
    /// The file of the key that seals tokens.
    fn secret_key(&self) -> PathBuf {
        match &self.settings.config.secret_key {
            Some(file) => self.settings.path(file),
            None => self.data.join("secret.key"),
        }
    }
}

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) engine: Engine,
    pub(crate) at: SocketAddr,
    pub(crate) url: String,
    pub(crate) token: String,
    pub(crate) token_file: PathBuf,
    sign_in_links: SignInLinks,
    stop: CancellationToken,
    serving: JoinSet<std::io::Result<()>>,
}

/// Opens the store, starts the engine, listens.
pub(crate) async fn start(plan: Plan) -> Result<Running> {
    let config = &plan.settings.config;
    let seen = settings_watch::Seen::at_start(&plan.settings);
    if !plan.cycles.is_dir() {
        let message = format!(
            "there is no cycles folder `{}`: make it, or say `--cycles`",
            plan.cycles.display()
        );
        return Err(Ended::Invalid(message).into());
    }
    let connectors = known_connectors(&plan.settings)?;
    let connections = connections(config, &connectors)?;
    let listener = TcpListener::bind(&plan.listen).await.with_context(|| {
        format!(
            "cannot listen on `{}`: is another server running there?",
            plan.listen
        )
    })?;
    let at = listener.local_addr().context("the listening address")?;
    let url = plan
        .service_url
        .clone()
        .unwrap_or_else(|| format!("http://{}", reached_at(at)));
    let store = EmbeddedStore::open(OpenOptions::new(&plan.data))?;
    let token = velodrome_server::load_or_create_admin_token(&plan.data)
        .with_context(|| format!("the admin token in `{}`", plan.data.display()))?;
    plan.redactor.learn("token", [token.as_str()]);
    let keys = KeyRing::open(&plan.secret_key(), &store)?;
    let traces = Traces::of_environment(&plan.data)?;
    let options = StartOptions {
        store: Arc::new(store),
        keys: Arc::new(keys),
        redactor: plan.redactor.clone(),
        service_url: url.clone(),
        listen: vec![at],
        cycles: plan.cycles.clone(),
        connectors: connectors.into_values().collect(),
        connections,
        egress: egress(config)?,
        response_limit: config.response_limit,
        workers: usize::try_from(config.workers).unwrap_or(usize::MAX),
        script_limits: script_limits(config),
        script_workers: script_workers(),
        env: environment(config),
        strict: plan.strict,
        retention: config.retention,
        webhooks: webhooks(config),
        exposed: is_exposed(&at.to_string(), plan.service_url.as_deref()),
        error_webhook: error_webhook(config)?,
        traces: traces.as_ref().map(Traces::rules),
    };
    let engine = velodrome_runtime::start(options)
        .await
        .map_err(|error| match error {
            StartError::Files(rendered) => anyhow::Error::from(Ended::Invalid(rendered)),
            StartError::Connect(error) => Ended::Invalid(error.to_string()).into(),
            other => other.into(),
        })?;
    let stop = CancellationToken::new();
    let clock = engine.clone();
    let sign_in_links = SignInLinks::default();
    let options = ServerOptions {
        service_url: url.clone(),
        listen: vec![at],
        body_limit: config.body_limit,
        admin_token: TokenHash::of(&token),
        sign_in_links: sign_in_links.clone(),
        now: Now::new(move || clock.now()),
        shutdown: stop.clone(),
    };
    let router = velodrome_server::router(engine.clone(), options);
    let mut serving = JoinSet::new();
    serving.spawn(velodrome_server::serve(listener, router, stop.clone()));
    if !plan.settings.file.as_os_str().is_empty() {
        let path = plan.settings.file.clone();
        let watch = settings_watch::run(engine.clone(), plan.settings, seen, path, stop.clone());
        serving.spawn(async move {
            watch.await;
            Ok(())
        });
    }
    if let Some(traces) = traces {
        let sent = traces.send(engine.clone(), stop.clone());
        serving.spawn(async move {
            sent.await;
            Ok(())
        });
    }
    let token_file = plan.data.join(velodrome_server::ADMIN_TOKEN_FILE);
    Ok(Running {
        engine,
        at,
        url,
        token,
        token_file,
        sign_in_links,
        stop,
        serving,
    })
}

/// Where a server that listens there is reached from this machine: no request goes to `0.0.0.0`.
fn reached_at(at: SocketAddr) -> SocketAddr {
    let ip = match at.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, at.port())
}

impl Running {
    /// A link that signs a browser in to the console, once within ten minutes.
    pub(crate) fn console_link(&self) -> String {
        let admin = TokenHash::of(&self.token);
        let now = self.engine.now();
        self.sign_in_links.for_admin(&self.url, &admin, now)
    }

    /// Stop taking, drain, close.
    pub(crate) async fn shutdown(mut self) {
        self.stop.cancel();
        self.engine.shutdown().await;
        while let Some(ended) = self.serving.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::error!(%error, "the server did not close well");
            }
        }
    }
}

pub(crate) type Connectors = BTreeMap<String, (Arc<ConnectorDef>, String)>;

/// A connector and where it comes from.
#[derive(Clone, Debug)]
pub(crate) struct KnownConnector {
    pub(crate) def: Arc<ConnectorDef>,
    /// Its definition as it is written.
    text: String,
    /// The user's own file; `None` is built in.
    pub(crate) file: Option<PathBuf>,
}

/// The built-in connectors and a user's own, which come in place of built-in ones of the same name.
pub(crate) fn connector_files(settings: &Settings) -> Result<BTreeMap<String, KnownConnector>> {
    let host = ScriptHost::new(script_limits(&settings.config), script_workers());
    let mut all = BTreeMap::new();
    let mut add = |def: ConnectorDef, text: String, file: Option<PathBuf>| {
        let def = Arc::new(def);
        all.insert(def.name.clone(), KnownConnector { def, text, file });
    };
    for (name, text) in BUILT_IN {
        let (def, diagnostics) = check_connector(name, text);
        let def = def.with_context(|| render(&diagnostics, name, text))?;
        add(def, (*text).to_owned(), None);
    }
    let Some(folder) = &settings.config.connectors else {
        return Ok(all);
    };
    let folder = settings.path(folder);
    for path in own_connectors(&folder)? {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading `{shown}`"))?;
        let (def, diagnostics) = check_connector_file(ConnectorInput {
            path: &shown,
            text: &text,
            analyser: &host,
            script_file: &|file| read_below(&folder, file),
        });
        let said = render(&diagnostics, &shown, &text);
        let Some(def) = def else {
            return Err(Ended::Invalid(said.trim_end().to_owned()).into());
        };
        if !said.is_empty() {
            tracing::warn!("{shown}\n{said}");
        }
        add(def, text, Some(path));
    }
    Ok(all)
}

/// Every connector by name.
pub(crate) fn known_connectors(settings: &Settings) -> Result<Connectors> {
    let files = connector_files(settings)?.into_iter();
    Ok(files
        .map(|(name, known)| (name, (known.def, known.text)))
        .collect())
}

fn own_connectors(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(|error| {
        Ended::Invalid(format!(
            "`connectors: {}` cannot be read: {error}",
            folder.display()
        ))
    })?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .collect();
    files.sort();
    Ok(files)
}

/// The connector that a connection of `velodrome.yaml` names.
pub(crate) fn connector_of<'a>(
    connection: &str,
    connector: &str,
    connectors: &'a Connectors,
) -> Result<&'a (Arc<ConnectorDef>, String)> {
    connectors.get(connector).ok_or_else(|| {
        let known: Vec<&str> = connectors.keys().map(String::as_str).collect();
        let message = format!(
            "connection `{connection}` in velodrome.yaml: there is no connector `{connector}`; there are {}",
            known.join(", ")
        );
        Ended::Invalid(message).into()
    })
}

/// The declared connections, their settings filled in.
pub(crate) fn connections(config: &Config, connectors: &Connectors) -> Result<Vec<Connection>> {
    let env = |name: &str| std::env::var(name).ok();
    let mut all = Vec::new();
    for (id, declared) in &config.connections {
        let invalid = |message: String| {
            Ended::Invalid(format!("connection `{id}` in velodrome.yaml: {message}"))
        };
        let unset = |Unset(name)| invalid(format!("the environment has no `{name}`"));
        let (def, _) = connector_of(id, &declared.connector, connectors)?;
        let mut connection =
            Connection::with_defaults(ConnectionId::from(id.as_str()), Arc::clone(def));
        for (name, expr) in &declared.settings {
            let Some(setting) = def.settings.get(name) else {
                let known: Vec<&str> = def.settings.keys().map(String::as_str).collect();
                return Err(invalid(format!(
                    "`{}` has no setting `{name}`; it has {}",
                    def.name,
                    known.join(", ")
                ))
                .into());
            };
            let value = match with_environment(expr, &env).map_err(unset)? {
                Expr::Literal(value) => value,
                late if setting.values.is_empty() => {
                    connection.late.push((Late::Setting(name.clone()), late));
                    continue;
                }
                _ => {
                    let message = format!("setting `{name}` is one of a few: it can be no secret");
                    return Err(invalid(message).into());
                }
            };
            if !setting.values.is_empty() && !setting.values.contains(&value) {
                return Err(invalid(format!("setting `{name}` cannot be {value}")).into());
            }
            connection.settings.insert(name.clone(), value);
        }
        let known = |name: &String| {
            let late = Late::Setting(name.clone());
            connection.settings.contains_key(name)
                || connection.late.iter().any(|(place, _)| *place == late)
        };
        if let Some(missing) = def.settings.keys().find(|name| !known(name)) {
            return Err(invalid(format!("the setting `{missing}` is missing")).into());
        }
        let client = [
            (Late::ClientId, &declared.client_id),
            (Late::ClientSecret, &declared.client_secret),
        ];
        for (place, expr) in client {
            let Some(expr) = expr else { continue };
            let text = match with_environment(expr, &env).map_err(unset)? {
                Expr::Literal(Json::Null) => continue,
                Expr::Literal(Json::String(text)) => text,
                Expr::Literal(other) => other.to_string(),
                late => {
                    connection.late.push((place, late));
                    continue;
                }
            };
            match place {
                Late::ClientId => connection.client_id = Some(text),
                _ => connection.client_secret = Some(SecretString::from(text)),
            }
        }
        all.push(connection);
    }
    Ok(all)
}

/// Where requests may go.
pub(crate) fn egress(config: &Config) -> Result<EgressRules> {
    let said = &config.egress;
    let env = |name: &str| std::env::var(name).ok();
    let invalid = |what: String| Ended::Invalid(format!("`egress.proxy`: {what}"));
    let proxy = match &said.proxy {
        Some(expr) => match with_environment(expr, &env)
            .map_err(|Unset(name)| invalid(format!("the environment has no `{name}`")))?
        {
            Expr::Literal(value) => value,
            _ => {
                return Err(
                    invalid("it can be no `${secret:…}`: name a variable".to_owned()).into(),
                );
            }
        },
        None => Json::Null,
    };
    Ok(EgressRules {
        allow: said.allow.clone(),
        only: said.only.clone(),
        proxy: proxy.as_str().map(str::to_owned),
    })
}

/// The limits of one call of a script: the defaults, and what the settings say.
pub(crate) fn script_limits(config: &Config) -> ScriptLimits {
    let said = &config.script_limits;
    let usual = ScriptLimits::default();
    let count = |said: Option<u64>, usual: usize| {
        said.map_or(usual, |said| usize::try_from(said).unwrap_or(usize::MAX))
    };
    ScriptLimits {
        time: said.time.unwrap_or(usual.time),
        operations: said.operations.unwrap_or(usual.operations),
        memory: count(said.memory, usual.memory),
        depth: count(said.depth, usual.depth),
        text: count(said.text, usual.text),
        list: count(said.list, usual.list),
    }
}

/// Where JavaScript runs: in this program, started as a worker by `main`.
pub(crate) fn script_workers() -> Workers {
    // The very file that runs now, whatever an upgrade has put in its place.
    let own = Path::new("/proc/self/exe");
    let program = match std::env::current_exe() {
        Ok(named) if !own.exists() => named,
        _ => own.to_owned(),
    };
    Workers::program(program, [SCRIPT_WORKER])
}

/// What holds for webhooks that say nothing else, with the server's own environment filled in.
pub(crate) fn webhooks(config: &Config) -> WebhookDefaults {
    config.webhooks(&|name| std::env::var(name).ok())
}

/// Where failures are told of cycles that say nothing.
pub(crate) fn error_webhook(config: &Config) -> Result<Option<Expr>> {
    let Some((said, _)) = &config.error_webhook else {
        return Ok(None);
    };
    let env = |name: &str| std::env::var(name).ok();
    let settled = with_environment(said, &env).map_err(|Unset(name)| {
        Ended::Invalid(format!(
            "`error_webhook` in velodrome.yaml: the environment has no `{name}`"
        ))
    })?;
    Ok(Some(settled))
}

/// What cycles may read of the environment.
pub(crate) fn environment(config: &Config) -> HashMap<String, Option<String>> {
    config
        .env_for_cycles
        .iter()
        .map(|name| (name.clone(), std::env::var(name).ok()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_all_addresses_is_reached_on_loopback() {
        let check = |at: &str, expect: &str| {
            assert_eq!(reached_at(at.parse().unwrap()).to_string(), expect);
        };
        check("0.0.0.0:7300", "127.0.0.1:7300");
        check("[::]:7300", "[::1]:7300");
        check("192.0.2.7:80", "192.0.2.7:80");
    }
}
