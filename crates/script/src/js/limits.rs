//! What a call may use, in a worker's terms.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits::ScriptLimits;

/// Stack for each function that may be in progress. QuickJS counts bytes, not functions: the smallest takes
/// some 400, one with many locals a few thousand.
const STACK_A_LEVEL: usize = 8 * 1024;
/// The least that the parser gets along with.
const LEAST_STACK: usize = 128 * 1024;
/// The stack of the thread that runs scripts, and what a script may use of it.
pub(crate) const THREAD_STACK: usize = 16 * 1024 * 1024;
const MOST_STACK: usize = THREAD_STACK / 2;

/// Limits, as a worker is told them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Allowances {
    /// How long a call may take.
    pub(crate) time: Duration,
    /// Calls and turns of loops.
    pub(crate) operations: u64,
    /// Bytes that it may allocate, beside what it is given.
    pub(crate) memory: usize,
    /// Bytes of stack.
    pub(crate) stack: usize,
}

impl From<&ScriptLimits> for Allowances {
    fn from(limits: &ScriptLimits) -> Self {
        Self {
            time: limits.time,
            operations: limits.operations,
            memory: limits.memory,
            stack: limits
                .depth
                .saturating_mul(STACK_A_LEVEL)
                .clamp(LEAST_STACK, MOST_STACK),
        }
    }
}
