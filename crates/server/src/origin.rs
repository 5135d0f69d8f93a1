//! Where a request may come from: which `Host` is this server's, and whether a web page sends it.
//!
//! A page that a browser shows can send requests to a server that only its user can reach, and by
//! DNS rebinding even under a name of its own. Neither trick gets past these two looks: the first
//! shows in `Origin` or `Sec-Fetch-Site`, the second in `Host`.

use std::net::{IpAddr, SocketAddr};

use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, Uri};

/// The hosts that requests may name.
#[derive(Clone, Debug)]
pub(crate) struct KnownHosts {
    service: Option<String>,
    /// The service URL's origin, as browsers write it.
    origin: Option<String>,
    listen: Vec<IpAddr>,
}

impl KnownHosts {
    /// The service URL's host, the addresses listened on, and what is loopback.
    pub(crate) fn new(service_url: &str, listen: &[SocketAddr]) -> Self {
        let service = service_url.parse::<Uri>().ok();
        let origin = service.as_ref().and_then(origin_of);
        let service = service.as_ref().and_then(Uri::authority).map(|authority| {
            host_of(authority.as_str())
                .unwrap_or(authority.host())
                .to_ascii_lowercase()
        });
        Self {
            service,
            origin,
            listen: listen.iter().map(SocketAddr::ip).collect(),
        }
    }

    /// Whether the request names this server, by one `Host` and, if its target is absolute, by that
    /// too. A request without `Host` does not: every browser and HTTP/1.1 client sends it.
    pub(crate) fn accept(&self, headers: &HeaderMap, target: &Uri) -> bool {
        let mut hosts = headers.get_all(HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return false;
        };
        host.to_str().is_ok_and(|host| self.is_known(host))
            && target
                .authority()
                .is_none_or(|target| self.is_known(target.as_str()))
    }

    /// Whether no page of another server has a part in this: `Origin`, where it is, is the service URL's or that
    /// of the `Host` asked for, and `Sec-Fetch-Site`, where it is, says so too. Of the latter the scheme is not
    /// looked at: a proxy in front speaks it.
    pub(crate) fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        let is_own = |origin: &str| {
            let asked = ["http://", "https://"].iter().any(|scheme| {
                let authority = origin.strip_prefix(scheme);
                authority
                    .zip(host)
                    .is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
            });
            asked || self.origin.as_deref() == Some(origin)
        };
        let mut origins = headers.get_all(ORIGIN).iter();
        origins.all(|origin| origin.to_str().is_ok_and(is_own)) && !is_fetched_elsewhere(headers)
    }

    fn is_known(&self, authority: &str) -> bool {
        let Some(host) = host_of(authority) else {
            return false;
        };
        if self
            .service
            .as_deref()
            .is_some_and(|service| host.eq_ignore_ascii_case(service))
        {
            return true;
        }
        match address(host) {
            Some(ip) => ip.is_loopback() || self.listen.iter().any(|at| listens_at(*at, ip)),
            None => {
                let last = host.rsplit('.').next().unwrap_or(host);
                last.eq_ignore_ascii_case("localhost")
            }
        }
    }
}

/// As browsers write it: in lower case, without the scheme's own port.
fn origin_of(url: &Uri) -> Option<String> {
    let scheme = url.scheme_str()?.to_ascii_lowercase();
    let authority = url.authority()?.as_str().to_ascii_lowercase();
    let own_port = match scheme.as_str() {
        "https" => ":443",
        _ => ":80",
    };
    let authority = authority.strip_suffix(own_port).unwrap_or(&authority);
    Some(format!("{scheme}://{authority}"))
}

/// Where all addresses are listened on, each is one: rebinding needs a name, and an address is none.
fn listens_at(listen: IpAddr, ip: IpAddr) -> bool {
    listen.is_unspecified() || listen.to_canonical() == ip
}

fn address(host: &str) -> Option<IpAddr> {
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let ip: IpAddr = match bare {
        Some(v6) => IpAddr::V6(v6.parse().ok()?),
        None => IpAddr::V4(host.parse().ok()?),
    };
    Some(ip.to_canonical())
}

/// The host of `host[:port]`, brackets of an IPv6 address included, a root dot left out.
fn host_of(authority: &str) -> Option<&str> {
    let (host, port) = match authority.find(']') {
        Some(end) if authority.starts_with('[') => authority.split_at(end + 1),
        Some(_) => return None,
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let port_ok = match port.strip_prefix(':') {
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let host_ok = !host.is_empty() && !host.contains(['@', '/', ' ', ',']);
    (port_ok && host_ok).then_some(host)
}

/// Whether a web page sends this: it carries `Origin`, or `Sec-Fetch-Site` says that another page
/// than this server's own has a part in it.
pub(crate) fn from_web_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || is_fetched_elsewhere(headers)
}

fn is_fetched_elsewhere(headers: &HeaderMap) -> bool {
    let foreign = |value: &[u8]| !matches!(value, b"none" | b"same-origin");
    headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| foreign(site.as_bytes()))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    fn accepts(known: &KnownHosts, host: &str) -> bool {
        known.accept(&headers(&[("host", host)]), &Uri::from_static("/hooks/a"))
    }

    #[test]
    fn this_servers_names_are_accepted_and_no_others() {
        let listen = [
            "127.0.0.1:7300".parse().unwrap(),
            "10.1.2.3:7300".parse().unwrap(),
        ];
        let known = KnownHosts::new("https://Flows.Example.com:8443/base", &listen);
        for host in [
            "flows.example.com",
            "FLOWS.example.com:443",
            "flows.example.com.",
            "localhost",
            "localhost:7300",
            "LOCALHOST.:7300",
            "app.localhost:7300",
            "127.0.0.1:7300",
            "127.9.9.9",
            "[::1]:7300",
            "[::1]",
            "[::ffff:127.0.0.1]:7300",
            "10.1.2.3",
            "10.1.2.3:80",
        ] {
            assert!(accepts(&known, host), "{host} was refused");
        }
        for host in [
            "",
            ":7300",
            "evil.example",
            "example.com",
            "evil.flows.example.com",
            "flows.example.com.evil.example",
            "localhost.evil.example",
            "notlocalhost",
            "127.0.0.1.evil.example",
            "127.1",
            "2130706433",
            "0x7f000001",
            "10.1.2.4",
            "0.0.0.0",
            "192.168.0.1:7300",
            "::1",
            "[::1",
            "[::2]",
            "[::1]evil.example",
            "localhost:80:80",
            "localhost:evil",
            "localhost@evil.example",
            "evil@localhost",
            "localhost, evil.example",
        ] {
            assert!(!accepts(&known, host), "{host} was accepted");
        }
    }

    #[test]
    fn where_all_addresses_are_listened_on_each_is_accepted_but_no_name() {
        let known = KnownHosts::new("http://127.0.0.1:7300", &["0.0.0.0:7300".parse().unwrap()]);
        assert!(accepts(&known, "192.168.0.1:7300"));
        assert!(accepts(&known, "[fe80::1]:7300"));
        assert!(!accepts(&known, "evil.example"));
    }

    #[test]
    fn one_host_is_needed_and_an_absolute_target_must_agree() {
        let known = KnownHosts::new("http://127.0.0.1:7300", &[]);
        let check = |pairs: &[(&'static str, &str)], target: &str| {
            known.accept(&headers(pairs), &target.parse().unwrap())
        };
        assert!(!check(&[], "/hooks/a"));
        assert!(!check(
            &[("host", "localhost"), ("host", "localhost")],
            "/hooks/a"
        ));
        assert!(check(
            &[("host", "localhost")],
            "http://localhost:7300/hooks/a"
        ));
        assert!(!check(
            &[("host", "localhost")],
            "http://evil.example/hooks/a"
        ));
    }

    #[test]
    fn pages_of_this_server_are_told_from_all_others() {
        let known = KnownHosts::new("https://Flows.Example.com:443", &[]);
        let check = |pairs: &[(&'static str, &str)], expect: bool| {
            let mut all = vec![("host", "localhost:7300")];
            all.extend_from_slice(pairs);
            assert_eq!(known.is_own_page(&headers(&all)), expect, "{pairs:?}");
        };
        check(&[], true);
        check(&[("origin", "http://localhost:7300")], true);
        check(&[("origin", "http://LOCALHOST:7300")], true);
        check(&[("origin", "https://localhost:7300")], true);
        check(&[("origin", "https://flows.example.com")], true);
        check(&[("sec-fetch-site", "same-origin")], true);
        check(&[("sec-fetch-site", "none")], true);
        for foreign in [
            "null",
            "",
            "http://flows.example.com",
            "https://flows.example.com:8443",
            "https://flows.example.com.evil.example",
            "http://localhost",
            "http://localhost:7301",
            "http://127.0.0.1:7300",
            "ftp://localhost:7300",
            "http://evil@localhost:7300",
            "localhost:7300",
        ] {
            check(&[("origin", foreign)], false);
        }
        let own = ("origin", "http://localhost:7300");
        check(&[own, ("origin", "http://evil.example")], false);
        check(&[own, ("sec-fetch-site", "same-site")], false);
        check(&[own, ("sec-fetch-site", "cross-site")], false);
    }

    #[test]
    fn web_pages_are_known_by_their_headers() {
        for page in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:7300"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "something-new"),
        ] {
            assert!(from_web_page(&headers(&[page])), "{page:?} was no page");
        }
        for other in [
            ("sec-fetch-site", "none"),
            ("sec-fetch-site", "same-origin"),
            ("referer", "https://example.com"),
        ] {
            assert!(!from_web_page(&headers(&[other])), "{other:?} was a page");
        }
        assert!(!from_web_page(&HeaderMap::new()));
    }
}
