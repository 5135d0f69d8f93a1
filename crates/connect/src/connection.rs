//! A connection as requests see it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use secrecy::SecretString;
use velodrome_spec::connector::ConnectorDef;
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
}

impl Connection {
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
