//! Runs and loops as stored rows, and as the API shows them.
//!
//! A record is a format version and then JSON, so that an operator can read it in the journal; one that
//! holds a secret is sealed (`crates/runtime/src/vault.rs`). What a store filters by stands in columns
//! beside it: a run's record does not say it again (`stored_run.rs`), a loop's does.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use velodrome_core::{Awaited, Beside, Delivery, Fit, ItemWrites, Loop, Notice, Run, payload};
use velodrome_spec::Plan;
use velodrome_store::{
    LoopRow, OutboxRow, PartWrite, RunRow, Store, StoreError, WaitRow, WaitWrite,
};
use velodrome_types::{Json, JsonMap, RunId, StepId, Timestamp};

use crate::api::{LoopView, RunView};
use crate::shared::Shared;
use crate::stored_run::{RUN_FORMAT, record_of, run_from};
use crate::vault::{Vault, loop_name, notice_name, part_name, run_name};

/// The format of what is written now, but of runs. Readers keep every older one.
const FORMAT: u8 = 1;

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = vec![FORMAT];
    serde_json::to_writer(&mut bytes, value).expect("runs and loops are JSON with text keys");
    bytes
}

fn decode<T: DeserializeOwned>(
    vault: &Vault,
    what: &str,
    name: &str,
    bytes: &[u8],
) -> Result<T, StoreError> {
    let bytes = vault.record(name, bytes)?;
    let read = match bytes.split_first() {
        Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|error| error.to_string()),
        other => Err(unknown(other)),
    };
    read.map_err(|why| damaged(what, why))
}

/// What is wrong with a record of no known format.
fn unknown(record: Option<(&u8, &[u8])>) -> String {
    match record {
        Some((format, _)) => format!("its format is {format}, which this program does not know"),
        None => "it is empty".to_owned(),
    }
}

fn damaged(what: &str, why: String) -> StoreError {
    StoreError::Damaged {
        what: what.to_owned(),
        why,
    }
}

pub(crate) fn run_row(run: &Run) -> RunRow {
    RunRow {
        id: run.id,
        loop_id: run.loop_id,
        cycle: run.cycle.clone(),
        lap: run.lap,
        status: run.status(),
        step: run.step().cloned(),
        fence: run.fence,
        created: run.created,
        updated: run.updated,
        plan: run.plan.clone(),
        record: record_of(run),
    }
}

/// The part of a run that holds what its webhook was given, for a replay.
const DELIVERY: u64 = 0;
/// The part that tells how far a step is with its items, or a list with its pages; behind it come the items'
/// results, or the pages' records.
const PROGRESS: u64 = 1;

/// What becomes of a run's place among those that wait for a request.
pub(crate) fn wait_write(run: &Run, awaited: Awaited) -> WaitWrite {
    let hook = |step: &StepId| format!("{}/{step}", run.cycle);
    match awaited {
        Awaited::Begin(step, fit) => WaitWrite::Begin(WaitRow {
            run: run.id,
            loop_id: run.loop_id,
            hook: hook(&step),
            fields: fit.names().collect::<Vec<_>>().join("\n"),
            key: wait_key(&fit),
        }),
        Awaited::End(step) => WaitWrite::End(run.id, hook(&step)),
    }
}

/// What a request must say, as it is looked for.
pub(crate) fn wait_key(fit: &Fit) -> [u8; 16] {
    let said = serde_json::to_vec(&fit.0).expect("texts");
    let hash = Sha256::digest(said);
    *hash.first_chunk().expect("it is longer")
}

/// What a run's webhook was given, kept as long as the run.
pub(crate) fn delivery_part(run: RunId, delivery: &Delivery) -> PartWrite {
    PartWrite::Put(run, DELIVERY, encode(delivery))
}

/// What a run's webhook was given; `None` where it was not kept.
pub(crate) fn delivery_of(
    store: &dyn Store,
    vault: &Vault,
    run: RunId,
) -> Result<Option<Delivery>, StoreError> {
    let parts = store.parts(run)?;
    let part = parts.iter().find(|(number, _)| *number == DELIVERY);
    let name = part_name(run, DELIVERY);
    part.map(|(_, body)| decode(vault, "a delivery", &name, body))
        .transpose()
}

/// What is written of a step's items, or of a list's pages.
pub(crate) fn item_parts(run: RunId, items: ItemWrites) -> Vec<PartWrite> {
    let progress = items
        .progress
        .map(|progress| PartWrite::Put(run, PROGRESS, encode(&progress)));
    let pages = items
        .pages
        .map(|pages| PartWrite::Put(run, PROGRESS, encode(&pages)));
    let results = items
        .results
        .into_iter()
        .map(|(index, result)| PartWrite::Put(run, PROGRESS + 1 + index, encode(&result)));
    let clear = items.clear.then_some(PartWrite::Clear(run, PROGRESS));
    // What is cleared is of a step before the one that is written of.
    clear
        .into_iter()
        .chain(progress)
        .chain(pages)
        .chain(results)
        .collect()
}

/// A run as it is stored, with what is kept beside its row.
pub(crate) fn whole_run(store: &dyn Store, vault: &Vault, row: &RunRow) -> Result<Run, StoreError> {
    let mut run = run_of(vault, row)?;
    let mut items = ItemWrites::default();
    let beside = run.beside();
    if beside == Beside::Nothing {
        return Ok(run);
    }
    for (number, body) in store.parts(run.id)? {
        let name = part_name(run.id, number);
        match (number, beside) {
            (DELIVERY, _) => {}
            (PROGRESS, Beside::Pages) => {
                items.pages = Some(decode(vault, "the pages of a run", &name, &body)?);
            }
            (PROGRESS, _) => {
                items.progress = Some(decode(vault, "the items of a run", &name, &body)?);
            }
            (number, _) => {
                let result = decode(vault, "an item's result", &name, &body)?;
                items.results.push((number - PROGRESS - 1, result));
            }
        }
    }
    run.restore_items(items);
    Ok(run)
}

pub(crate) fn run_of(vault: &Vault, row: &RunRow) -> Result<Run, StoreError> {
    let bytes = vault.record(&run_name(row.id), &row.record)?;
    let read = match bytes.split_first() {
        Some((&RUN_FORMAT, json)) => run_from(row, json).map_err(|error| error.to_string()),
        // The first format was the whole run.
        Some((&FORMAT, json)) => serde_json::from_slice(json).map_err(|error| error.to_string()),
        other => Err(unknown(other)),
    };
    read.map_err(|why| damaged("run", why))
}

pub(crate) fn loop_row(looped: &Loop) -> LoopRow {
    LoopRow {
        id: looped.id,
        cycle: looped.cycle.clone(),
        status: looped.status,
        laps: looped.laps,
        records: looped.records,
        started: looped.started,
        updated: looped.updated,
        record: encode(looped),
    }
}

pub(crate) fn loop_of(vault: &Vault, row: &LoopRow) -> Result<Loop, StoreError> {
    decode(vault, "loop", &loop_name(row.id), &row.record)
}

/// The notice of a failed run as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct StoredNotice {
    /// What is told.
    pub(crate) notice: Notice,
    /// The place did not answer: nothing else goes there before this is due.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) holds: bool,
}

/// A notice that has been tried.
pub(crate) fn tried_row(row: &OutboxRow, stored: &StoredNotice, due: Timestamp) -> OutboxRow {
    OutboxRow {
        due,
        attempts: row.attempts.saturating_add(1),
        record: encode(stored),
        ..row.clone()
    }
}

/// The notice of a failed run, due at once.
pub(crate) fn outbox_row(notice: &Notice) -> OutboxRow {
    OutboxRow {
        run: notice.run,
        number: notice.fence,
        cycle: notice.cycle.clone(),
        due: notice.at,
        attempts: 0,
        record: encode(&StoredNotice {
            notice: notice.clone(),
            holds: false,
        }),
    }
}

pub(crate) fn notice_of(vault: &Vault, row: &OutboxRow) -> Result<StoredNotice, StoreError> {
    let name = notice_name(row.run, row.number);
    decode(vault, "notice", &name, &row.record)
}

pub(crate) fn run_view(shared: &Shared, row: &RunRow) -> Result<RunView, StoreError> {
    let vault = &shared.vault;
    let run = run_of(vault, row)?;
    let due = run.due();
    let mut error = run
        .error()
        .map(|error| serde_json::to_value(error).unwrap_or(Json::Null));
    if let Some(Json::Object(error)) = &mut error {
        by_policy(error, || shared.plan_of(&run.plan));
    }
    // A secret that was set since the run failed.
    error
        .iter_mut()
        .for_each(|error| vault.redactor().json(error));
    Ok(RunView {
        id: run.id,
        version: run.plan[..run.plan.len().min(12)].to_owned(),
        status: row.status,
        step: run.step().cloned(),
        cycle: run.cycle,
        loop_id: run.loop_id,
        lap: run.lap,
        parent: run.parent,
        root: run.root,
        hops: run.hops,
        created: run.created,
        updated: run.updated,
        due,
        error,
    })
}

/// Leaves of an answer what the cycle's `log:` lets people see, and nothing of it where that is not known.
fn by_policy(error: &mut JsonMap, plan: impl FnOnce() -> Option<Arc<Plan>>) {
    let Some(body) = error.get("body").filter(|body| !body.is_null()) else {
        return;
    };
    let shown = plan().and_then(|plan| payload::shown(body, &plan.log));
    if shown.is_none() {
        error.shift_remove("headers");
    }
    error.insert("body".to_owned(), shown.unwrap_or(Json::Null));
}

pub(crate) fn loop_view(
    vault: &Vault,
    row: &LoopRow,
    now: Timestamp,
) -> Result<LoopView, StoreError> {
    let looped = loop_of(vault, row)?;
    let end = if row.status.is_final() {
        row.updated
    } else {
        now.max(row.updated)
    };
    let elapsed = end.since(row.started);
    let rate = if elapsed.is_zero() {
        0.0
    } else {
        looped.laps as f64 / elapsed.as_secs_f64()
    };
    Ok(LoopView {
        id: looped.id,
        cycle: looped.cycle,
        laps: looped.laps,
        records: looped.records,
        status: row.status,
        started: looped.started,
        updated: looped.updated,
        elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        rate: (rate * 100.0).round() / 100.0,
        first_run: looped.first,
        parent: looped.parent,
        error: looped
            .failed
            .map(|(run, code)| serde_json::json!({ "run": run, "code": code })),
    })
}
