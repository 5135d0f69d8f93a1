//! Cycles under test: what passes, what fails and where it points, and that it takes no time.

mod bench;
mod failures;
mod passes;
