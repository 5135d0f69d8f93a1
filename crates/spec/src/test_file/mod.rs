//! A cycle's tests, `x.test.yaml`, checked: what is sent, what is answered, what is expected.
//!
//! Nothing runs here. Expected values keep the place of each part, so that a failure can point at it.
//!
//! ```text
//! nodes ─▶ tests ─▶ answers, expectations ─▶ TestFile ─against─▶ the cycle's plan
//! ```

mod against;
mod answers;
mod expect;
mod read;
mod shape;

use std::time::Duration;

use velodrome_types::{CycleId, Json, JsonMap, LoopStatus, StepId, Timestamp};

use crate::diagnostic::{Diagnostic, Span};
use crate::keys::Faults;
use crate::yaml;

pub use against::check_against;
pub use shape::{Misfit, Scalars, Shape, ShapeKind, shown};

/// Something that a file says, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed<T> {
    /// What.
    pub value: T,
    /// Where.
    pub span: Span,
}

/// A checked test file.
#[derive(Clone, Debug, PartialEq)]
pub struct TestFile {
    /// The cycle under test, if the file names it.
    pub cycle: Option<Placed<CycleId>>,
    /// Settings of connections.
    pub settings: Vec<TestSettings>,
    /// The least part of the exits that its tests must take, from 0 to 100.
    pub coverage: Option<Placed<f64>>,
    /// The tests, in order.
    pub tests: Vec<CycleTest>,
}

/// Settings of one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct TestSettings {
    /// The connection.
    pub connection: Placed<String>,
    /// Its settings and their values.
    pub values: Vec<(Placed<String>, Json)>,
}

/// One test.
#[derive(Clone, Debug, PartialEq)]
pub struct CycleTest {
    /// Its name.
    pub name: Placed<String>,
    /// What the clock says at the beginning.
    pub start: Timestamp,
    /// Requests to the cycle's webhook.
    pub deliveries: Vec<TestDelivery>,
    /// Script storage before.
    pub storage: Vec<Stored<Json>>,
    /// Watermarks before, by list step.
    pub watermarks: Vec<(Placed<StepId>, Timestamp)>,
    /// Canned answers, by step.
    pub answers: Vec<StepAnswers>,
    /// How far it may go.
    pub limits: TestLimits,
    /// What must have come of it.
    pub expect: Expect,
}

/// A request to the webhook.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TestDelivery {
    /// The body.
    pub body: Json,
    /// Header names in lower case with their values.
    pub headers: JsonMap,
    /// Query parameters.
    pub query: JsonMap,
    /// How long after the beginning it comes.
    pub after: Duration,
    /// The webhook in the middle of the cycle that it is for, in place of the trigger.
    pub step: Option<Placed<StepId>>,
}

/// Which script storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFamily {
    /// `cyclr_storage_*`.
    Connection,
    /// `cycle_storage_*`.
    Cycle,
    /// `loop_storage_*` of the first loop.
    Loop,
}

/// A key of script storage, and its value or what is expected of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<T> {
    /// Which storage.
    pub family: StorageFamily,
    /// Of which connection.
    pub connection: Placed<String>,
    /// The key.
    pub key: String,
    /// The value.
    pub value: T,
}

/// A step's canned answers.
#[derive(Clone, Debug, PartialEq)]
pub struct StepAnswers {
    /// The other cycle, where the step is not the tested one's: `cycle.step`.
    pub cycle: Option<CycleId>,
    /// The step.
    pub step: StepId,
    /// Where that stands.
    pub span: Span,
    /// The answers.
    pub answers: Answers,
}

/// Answers to a step's requests.
#[derive(Clone, Debug, PartialEq)]
pub enum Answers {
    /// The same to each.
    Always(CannedAnswer),
    /// One for each, in order.
    InOrder(Vec<CannedAnswer>),
}

/// A canned answer.
#[derive(Clone, Debug, PartialEq)]
pub struct CannedAnswer {
    /// Where it stands.
    pub span: Span,
    /// How long it takes to come.
    pub takes: Duration,
    /// What comes.
    pub outcome: Canned,
}

/// What comes of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Canned {
    /// An answer.
    Answer {
        /// The HTTP status.
        status: u16,
        /// Header names with their values.
        headers: Vec<(String, String)>,
        /// The body; `None` is empty.
        body: Option<Json>,
        /// So many made-up records.
        records: Option<u64>,
    },
    /// Nothing comes in time.
    Timeout,
    /// Nobody listens there.
    ConnectionRefused,
}

/// How far a test may go before it counts as endless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestLimits {
    /// Laps of all loops together.
    pub laps: u64,
    /// Virtual time.
    pub time: Duration,
}

impl Default for TestLimits {
    fn default() -> Self {
        Self {
            laps: 20_000,
            time: Duration::from_secs(3_650 * 24 * 3_600),
        }
    }
}

/// What must have come of a test. What is not named is not looked at, but for the end of the loops.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expect {
    /// What the webhook answers, one for each delivery.
    pub answers: Option<Placed<Vec<Shape>>>,
    /// The first loop.
    pub first: ExpectedLoop,
    /// Every loop, in order of acceptance.
    pub loops: Option<Placed<Vec<ExpectedLoop>>>,
    /// The error of the first failed run; `None` inside where none may fail.
    pub error: Option<Placed<Option<Shape>>>,
    /// Every request that left, in order.
    pub requests: Option<Placed<Vec<Shape>>>,
    /// Every body handed off, in order.
    pub handoffs: Option<Placed<Vec<Shape>>>,
    /// Script storage after.
    pub storage: Vec<Stored<Shape>>,
    /// Watermarks after; `None` inside is none.
    pub watermarks: Vec<ExpectedWatermark>,
    /// Lines of the log, in order, with others between.
    pub log: Vec<Shape>,
}

/// A list step's last successful run date; `None` where there must be none.
pub type ExpectedWatermark = (Placed<StepId>, Placed<Option<Timestamp>>);

/// What is expected of a loop.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedLoop {
    /// Its cycle.
    pub cycle: Option<Placed<CycleId>>,
    /// How it ends.
    pub status: Option<Placed<LoopStatus>>,
    /// Its laps.
    pub laps: Option<Placed<u64>>,
    /// Its records.
    pub records: Option<Placed<u64>>,
    /// From acceptance to end.
    pub elapsed: Option<Placed<Duration>>,
}

/// Whether a file of this name holds tests and no cycle.
pub fn is_test_file(name: &str) -> bool {
    name.ends_with(".test.yaml")
}

/// Checks a test file by itself; [`check_against`] holds it against its cycle.
pub fn check_test_file(source: &str) -> (Option<TestFile>, Vec<Diagnostic>) {
    let root = match yaml::parse(source) {
        Ok(root) => root,
        Err(diagnostics) => return (None, diagnostics),
    };
    let mut faults = Faults::default();
    let file = read::file(&root, &mut faults);
    let fatal = faults.is_fatal();
    let mut diagnostics = faults.0;
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.span.end));
    (file.filter(|_| !fatal), diagnostics)
}
