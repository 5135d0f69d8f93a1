//! What came of a pass, without what must differ from pass to pass: ids, times, how often it was tried.

use std::collections::{BTreeMap, BTreeSet};

use velodrome_store::{
    Cursor, LogFilter, LoopFilter, LoopRow, Namespace, PageRequest, RunFilter, Store,
};
use velodrome_types::{CycleId, Event, Json, LogLine, LoopId, LoopStatus, RunId, Timestamp};

use crate::outside::without_ids;

/// How many rows are read at once.
const CHUNK: usize = 500;

/// What came of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The status that each delivery was answered with.
    pub answers: Vec<Option<u16>>,
    /// Loops, in order of acceptance.
    pub loops: Vec<LoopEnd>,
    /// Script storage, by namespace and key.
    pub storage: BTreeMap<String, Json>,
    /// Watermarks, by cycle and step.
    pub watermarks: BTreeMap<String, Timestamp>,
    /// Runs that have not ended.
    pub open: u64,
}

/// A loop that has ended, or has not.
#[derive(Clone, Debug, PartialEq)]
pub struct LoopEnd {
    /// Its cycle.
    pub cycle: CycleId,
    /// Where it is.
    pub status: LoopStatus,
    /// Laps accepted.
    pub laps: u64,
    /// Records listed.
    pub records: u64,
    /// What was committed of it, in order; sorted where a lap had several runs, whose turns are chance.
    pub told: Vec<Told>,
    /// How many runs it had: more than laps where runs begin others in their lap.
    pub runs: u64,
    /// What was committed of the items of `for_each`, sorted: their order is chance.
    pub items: Vec<Told>,
}

/// Something that happened once and for all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// In which lap.
    pub lap: u64,
    /// At which step.
    pub step: String,
    /// Which item.
    pub item: Option<u64>,
    /// What.
    pub event: Event,
    /// With which status.
    pub status: Option<u16>,
    /// How many records.
    pub records: Option<u64>,
    /// What tells it from others of its kind: where a decision led, which list and to what date, which text,
    /// which code.
    pub which: String,
}

impl Told {
    /// A line, if it tells of something that happens once however often it is tried.
    fn of(line: &LogLine) -> Option<Self> {
        let which = match line.event {
            Event::WebhookAccepted
            | Event::WebhookIgnored
            | Event::ResponseReceived
            | Event::DelayStarted
            | Event::DelayEnded
            | Event::WaitStarted
            | Event::WaitEnded
            | Event::HandoffSent
            | Event::RunSucceeded
            | Event::RunStopped
            | Event::LoopSucceeded
            | Event::LoopStopped
            | Event::WatermarkHeld => String::new(),
            Event::DecisionTaken | Event::WatermarkKept => line.to.clone().unwrap_or_default(),
            Event::WatermarkMoved => {
                let list = line.to.clone().unwrap_or_default();
                let date = line.data.as_ref().and_then(|data| data["to"].as_str());
                format!("{list} {}", date.unwrap_or_default())
            }
            Event::ScriptLogged => without_ids(&line.message),
            Event::RunFailed | Event::LoopFailed | Event::ItemFailed => line
                .code
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            _ => return None,
        };
        Some(Self {
            lap: line.lap.unwrap_or(0),
            step: line
                .step
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            item: line.item,
            event: line.event,
            status: line.status,
            records: line.records,
            which,
        })
    }

    /// Whether it tells of a failure that may be mended.
    pub fn is_failure(&self) -> bool {
        matches!(
            self.event,
            Event::RunFailed | Event::LoopFailed | Event::ItemFailed
        )
    }
}

impl Outcome {
    /// What is stored now.
    ///
    /// # Panics
    ///
    /// The store cannot be read.
    pub fn of(store: &dyn Store, answers: Vec<Option<u16>>) -> Self {
        let rows = loops(store);
        let lines = lines(store);
        let ends = rows.iter().map(|row| {
            let of_loop = || lines.iter().filter(|line| line.loop_id == Some(row.id));
            let runs: BTreeSet<RunId> = of_loop().filter_map(|line| line.run).collect();
            let runs = runs.len() as u64;
            let told = of_loop().filter_map(Told::of);
            let (mut items, mut told): (Vec<Told>, Vec<Told>) =
                told.partition(|told| told.item.is_some());
            items.sort();
            if runs > row.laps {
                told.sort();
            }
            LoopEnd {
                cycle: row.cycle.clone(),
                status: row.status,
                laps: row.laps,
                records: row.records,
                told,
                runs,
                items,
            }
        });
        Self {
            answers,
            loops: ends.collect(),
            storage: storage(store, &rows),
            watermarks: store
                .watermarks()
                .expect("it reads")
                .into_iter()
                .map(|(cycle, step, date)| (format!("{cycle}.{step}"), date))
                .collect(),
            open: store.unfinished(0, CHUNK).expect("it reads").len() as u64,
        }
    }

    /// The same without failures that were mended.
    #[must_use]
    pub fn mended(mut self) -> Self {
        for looped in &mut self.loops {
            looped.told.retain(|told| !told.is_failure());
            looped.items.retain(|told| !told.is_failure());
        }
        self
    }

    /// The first difference, if there is one.
    pub fn differs(&self, expected: &Self) -> Option<String> {
        if self.answers != expected.answers {
            return Some(format!(
                "answers {:?}, expected {:?}",
                self.answers, expected.answers
            ));
        }
        if self.open != 0 {
            return Some(format!("{} runs have not ended", self.open));
        }
        if self.loops.len() != expected.loops.len() {
            return Some(format!(
                "{} loops, expected {}",
                self.loops.len(),
                expected.loops.len()
            ));
        }
        let pairs = self.loops.iter().zip(&expected.loops).enumerate();
        for (at, (got, expected)) in pairs {
            if let Some(difference) = got.differs(expected) {
                return Some(format!("loop {at} of `{}`: {difference}", got.cycle));
            }
        }
        if self.storage != expected.storage {
            return Some(format!(
                "storage {:?}, expected {:?}",
                self.storage, expected.storage
            ));
        }
        (self.watermarks != expected.watermarks).then(|| {
            format!(
                "watermarks {:?}, expected {:?}",
                self.watermarks, expected.watermarks
            )
        })
    }
}

impl LoopEnd {
    /// How many of its runs others have begun in their lap.
    pub fn children(&self) -> u64 {
        self.runs.saturating_sub(self.laps)
    }

    fn differs(&self, expected: &Self) -> Option<String> {
        let end = |looped: &Self| {
            (
                looped.cycle.clone(),
                looped.status,
                looped.laps,
                looped.records,
            )
        };
        let (got, wanted) = (end(self), end(expected));
        if got != wanted {
            return Some(format!("{got:?}, expected {wanted:?}"));
        }
        first_difference(&self.told, &expected.told)
            .or_else(|| first_difference(&self.items, &expected.items))
    }
}

fn first_difference(got: &[Told], expected: &[Told]) -> Option<String> {
    let at = (0..got.len().max(expected.len())).find(|at| got.get(*at) != expected.get(*at))?;
    Some(format!(
        "event {at} is {:?}, expected {:?}",
        got.get(at),
        expected.get(at)
    ))
}

/// Every loop there is, in order of acceptance.
///
/// # Panics
///
/// The store cannot be read.
pub fn loops(store: &dyn Store) -> Vec<LoopRow> {
    let mut all = Vec::new();
    let mut after: Option<Cursor> = None;
    loop {
        let page = PageRequest {
            after,
            limit: CHUNK,
        };
        let page = store.loops(&LoopFilter::default(), page).expect("it reads");
        all.extend(page.items);
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    all.reverse();
    all
}

/// Every line of the log.
///
/// # Panics
///
/// The store cannot be read.
pub fn lines(store: &dyn Store) -> Vec<LogLine> {
    store
        .log_after(0, &LogFilter::default(), usize::MAX)
        .expect("it reads")
        .0
}

/// Every value, by a name that is the same in every pass.
fn storage(store: &dyn Store, rows: &[LoopRow]) -> BTreeMap<String, Json> {
    let of_loop = |id: LoopId| rows.iter().position(|row| row.id == id);
    let mut all = BTreeMap::new();
    for namespace in store.namespaces().expect("it reads") {
        let name = match &namespace {
            Namespace::Connection(connection) => format!("cyclr {connection}"),
            Namespace::Cycle(connection, cycle) => format!("cycle {connection} {cycle}"),
            Namespace::Loop(connection, id) => match of_loop(*id) {
                Some(at) => format!("loop {connection} {at}"),
                None => format!("loop {connection} of no loop"),
            },
        };
        let values = store.list(&namespace, None, usize::MAX).expect("it reads");
        for (key, stored) in values {
            all.insert(format!("{name} {key}"), stored.value);
        }
    }
    all
}

/// The run that a loop failed with, as its row tells.
pub(crate) fn failed_runs(store: &dyn Store) -> Vec<velodrome_store::RunRow> {
    let filter = RunFilter {
        status: vec![velodrome_types::RunStatus::Failed],
        ..RunFilter::default()
    };
    let page = PageRequest {
        after: None,
        limit: CHUNK,
    };
    store.runs(&filter, page).expect("it reads").items
}
