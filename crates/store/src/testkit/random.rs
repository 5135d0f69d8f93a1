//! Random units from a seed, over few names so that they meet.

use velodrome_types::{CycleState, Event, Json, Level, LogLine, LoopStatus, RunStatus};

use super::bench::{Bench, Reopen};
use super::build::{at, line, loop_id, loop_row, run_id, run_row};
use super::compare::{everything, outcome};
use crate::{
    CycleRow, Expect, IdempotencyRow, LoopRow, Namespace, OutboxRow, OutboxWrite, PartWrite,
    PlanRow, RunRow, ScheduleRow, ScheduleWrite, SecretRow, StorageOp, StorageWrite, TimerWrite,
    Unit, WaitRow, WaitWrite, WatermarkWrite,
};

pub(super) const RUNS: u8 = 12;
pub(super) const LOOPS: u8 = 5;
pub(super) const CYCLES: &[&str] = &["alpha", "beta"];
pub(super) const STEPS: &[&str] = &["contacts", "pause"];
pub(super) const HOOKS: &[&str] = &["alpha/asked", "beta/asked"];
pub(super) const FIELDS: &[&str] = &["", "id", "id\nname"];
pub(super) const KEYS: &[&str] = &["", "a", "b", "b\u{0}", "é"];

pub(super) fn namespaces() -> Vec<Namespace> {
    vec![
        Namespace::Connection("a".into()),
        Namespace::Cycle("a".into(), "b".into()),
        Namespace::Loop("a".into(), loop_id(1)),
        Namespace::Connection("ab".into()),
    ]
}

/// The same numbers for the same seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn small(&mut self, end: u8) -> u8 {
        self.below(end.into()) as u8
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize].clone()
    }

    fn chance(&mut self, of: u64) -> bool {
        self.below(of) == 0
    }

    fn some<T>(&mut self, most: u64, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(most + 1);
        (0..count).map(|_| make(self)).collect()
    }

    /// A unit; about one in five is refused.
    pub fn unit(&mut self) -> Unit {
        Unit {
            expect: if self.chance(2) {
                vec![self.expect()]
            } else {
                Vec::new()
            },
            runs: self.some(2, Self::run),
            loops: self.some(2, Self::loop_row),
            parts: self.some(2, |r| {
                let run = run_id(r.small(RUNS));
                if r.chance(3) {
                    let id = loop_id(r.small(LOOPS));
                    match r.chance(4) {
                        true => PartWrite::ForgetOfLoop(id, r.below(5)),
                        false => PartWrite::PutOfLoop(id, r.below(4), vec![r.small(255)]),
                    }
                } else if r.chance(4) {
                    PartWrite::Clear(run, r.below(3))
                } else {
                    PartWrite::Put(run, r.below(4), vec![r.small(255)])
                }
            }),
            timers: self.some(2, Self::timer),
            storage: self.some(4, Self::storage),
            waits: self.some(2, Self::wait),
            watermarks: self.some(1, Self::watermark),
            idempotency: self.some(1, Self::answer),
            outbox: self.some(1, Self::notice),
            plans: self.some(1, |r| PlanRow {
                hash: r.below(4).to_string(),
                cycle: r.of(CYCLES).into(),
                body: vec![r.small(255)],
            }),
            cycles: self.some(1, |r| CycleRow {
                cycle: r.of(CYCLES).into(),
                state: r.of(CycleState::ALL),
            }),
            cycles_deleted: match self.chance(8) {
                true => vec![self.of(CYCLES).into()],
                false => Vec::new(),
            },
            schedules: self.some(1, |r| match r.chance(4) {
                true => ScheduleWrite::Remove(r.of(CYCLES).into()),
                false => ScheduleWrite::Put(ScheduleRow {
                    cycle: r.of(CYCLES).into(),
                    rule: r.below(3).to_string(),
                    passed: r.time(),
                }),
            }),
            secrets: self.some(1, |r| SecretRow {
                name: format!("secret/{}", r.below(4)),
                sealed: vec![r.small(255)],
            }),
            secrets_deleted: self.some(1, |r| format!("secret/{}", r.below(4))),
            lines: self.some(5, Self::line),
            // Where its slices lie is each store's own.
            forget: Vec::new(),
        }
    }

    fn expect(&mut self) -> Expect {
        let run = run_id(self.small(RUNS));
        match self.below(4) {
            0 => Expect::RunFence(run, self.below(2)),
            1 => Expect::NoRun(run),
            2 => Expect::LoopOpen(loop_id(self.small(LOOPS))),
            _ => {
                let key = self.below(4).to_string();
                Expect::NoAnswer(self.of(CYCLES).to_owned(), key, self.time())
            }
        }
    }

    fn time(&mut self) -> velodrome_types::Timestamp {
        at(self.below(100).cast_signed())
    }

    /// A run's loop and cycle follow from its number, as they do in the engine.
    fn run(&mut self) -> RunRow {
        let n = self.small(RUNS);
        RunRow {
            loop_id: loop_id(n % LOOPS),
            cycle: CYCLES[usize::from(n % LOOPS) % CYCLES.len()].into(),
            step: self.chance(2).then(|| self.of(STEPS).into()),
            fence: self.below(2),
            created: self.time(),
            plan: self.below(4).to_string(),
            record: vec![self.small(255); 20],
            ..run_row(n, self.of(RunStatus::ALL))
        }
    }

    fn loop_row(&mut self) -> LoopRow {
        let n = self.small(LOOPS);
        LoopRow {
            cycle: CYCLES[usize::from(n) % CYCLES.len()].into(),
            records: self.below(1000),
            started: self.time(),
            ..loop_row(n, self.of(LoopStatus::ALL))
        }
    }

    fn timer(&mut self) -> TimerWrite {
        let run = run_id(self.small(RUNS));
        if self.chance(3) {
            TimerWrite::Clear(run)
        } else {
            TimerWrite::Set(run, self.time())
        }
    }

    fn value(&mut self) -> Json {
        match self.below(6) {
            0 => Json::Null,
            1 => self.below(1000).into(),
            2 => (self.below(1000) as f64 / 8.0).into(),
            3 => self.below(50).to_string().into(),
            4 => vec![self.below(9)].into(),
            _ => "é".repeat(self.below(40) as usize).into(),
        }
    }

    fn storage(&mut self) -> StorageWrite {
        let key = self.of(KEYS).to_owned();
        let op = match self.below(12) {
            0 => StorageOp::DeleteAll,
            1 | 2 => StorageOp::Delete(key),
            3 | 4 => StorageOp::Increment(key, self.below(9) as f64 / 2.0),
            5 | 6 => StorageOp::Append(key, self.value()),
            _ => StorageOp::Set(key, self.value()),
        };
        StorageWrite {
            namespace: self.of(&namespaces()),
            by: self.chance(2).then(|| loop_id(self.small(LOOPS))),
            op,
        }
    }

    fn watermark(&mut self) -> WatermarkWrite {
        let (cycle, step) = (self.of(CYCLES).into(), self.of(STEPS).into());
        match self.below(4) {
            0 => WatermarkWrite::Unset(cycle, step),
            1 => WatermarkWrite::Set(cycle, step, self.time()),
            _ => WatermarkWrite::Raise(cycle, step, self.time()),
        }
    }

    fn answer(&mut self) -> IdempotencyRow {
        IdempotencyRow {
            hook: self.of(CYCLES).to_owned(),
            key: self.below(4).to_string(),
            body_hash: [self.small(255); 32],
            status: 200 + u16::from(self.small(5)),
            answer: vec![self.small(255)],
            expires: self.time(),
        }
    }

    fn wait(&mut self) -> WaitWrite {
        let run = self.small(RUNS);
        let hook = self.of(HOOKS).to_owned();
        if self.chance(3) {
            return WaitWrite::End(run_id(run), hook);
        }
        WaitWrite::Begin(WaitRow {
            run: run_id(run),
            loop_id: loop_id(run % LOOPS),
            hook,
            fields: self.of(FIELDS).to_owned(),
            key: [self.small(2); 16],
        })
    }

    fn notice(&mut self) -> OutboxWrite {
        let (run, number) = (run_id(self.small(RUNS)), self.below(2));
        if self.chance(3) {
            return OutboxWrite::Remove(run, number);
        }
        OutboxWrite::Put(OutboxRow {
            run,
            number,
            cycle: self.of(CYCLES).into(),
            due: self.time(),
            attempts: self.below(9) as u32,
            record: vec![self.small(255)],
        })
    }

    fn line(&mut self) -> LogLine {
        let n = self.small(RUNS);
        let mut line = line(n, "");
        line.loop_id = Some(loop_id(n % LOOPS));
        line.cycle = Some(CYCLES[usize::from(n % LOOPS) % CYCLES.len()].into());
        if self.chance(5) {
            line.run = None;
            line.loop_id = None;
        }
        line.time = self.time();
        line.level = self.of(&[Level::Debug, Level::Info, Level::Warn, Level::Error]);
        line.event = self.of(Event::ALL);
        line.step = self.chance(2).then(|| self.of(STEPS).into());
        line.message = "x".repeat(self.below(200) as usize);
        line.data = self.chance(3).then(|| self.value());
        line.to = self.chance(3).then(|| run_id(n).to_string());
        line.ms = self.chance(2).then(|| self.next());
        line
    }
}

/// Feeds the same random units to both stores and compares every outcome and every read; `right` is
/// also reopened now and then, one way and the other.
pub fn differential(seed: u64, groups: u64, left: &Bench, right: &mut Bench) {
    let mut random = Random::new(seed);
    for group in 0..groups {
        let units = random.some(8, Random::unit);
        let one_by_one: Vec<_> = units.iter().map(|u| left.commit(u.clone())).collect();
        let together = right.together(units.clone());
        for ((unit, a), b) in units.iter().zip(&one_by_one).zip(&together) {
            assert_eq!(outcome(a), outcome(b), "seed {seed}: {unit:#?}");
        }
        match random.below(12) {
            0 => right.reopen(Reopen::Close),
            1 => right.reopen(Reopen::Crash),
            _ => {}
        }
        let (a, b) = (everything(left.store()), everything(right.store()));
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a, b, "seed {seed}, behind group {group}: {units:#?}");
        }
        assert_eq!(a.len(), b.len());
    }
}
