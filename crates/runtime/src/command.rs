//! What a person does to a cycle or a loop (SPEC §7).

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::sync::oneshot;
use velodrome_store::{CycleRow, LoopFilter, PageRequest, ScheduleWrite, StoreError, Unit};
use velodrome_types::{
    CycleId, CycleState, Event, Json, Level, LogLine, LoopId, LoopStatus, RunId,
};

use crate::accept::uncommitted;
use crate::api::{CycleCommand, Problem};
use crate::registry::ToLoop;
use crate::schedules::fires;
use crate::shared::Shared;

/// How long `cycle stop` waits for requests in flight.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// On whose word something is done: the name of a token.
pub(crate) type By = Arc<str>;

/// What a person's word may bring about: these lines of a move say whose it was.
const TOLD_BY: [Event; 3] = [Event::RunResumed, Event::RunStopped, Event::LoopStopped];

/// Notes in the log lines of a move on whose word it was.
pub(crate) fn sign(lines: &mut [LogLine], by: &By) {
    for line in lines
        .iter_mut()
        .filter(|line| TOLD_BY.contains(&line.event))
    {
        match line.data.get_or_insert_with(|| json!({})) {
            Json::Object(data) => drop(data.insert("by".to_owned(), Json::from(&**by))),
            _ => debug_assert!(false, "what a line says besides is a map"),
        }
    }
}

/// Loops that have a place.
pub(crate) const IN_PROGRESS: [LoopStatus; 2] = [LoopStatus::Running, LoopStatus::Waiting];

/// Does what a person says to a cycle.
pub(crate) async fn cycle(
    shared: &Arc<Shared>,
    id: &CycleId,
    command: CycleCommand,
    by: Option<&By>,
) -> Result<(), Problem> {
    if !shared.plans.is_known(id) {
        return Err(Problem::new(
            404,
            "cycle.unknown",
            format!("there is no cycle `{id}`: `velodrome cycle list` shows them"),
        ));
    }
    let word = |state, event, text| Word {
        state,
        event,
        text,
        by,
    };
    match command {
        CycleCommand::Start => {
            let word = word(CycleState::Running, Event::CycleStarted, "cycle started");
            say(shared, id, word).await?;
            shared.begin_next(id);
        }
        CycleCommand::Pause => {
            let text = "cycle paused: webhooks queue";
            say(
                shared,
                id,
                word(CycleState::Paused, Event::CyclePaused, text),
            )
            .await?;
        }
        CycleCommand::Finish => {
            let text = "cycle finishing: what runs and queues goes on, nothing new is taken";
            let word = word(CycleState::Finishing, Event::CycleFinishing, text);
            say(shared, id, word).await?;
            if shared.cycles.counts(id) == (0, 0) {
                return stop(shared, id, by).await;
            }
            shared.begin_next(id);
        }
        CycleCommand::Stop => stop(shared, id, by).await?,
        CycleCommand::Purge => purge(shared, id, by).await?,
    }
    Ok(())
}

/// No further step begins; requests in flight are awaited and committed, runs in progress are stopped,
/// queued ones stay.
pub(crate) async fn stop(
    shared: &Arc<Shared>,
    id: &CycleId,
    by: Option<&By>,
) -> Result<(), Problem> {
    let word = Word {
        state: CycleState::Stopped,
        event: Event::CycleStopped,
        text: "cycle stopped",
        by,
    };
    say(shared, id, word).await?;
    let open = open_loops(shared, id, &IN_PROGRESS).map_err(unreadable)?;
    let mut waits = Vec::new();
    for loop_id in &open {
        let (done, ended) = oneshot::channel();
        shared
            .tell(
                *loop_id,
                ToLoop::Stop {
                    gently: true,
                    by: by.cloned(),
                    done,
                },
            )
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
            stop_loop(shared, loop_id, by).await;
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
            let stop = ToLoop::Stop {
                gently: true,
                by: None,
                done,
            };
            shared.tell(open, stop).await;
        }
    }
    Ok(())
}

/// Ends a loop at once, timers and children included.
pub(crate) async fn stop_loop(shared: &Arc<Shared>, id: LoopId, by: Option<&By>) {
    let (done, ended) = oneshot::channel();
    shared
        .tell(
            id,
            ToLoop::Stop {
                gently: false,
                by: by.cloned(),
                done,
            },
        )
        .await;
    let _ = ended.await;
}

/// Ends a run of this loop at once, those that it began included.
pub(crate) async fn stop_run(shared: &Arc<Shared>, id: LoopId, run: RunId, by: Option<&By>) {
    let (done, ended) = oneshot::channel();
    let by = by.cloned();
    shared.tell(id, ToLoop::StopRun { run, by, done }).await;
    // A loop that ended meanwhile closes its inbox without a word: the run is over all the same.
    let _ = ended.await;
}

async fn purge(shared: &Arc<Shared>, id: &CycleId, by: Option<&By>) -> Result<(), Problem> {
    let queued = open_loops(shared, id, &[LoopStatus::Queued]).map_err(unreadable)?;
    let count = queued.len();
    for loop_id in queued {
        stop_loop(shared, loop_id, by).await;
    }
    let word = Word {
        state: shared.cycles.state(id),
        event: Event::CyclePurged,
        text: &format!("queue emptied: {count} loops stopped"),
        by,
    };
    say(shared, id, word).await
}

pub(crate) fn unreadable(error: StoreError) -> Problem {
    Problem::new(503, "store.unavailable", error.to_string())
}

pub(crate) fn open_loops(
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

/// What is said of a cycle, and who says it.
struct Word<'a> {
    state: CycleState,
    event: Event,
    text: &'a str,
    by: Option<&'a By>,
}

async fn say(shared: &Shared, id: &CycleId, word: Word<'_>) -> Result<(), Problem> {
    let Word {
        state,
        event,
        text,
        by,
    } = word;
    let mut line = LogLine::new(shared.clock.now(), Level::Info, event, text);
    line.data = by.map(|by| json!({ "by": &**by }));
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
