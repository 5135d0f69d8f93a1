//! The first look: a URL against the rules, before anything is sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use url::{Host, Url};

use super::address::is_public;
use super::machine;
use super::resolve::Lookup;
use super::rules::{EgressRules, List, plain};
use crate::error::RequestError;
use crate::options::ConnectError;

/// How a name's addresses are judged when it is resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Passage {
    /// The host and port are allowed by name: private addresses are taken.
    pub(crate) lifted: bool,
    /// Only addresses in a range of `only` are taken.
    pub(crate) within_only: bool,
    /// It goes through the proxy: the one name that is resolved is the proxy's.
    pub(crate) proxied: bool,
}

impl Passage {
    /// How many there are.
    pub(crate) const COUNT: usize = 5;

    /// To this process's own server.
    pub(crate) const HOME: Self = Self {
        lifted: true,
        within_only: false,
        proxied: false,
    };

    /// Through the proxy.
    const PROXY: Self = Self {
        proxied: true,
        ..Self::HOME
    };

    /// A number of its own.
    pub(crate) const fn index(self) -> usize {
        if self.proxied {
            return Self::COUNT - 1;
        }
        (self.lifted as usize) * 2 + self.within_only as usize
    }
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The rules, read once.
#[derive(Clone, Debug)]
pub(crate) struct Guard(Arc<Lists>);

#[derive(Debug)]
struct Lists {
    allow: List,
    only: List,
    own: Vec<IpAddr>,
    /// This process listens on every address that the machine has.
    owns_all: bool,
    /// Host and port of `service_url`: this server, whatever stands before it.
    service: (String, u16),
    proxy: Option<Proxy>,
}

struct Proxy(Url);

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Its URL may hold a password.
        f.write_str("Proxy")
    }
}

impl Guard {
    pub(crate) fn new(
        rules: &EgressRules,
        own: &[SocketAddr],
        service: &Url,
    ) -> Result<Self, ConnectError> {
        let proxy = rules.proxy.as_deref().map(|text| {
            let url = Url::parse(text.trim()).map_err(|_| ConnectError::Proxy)?;
            match matches!(url.scheme(), "http" | "https") && url.has_host() {
                true => Ok(Proxy(url)),
                false => Err(ConnectError::Proxy),
            }
        });
        Ok(Self(Arc::new(Lists {
            allow: List::read("allow", &rules.allow)?,
            only: List::read("only", &rules.only)?,
            own: own.iter().map(|at| at.ip().to_canonical()).collect(),
            owns_all: own.iter().any(|at| at.ip().is_unspecified()),
            service: (
                plain(service.host_str().unwrap_or_default()),
                service.port_or_known_default().unwrap_or(0),
            ),
            proxy: proxy.transpose()?,
        })))
    }

    /// The proxy, if there is one.
    pub(crate) fn proxy(&self) -> Option<&Url> {
        self.0.proxy.as_ref().map(|proxy| &proxy.0)
    }

    /// Whether a request may leave for this URL, and how its name is to be resolved.
    pub(crate) fn look(&self, url: &Url) -> Result<Passage, RequestError> {
        let port = url.port_or_known_default().unwrap_or(0);
        let host = url.host_str().unwrap_or_default();
        let mut passage = Passage {
            lifted: self.0.allow.names(host, port),
            ..Passage::default()
        };
        if !self.0.only.is_empty() && !self.0.only.names(host, port) {
            if !self.0.only.has_nets() {
                return Err(refused(host, port, "`egress.only` does not name it"));
            }
            passage.within_only = true;
        }
        let (own, own_port) = &self.0.service;
        if !passage.lifted && *own_port == port && *own == plain(host) {
            return Err(refused(
                host,
                port,
                "it is this server itself: `egress.allow` may name it",
            ));
        }
        match literal(url) {
            Some(address) if !self.takes(address, passage) => Err(refused(
                host,
                port,
                "the address is not a public one: `egress.allow` may name it",
            )),
            _ => Ok(passage),
        }
    }

    /// Where there is a proxy: whether this request goes through it. What `allow` names, by name or by
    /// address, is reached directly.
    pub(crate) async fn route(
        &self,
        url: &Url,
        passage: Passage,
        lookup: &dyn Lookup,
    ) -> Result<Passage, RequestError> {
        if self.0.proxy.is_none() || passage.lifted {
            return Ok(passage);
        }
        if let Some(address) = literal(url) {
            let direct = self.0.allow.contains(address);
            return Ok(if direct { passage } else { Passage::PROXY });
        }
        let host = url.host_str().unwrap_or_default();
        let port = url.port_or_known_default().unwrap_or(0);
        // A machine behind a proxy can often resolve nothing; what it can is judged.
        let found = lookup.look_up(host).await.unwrap_or_default();
        if found.iter().any(|address| self.0.allow.contains(*address)) {
            return Ok(passage);
        }
        if !found.iter().all(|address| self.takes(*address, passage)) {
            return Err(refused(
                host,
                port,
                "one of its addresses is not a public one: `egress.allow` may name it",
            ));
        }
        if found.is_empty() && passage.within_only {
            let why = "it cannot be told whether it is in a range of `egress.only`";
            return Err(refused(host, port, why));
        }
        Ok(Passage::PROXY)
    }

    /// Whether this address may be connected to.
    pub(crate) fn takes(&self, address: IpAddr, passage: Passage) -> bool {
        let lists = &self.0;
        let address = address.to_canonical();
        let public = || {
            is_public(address)
                && !lists.own.contains(&address)
                && !(lists.owns_all && machine::has(address))
        };
        (passage.lifted || lists.allow.contains(address) || public())
            && (!passage.within_only || lists.only.contains(address))
    }
}

/// The address that a URL's host is, if it is one.
fn literal(url: &Url) -> Option<IpAddr> {
    match url.host() {
        Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
        Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
        // Loopback whatever a resolver says (RFC 6761 §6.3).
        Some(Host::Domain(name)) if is_localhost(name) => Some(LOOPBACK),
        _ => None,
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    name == "localhost" || name.ends_with(".localhost")
}

fn refused(host: &str, port: u16, why: &str) -> RequestError {
    RequestError::permanent(
        "request.refused_address",
        format!("`{host}:{port}` may not be reached: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(allow: &[&str], only: &[&str]) -> Guard {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let rules = EgressRules {
            allow: texts(allow),
            only: texts(only),
            proxy: None,
        };
        let service = Url::parse("https://flows.test").unwrap();
        Guard::new(&rules, &["8.8.4.4:7300".parse().unwrap()], &service).unwrap()
    }

    fn passes(guard: &Guard, url: &str) -> bool {
        guard.look(&Url::parse(url).unwrap()).is_ok()
    }

    #[test]
    fn private_literals_in_every_spelling_are_refused() {
        let guard = guard(&[], &[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://127.0.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://0x7f.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://00000000/",
            "http://①②⑦.⓪.⓪.①/",
            "http://127。0。0。1/",
            "http://%31%32%37.0.0.1/",
            "http://10.0.0.1:8080/",
            "http://192.168.1.1/",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "http://169.254.169.254/latest/meta-data",
            "http://169.254.43518/",
            "http://[::1]/",
            "http://[::]/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://[::ffff:a9fe:a9fe]/",
            "http://100.64.0.1/",
            "http://8.8.4.4/",
            "http://8.8.4.4:80/",
            "http://[::ffff:8.8.4.4]/",
            "https://flows.test/hooks/a",
            "https://FLOWS.test.:443/hooks/a",
        ] {
            assert!(!passes(&guard, url), "{url}");
        }
        for url in [
            "http://8.8.8.8/",
            "https://1.1.1.1/",
            "https://api.test/",
            "http://flows.test/",
            "http://[2606:4700::1111]/",
        ] {
            assert!(passes(&guard, url), "{url}");
        }
    }

    #[test]
    fn an_allowed_host_and_port_is_only_that() {
        let guard = guard(&["127.0.0.1:7301", "localhost:7301", "10.0.0.0/8"], &[]);
        let look = |url: &str| guard.look(&Url::parse(url).unwrap());
        assert!(look("http://127.0.0.1:7301/").unwrap().lifted);
        assert!(look("http://0x7f.1:7301/").unwrap().lifted);
        assert!(look("http://127.0.0.1:7300/").is_err());
        assert!(look("http://localhost:7301/").unwrap().lifted);
        assert!(look("http://localhost:7300/").is_err());
        assert!(look("http://a.localhost.:7301/").is_err());
        assert!(!look("http://localhost.evil.test:7301/").unwrap().lifted);
        assert!(look("http://10.9.8.7/").is_ok());
        assert!(look("http://11.9.8.7/").is_ok() && look("http://172.16.0.1/").is_err());
    }

    #[test]
    fn only_shuts_the_rest_out_and_lifts_nothing() {
        let guard = guard(
            &["127.0.0.1"],
            &["api.test:443", "8.8.8.0/24", "127.0.0.1:80"],
        );
        assert!(passes(&guard, "https://api.test/"));
        assert!(passes(&guard, "http://8.8.8.8/"));
        assert!(passes(&guard, "http://127.0.0.1/"));
        assert!(!passes(&guard, "http://127.0.0.1:81/"));
        assert!(!passes(&guard, "http://1.1.1.1/"));
        let look = |url: &str| guard.look(&Url::parse(url).unwrap());
        assert!(!look("https://api.test/").unwrap().within_only);
        assert!(look("https://other.test/").unwrap().within_only);
        let names = self::guard(&[], &["api.test"]);
        assert!(!passes(&names, "https://other.test/"));
        assert!(!passes(&names, "https://api.test.evil.test/"));
    }
}
