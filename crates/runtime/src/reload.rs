//! Reading the cycle files again when they change. A bad edit keeps the last good version.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::Notify;
use velodrome_store::Unit;
use velodrome_types::{Event, Level, LogLine};

use crate::plans::Change;
use crate::shared::Shared;

/// Editors write a file in several goes: wait until they are done.
const SETTLE: Duration = Duration::from_millis(150);
/// Where changes cannot be watched, look this often.
const LOOK: Duration = Duration::from_secs(2);

/// What has changed in the files. Reading them takes its time, and a script may wait for a worker to read it.
async fn changes(shared: &Arc<Shared>) -> Vec<Change> {
    let own = Arc::clone(shared);
    let read = move || {
        own.plans.read(&own.connections, &|cycle| {
            if let Err(error) = own.recover_places(cycle) {
                tracing::error!(%cycle, %error, "the loops of a cycle cannot be counted");
            }
        })
    };
    // A simulation has the one thread.
    if shared.witness.is_some() {
        return read();
    }
    tokio::task::spawn_blocking(read)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "the cycle files were not read: please report this");
            Vec::new()
        })
}

/// Reads the files now, logs what changed, and gives what is wrong, rendered.
pub(crate) async fn now(shared: &Arc<Shared>) -> Vec<String> {
    let changes = changes(shared).await;
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for change in changes {
        let (level, event, cycle, message, data) = match change {
            Change::Loaded {
                cycle,
                version,
                file,
                warnings,
            } => {
                tracing::info!(%cycle, version, file, "cycle loaded");
                if shared
                    .plans
                    .current(&cycle)
                    .is_some_and(|plan| !plan.autostart)
                {
                    shared.cycles.do_not_autostart(&cycle);
                }
                problems.extend(warnings);
                (
                    Level::Info,
                    Event::CycleLoaded,
                    Some(cycle),
                    format!("version {version} of {file} loaded"),
                    None,
                )
            }
            Change::Rejected {
                cycle,
                file,
                problems: rendered,
            } => {
                tracing::error!("{file} was not taken\n{rendered}");
                problems.push(rendered.clone());
                let message = format!("{file} was not taken: the last good version stays");
                (
                    Level::Error,
                    Event::CycleRejected,
                    cycle,
                    message,
                    Some(serde_json::json!({ "problems": rendered })),
                )
            }
            Change::Removed { cycle, file } => {
                tracing::info!(%cycle, file, "cycle removed");
                (
                    Level::Warn,
                    Event::CycleRemoved,
                    Some(cycle),
                    format!("{file} is gone: what runs goes on"),
                    None,
                )
            }
        };
        let mut line = LogLine::new(shared.clock.now(), level, event, message);
        line.data = data;
        line.cycle = cycle;
        lines.push(line);
    }
    if !lines.is_empty()
        && let Err(error) = shared
            .commit_unit(
                Unit {
                    lines,
                    ..Unit::default()
                },
                None,
            )
            .await
    {
        tracing::error!(%error, "what changed in the cycle files was not logged");
    }
    for cycle in shared.plans.ids() {
        if let Err(error) = shared.recover_places(&cycle) {
            tracing::error!(%cycle, %error, "the loops of a cycle cannot be counted");
        }
        shared.begin_next(&cycle);
    }
    shared.schedules.wake();
    problems
}

/// Watches the cycles folder until the engine drains.
pub(crate) async fn watch(shared: Arc<Shared>, folder: &Path) {
    let changed = Arc::new(Notify::new());
    let _watcher = match watcher(folder, Arc::clone(&changed)) {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(%error, "the cycles folder cannot be watched; it is read every two seconds");
            None
        }
    };
    // What was edited between the start's own reading and the watching is seen by nobody else.
    now(&shared).await;
    loop {
        let wait = async {
            match &_watcher {
                Some(_) => changed.notified().await,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        tokio::select! {
            () = wait => {}
            () = shared.draining.cancelled() => return,
        }
        tokio::time::sleep(SETTLE).await;
        now(&shared).await;
    }
}

fn watcher(folder: &Path, changed: Arc<Notify>) -> notify::Result<notify::RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading a file is an event too; only what may have changed one counts.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    })?;
    watcher.watch(folder, RecursiveMode::Recursive)?;
    Ok(watcher)
}
