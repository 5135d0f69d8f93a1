//! A loop: the chain of laps, with what they share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use velodrome_types::{Code, CycleId, Json, LoopId, LoopStatus, RunId, StepId, Timestamp};

/// The chain of runs that a cycle makes by posting to its own webhook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Loop {
    /// Its id.
    pub id: LoopId,
    /// Its cycle.
    pub cycle: CycleId,
    /// Where it is.
    pub status: LoopStatus,
    /// Whether it holds one of its cycle's places.
    pub placed: bool,
    /// When its first lap was accepted.
    pub started: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// The run of its first lap.
    pub first: RunId,
    /// The loop that handed off to it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<LoopId>,
    /// How many laps have been accepted.
    pub laps: u64,
    /// How many records its lists have brought, as the API sent them.
    pub records: u64,
    /// Runs that have not ended.
    pub open: BTreeMap<RunId, bool>,
    /// What it keeps for each list step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<StepId, ListState>,
    /// The first run that failed, and the code of its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<(RunId, Code)>,
}

/// What a loop keeps for a list step (SPEC §8).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListState {
    /// The filter date of all its requests; fixed by the first. `None` is no filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<Timestamp>,
    /// The date of the first answer, less the overlap: the watermark to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Timestamp>,
    /// A request failed for good: `pending` is void for this loop.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub void: bool,
    /// A request ended at `max_records`: what came after was not read, so `pending` is void too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Pages that were asked before the list began again at its first, because its token was void.
    #[serde(default, skip_serializing_if = "is_none")]
    pub before: u64,
    /// How often it began again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub restarts: u32,
    /// The last answer's paging token, where page numbers end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What the last request asked for, and the hash of the records it got.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<(Json, u64)>,
    /// How many laps in a row asked for another page and got the same records.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub same: u32,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if gives a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if gives a reference"
)]
fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Loop {
    /// Sets the state that follows from its open runs; called after each change of one of them.
    ///
    /// `waiting` tells whether the run that changed now waits.
    pub(crate) fn settle(&mut self, run: RunId, waiting: bool, over: bool) {
        if over {
            self.open.remove(&run);
        } else {
            self.open.insert(run, waiting);
        }
        if self.status == LoopStatus::Stopped {
            return;
        }
        self.status = if self.open.is_empty() {
            if self.failed.is_some() {
                LoopStatus::Failed
            } else {
                LoopStatus::Succeeded
            }
        } else if self.open.values().all(|waits| *waits) {
            LoopStatus::Waiting
        } else {
            LoopStatus::Running
        };
    }
}
