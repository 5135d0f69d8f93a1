//! The `velodrome` command.

mod args;
mod assemble;
mod client;
mod commands;
mod config;
mod exit;
mod follow;
mod otel;
mod out;
mod own_log;
mod settings_watch;
mod shelf;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

/// A page of a list is allocated, scanned and given back some thousand times a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The command that makes this program a worker that runs JavaScript. No person calls it: it is in no help.
const SCRIPT_WORKER: &str = "script-worker";

fn main() -> ExitCode {
    if std::env::args_os()
        .nth(1)
        .is_some_and(|word| word == SCRIPT_WORKER)
    {
        return velodrome_script::run_worker();
    }
    let args = args::Args::parse();
    exit::code(commands::run(args))
}
