//! Good files, and what YAML's scalars are.

use velodrome_spec::{Severity, render};
use velodrome_types::Json;

use crate::world::{World, files};

#[test]
fn good_files_have_no_fault() {
    let world = World::new();
    let shipped = files("../../../cycles")
        .into_iter()
        .filter(|(path, _)| !path.to_string_lossy().ends_with(".test.yaml"));
    for (path, text) in files("good").into_iter().chain(shipped) {
        let checked = world.check("x.yaml", &text);
        let path = path.display().to_string();
        assert!(
            checked.plan.is_some(),
            "{}",
            render(&checked.diagnostics, &path, &text)
        );
        let warned = checked
            .diagnostics
            .iter()
            .any(|found| found.severity == Severity::Warning);
        assert!(!warned, "{}", render(&checked.diagnostics, &path, &text));
    }
}

/// What a value is that is written so.
#[track_caller]
fn check(written: &str, expect: Json) {
    let text = format!(
        "cycle: scalars\nvariables:\n  x: {written}\nsteps:\n  webhook: {{use: generic_webhook.webhook}}\n"
    );
    let checked = World::new().check("x.yaml", &text);
    let plan = checked
        .plan
        .unwrap_or_else(|| panic!("{}", render(&checked.diagnostics, "x.yaml", &text)));
    assert_eq!(plan.variables[0].1, expect, "{written}");
}

#[test]
fn only_json_literals_are_typed() {
    for (written, value) in [
        ("true", Json::Bool(true)),
        ("false", Json::Bool(false)),
        ("null", Json::Null),
        ("", Json::Null),
        ("7", Json::from(7)),
        ("-7", Json::from(-7)),
        ("1.5", Json::from(1.5)),
        ("1e3", Json::from(1000.0)),
        ("18446744073709551615", Json::from(u64::MAX)),
    ] {
        check(written, value);
    }
    for text in [
        "yes",
        "no",
        "on",
        "off",
        "y",
        "n",
        "~",
        "NO",
        "Yes",
        "True",
        "TRUE",
        "Null",
        "01234",
        "+44",
        "0x1F",
        "0o17",
        "1_000",
        "12:30",
        "1.",
        ".5",
        "1.0.0",
        ".inf",
        ".nan",
        "2026-11-23",
        "-",
        "--",
        "1 2",
        "a: b",
    ] {
        if text.contains(": ") || text == "-" {
            continue;
        }
        check(text, Json::from(text));
    }
    for quoted in ["\"true\"", "'7'", "\"null\"", "''"] {
        let text = quoted.trim_matches(['"', '\'']);
        check(quoted, Json::from(text));
    }
}

/// Which steps split under these words of the cycle and of the list step.
#[track_caller]
fn splits(cycle: &str, list: &str, expect: &[&str]) {
    let text = format!(
        "cycle: apart\n{cycle}\nsteps:\n  webhook: {{use: generic_webhook.webhook, then: contacts}}\n  \
         contacts: {{use: zoho.list_new_updated_contacts_by_page, map: {{page: 1}}, {list} then: one}}\n  \
         one: {{use: script, map: {{id: 1}}, script: \"fn run() {{ [1] }}\", then: end}}\n  end: {{use: stop}}\n"
    );
    let checked = World::new().check("x.yaml", &text);
    let plan = checked
        .plan
        .unwrap_or_else(|| panic!("{}", render(&checked.diagnostics, "x.yaml", &text)));
    let split: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.split)
        .map(|step| step.id.as_str())
        .collect();
    assert_eq!(split, expect, "{cycle} {list}");
}

#[test]
fn a_step_splits_by_its_own_word_else_by_the_cycles() {
    splits("", "", &[]);
    splits("", "split: true,", &["contacts"]);
    splits("split: none", "split: true,", &["contacts"]);
    splits("split: first_step", "", &["webhook"]);
    splits("split: all_steps", "", &["webhook", "contacts"]);
    splits("split: all_steps", "split: false,", &["webhook"]);
}
