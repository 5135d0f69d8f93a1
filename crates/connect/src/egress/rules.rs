//! `egress: {allow, only, proxy}`: what a person permits and forbids.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::options::ConnectError;

/// The rules as they are written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct EgressRules {
    /// Private destinations that may be reached: `host`, `host:port`, `10.0.0.0/8`.
    pub allow: Vec<String>,
    /// If not empty, the only destinations that may be reached, in the same forms. Lifts no ban on
    /// private addresses: what is private must stand in `allow` too.
    pub only: Vec<String>,
    /// The proxy that requests go through, but those to what `allow` names.
    pub proxy: Option<String>,
}

impl fmt::Debug for EgressRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A proxy's URL may hold a password.
        f.debug_struct("EgressRules")
            .field("allow", &self.allow)
            .field("only", &self.only)
            .field("proxy", &self.proxy.is_some())
            .finish()
    }
}

/// One list, read.
#[derive(Clone, Debug, Default)]
pub(super) struct List {
    hosts: Vec<(String, Option<u16>)>,
    nets: Vec<IpNet>,
}

impl List {
    pub(super) fn read(list: &'static str, entries: &[String]) -> Result<Self, ConnectError> {
        let mut read = Self::default();
        for entry in entries {
            let wrong = || ConnectError::Egress {
                list,
                entry: entry.clone(),
            };
            let text = entry.trim();
            if text.contains('/') {
                read.nets.push(text.parse().map_err(|_| wrong())?);
            } else {
                read.hosts.push(host_entry(text).ok_or_else(wrong)?);
            }
        }
        Ok(read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty() && self.nets.is_empty()
    }

    pub(super) fn has_nets(&self) -> bool {
        !self.nets.is_empty()
    }

    /// Whether a name, or an address written as one, is listed with this port or with any.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        let host = plain(host);
        self.hosts
            .iter()
            .any(|(known, on)| *known == host && on.is_none_or(|on| on == port))
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.nets.iter().any(|net| net.contains(&address))
    }
}

/// `host`, `host:port`, `[::1]:port`, `::1`, with the host as the `url` crate spells it.
fn host_entry(text: &str) -> Option<(String, Option<u16>)> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some((plain(&address.to_string()), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port.parse().ok()?)),
        None => (text, None),
    };
    let parsed = url::Host::parse(host).ok()?;
    Some((plain(&parsed.to_string()), port))
}

/// Without brackets, without the root's dot, in lower case, an address in its shortest form.
pub(super) fn plain(host: &str) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let bare = bare.strip_suffix('.').unwrap_or(bare);
    match bare.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => bare.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Result<List, ConnectError> {
        let entries: Vec<String> = entries.iter().map(|entry| (*entry).to_owned()).collect();
        List::read("allow", &entries)
    }

    #[test]
    fn hosts_ports_and_ranges_are_read() {
        let list = list(&[
            "Localhost",
            "db.test:5432",
            "10.0.0.0/8",
            "127.0.0.1:7301",
            "::1",
            "[fd00::1]:80",
        ])
        .unwrap();
        assert!(list.names("localhost", 1) && list.names("localhost.", 2));
        assert!(list.names("db.test", 5432) && !list.names("db.test", 80));
        assert!(list.names("127.0.0.1", 7301) && !list.names("127.0.0.1", 7300));
        assert!(list.names("[::1]", 80) && list.names("[fd00::1]", 80));
        assert!(!list.names("[fd00::1]", 81) && !list.names("notlocalhost", 1));
        assert!(list.contains("10.1.2.3".parse().unwrap()));
        assert!(list.contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!list.contains("11.1.2.3".parse().unwrap()));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            "",
            "http://a.test",
            "10.0.0.0/33",
            "a b",
            "host:port",
            "host:99999",
            "*.a.test/",
        ] {
            assert!(list(&[bad]).is_err(), "{bad} was taken");
        }
    }
}
