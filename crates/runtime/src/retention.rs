//! Taking away what is no longer kept, a slice at a time, while the engine serves (SPEC §3, `retention`).
//!
//! Old laps of a loop that goes on are forgotten by its own hand-offs (`actor/handoff.rs`), of which each takes a
//! slice: what is left of laps that told more than that goes here. Loops that have ended go here, each whole,
//! with its runs, its log lines and what its scripts stored in it, so long after its end as its cycle says.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use velodrome_spec::plan::Retention;
use velodrome_store::{
    CommitError, Forget, LogFilter, LoopFilter, Namespace, PageRequest, StorageOp, StorageWrite,
    StoreError, Unit,
};
use velodrome_types::{ConnectionId, CycleId, LoopId, LoopStatus, Timestamp};

use crate::shared::Shared;

/// How often it is looked whether anything is to go.
const LOOK: Duration = Duration::from_secs(60);
/// Loops that are taken in one commit: a commit of so many with a lap each is one of some milliseconds.
const LOOPS_AT_ONCE: usize = 100;
/// Between two commits others have their turn: so at most a part of the disk's time goes here.
const BREATH: Duration = Duration::from_millis(5);

/// Later than anything ended: the end of the year 9999.
const FAR: Timestamp = Timestamp::from_millis(253_402_300_799_999);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How long what has ended is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) succeeded: Duration,
    pub(crate) failed: Duration,
    pub(crate) laps: u64,
}

/// What the settings say, and what holds where they say nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RetentionRules(pub(crate) Retention);

impl RetentionRules {
    /// What holds for a cycle that says this of itself.
    pub(crate) fn of(&self, cycle: Option<&Retention>) -> Kept {
        let said = cycle.copied().unwrap_or_default();
        Kept {
            succeeded: said.succeeded.or(self.0.succeeded).unwrap_or(7 * DAY),
            failed: said.failed.or(self.0.failed).unwrap_or(31 * DAY),
            laps: said.laps.or(self.0.laps).unwrap_or(10_000),
        }
    }
}

/// Looks until the engine drains.
pub(crate) async fn keep_house(shared: Arc<Shared>) {
    loop {
        match sweep(&shared).await {
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "what is no longer kept could not be deleted"),
        }
        tokio::select! {
            () = shared.clock.sleep(LOOK) => {}
            () = shared.draining.cancelled() => return,
        }
    }
}

/// Why something could not be deleted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Commit(#[from] CommitError),
}

async fn sweep(shared: &Shared) -> Result<(), SweepError> {
    let now = shared.clock.now();
    forget_old_laps(shared).await?;
    for cycle in shared.store.cycles_with_ended()? {
        let plan = shared.plans.current(&cycle);
        let kept = shared
            .retention
            .of(plan.as_ref().map(|plan| &plan.retention));
        for (status, keep) in [
            (LoopStatus::Succeeded, kept.succeeded),
            (LoopStatus::Failed, kept.failed),
            (LoopStatus::Stopped, kept.failed),
        ] {
            forget_loops(shared, &cycle, status, now.minus(keep)).await?;
        }
    }
    let before = now.minus(shared.retention.of(None).failed);
    while let Some(oldest) = shared.store.oldest_of_no_loop()?
        && oldest < before
        && !shared.draining.is_cancelled()
    {
        forget(shared, vec![Forget::Lines { before }], Vec::new()).await?;
        shared.clock.sleep(BREATH).await;
    }
    Ok(())
}

/// What the hand-offs of loops that go on have left of their old laps.
async fn forget_old_laps(shared: &Shared) -> Result<(), SweepError> {
    let open = LoopFilter {
        status: vec![LoopStatus::Running, LoopStatus::Waiting],
        ..LoopFilter::default()
    };
    let mut after = None;
    loop {
        let limit = 1_000;
        let page = shared.store.loops(&open, PageRequest { after, limit })?;
        for row in page.items {
            let plan = shared.plans.current(&row.cycle);
            let retention = plan.as_ref().map(|plan| &plan.retention);
            let below = row.laps.saturating_sub(shared.retention.of(retention).laps);
            if below > 1 {
                forget_laps(shared, row.id, below).await?;
            }
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(()),
        }
        shared.clock.sleep(BREATH).await;
    }
}

/// A slice behind the other, until the log of the loop begins with a lap that is kept.
async fn forget_laps(shared: &Shared, of: LoopId, below: u64) -> Result<(), SweepError> {
    let told = LogFilter {
        loop_id: Some(of),
        ..LogFilter::default()
    };
    let mut last = 0;
    while !shared.draining.is_cancelled() {
        let first = shared.store.log_after(0, &told, 1)?.0.pop();
        // What is kept with a lap that is kept stays, and is the first again.
        let Some(first) = first.filter(|line| line.seq > last && line.lap < Some(below)) else {
            return Ok(());
        };
        last = first.seq;
        forget(shared, vec![Forget::Laps { of, below }], Vec::new()).await?;
        shared.clock.sleep(BREATH).await;
    }
    Ok(())
}

async fn forget_loops(
    shared: &Shared,
    cycle: &CycleId,
    status: LoopStatus,
    before: Timestamp,
) -> Result<(), SweepError> {
    loop {
        let old = shared
            .store
            .ended_before(cycle, status, before, LOOPS_AT_ONCE)?;
        if old.is_empty() || shared.draining.is_cancelled() {
            return Ok(());
        }
        // A loop of many laps fills a commit by itself.
        let mut laps = 0;
        let mut taken = Vec::new();
        for id in old {
            let row = shared.store.loop_row(id)?;
            laps += row.map_or(0, |row| row.laps);
            taken.push(id);
            if laps >= velodrome_store::FORGOTTEN_AT_ONCE as u64 {
                break;
            }
        }
        let storage = stored_by(shared, &taken)?;
        let forgotten = taken.into_iter().map(Forget::Loop).collect();
        forget(shared, forgotten, storage).await?;
        shared.clock.sleep(BREATH).await;
    }
}

/// Deletes every loop of the cycle that has ended, however short ago.
pub(crate) async fn forget_all(shared: &Shared, cycle: &CycleId) -> Result<(), SweepError> {
    for status in [
        LoopStatus::Succeeded,
        LoopStatus::Failed,
        LoopStatus::Stopped,
    ] {
        forget_loops(shared, cycle, status, FAR).await?;
    }
    Ok(())
}

/// What deletes the loops' own script storage.
fn stored_by(shared: &Shared, loops: &[LoopId]) -> Result<Vec<StorageWrite>, SweepError> {
    let mut connections: BTreeSet<ConnectionId> =
        shared.connections.storages().into_iter().collect();
    // A connector without settings is a connection that nobody declared.
    let undeclared = shared.plans.connectors().into_iter();
    connections.extend(undeclared.map(|name| ConnectionId::from(name.as_str())));
    let mut writes = Vec::new();
    for id in loops {
        for connection in &connections {
            let namespace = Namespace::Loop(connection.clone(), *id);
            if !shared.store.list(&namespace, None, 1)?.is_empty() {
                writes.push(StorageWrite {
                    namespace,
                    by: None,
                    op: StorageOp::DeleteAll,
                });
            }
        }
    }
    Ok(writes)
}

async fn forget(
    shared: &Shared,
    forget: Vec<Forget>,
    storage: Vec<StorageWrite>,
) -> Result<(), SweepError> {
    let unit = Unit {
        forget,
        storage,
        ..Unit::default()
    };
    shared.commit_unit(unit, None).await?;
    Ok(())
}
