//! The `velodrome` command.

mod args;
mod assemble;
mod client;
mod commands;
mod config;
mod exit;
mod follow;
mod out;
mod settings_watch;
mod shelf;
mod table;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

/// A page of a list is allocated, scanned and given back some thousand times a second.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = args::Args::parse();
    exit::code(commands::run(args))
}
