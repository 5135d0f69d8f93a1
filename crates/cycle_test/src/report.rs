//! What a run of a test file gives back.

use std::time::Duration;

use velodrome_runtime::api::LoopView;
use velodrome_runtime::simulated::HandedOff;
use velodrome_spec::Diagnostic;
use velodrome_spec::test_file::Placed;
use velodrome_types::{Json, LogLine};

use crate::coverage::Coverage;

/// A test file that has been run.
#[derive(Clone, Debug)]
pub struct FileReport {
    /// Its tests, in order.
    pub tests: Vec<TestReport>,
    /// The exits that they took together.
    pub coverage: Coverage,
    /// Where they took fewer than the file wants.
    pub failures: Vec<Diagnostic>,
}

/// A test that has been run.
#[derive(Clone, Debug)]
pub struct TestReport {
    /// Its name.
    pub name: Placed<String>,
    /// What was not as expected, each with its place in the test file; none where it passed.
    pub failures: Vec<Diagnostic>,
    /// Its loops, in order of acceptance.
    pub loops: Vec<LoopView>,
    /// Virtual time from its beginning to the last thing that happened.
    pub elapsed: Duration,
    /// The run log.
    pub lines: Vec<LogLine>,
    /// Every request that left.
    pub requests: Vec<Json>,
    /// Every body handed to a webhook of the simulated server.
    pub handoffs: Vec<HandedOff>,
}

impl TestReport {
    /// Whether all was as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Laps of all loops together.
    pub fn laps(&self) -> u64 {
        self.loops.iter().map(|looped| looped.laps).sum()
    }
}

impl FileReport {
    /// Whether every test passed and enough exits were taken.
    pub fn passed(&self) -> bool {
        self.failures.is_empty() && self.tests.iter().all(TestReport::passed)
    }
}
