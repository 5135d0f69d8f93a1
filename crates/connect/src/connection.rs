//! A connection as requests see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::expr::Expr;
use velodrome_spec::with_secrets;
use velodrome_types::{ConnectionId, Json};

/// An installation of a connector.
///
/// The setting `hosts`, a list or a text with commas, names further hosts (`host` or `host:port`)
/// that sign-in may use and credentials may be sent to; only these may be asked without TLS.
#[derive(Clone)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Its connector.
    pub def: Arc<ConnectorDef>,
    /// Its settings, defaults filled in.
    pub settings: BTreeMap<String, Json>,
    /// OAuth's client id.
    pub client_id: Option<String>,
    /// OAuth's client secret.
    pub client_secret: Option<SecretString>,
    /// What is known only when it is used, because a secret is part of it.
    pub late: Vec<(Late, Expr)>,
}

/// A part of a connection that a secret is part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Late {
    /// A setting.
    Setting(String),
    /// OAuth's client id.
    ClientId,
    /// OAuth's client secret.
    ClientSecret,
}

/// A secret that a connection names and nobody has set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the secret `{name}` of connection `{connection}` is not set: run `velodrome secret set {name}`"
)]
pub struct SecretUnset {
    /// The connection.
    pub connection: ConnectionId,
    /// The secret.
    pub name: String,
}

impl Connection {
    /// The connection with its secrets as they are now.
    ///
    /// # Errors
    ///
    /// The first secret that is not set.
    pub fn with_secrets(
        self: &Arc<Self>,
        secret: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Arc<Self>, SecretUnset> {
        if self.late.is_empty() {
            return Ok(Arc::clone(self));
        }
        let mut whole = (**self).clone();
        for (place, expr) in &self.late {
            let value = with_secrets(expr, secret).map_err(|unset| SecretUnset {
                connection: self.id.clone(),
                name: unset.0,
            })?;
            let text = || match &value {
                Json::String(text) => text.clone(),
                other => other.to_string(),
            };
            match place {
                Late::Setting(name) => {
                    whole.settings.insert(name.clone(), value);
                }
                Late::ClientId => whole.client_id = Some(text()),
                Late::ClientSecret => whole.client_secret = Some(SecretString::from(text())),
            }
        }
        Ok(Arc::new(whole))
    }

    /// Every value of it that is never shown.
    pub fn secrets(&self) -> Vec<String> {
        let settings = self
            .settings
            .iter()
            .filter(|(name, _)| self.is_secret(name));
        let texts = settings.filter_map(|(_, value)| value.as_str().map(str::to_owned));
        let client = self.client_secret.as_ref();
        let client = client.map(|secret| secret.expose_secret().to_owned());
        texts.chain(client).collect()
    }

    /// A connection that nothing is said of but its connector: the settings are their defaults.
    pub fn with_defaults(id: ConnectionId, def: Arc<ConnectorDef>) -> Self {
        let settings = def
            .settings
            .iter()
            .filter_map(|(name, setting)| Some((name.clone(), setting.default.clone()?)))
            .collect();
        Self {
            id,
            def,
            settings,
            client_id: None,
            client_secret: None,
            late: Vec::new(),
        }
    }

    /// Whether this setting is never shown.
    pub(crate) fn is_secret(&self, setting: &str) -> bool {
        self.def
            .settings
            .get(setting)
            .is_some_and(|known| known.secret)
    }

    /// The entries of the setting `hosts`, in lower case.
    pub(crate) fn own_hosts(&self) -> Vec<String> {
        let split = |text: &str| -> Vec<String> {
            text.split(',')
                .map(|host| host.trim().to_ascii_lowercase())
                .filter(|host| !host.is_empty())
                .collect()
        };
        match self.settings.get("hosts") {
            Some(Json::String(text)) => split(text),
            Some(Json::Array(items)) => items
                .iter()
                .filter_map(Json::as_str)
                .flat_map(split)
                .collect(),
            _ => Vec::new(),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: BTreeMap<&str, String> = self
            .settings
            .iter()
            .map(|(name, value)| {
                let value = if self.is_secret(name) {
                    "…".to_owned()
                } else {
                    value.to_string()
                };
                (name.as_str(), value)
            })
            .collect();
        f.debug_struct("Connection")
            .field("id", &self.id)
            .field("connector", &self.def.name)
            .field("settings", &shown)
            .field("client_id", &self.client_id)
            .finish_non_exhaustive()
    }
}
