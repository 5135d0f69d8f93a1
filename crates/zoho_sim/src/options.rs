//! What the simulator is started with.

use std::net::{Ipv4Addr, SocketAddr};

use jiff::tz::{Offset, TimeZone};

use crate::clock::ClockStart;

/// What the simulator is started with. [`Default`] is a US account with 2,500 contacts on a free
/// loopback port.
#[derive(Clone)]
pub struct SimOptions {
    /// Where to listen. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Contacts to make up.
    pub records: u32,
    /// The only client that may sign in.
    pub client_id: String,
    /// Its secret.
    pub client_secret: String,
    /// Addresses a user may be sent back to, compared as text. Empty: any `http` or `https` one.
    pub redirect_uris: Vec<String>,
    /// Decides names, ids and times; the same seed makes the same contacts.
    pub seed: u64,
    /// Days before the start over which `Modified_Time` is spread. 0: one identical second.
    pub spread_days: u32,
    /// The user's time zone, which every time is shown in.
    pub time_zone: TimeZone,
    /// The account's data centre, as the callback's `location` names it.
    pub location: String,
    /// Life of an access token, in seconds.
    pub expires_in: u32,
    /// How the clock stands at the start.
    pub clock: ClockStart,
}

impl Default for SimOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            records: 2_500,
            client_id: "1000.SIMULATEDCLIENT0000000000000000".to_owned(),
            client_secret: "simulated-client-secret".to_owned(),
            redirect_uris: Vec::new(),
            seed: 1,
            spread_days: 30,
            time_zone: TimeZone::fixed(Offset::constant(2)),
            location: "us".to_owned(),
            expires_in: 3_600,
            clock: ClockStart::Real,
        }
    }
}

impl std::fmt::Debug for SimOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimOptions")
            .field("listen", &self.listen)
            .field("records", &self.records)
            .field("client_id", &self.client_id)
            .field("redirect_uris", &self.redirect_uris)
            .field("seed", &self.seed)
            .field("spread_days", &self.spread_days)
            .field("time_zone", &self.time_zone)
            .field("location", &self.location)
            .field("expires_in", &self.expires_in)
            .field("clock", &self.clock)
            .finish_non_exhaustive()
    }
}
