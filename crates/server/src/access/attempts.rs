//! How often somebody may be wrong: a small table of failed attempts, bounded whatever comes.
//!
//! Counted for each address, an IPv6 network of 64 bits being one, and over all. Past the bound of an address it
//! waits for the minute to end; past the bound over all an address has one attempt a minute instead of ten, so that
//! a flood from everywhere keeps nobody out who is right the first time.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use velodrome_types::Timestamp;

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(60);
/// Failed attempts of one address in a window.
pub(super) const OF_ONE: u32 = 10;
/// Failed attempts of all addresses in a window.
const OF_ALL: u32 = 100;
/// Addresses that are remembered: some 200 kB. Beyond it the one that began first is forgotten.
const ADDRESSES: usize = 4_096;

/// Failed attempts.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    of_one: HashMap<IpAddr, Window>,
    of_all: Window,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Timestamp,
    failed: u32,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            began: Timestamp::from_millis(0),
            failed: 0,
        }
    }
}

impl Window {
    /// The same, or a new one where its time is over, also where the clock went back.
    fn at(self, now: Timestamp) -> Self {
        match now >= self.began && now < self.began.plus(WINDOW) {
            true => self,
            false => Self {
                began: now,
                failed: 0,
            },
        }
    }

    fn left(self, now: Timestamp) -> u64 {
        let end = self.began.plus(WINDOW).as_millis();
        let left = u64::try_from(end.saturating_sub(now.as_millis())).unwrap_or(0);
        left.div_ceil(1_000).max(1)
    }
}

/// It has been wrong too often: the seconds until it may try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany(pub(super) u64);

impl Attempts {
    /// Tries, unless the address has been wrong too often; what gives nothing is counted.
    pub(super) fn attempt<T>(
        &self,
        from: IpAddr,
        now: Timestamp,
        attempt: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, TooMany> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.admit(network(from), now)?;
        let found = attempt();
        if found.is_none() {
            table.failed(network(from), now);
        }
        Ok(found)
    }
}

impl Table {
    fn admit(&mut self, from: IpAddr, now: Timestamp) -> Result<(), TooMany> {
        self.of_all = self.of_all.at(now);
        let one = self.of_one.get(&from).copied().unwrap_or_default().at(now);
        let bound = if self.of_all.failed < OF_ALL {
            OF_ONE
        } else {
            1
        };
        match one.failed < bound {
            true => Ok(()),
            false => Err(TooMany(one.left(now))),
        }
    }

    fn failed(&mut self, from: IpAddr, now: Timestamp) {
        self.of_all.failed = self.of_all.failed.saturating_add(1);
        if self.of_one.len() >= ADDRESSES && !self.of_one.contains_key(&from) {
            self.of_one
                .retain(|_, window| now < window.began.plus(WINDOW));
            let first = self.of_one.iter().min_by_key(|(_, window)| window.began);
            if let Some(first) = first.map(|(ip, _)| *ip)
                && self.of_one.len() >= ADDRESSES
            {
                self.of_one.remove(&first);
            }
        }
        let window = self.of_one.entry(from).or_default();
        *window = window.at(now);
        window.failed = window.failed.saturating_add(1);
    }
}

/// An IPv4 address, or the network that a caller has to itself.
fn network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_767_225_600_000 + seconds * 1_000)
    }

    fn wrong(attempts: &Attempts, from: IpAddr, now: Timestamp) -> Result<(), TooMany> {
        attempts.attempt(from, now, || None::<()>).map(drop)
    }

    #[test]
    fn ten_wrong_ones_a_minute_and_then_not_even_the_right_one() {
        let attempts = Attempts::default();
        let from = ip("192.0.2.7");
        for _ in 0..OF_ONE {
            assert_eq!(wrong(&attempts, from, at(0)), Ok(()));
        }
        assert_eq!(wrong(&attempts, from, at(10)), Err(TooMany(50)));
        let right = attempts.attempt(from, at(59), || Some("in"));
        assert_eq!(right, Err(TooMany(1)));
        // Somebody else is none the worse for it.
        assert_eq!(wrong(&attempts, ip("192.0.2.8"), at(59)), Ok(()));
        assert_eq!(
            attempts.attempt(from, at(60), || Some("in")),
            Ok(Some("in"))
        );
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller() {
        let attempts = Attempts::default();
        for host in 1..=OF_ONE {
            let from = ip(&format!("2001:db8::{host:x}"));
            assert_eq!(wrong(&attempts, from, at(0)), Ok(()));
        }
        assert!(wrong(&attempts, ip("2001:db8::ffff"), at(0)).is_err());
        assert!(wrong(&attempts, ip("2001:db8:0:1::1"), at(0)).is_ok());
        assert_eq!(network(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
    }

    #[test]
    fn a_flood_from_everywhere_leaves_each_one_attempt_and_the_table_bounded() {
        let attempts = Attempts::default();
        let from = |number: u32| IpAddr::from(number.to_be_bytes());
        for number in 0..20_000 {
            assert_eq!(wrong(&attempts, from(number), at(0)), Ok(()));
        }
        assert_eq!(attempts.0.lock().unwrap().of_one.len(), ADDRESSES);
        let right = attempts.attempt(ip("198.51.100.1"), at(1), || Some("in"));
        assert_eq!(right, Ok(Some("in")));
        assert_eq!(wrong(&attempts, ip("198.51.100.1"), at(1)), Ok(()));
        assert_eq!(
            wrong(&attempts, ip("198.51.100.1"), at(2)),
            Err(TooMany(59))
        );
    }
}
