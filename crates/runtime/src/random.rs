//! The one place that randomness comes from.

use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use velodrome_types::{LoopId, RunId, Timestamp, TokenId};

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// What ids and the stretch of retry gaps are made with.
#[derive(Debug)]
pub(crate) enum Random {
    /// The operating system's.
    System,
    /// A simulation's: the same for the same seed.
    Seeded(Seeded),
}

/// A sequence of numbers that a seed tells.
#[derive(Debug)]
pub(crate) struct Seeded {
    state: Mutex<u64>,
    /// What every stretch is, where a simulation wants none of its own.
    fraction: Option<f64>,
}

impl Seeded {
    pub(crate) fn new(seed: u64, fraction: Option<f64>) -> Self {
        Self {
            state: Mutex::new(seed),
            fraction,
        }
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): one addition and a mix, good enough for ids that only
    /// must differ.
    fn next(&self) -> u64 {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl velodrome_core::Ids for Random {
    fn run_id(&self, now: Timestamp) -> RunId {
        self.run_id(now)
    }
}

impl Random {
    fn ten(&self) -> [u8; 10] {
        match self {
            Self::System => bytes(),
            Self::Seeded(seeded) => {
                let mut ten = [0; 10];
                ten[..8].copy_from_slice(&seeded.next().to_le_bytes());
                ten[8..].copy_from_slice(&seeded.next().to_le_bytes()[..2]);
                ten
            }
        }
    }

    /// A new run's id.
    pub(crate) fn run_id(&self, now: Timestamp) -> RunId {
        RunId::new(now, self.ten())
    }

    /// A new token's id.
    pub(crate) fn token_id(&self, now: Timestamp) -> TokenId {
        TokenId::new(now, self.ten())
    }

    /// A new loop's id.
    pub(crate) fn loop_id(&self, now: Timestamp) -> LoopId {
        LoopId::new(now, self.ten())
    }

    /// A number in 0..1, for the stretch of retry gaps.
    pub(crate) fn fraction(&self) -> f64 {
        let whole = match self {
            Self::System => u32::from_le_bytes(bytes()),
            Self::Seeded(Seeded {
                fraction: Some(fixed),
                ..
            }) => return *fixed,
            Self::Seeded(seeded) => (seeded.next() >> 32) as u32,
        };
        f64::from(whole) / (f64::from(u32::MAX) + 1.0)
    }
}

/// A text that cannot be guessed: 32 bytes as hex.
pub(crate) fn token() -> String {
    bytes::<32>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// 32 bytes that cannot be guessed, as text for a URL or a header.
pub(crate) fn unguessable() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// A key for signing.
pub(crate) fn key() -> [u8; 32] {
    bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_tells_every_id_and_every_stretch() {
        let ids = |seed| {
            let random = Random::Seeded(Seeded::new(seed, None));
            let now = Timestamp::from_millis(1_767_225_600_000);
            (random.run_id(now), random.loop_id(now), random.fraction())
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7).0, ids(8).0);
        assert!((0.0..1.0).contains(&ids(7).2));
        let fixed = Random::Seeded(Seeded::new(7, Some(0.0)));
        assert!(fixed.fraction().abs() < f64::EPSILON);
    }
}
