//! A run's record: what its row does not say already.
//!
//! Most stored runs are finished laps, of which hardly more is kept than this, so it is kept short. Format 1
//! was the whole run, with ids, names and times that stand in the row as well.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use velodrome_core::{Branch, Held, Run, State};
use velodrome_store::RunRow;
use velodrome_types::{JsonMap, RunId, StepId};

/// The format of the records of runs written now. 2 says that a record is sealed (`vault.rs`).
pub(crate) const RUN_FORMAT: u8 = 3;

#[derive(Serialize)]
struct Written<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<RunId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    root: Option<RunId>,
    #[serde(skip_serializing_if = "is_zero")]
    hops: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    handed_off: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    of_notice: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<&'r Held>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'r Branch>,
    state: &'r State,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: &'r BTreeMap<StepId, Arc<JsonMap>>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// The record of a run, behind its format.
pub(crate) fn record_of(run: &Run) -> Vec<u8> {
    let written = Written {
        parent: run.parent,
        // The first run of all is its own root.
        root: (run.root != run.id).then_some(run.root),
        hops: run.hops,
        handed_off: run.handed_off,
        of_notice: run.of_notice,
        held: run.held.as_ref(),
        branch: run.branch.as_ref(),
        state: &run.state,
        data: &run.data,
    };
    let mut bytes = vec![RUN_FORMAT];
    serde_json::to_writer(&mut bytes, &written).expect("runs are JSON with text keys");
    bytes
}

#[derive(Deserialize)]
struct Stored {
    parent: Option<RunId>,
    root: Option<RunId>,
    #[serde(default)]
    hops: u64,
    #[serde(default)]
    handed_off: bool,
    #[serde(default)]
    of_notice: bool,
    held: Option<Held>,
    branch: Option<Branch>,
    state: State,
    #[serde(default)]
    data: BTreeMap<StepId, Arc<JsonMap>>,
}

/// A run of its row and its record's JSON.
pub(crate) fn run_from(row: &RunRow, json: &[u8]) -> serde_json::Result<Run> {
    let stored: Stored = serde_json::from_slice(json)?;
    Ok(Run {
        id: row.id,
        cycle: row.cycle.clone(),
        plan: row.plan.clone(),
        loop_id: row.loop_id,
        lap: row.lap,
        parent: stored.parent,
        root: stored.root.unwrap_or(row.id),
        hops: stored.hops,
        created: row.created,
        updated: row.updated,
        fence: row.fence,
        handed_off: stored.handed_off,
        of_notice: stored.of_notice,
        held: stored.held,
        branch: stored.branch,
        state: stored.state,
        data: stored.data,
    })
}

#[cfg(test)]
mod tests {
    use velodrome_core::Finish;
    use velodrome_types::{CycleId, LoopId, Timestamp};

    use super::*;
    use crate::records::run_row;

    fn id(number: u8) -> RunId {
        RunId::from_bytes([number; 16])
    }

    fn lap(parent: Option<RunId>, root: RunId, hops: u64) -> Run {
        let at = Timestamp::from_millis(1_768_000_000_123);
        Run {
            id: id(1),
            cycle: CycleId::from("orders"),
            plan: "0f".repeat(32),
            loop_id: LoopId::from_bytes([9; 16]),
            lap: 3,
            parent,
            root,
            hops,
            created: at,
            updated: at,
            fence: 4,
            handed_off: parent.is_some(),
            of_notice: hops > 0,
            held: None,
            branch: None,
            state: State::Finished {
                how: Finish::Succeeded,
            },
            data: BTreeMap::new(),
        }
    }

    #[test]
    fn a_run_is_read_as_it_was_written() {
        let mut with_data = lap(Some(id(2)), id(3), 2);
        let fields = serde_json::from_str(r#"{"page": 7}"#).expect("JSON");
        with_data
            .data
            .insert(StepId::from("webhook"), Arc::new(fields));
        for run in [lap(None, id(1), 0), lap(Some(id(2)), id(2), 0), with_data] {
            let row = run_row(&run);
            let json = row.record.strip_prefix(&[RUN_FORMAT]);
            let json = json.expect("the format stands first");
            assert_eq!(run_from(&row, json).expect("it reads"), run);
        }
    }

    /// What a lap leaves behind does not say again what its row says.
    #[test]
    fn a_record_repeats_nothing_of_its_row() {
        let run = lap(Some(id(2)), id(3), 0);
        let text = String::from_utf8(record_of(&run)).expect("text");
        assert_eq!(
            text[1..],
            format!(
                r#"{{"parent":"{}","root":"{}","handed_off":true,"state":{{"finished":{{"how":"succeeded"}}}}}}"#,
                id(2),
                id(3)
            )
        );
    }
}
