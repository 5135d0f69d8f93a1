//! How many units a second the store commits, and what a lap takes on disk.
//!
//! ```text
//! cargo run --release -p velodrome-store-embedded --example throughput [-- FOLDER]
//! ```
//!
//! Each unit is one of the two commits of a lap of a page loop (DESIGN §3): the list answered and the
//! delay began, and the next lap was handed off. `in flight` is how many commits are under way at
//! once, so about how large the groups are. Prints only; a folder given is used instead of a temporary
//! one, and is left as it is afterwards.

use std::collections::VecDeque;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::Duration;

use velodrome_store::{
    Commit, Expect, LoopRow, Namespace, RunRow, StorageOp, StorageWrite, Store as _, TimerWrite,
    Unit,
};
use velodrome_store_embedded::{EmbeddedStore, OpenOptions};
use velodrome_types::{
    Event, Level, LogLine, LoopId, LoopStatus, RunId, RunStatus, StepId, Timestamp,
};

const UNITS: u64 = 100_000;
const UNITS_ALONE: u64 = 5_000;

fn main() {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let root = given.unwrap_or_else(|| temporary.path().to_owned());
    for (in_flight, units) in [(1, UNITS_ALONE), (50, UNITS), (500, UNITS)] {
        measure(
            &root.join(format!("in_flight_{in_flight}")),
            in_flight,
            units,
        );
    }
}

fn measure(folder: &Path, in_flight: usize, units: u64) {
    let store = EmbeddedStore::open(OpenOptions::new(folder)).expect("the store opens");
    let mut loops: Vec<Lap> = (0..in_flight as u64).map(Lap::new).collect();
    for lap in &mut loops {
        wait(store.commit(lap.accepted())).expect("the first lap is committed");
    }
    wait(store.close()).expect("the store closes");
    let before = size(folder, "journal");
    let store = EmbeddedStore::open(OpenOptions::new(folder)).expect("the store opens again");

    let mut under_way: VecDeque<(Duration, Commit)> = VecDeque::new();
    let mut waits = Vec::with_capacity(units as usize);
    let clock = Clock::start();
    for number in 0..units {
        let at = number as usize % in_flight;
        if under_way.len() == in_flight {
            let (sent, commit) = under_way.pop_front().expect("one is under way");
            wait(commit).expect("the unit is committed");
            waits.push(clock.elapsed() - sent);
        }
        let unit = loops[at].next_unit();
        under_way.push_back((clock.elapsed(), store.commit(unit)));
    }
    for (sent, commit) in under_way {
        wait(commit).expect("the unit is committed");
        waits.push(clock.elapsed() - sent);
    }
    let took = clock.elapsed();
    wait(store.close()).expect("the store closes");
    let grown = size(folder, "journal") - before;
    waits.sort_unstable();
    let wait_of = |part: usize| waits[(waits.len() - 1) * part / 1000].as_secs_f64() * 1e3;
    println!(
        "in flight {in_flight:>3}: {:>6.0} units/s; answered in {:.2} ms (half), {:.2} ms (99 %), {:.1} ms (all); {} bytes a lap in the journal; sled {} KiB in all",
        units as f64 / took.as_secs_f64(),
        wait_of(500),
        wait_of(990),
        wait_of(1000),
        grown / (units / 2),
        size(folder, "sled") / 1024,
    );
}

/// A loop of `zoho_incremental`, unit by unit.
struct Lap {
    loop_id: LoopId,
    run: RunId,
    lap: u64,
    fence: u64,
    seed: u64,
    now: i64,
    delaying: bool,
}

impl Lap {
    fn new(seed: u64) -> Self {
        let now = 1_795_435_200_000;
        let mut lap = Self {
            loop_id: LoopId::from_bytes([0; 16]),
            run: RunId::from_bytes([0; 16]),
            lap: 1,
            fence: 1,
            seed: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now,
            delaying: false,
        };
        lap.loop_id = LoopId::new(lap.time(), lap.random());
        lap.run = RunId::new(lap.time(), lap.random());
        lap
    }

    fn random(&mut self) -> [u8; 10] {
        let mut bytes = [0; 10];
        for byte in &mut bytes {
            self.seed ^= self.seed << 13;
            self.seed ^= self.seed >> 7;
            self.seed ^= self.seed << 17;
            *byte = (self.seed >> 32) as u8;
        }
        bytes
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.now)
    }

    fn run_row(&self, status: RunStatus, step: &str, record: usize) -> RunRow {
        RunRow {
            id: self.run,
            loop_id: self.loop_id,
            cycle: "zoho_incremental".into(),
            lap: self.lap,
            status,
            step: Some(step.into()),
            fence: self.fence,
            created: self.time(),
            updated: self.time(),
            plan: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
            record: vec![b'r'; record],
        }
    }

    fn loop_row(&self, status: LoopStatus) -> LoopRow {
        LoopRow {
            id: self.loop_id,
            cycle: "zoho_incremental".into(),
            status,
            laps: self.lap,
            records: self.lap * 200,
            started: self.time(),
            updated: self.time(),
            record: vec![b'l'; 80],
        }
    }

    fn line(&self, event: Event, step: &str, message: &str) -> LogLine {
        let mut line = LogLine::new(self.time(), Level::Info, event, message);
        line.cycle = Some("zoho_incremental".into());
        line.version = Some("9f86d081884c".to_owned());
        line.run = Some(self.run);
        line.loop_id = Some(self.loop_id);
        line.lap = Some(self.lap);
        line.step = Some(StepId::new(step));
        line
    }

    fn storage(&self, op: StorageOp) -> StorageWrite {
        StorageWrite {
            namespace: Namespace::Loop("generic_webhook".into(), self.loop_id),
            by: Some(self.loop_id),
            op,
        }
    }

    fn accepted(&mut self) -> Unit {
        Unit {
            expect: vec![Expect::NoRun(self.run)],
            runs: vec![self.run_row(RunStatus::Running, "contacts", 120)],
            loops: vec![self.loop_row(LoopStatus::Running)],
            storage: vec![self.storage(StorageOp::Set("pageNumber".to_owned(), self.lap.into()))],
            lines: vec![self.line(Event::WebhookAccepted, "webhook", "accepted")],
            ..Unit::default()
        }
    }

    fn next_unit(&mut self) -> Unit {
        self.delaying = !self.delaying;
        if self.delaying {
            self.delay()
        } else {
            self.hand_off()
        }
    }

    /// The list has answered; the decision is taken; the delay begins.
    fn delay(&mut self) -> Unit {
        let expect = vec![
            Expect::RunFence(self.run, self.fence),
            Expect::LoopOpen(self.loop_id),
        ];
        self.now += 112;
        self.fence += 1;
        let mut sent = self.line(Event::RequestSent, "contacts", "GET page=4");
        sent.url = Some("https://www.zohoapis.com/crm/v8/Contacts".to_owned());
        sent.attempt = Some(1);
        let mut answered = self.line(
            Event::ResponseReceived,
            "contacts",
            "200 · 200 records · 41 kB · 112 ms",
        );
        answered.status = Some(200);
        answered.ms = Some(112);
        answered.records = Some(200);
        let mut decided = self.line(Event::DecisionTaken, "more_records", "true → pause");
        decided.to = Some("pause".to_owned());
        let delayed = self.line(Event::DelayStarted, "pause", "2 s, until 12:00:03.318");
        Unit {
            expect,
            runs: vec![self.run_row(RunStatus::Waiting, "pause", 160)],
            loops: vec![self.loop_row(LoopStatus::Waiting)],
            timers: vec![TimerWrite::Set(self.run, self.time())],
            lines: vec![sent, answered, decided, delayed],
            ..Unit::default()
        }
    }

    /// The delay is over; the next lap is accepted, with its page in storage.
    fn hand_off(&mut self) -> Unit {
        let before = self.run;
        let mut expect = vec![
            Expect::RunFence(self.run, self.fence),
            Expect::LoopOpen(self.loop_id),
        ];
        self.now += 2000;
        self.fence += 1;
        let ended = self.run_row(RunStatus::Succeeded, "next_page", 40);
        let mut handed = self.line(Event::HandoffSent, "next_page", "→ lap 5  page=5");
        let succeeded = self.line(Event::RunSucceeded, "next_page", "succeeded");
        self.run = RunId::new(self.time(), self.random());
        self.lap += 1;
        self.fence = 1;
        handed.to = Some(self.run.to_string());
        expect.push(Expect::NoRun(self.run));
        let mut accepted = self.line(Event::WebhookAccepted, "webhook", "accepted  page=5");
        accepted.to = Some("contacts".to_owned());
        Unit {
            expect,
            runs: vec![ended, self.run_row(RunStatus::Running, "contacts", 120)],
            loops: vec![self.loop_row(LoopStatus::Running)],
            timers: vec![TimerWrite::Clear(before)],
            storage: vec![self.storage(StorageOp::Set("pageNumber".to_owned(), self.lap.into()))],
            lines: vec![handed, succeeded, accepted],
            ..Unit::default()
        }
    }
}

fn size(folder: &Path, prefix: &str) -> u64 {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| {
            if entry.path().is_dir() {
                size(&entry.path(), "")
            } else {
                entry.metadata().map_or(0, |metadata| metadata.len())
            }
        })
        .sum()
}

/// The one place of this program that reads the clock.
struct Clock(std::time::Instant);

impl Clock {
    #[expect(clippy::disallowed_methods, reason = "a measurement, not the engine")]
    fn start() -> Self {
        Self(std::time::Instant::now())
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(mut future: std::pin::Pin<Box<dyn Future<Output = T> + Send>>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}
