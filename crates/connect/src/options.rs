//! What the process says once about every request it makes.

use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use velodrome_types::Timestamp;

use crate::egress::EgressRules;

/// The time as the process tells it. Read for token expiry, dates and waits; never for elapsed time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Settings of all requests (SPEC §10).
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where requests may go.
    pub egress: EgressRules,
    /// Addresses this process listens on: they count as private, whatever their range.
    pub own_addresses: Vec<SocketAddr>,
    /// The most bytes of an answer, counted after decompression. Default 32 MiB.
    pub response_limit: u64,
    /// `{service_url}`, in front of `/connector/callback`.
    pub redirect_base: String,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            egress: EgressRules::default(),
            own_addresses: Vec::new(),
            response_limit: 32 * 1024 * 1024,
            redirect_base: "http://127.0.0.1:7300".to_owned(),
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
    /// `service_url` is no URL.
    #[error("`{url}` is no `http` or `https` URL")]
    ServiceUrl {
        /// What was given.
        url: String,
    },
}
