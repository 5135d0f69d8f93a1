//! Feeds every `in.yaml` below a folder to the checker: YAML's own test suite must neither crash nor hang it.
//!
//! The suite is `github.com/yaml/yaml-test-suite`, a `data-…` tag. Most of its files are refused, as they
//! should be: tags, anchors and several documents are not taken, and none of them is a settings file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// A file of a few lines that takes longer has hung the reader, for all that matters.
const SLOW: Duration = Duration::from_secs(1);

pub(crate) fn run(folder: &Path) -> ExitCode {
    let mut files = Vec::new();
    collect(folder, &mut files);
    if files.is_empty() {
        eprintln!("yaml-suite: there is no in.yaml below {}", folder.display());
        return ExitCode::from(2);
    }
    let (mut bad, mut taken, mut slowest) = (0, 0, Duration::ZERO);
    for file in &files {
        let Ok(text) = std::fs::read_to_string(file) else {
            continue;
        };
        #[expect(clippy::disallowed_methods, reason = "a tool that measures")]
        let began = Instant::now();
        let found = std::panic::catch_unwind(|| {
            velodrome_spec::check_config(&text, &|_| Err(std::io::ErrorKind::NotFound.into()))
        });
        let took = began.elapsed();
        slowest = slowest.max(took);
        match found {
            Ok((config, diagnostics)) => {
                taken += u32::from(config.is_some());
                let lines = text.split('\n').count() as u32;
                let lost = diagnostics
                    .iter()
                    .any(|found| found.span.line == 0 || found.span.line > lines);
                if lost || (config.is_none() && diagnostics.is_empty()) || took > SLOW {
                    bad += 1;
                    eprintln!("{}: {took:?}, {diagnostics:?}", file.display());
                }
            }
            Err(_) => {
                bad += 1;
                eprintln!("{}: it panicked", file.display());
            }
        }
    }
    println!(
        "{} files, {taken} taken, the rest refused with a place, slowest {slowest:?}, {bad} bad",
        files.len()
    );
    ExitCode::from(u8::from(bad > 0))
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
        } else if path.file_name().is_some_and(|name| name == "in.yaml") {
            files.push(path);
        }
    }
}
