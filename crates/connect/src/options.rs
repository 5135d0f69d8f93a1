//! What the process says once about every request it makes.

use std::net::SocketAddr;

use thiserror::Error;

use crate::egress::EgressRules;

/// Settings of all requests (SPEC §10).
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where requests may go.
    pub egress: EgressRules,
    /// Addresses this process listens on: they count as private, whatever their range.
    pub own_addresses: Vec<SocketAddr>,
    /// The most bytes of an answer, counted after decompression. Default 32 MiB.
    pub response_limit: u64,
    /// `{service_url}`, in front of `/connector/callback`. What it names counts as private.
    pub redirect_base: String,
    /// Requests in flight at once. Default 256.
    pub workers: usize,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            egress: EgressRules::default(),
            own_addresses: Vec::new(),
            response_limit: 32 * 1024 * 1024,
            redirect_base: "http://127.0.0.1:7300".to_owned(),
            workers: 256,
        }
    }
}

/// Why no [`crate::Connect`] can be made: a setting is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// An entry of `egress.allow` or `egress.only`.
    #[error(
        "`{entry}` in `egress.{list}` is none of `host`, `host:port` or an address range such as `10.0.0.0/8`"
    )]
    Egress {
        /// `allow` or `only`.
        list: &'static str,
        /// What was given.
        entry: String,
    },
    /// `egress.proxy` is no URL of a proxy.
    #[error("`egress.proxy` is no `http` or `https` URL of a proxy")]
    Proxy,
    /// `service_url` is no URL.
    #[error("`{url}` is no `http` or `https` URL")]
    ServiceUrl {
        /// What was given.
        url: String,
    },
}
