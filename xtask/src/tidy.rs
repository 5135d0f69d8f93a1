//! The tidy check: invariants of the tree that no compiler sees.
//!
//! I1: `types`, `spec` and `core` depend on no async runtime, network or store. I2: only `cli` and tests
//! name a backend. I3: no file over 800 lines. Also: every path named in `docs/architecture.md` exists,
//! every TODO has a tag, and every code that the sources name has its page in `docs/errors`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

const MAX_LINES: usize = 800;
/// What the pure crates must not depend on, not even through another crate of ours.
const IMPURE: &[&str] = &[
    "tokio",
    "reqwest",
    "axum",
    "hyper",
    "rusqlite",
    "sled",
    "rhai",
    "getrandom",
    "tokio-util",
];
const PURE: &[&str] = &["types", "spec", "core"];
const BACKENDS: &[&str] = &["velodrome-store-embedded", "velodrome-store-postgres"];
const MAY_NAME_BACKENDS: &[&str] = &["cli", "store_embedded", "store_postgres"];

pub(crate) fn run() -> ExitCode {
    match check(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("xtask stands in the workspace"),
    ) {
        Ok(faults) if faults.is_empty() => {
            println!("tidy: all well");
            ExitCode::SUCCESS
        }
        Ok(faults) => {
            for fault in &faults {
                eprintln!("tidy: {fault}");
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("tidy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check(root: &Path) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    let mut sources = Vec::new();
    for folder in ["crates", "tests", "xtask"] {
        collect(&root.join(folder), &mut sources)?;
    }
    let mut codes = BTreeSet::new();
    for path in &sources {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let shown = path
            .strip_prefix(root)
            .unwrap_or(path)
            .display()
            .to_string();
        let lines = text.lines().count();
        if lines > MAX_LINES {
            faults.push(format!(
                "I3: {shown} has {lines} lines, {MAX_LINES} is the most"
            ));
        }
        let todo = concat!("TO", "DO");
        for (at, line) in text.lines().enumerate() {
            if line.contains(todo)
                && !line.contains(&format!("{todo}("))
                && !shown.starts_with("xtask")
            {
                faults.push(format!("{shown}:{}: a {todo} without a tag", at + 1));
            }
        }
        if !shown.contains("/tests/") && !shown.starts_with("tests/") {
            // Unit tests stand at the end of a file, and name what they like.
            codes_of(
                text.split("#[cfg(test)]").next().unwrap_or_default(),
                &mut codes,
            );
        }
    }
    manifests(root, &mut faults)?;
    architecture(root, &mut faults)?;
    pages(root, &codes, &mut faults)?;
    Ok(faults)
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, found)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    Ok(())
}

/// The normal dependencies that a manifest names.
fn dependencies(manifest: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.trim() == "[dependencies]";
        } else if inside
            && let Some(name) = line
                .split(['.', ' ', '='])
                .next()
                .filter(|name| !name.is_empty())
        {
            names.push(name.to_owned());
        }
    }
    names
}

fn manifests(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(root.join("crates"))? {
        let folder = entry?.path();
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Ok(manifest) = std::fs::read_to_string(folder.join("Cargo.toml")) else {
            continue;
        };
        for dependency in dependencies(&manifest) {
            if PURE.contains(&name.as_str()) {
                let ours = dependency.strip_prefix("velodrome-");
                if IMPURE.contains(&dependency.as_str())
                    || ours.is_some_and(|ours| !PURE.contains(&ours))
                {
                    faults.push(format!("I1: crates/{name} depends on {dependency}"));
                }
            }
            if BACKENDS.contains(&dependency.as_str())
                && !MAY_NAME_BACKENDS.contains(&name.as_str())
            {
                faults.push(format!("I2: crates/{name} names the backend {dependency}"));
            }
        }
    }
    Ok(())
}

/// Every path in back-ticks that has a slash must exist.
fn architecture(root: &Path, faults: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root.join("docs/architecture.md"))
        .context("docs/architecture.md")?;
    for part in text.split('`').skip(1).step_by(2) {
        let is_path = part.contains('/')
            && !part.starts_with('/')
            && part
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'-' | b'.'));
        if is_path && !root.join(part).exists() {
            faults.push(format!(
                "docs/architecture.md names `{part}`, which is not there"
            ));
        }
    }
    Ok(())
}

/// Texts of the form `area.reason` in quotes, for the areas that have codes.
fn codes_of(text: &str, codes: &mut BTreeSet<String>) {
    for part in text.split('"').skip(1).step_by(2) {
        let Some((area, reason)) = part.split_once('.') else {
            continue;
        };
        let plain = |word: &str| {
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
        };
        if AREAS.contains(&area) && plain(reason) && !EVENTS.contains(&part) {
            codes.insert(part.to_owned());
        }
    }
}

/// The areas of stable codes.
const AREAS: &[&str] = &[
    "api",
    "auth",
    "config",
    "connection",
    "connector",
    "cycle",
    "engine",
    "feature",
    "field",
    "graph",
    "handoff",
    "key",
    "loop",
    "name",
    "paging",
    "reference",
    "request",
    "response",
    "run",
    "script",
    "server",
    "step",
    "storage",
    "store",
    "test",
    "value",
    "webhook",
    "yaml",
];

/// Texts of that form which are events or names, not codes.
const EVENTS: &[&str] = &[
    "webhook.accepted",
    "webhook.ignored",
    "webhook.refused",
    "webhook.replayed",
    "run.started",
    "run.waiting",
    "run.resumed",
    "run.succeeded",
    "run.failed",
    "run.stopped",
    "script.logged",
    "script.failed",
    "request.sent",
    "request.failed",
    "response.received",
    "retry.scheduled",
    "handoff.sent",
    "handoff.failed",
    "storage.foreign_read",
    "loop.started",
    "loop.succeeded",
    "loop.failed",
    "loop.stopped",
    "cycle.loaded",
    "cycle.rejected",
    "cycle.started",
    "cycle.paused",
    "cycle.finishing",
    "cycle.stopped",
    "cycle.purged",
    "cycle.removed",
    "connection.refreshed",
    "connection.failed",
];

/// Each code has a heading in `docs/errors/README.md`.
fn pages(root: &Path, codes: &BTreeSet<String>, faults: &mut Vec<String>) -> Result<()> {
    let text = std::fs::read_to_string(root.join("docs/errors/README.md"))
        .context("docs/errors/README.md")?;
    let known: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    for code in codes {
        if !known.contains(code.as_str()) {
            faults.push(format!(
                "code `{code}` has no entry in docs/errors/README.md"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        assert_eq!(check(root).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn codes_are_found_in_sources() {
        let mut codes = BTreeSet::new();
        codes_of(
            r#"Code::new("loop.max_laps"); "webhook.accepted"; "a.b"; "loop.Max""#,
            &mut codes,
        );
        assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["loop.max_laps"]);
    }

    #[test]
    fn manifests_are_read_up_to_the_next_table() {
        let manifest = "[dependencies]\ntokio.workspace = true\nserde = \"1\"\n[dev-dependencies]\nsled = \"0\"\n";
        assert_eq!(dependencies(manifest), ["tokio", "serde"]);
    }
}
