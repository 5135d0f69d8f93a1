//! A worker alone, for tests: the `velodrome` command is its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    velodrome_script::run_worker()
}
