//! The first look: a URL against the rules, before anything is sent.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use url::{Host, Url};

use super::address::is_public;
use super::rules::{EgressRules, List};
use crate::error::RequestError;
use crate::options::ConnectError;

/// How a name's addresses are judged when it is resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Passage {
    /// The host and port are allowed by name: private addresses are taken.
    pub(crate) lifted: bool,
    /// Only addresses in a range of `only` are taken.
    pub(crate) within_only: bool,
}

impl Passage {
    /// A number of its own, 0 to 3.
    pub(crate) const fn index(self) -> usize {
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
}

impl Guard {
    pub(crate) fn new(rules: &EgressRules, own: &[SocketAddr]) -> Result<Self, ConnectError> {
        Ok(Self(Arc::new(Lists {
            allow: List::read("allow", &rules.allow)?,
            only: List::read("only", &rules.only)?,
            own: own.iter().map(|at| at.ip().to_canonical()).collect(),
        })))
    }

    /// Whether a request may leave for this URL, and how its name is to be resolved.
    pub(crate) fn look(&self, url: &Url) -> Result<Passage, RequestError> {
        let port = url.port_or_known_default().unwrap_or(0);
        let host = url.host_str().unwrap_or_default();
        let mut passage = Passage {
            lifted: self.0.allow.names(host, port),
            within_only: false,
        };
        if !self.0.only.is_empty() && !self.0.only.names(host, port) {
            if !self.0.only.has_nets() {
                return Err(refused(host, port, "`egress.only` does not name it"));
            }
            passage.within_only = true;
        }
        let literal = match url.host() {
            Some(Host::Ipv4(v4)) => Some(IpAddr::V4(v4)),
            Some(Host::Ipv6(v6)) => Some(IpAddr::V6(v6)),
            // Loopback whatever a resolver says (RFC 6761 §6.3).
            Some(Host::Domain(name)) if is_localhost(name) => Some(LOOPBACK),
            _ => None,
        };
        match literal {
            Some(address) if !self.takes(address, passage) => Err(refused(
                host,
                port,
                "the address is not a public one: `egress.allow` may name it",
            )),
            _ => Ok(passage),
        }
    }

    /// Whether this address may be connected to.
    pub(crate) fn takes(&self, address: IpAddr, passage: Passage) -> bool {
        let lists = &self.0;
        let public = is_public(address) && !lists.own.contains(&address.to_canonical());
        (public || passage.lifted || lists.allow.contains(address))
            && (!passage.within_only || lists.only.contains(address))
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
        };
        Guard::new(&rules, &["8.8.4.4:7300".parse().unwrap()]).unwrap()
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
        ] {
            assert!(!passes(&guard, url), "{url}");
        }
        for url in [
            "http://8.8.8.8/",
            "https://1.1.1.1/",
            "https://api.test/",
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
