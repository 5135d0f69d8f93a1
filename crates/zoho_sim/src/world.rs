//! Everything the simulator knows, behind one lock that is held for one answer at a time and
//! never over an await.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::StatusCode;
use jiff::{SignedDuration, Timestamp};

use crate::clock::Clock;
use crate::contacts::{Contacts, Seeding};
use crate::faults::Faults;
use crate::grants::Grants;
use crate::limits::Limits;
use crate::mutate::Planned;
use crate::options::SimOptions;
use crate::paging_token::PageTokens;
use crate::render::Renders;
use crate::request_log::RequestLog;
use crate::stats::Tally;

/// What handlers share.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) options: SimOptions,
    pub(crate) url: String,
    world: Mutex<World>,
}

impl App {
    pub(crate) fn new(options: SimOptions, url: String, secret: [u8; 64]) -> Self {
        let world = World::new(&options, secret);
        Self {
            options,
            url,
            world: Mutex::new(world),
        }
    }

    /// The world, even if a handler died while it held it.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) contacts: Contacts,
    pub(crate) renders: Renders,
    pub(crate) page_tokens: PageTokens,
    pub(crate) grants: Grants,
    pub(crate) limits: Limits,
    pub(crate) faults: Faults,
    pub(crate) planned: Vec<Planned>,
    pub(crate) switches: Switches,
    pub(crate) log: RequestLog,
    pub(crate) tally: Tally,
}

impl World {
    fn new(options: &SimOptions, secret: [u8; 64]) -> Self {
        let clock = Clock::new(options.clock);
        let seeding = Seeding {
            records: options.records,
            seed: options.seed,
            spread_days: options.spread_days,
            zone: options.time_zone.clone(),
        };
        let [page_key, grant_key] = split(secret);
        Self {
            contacts: Contacts::generate(seeding, clock.now()),
            clock,
            renders: Renders::default(),
            page_tokens: PageTokens::new(page_key),
            grants: Grants::new(
                grant_key,
                SignedDuration::from_secs(options.expires_in.into()),
            ),
            limits: Limits::default(),
            faults: Faults::default(),
            planned: Vec::new(),
            switches: Switches::default(),
            log: RequestLog::default(),
            tally: Tally::default(),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Behaviour that a test may turn.
#[derive(Debug)]
pub(crate) struct Switches {
    pub(crate) page_token_life: SignedDuration,
    /// `more_records` is true and no token comes with it.
    pub(crate) withhold_page_token: bool,
    /// A page token is bound to `If-Modified-Since` too; Zoho does not say.
    pub(crate) bind_header: bool,
    pub(crate) latency_ms: u64,
    /// Zoho answers 400 now; its own post says 200.
    pub(crate) access_denied_status: StatusCode,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            page_token_life: SignedDuration::from_hours(24),
            withhold_page_token: false,
            bind_header: false,
            latency_ms: 0,
            access_denied_status: StatusCode::BAD_REQUEST,
        }
    }
}

fn split(secret: [u8; 64]) -> [[u8; 32]; 2] {
    let mut keys = [[0; 32]; 2];
    for (key, bytes) in keys.iter_mut().zip(secret.chunks_exact(32)) {
        key.copy_from_slice(bytes);
    }
    keys
}
