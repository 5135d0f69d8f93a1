//! Which addresses are this machine's own.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::OnceLock;

/// An address for documentation, which no machine has (RFC 5737).
const NOBODYS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Whether an address is one of this machine's: then, and only then, it can be bound. Asked each time, for
/// addresses come and go. Where the system lets any be bound (`ip_nonlocal_bind`) nothing can be told.
pub(super) fn has(address: IpAddr) -> bool {
    static TELLS: OnceLock<bool> = OnceLock::new();
    let can_be_bound = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    *TELLS.get_or_init(|| !can_be_bound(NOBODYS)) && can_be_bound(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_and_the_rest_of_the_internet_is_not() {
        assert!(has(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        assert!(!has("8.8.8.8".parse().unwrap()));
    }
}
