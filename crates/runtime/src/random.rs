//! The one place that randomness comes from.

use velodrome_types::{LoopId, RunId, Timestamp};

fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}

/// A new run's id.
pub(crate) fn run_id(now: Timestamp) -> RunId {
    RunId::new(now, bytes())
}

/// A new loop's id.
pub(crate) fn loop_id(now: Timestamp) -> LoopId {
    LoopId::new(now, bytes())
}

/// A number in 0..1, for the stretch of retry gaps.
pub(crate) fn fraction() -> f64 {
    f64::from(u32::from_le_bytes(bytes())) / (f64::from(u32::MAX) + 1.0)
}

/// A text that cannot be guessed: 32 bytes as hex.
pub(crate) fn token() -> String {
    bytes::<32>()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A key for signing.
pub(crate) fn key() -> [u8; 32] {
    bytes()
}
