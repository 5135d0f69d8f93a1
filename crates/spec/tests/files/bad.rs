//! One file a rule: code, place, words and hint of all that is wrong with it.

use velodrome_spec::{Diagnostic, Severity, render};

use crate::world::{World, files};

#[test]
fn every_bad_file_says_what_its_snapshot_says() {
    let world = World::new();
    insta::glob!("../bad", "*.yaml", |path| {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let checked = world.check(&name, &text);
        insta::with_settings!({
            snapshot_path => "../bad/said",
            prepend_module_to_snapshot => false,
            omit_expression => true,
            snapshot_suffix => "",
        }, {
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), render(&checked.diagnostics, &name, &text));
        });
    });
}

#[test]
fn a_bad_file_makes_no_plan_and_a_doubtful_one_does() {
    let world = World::new();
    for (path, text) in files("bad") {
        let checked = world.check("x.yaml", &text);
        assert!(
            !checked.diagnostics.is_empty(),
            "{} is good",
            path.display()
        );
        let error = |found: &Diagnostic| found.severity == Severity::Error;
        let errors = checked.diagnostics.iter().any(error);
        assert_eq!(checked.plan.is_none(), errors, "{}", path.display());
    }
}

#[test]
fn every_place_is_in_the_file() {
    let world = World::new();
    for (path, text) in files("bad") {
        for found in world.check("x.yaml", &text).diagnostics {
            let span = found.span;
            let path = path.display();
            assert!(
                text.get(span.start..span.end).is_some(),
                "{path}: {found:?}"
            );
            let before = &text[..span.start];
            let line = before.matches('\n').count() as u32 + 1;
            let column = before
                .rsplit('\n')
                .next()
                .unwrap_or_default()
                .chars()
                .count() as u32
                + 1;
            assert_eq!(
                (span.line, span.column),
                (line, column),
                "{path}: {found:?}"
            );
        }
    }
}

/// Codes of the checker that no cycle file can show: those of connectors and settings, and of limits.
const NOT_SHOWN: &[&str] = &[
    "feature.not_yet",
    "connector.",
    "value.size",
    "yaml.too_large",
    "graph.too_many_steps",
];

#[test]
fn every_code_has_a_file_that_shows_it() {
    let world = World::new();
    let shown: Vec<String> = files("bad")
        .into_iter()
        .flat_map(|(_, text)| world.check("x.yaml", &text).diagnostics)
        .map(|found| found.code.as_str().to_owned())
        .collect();
    for code in codes() {
        let excused = NOT_SHOWN.iter().any(|prefix| code.starts_with(prefix));
        assert!(
            excused || shown.contains(&code),
            "no file in tests/bad shows `{code}`"
        );
    }
}

/// Every text of the checker's source that has the form of a code.
fn codes() -> Vec<String> {
    let mut codes = Vec::new();
    let mut folders = vec![std::path::PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/src"
    ))];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the source is there") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(path).expect("a readable file");
            let areas = [
                "yaml",
                "field",
                "value",
                "name",
                "graph",
                "step",
                "connection",
                "reference",
                "feature",
                "storage",
                "script",
                "auth",
                "secret",
                "file",
                "error_webhook",
            ];
            let is_code = |word: &&str| {
                let form = |part: &str| {
                    !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c == '_')
                };
                word.split_once('.')
                    .is_some_and(|(area, reason)| areas.contains(&area) && form(reason))
            };
            codes.extend(text.split('"').filter(is_code).map(str::to_owned));
        }
    }
    codes.sort();
    codes.dedup();
    assert!(codes.len() > 40, "only {} codes were found", codes.len());
    codes
}
