//! A commit of the embedded store: half a lap of the page loop, alone and beside others.
//!
//! The folder is below `TMPDIR`, whose disk is what is measured. `cargo run --release -p
//! velodrome-store-embedded --example throughput` says what a lap takes there.

use divan::Bencher;
use divan::counter::ItemsCount;
use velodrome_store::{Expect, LoopRow, RunRow, Store as _, TimerWrite, Unit};
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};
use velodrome_types::{
    Event, Level, LogLine, LoopId, LoopStatus, RunId, RunStatus, StepId, Timestamp,
};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A run that begins to wait, in a commit of its own for each number.
fn unit(number: u64) -> Unit {
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.to_be_bytes());
    let (run, loop_id) = (RunId::new(NOW, random), LoopId::new(NOW, random));
    let mut line = LogLine::new(
        NOW,
        Level::Info,
        Event::DelayStarted,
        "2 s, until 12:00:03.318",
    );
    line.cycle = Some("zoho_incremental".into());
    line.run = Some(run);
    line.loop_id = Some(loop_id);
    line.step = Some(StepId::new("pause"));
    Unit {
        expect: vec![Expect::NoRun(run)],
        runs: vec![RunRow {
            id: run,
            loop_id,
            cycle: "zoho_incremental".into(),
            lap: 1,
            status: RunStatus::Waiting,
            step: Some("pause".into()),
            fence: 1,
            created: NOW,
            updated: NOW,
            plan: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            record: vec![b'r'; 160],
        }],
        loops: vec![LoopRow {
            id: loop_id,
            cycle: "zoho_incremental".into(),
            status: LoopStatus::Waiting,
            laps: 1,
            records: 200,
            started: NOW,
            updated: NOW,
            record: vec![b'l'; 80],
        }],
        timers: vec![TimerWrite::Set(run, NOW)],
        lines: vec![line],
        ..Unit::default()
    }
}

#[divan::bench(args = [1, 50, 500])]
fn commit(bencher: Bencher<'_, '_>, at_once: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = EmbeddedStore::open(OpenOptions::new(folder.path())).expect("the store opens");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut number = 0;
    bencher
        .counter(ItemsCount::new(at_once))
        .with_inputs(|| {
            number += at_once;
            (number..number + at_once).map(unit).collect::<Vec<Unit>>()
        })
        .bench_local_values(|units| {
            let commits: Vec<_> = units.into_iter().map(|unit| store.commit(unit)).collect();
            runtime.block_on(async {
                for commit in commits {
                    commit.await.expect("the unit is committed");
                }
            });
        });
    runtime.block_on(store.close()).expect("the store closes");
}

/// What the disk itself takes to write so much for good: the bound of `commit` with one at once.
#[divan::bench]
fn fsync_4_kib(bencher: Bencher<'_, '_>) {
    use std::io::Write as _;
    let mut file = tempfile::tempfile().expect("a temporary file");
    let block = [7; 4096];
    bencher.bench_local(|| {
        file.write_all(&block).expect("there is room");
        file.sync_data().expect("the disk takes it");
    });
}
