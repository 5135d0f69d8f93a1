//! What a person repeats: `cargo xtask tidy`, `cargo xtask docs`, `cargo xtask yaml-suite FOLDER`.

mod docs;
mod tidy;
mod yaml_suite;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["tidy"] => tidy::run(),
        ["docs"] => docs::run(false),
        ["docs", "--check"] => docs::run(true),
        ["yaml-suite", folder] => yaml_suite::run(Path::new(folder)),
        _ => {
            eprintln!("usage: cargo xtask tidy | docs [--check] | yaml-suite FOLDER");
            ExitCode::from(2)
        }
    }
}
