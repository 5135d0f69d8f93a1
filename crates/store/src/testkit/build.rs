//! Rows and lines from a number each.

use velodrome_types::{Event, Level, LogLine, LoopId, LoopStatus, RunId, RunStatus, Timestamp};

use crate::{LoopRow, Namespace, RunRow, StorageOp, StorageWrite};

/// So many milliseconds after a fixed moment.
pub fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(1_795_435_200_000 + millis)
}

fn bytes(n: u8) -> [u8; 16] {
    // Mixed, so that the order of ids is not that of their numbers.
    let mut bytes = [n.wrapping_mul(167).wrapping_add(13); 16];
    bytes[15] = n;
    bytes
}

/// The id of run number `n`.
pub fn run_id(n: u8) -> RunId {
    RunId::from_bytes(bytes(n))
}

/// The id of loop number `n`.
pub fn loop_id(n: u8) -> LoopId {
    LoopId::from_bytes(bytes(n.wrapping_add(100)))
}

/// Run `n` of loop `n` and cycle `alpha`, in this state.
pub fn run_row(n: u8, status: RunStatus) -> RunRow {
    RunRow {
        id: run_id(n),
        loop_id: loop_id(n),
        cycle: "alpha".into(),
        lap: u64::from(n),
        status,
        step: Some("contacts".into()),
        fence: 1,
        created: at(i64::from(n)),
        updated: at(i64::from(n) + 1),
        plan: "0123456789abcdef".to_owned(),
        record: vec![1, n],
    }
}

/// Loop `n` of cycle `alpha`, in this state.
pub fn loop_row(n: u8, status: LoopStatus) -> LoopRow {
    LoopRow {
        id: loop_id(n),
        cycle: "alpha".into(),
        status,
        laps: u64::from(n),
        records: u64::from(n) * 200,
        started: at(i64::from(n)),
        updated: at(i64::from(n) + 1),
        record: vec![1, n],
    }
}

/// A line about run `n` and its loop.
pub fn line(n: u8, message: &str) -> LogLine {
    let mut line = LogLine::new(
        at(i64::from(n)),
        Level::Info,
        Event::WebhookAccepted,
        message,
    );
    line.cycle = Some("alpha".into());
    line.version = Some("0123456789ab".to_owned());
    line.run = Some(run_id(n));
    line.loop_id = Some(loop_id(n));
    line.lap = Some(u64::from(n));
    line
}

/// A write of the command line.
pub fn storage_write(namespace: &Namespace, op: StorageOp) -> StorageWrite {
    StorageWrite {
        namespace: namespace.clone(),
        by: None,
        op,
    }
}
