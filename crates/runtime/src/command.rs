//! What a person does to a cycle or a loop (SPEC §7).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use velodrome_store::{CycleRow, LoopFilter, PageRequest, ScheduleWrite, StoreError, Unit};
use velodrome_types::{CycleId, CycleState, Event, Level, LogLine, LoopId, LoopStatus};

use crate::accept::uncommitted;
use crate::api::{CycleCommand, Problem};
use crate::registry::ToLoop;
use crate::schedules::fires;
use crate::shared::Shared;

/// How long `cycle stop` waits for requests in flight.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// Loops that have a place.
const IN_PROGRESS: [LoopStatus; 2] = [LoopStatus::Running, LoopStatus::Waiting];

/// Does what a person says to a cycle.
pub(crate) async fn cycle(
    shared: &Arc<Shared>,
    id: &CycleId,
    command: CycleCommand,
) -> Result<(), Problem> {
    if !shared.plans.is_known(id) {
        return Err(Problem::new(
            404,
            "cycle.unknown",
            format!("there is no cycle `{id}`: `velodrome cycle list` shows them"),
        ));
    }
    match command {
        CycleCommand::Start => {
            say(
                shared,
                id,
                CycleState::Running,
                Event::CycleStarted,
                "cycle started",
            )
            .await?;
            shared.begin_next(id);
        }
        CycleCommand::Pause => {
            say(
                shared,
                id,
                CycleState::Paused,
                Event::CyclePaused,
                "cycle paused: webhooks queue",
            )
            .await?;
        }
        CycleCommand::Finish => {
            let text = "cycle finishing: what runs and queues goes on, nothing new is taken";
            say(
                shared,
                id,
                CycleState::Finishing,
                Event::CycleFinishing,
                text,
            )
            .await?;
            if shared.cycles.counts(id) == (0, 0) {
                return stop(shared, id).await;
            }
            shared.begin_next(id);
        }
        CycleCommand::Stop => stop(shared, id).await?,
        CycleCommand::Purge => purge(shared, id).await?,
    }
    Ok(())
}

/// No further step begins; requests in flight are awaited and committed, runs in progress are stopped,
/// queued ones stay.
pub(crate) async fn stop(shared: &Arc<Shared>, id: &CycleId) -> Result<(), Problem> {
    say(
        shared,
        id,
        CycleState::Stopped,
        Event::CycleStopped,
        "cycle stopped",
    )
    .await?;
    let open = open_loops(shared, id, &IN_PROGRESS).map_err(unreadable)?;
    let mut waits = Vec::new();
    for loop_id in &open {
        let (done, ended) = oneshot::channel();
        shared
            .tell(*loop_id, ToLoop::Stop { gently: true, done })
            .await;
        waits.push(ended);
    }
    let all = async {
        for ended in waits {
            // A loop that ended by itself closes its inbox without a word: it is over all the same.
            let _ = ended.await;
        }
    };
    if shared.clock.timeout(STOP_PATIENCE, all).await.is_none() {
        for loop_id in open {
            stop_loop(shared, loop_id).await;
        }
    }
    Ok(())
}

/// Carries on with stops that the end of the process cut short: what was in flight is awaited, then the
/// loop is stopped.
pub(crate) async fn stop_again(shared: &Arc<Shared>) -> Result<(), StoreError> {
    let rows = shared.store.cycle_rows()?;
    for row in rows.iter().filter(|row| row.state == CycleState::Stopped) {
        for open in open_loops(shared, &row.cycle, &IN_PROGRESS)? {
            // Nobody waits for the end; the loop's task stops it when nothing of it is under way.
            let (done, _) = oneshot::channel();
            shared.tell(open, ToLoop::Stop { gently: true, done }).await;
        }
    }
    Ok(())
}

/// Ends a loop at once, timers and children included.
pub(crate) async fn stop_loop(shared: &Arc<Shared>, id: LoopId) {
    let (done, ended) = oneshot::channel();
    shared
        .tell(
            id,
            ToLoop::Stop {
                gently: false,
                done,
            },
        )
        .await;
    let _ = ended.await;
}

async fn purge(shared: &Arc<Shared>, id: &CycleId) -> Result<(), Problem> {
    let queued = open_loops(shared, id, &[LoopStatus::Queued]).map_err(unreadable)?;
    let count = queued.len();
    for loop_id in queued {
        stop_loop(shared, loop_id).await;
    }
    let state = shared.cycles.state(id);
    say(
        shared,
        id,
        state,
        Event::CyclePurged,
        &format!("queue emptied: {count} loops stopped"),
    )
    .await
}

fn unreadable(error: StoreError) -> Problem {
    Problem::new(503, "store.unavailable", error.to_string())
}

fn open_loops(
    shared: &Shared,
    id: &CycleId,
    status: &[LoopStatus],
) -> Result<Vec<LoopId>, StoreError> {
    let filter = LoopFilter {
        cycle: Some(id.clone()),
        status: status.to_vec(),
        since: None,
    };
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = shared.store.loops(
            &filter,
            PageRequest {
                after,
                limit: 1_000,
            },
        )?;
        all.extend(page.items.iter().map(|row| row.id));
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(all),
        }
    }
}

async fn say(
    shared: &Shared,
    id: &CycleId,
    state: CycleState,
    event: Event,
    text: &str,
) -> Result<(), Problem> {
    let mut line = LogLine::new(shared.clock.now(), Level::Info, event, text);
    line.cycle = Some(id.clone());
    let before = shared.cycles.state(id);
    // In force before it is durable, so that nothing begins meanwhile; put back if it cannot be stored.
    shared.cycles.set_state(id, state);
    // What was due while the cycle was stopped is not made up for.
    let resumed = (!fires(before) && fires(state))
        .then(|| shared.schedules.resumed(shared, id))
        .flatten();
    let unit = Unit {
        schedules: resumed.iter().cloned().map(ScheduleWrite::Put).collect(),
        cycles: vec![CycleRow {
            cycle: id.clone(),
            state,
        }],
        lines: vec![line],
        ..Unit::default()
    };
    if let Err(error) = shared.commit_unit(unit, None).await {
        shared.cycles.set_state(id, before);
        return Err(uncommitted(error));
    }
    if let Some(row) = resumed {
        shared.schedules.counted(row);
    }
    shared.schedules.wake();
    Ok(())
}
