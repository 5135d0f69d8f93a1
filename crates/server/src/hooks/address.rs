//! The address a request comes from, and whether it may call.
//!
//! ```text
//!  caller ──▶ proxy, in front ──▶ proxy, trusted ──▶ this server
//!             adds the caller      adds the front     reads from the right: trusted ones are passed
//!             to the list          to the list        over, the first other one is the caller
//! ```
//!
//! What stands further left in the list the caller may have written itself. A list that cannot be read
//! is no address, and where addresses are asked for, no address may call.

use std::net::{IpAddr, SocketAddr};

use axum::http::HeaderMap;
use velodrome_runtime::api::IpNet;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Whether the caller's address is among those allowed; all are where none is named.
pub(super) fn may_call(
    peer: Option<Peer>,
    headers: &HeaderMap,
    trusted: &[IpNet],
    allowed: &[IpNet],
) -> bool {
    allowed.is_empty()
        || peer
            .and_then(|Peer(peer)| caller(peer, headers, trusted))
            .is_some_and(|caller| is_in(allowed, caller))
}

fn is_in(nets: &[IpNet], ip: IpAddr) -> bool {
    nets.iter().any(|net| net.contains(&ip))
}

/// Where the request comes from; none where trusted proxies do not say it clearly.
pub(crate) fn caller(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let peer = peer.to_canonical();
    if !is_in(trusted, peer) {
        return Some(peer);
    }
    let plain = lists(headers, "x-forwarded-for", Some)?;
    let standard = lists(headers, "forwarded", forwarded_for)?;
    let of = |hops: &[IpAddr]| {
        let first = hops.iter().rev().find(|hop| !is_in(trusted, **hop));
        first.or(hops.first()).copied()
    };
    match (of(&plain), of(&standard)) {
        (None, None) => Some(peer),
        (Some(caller), None) | (None, Some(caller)) => Some(caller),
        // A proxy writes one of them and passes the other on as the caller wrote it: which, nobody says.
        (Some(plain), Some(standard)) => (plain == standard).then_some(plain),
    }
}

/// The addresses of a header's lists, left to right; none where one cannot be read.
fn lists<'a>(
    headers: &'a HeaderMap,
    name: &str,
    address: impl Fn(&'a str) -> Option<&'a str>,
) -> Option<Vec<IpAddr>> {
    let mut hops = Vec::new();
    for value in headers.get_all(name) {
        for item in value.to_str().ok()?.split(',') {
            hops.push(read(address(item.trim())?)?);
        }
    }
    Some(hops)
}

/// What `for=` says in an element of `Forwarded` (RFC 7239).
fn forwarded_for(element: &str) -> Option<&str> {
    let mut pairs = element.split(';').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim().eq_ignore_ascii_case("for"))?;
    let value = value.trim();
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    Some(quoted.unwrap_or(value))
}

/// An address, with a port or without, an IPv6 one in brackets or without.
fn read(text: &str) -> Option<IpAddr> {
    let bare = |text: &str| text.parse::<IpAddr>().ok();
    let ip = bare(text)
        .or_else(|| text.parse::<SocketAddr>().ok().map(|at| at.ip()))
        .or_else(|| bare(text.strip_prefix('[')?.strip_suffix(']')?))?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn seen(peer: &str, pairs: &[(&'static str, &str)]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let trusted = nets(&["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]);
        caller(peer.parse().unwrap(), &headers, &trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn the_first_from_the_right_that_no_one_trusts_is_the_caller() {
        let check = |peer: &str, list: &str, expect: Option<&str>| {
            let found = seen(peer, &[("x-forwarded-for", list)]);
            assert_eq!(found.as_deref(), expect, "{peer} {list}");
        };
        check("10.0.0.1", "203.0.113.7", Some("203.0.113.7"));
        check("10.0.0.1", "1.1.1.1, 203.0.113.7", Some("203.0.113.7"));
        check(
            "10.0.0.1",
            "1.1.1.1, 203.0.113.7, 10.9.9.9",
            Some("203.0.113.7"),
        );
        check("10.0.0.1", "203.0.113.7:4711", Some("203.0.113.7"));
        check("10.0.0.1", "::ffff:203.0.113.7", Some("203.0.113.7"));
        check("fd00::1", "2001:db8::7", Some("2001:db8::7"));
        check("fd00::1", "[2001:db8::7]:80", Some("2001:db8::7"));
        check("::ffff:10.0.0.1", "[2001:db8::7]", Some("2001:db8::7"));
        check("10.0.0.1", "10.0.0.2, 10.0.0.3", Some("10.0.0.2"));
        // Whoever is not trusted is believed nothing.
        check("198.51.100.1", "203.0.113.7", Some("198.51.100.1"));
        for unclear in [
            "",
            "unknown",
            "203.0.113.7,",
            "203.0.113.7, evil",
            "1.2.3",
            "0x7f000001",
        ] {
            check("10.0.0.1", unclear, None);
        }
    }

    #[test]
    fn the_standard_header_counts_as_well_and_two_must_agree() {
        let check = |pairs: &[(&'static str, &str)], expect: Option<&str>| {
            assert_eq!(seen("10.0.0.1", pairs).as_deref(), expect, "{pairs:?}");
        };
        check(&[], Some("10.0.0.1"));
        check(
            &[("forwarded", "for=203.0.113.7;proto=https")],
            Some("203.0.113.7"),
        );
        check(
            &[(
                "forwarded",
                "for=1.1.1.1, By=10.0.0.2; For=\"[2001:db8::7]:4711\"",
            )],
            Some("2001:db8::7"),
        );
        check(
            &[("forwarded", "for=1.1.1.1"), ("forwarded", "for=10.3.3.3")],
            Some("1.1.1.1"),
        );
        check(&[("forwarded", "for=_hidden")], None);
        check(&[("forwarded", "proto=https")], None);
        let same = ("forwarded", "for=203.0.113.7");
        check(
            &[same, ("x-forwarded-for", "203.0.113.7")],
            Some("203.0.113.7"),
        );
        check(&[same, ("x-forwarded-for", "203.0.113.8")], None);
        check(
            &[
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-for", "203.0.113.7, 10.0.0.2"),
            ],
            Some("203.0.113.7"),
        );
    }

    #[test]
    fn addresses_that_may_call_are_named_or_all() {
        let headers = HeaderMap::new();
        let check = |peer: &str, allowed: &[&str], expect: bool| {
            let peer = Peer(peer.parse().unwrap());
            let may = may_call(Some(peer), &headers, &[], &nets(allowed));
            assert_eq!(may, expect, "{peer:?} {allowed:?}");
        };
        check("203.0.113.7", &[], true);
        check("203.0.113.7", &["203.0.113.0/24"], true);
        check("::ffff:203.0.113.7", &["203.0.113.0/24"], true);
        check("203.0.113.7", &["2001:db8::/32", "203.0.113.7/32"], true);
        check("2001:db8::7", &["2001:db8::/32"], true);
        check("203.0.114.7", &["203.0.113.0/24"], false);
        check("2001:db9::7", &["2001:db8::/32", "0.0.0.0/0"], false);
        assert!(!may_call(None, &headers, &[], &nets(&["0.0.0.0/0"])));
        assert!(may_call(None, &headers, &[], &[]));
    }
}
