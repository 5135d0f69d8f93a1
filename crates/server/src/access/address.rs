//! Which address a request comes from, as far as limits of attempts go by it.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::request::Parts;

use crate::app::App;
use crate::hooks::{Peer, caller};

/// The caller's address, by the word of trusted proxies; where that is not clear, the nearest one.
pub(super) fn address(app: &App, head: &Parts) -> IpAddr {
    let peer = head.extensions.get::<Peer>();
    let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |Peer(ip)| *ip);
    caller(peer, &head.headers, &app.engine.trusted_proxies()).unwrap_or(peer)
}
