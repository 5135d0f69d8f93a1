//! Deleting what is kept of a cycle whose file is gone (`velodrome cycle delete`).
//!
//! The file is the cycle: while it is there, what is kept is in use. So it goes first, and what runs is ended by
//! whoever deletes: nothing is stopped unasked but the queue, of which nothing can begin without a file.

use std::sync::Arc;

use serde_json::json;
use velodrome_store::{
    LoopFilter, Namespace, PageRequest, ScheduleWrite, StorageOp, StorageWrite, StoreError, Unit,
    WatermarkWrite,
};
use velodrome_types::{CycleId, Event, Level, LogLine, LoopStatus, StepId};

use crate::accept::uncommitted;
use crate::api::{CycleDeleted, Problem};
use crate::command::{By, IN_PROGRESS, open_loops, stop_loop, unreadable};
use crate::retention::{SweepError, forget_all};
use crate::shared::Shared;

/// What is kept of a cycle beside its loops.
struct Kept {
    word: bool,
    watermarks: Vec<StepId>,
    storages: Vec<Namespace>,
}

impl Kept {
    fn of(shared: &Shared, id: &CycleId) -> Result<Self, StoreError> {
        let store = &shared.store;
        let watermarks = store.watermarks()?.into_iter();
        let of_cycle =
            |namespace: &Namespace| matches!(namespace, Namespace::Cycle(_, of) if of == id);
        Ok(Self {
            word: store.cycle_rows()?.iter().any(|row| row.cycle == *id),
            watermarks: watermarks
                .filter(|(of, ..)| of == id)
                .map(|(_, step, _)| step)
                .collect(),
            storages: store.namespaces()?.into_iter().filter(of_cycle).collect(),
        })
    }

    fn is_nothing(&self) -> bool {
        !self.word && self.watermarks.is_empty() && self.storages.is_empty()
    }
}

pub(crate) async fn delete(
    shared: &Arc<Shared>,
    id: &CycleId,
    by: Option<&By>,
) -> Result<CycleDeleted, Problem> {
    has_no_file(shared, id)?;
    let kept = Kept::of(shared, id).map_err(unreadable)?;
    let loops = count(shared, id).map_err(unreadable)?;
    if loops == 0 && kept.is_nothing() {
        let what = format!(
            "nothing is kept of a cycle `{id}`: `velodrome cycle list` shows those with a file"
        );
        return Err(Problem::new(404, "cycle.unknown", what));
    }
    let open = open_loops(shared, id, &IN_PROGRESS).map_err(unreadable)?;
    if let Some(first) = open.first() {
        let what = format!(
            "{} of cycle `{id}` in progress, {} among them: `velodrome loop list --cycle {id}` shows them, `velodrome loop stop` ends one",
            if open.len() == 1 {
                "a loop is".to_owned()
            } else {
                format!("{} loops are", open.len())
            },
            first.tail(),
        );
        return Err(Problem::new(409, "cycle.in_progress", what));
    }
    for queued in open_loops(shared, id, &[LoopStatus::Queued]).map_err(unreadable)? {
        stop_loop(shared, queued, by).await;
    }
    forget_all(shared, id).await.map_err(|error| match error {
        SweepError::Store(error) => unreadable(error),
        SweepError::Commit(error) => uncommitted(error),
    })?;
    if shared.draining.is_cancelled() {
        let what = "the server is shutting down: ask again when it is back";
        return Err(Problem::new(503, "server.shutting_down", what));
    }
    // The file may have come back meanwhile; what has ended is gone then, and nothing else.
    has_no_file(shared, id)?;
    let deleted = CycleDeleted {
        cycle: id.clone(),
        loops,
        watermarks: kept.watermarks.len() as u64,
        storages: kept.storages.len() as u64,
    };
    let mut line = LogLine::new(
        shared.clock.now(),
        Level::Warn,
        Event::CycleRemoved,
        format!(
            "deleted: {loops} loops with their runs and log lines, {} watermarks, {} storages",
            deleted.watermarks, deleted.storages
        ),
    );
    line.cycle = Some(id.clone());
    line.data = by.map(|by| json!({ "by": &**by }));
    let unset = |step| WatermarkWrite::Unset(id.clone(), step);
    let emptied = |namespace| StorageWrite {
        namespace,
        by: None,
        op: StorageOp::DeleteAll,
    };
    let unit = Unit {
        watermarks: kept.watermarks.into_iter().map(unset).collect(),
        storage: kept.storages.into_iter().map(emptied).collect(),
        schedules: vec![ScheduleWrite::Remove(id.clone())],
        cycles_deleted: vec![id.clone()],
        lines: vec![line],
        ..Unit::default()
    };
    shared.commit_unit(unit, None).await.map_err(uncommitted)?;
    shared.cycles.forget(id);
    Ok(deleted)
}

fn has_no_file(shared: &Shared, id: &CycleId) -> Result<(), Problem> {
    let Some(entry) = shared.plans.entry(id) else {
        return Ok(());
    };
    let what = format!(
        "cycle `{id}` is there, in `{}`: remove the file first, and what is kept of it can be deleted",
        entry.file
    );
    Err(Problem::new(409, "cycle.has_file", what))
}

fn count(shared: &Shared, id: &CycleId) -> Result<u64, StoreError> {
    let filter = LoopFilter {
        cycle: Some(id.clone()),
        ..LoopFilter::default()
    };
    let (mut count, mut after) = (0, None);
    loop {
        let page = PageRequest {
            after,
            limit: 1_000,
        };
        let page = shared.store.loops(&filter, page)?;
        count += page.items.len() as u64;
        after = page.next;
        if after.is_none() {
            return Ok(count);
        }
    }
}
