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

fn main() -> ExitCode {
    let args = args::Args::parse();
    exit::code(commands::run(args))
}
