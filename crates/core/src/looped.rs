//! A loop: the chain of laps, with what they share.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use velodrome_types::{
    Code, CycleId, Json, LoopId, LoopStatus, RunId, RunStatus, StepId, Timestamp, TraceContext,
};

use crate::branches;
use crate::run::Run;

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
    /// Runs that have not ended, of each lap the one that its webhook began: whether it waits.
    pub open: BTreeMap<RunId, bool>,
    /// What it keeps for each list step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lists: BTreeMap<StepId, ListState>,
    /// The runs that have begun others in their lap, while some of those have not ended well.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kin: BTreeMap<RunId, Kin>,
    /// Runs that wait for all of their lap, or have gone on from there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gathered: Vec<Gathering>,
    /// The first run that failed, and the code of its error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<(RunId, Code)>,
    /// The trace that it is part of, where one came with the request that began it or the loop before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceContext>,
}

/// What became of the runs that one run has begun in its lap.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kin {
    /// Their lap.
    pub lap: u64,
    /// How many have not ended.
    pub open: u64,
    /// How many of them wait.
    #[serde(default, skip_serializing_if = "is_none")]
    pub waiting: u64,
    /// How many failed or were stopped.
    #[serde(default, skip_serializing_if = "is_none")]
    pub failed: u64,
    /// One of those: the first, unless that has been taken up again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub one_failed: Option<RunId>,
}

/// A `wait_all` that a run of a lap has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gathering {
    /// The lap.
    pub lap: u64,
    /// The step.
    pub step: StepId,
    /// The run that came first: it waits there, or has gone on.
    pub run: RunId,
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
    /// Sets the state that follows from its open runs; called after each change of one of them, which was in
    /// the state `was` before.
    pub(crate) fn settle(&mut self, run: &Run, was: RunStatus) {
        let now = run.status();
        match run.begun_by() {
            Some(parent) => self.child(parent, run.id, was, now),
            None if now.is_final() => {
                self.open.remove(&run.id);
            }
            None => {
                self.open.insert(run.id, now == RunStatus::Waiting);
            }
        }
        if self.status == LoopStatus::Stopped {
            return;
        }
        self.status = if self.open.is_empty() && self.kin.values().all(|kin| kin.open == 0) {
            if self.failed.is_some() {
                LoopStatus::Failed
            } else {
                LoopStatus::Succeeded
            }
        } else {
            branches::status(self)
        };
    }

    /// This run goes on: the loop has not failed with it. With another it still has.
    pub(crate) fn forget_failure(&mut self, run: RunId) {
        self.failed.take_if(|(failed, _)| *failed == run);
    }

    fn child(&mut self, parent: RunId, id: RunId, was: RunStatus, now: RunStatus) {
        let kin = self.kin.entry(parent).or_default();
        let waits = |status: RunStatus| u64::from(status == RunStatus::Waiting);
        kin.waiting = (kin.waiting + waits(now)).saturating_sub(waits(was));
        match (was.is_final(), now.is_final()) {
            (false, true) => kin.open = kin.open.saturating_sub(1),
            (true, false) => kin.open += 1,
            _ => {}
        }
        let badly =
            |status: RunStatus| u64::from(matches!(status, RunStatus::Failed | RunStatus::Stopped));
        kin.failed = (kin.failed + badly(now)).saturating_sub(badly(was));
        kin.one_failed = kin.one_failed.filter(|failed| *failed != id);
        // One that was stopped cannot be taken up again, so nobody is sent to it.
        if now == RunStatus::Failed {
            kin.one_failed.get_or_insert(id);
        }
        self.forget_kin(parent);
    }

    fn forget_kin(&mut self, parent: RunId) {
        let over = |kin: &Kin| kin.open == 0 && kin.failed == 0;
        if self.kin.get(&parent).is_some_and(over) {
            self.kin.remove(&parent);
        }
    }
}
