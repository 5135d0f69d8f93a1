//! The JSON Schema, over the good and the bad files.

use std::collections::BTreeSet;

use serde_json::Value;
use velodrome_spec::format::{CYCLE, KINDS, Key, Table, Takes, schema};
use velodrome_spec::plain;

use crate::world::{World, files};

#[test]
fn good_files_fit_the_schema() {
    let schema = schema::cycle();
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    for (path, text) in files("good").into_iter().chain(files("../../../cycles")) {
        if path.to_string_lossy().ends_with(".test.yaml") {
            continue;
        }
        let file = plain(&text).unwrap_or_else(|faults| panic!("{}: {faults:?}", path.display()));
        let faults: Vec<String> = validator
            .iter_errors(&file)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", path.display());
    }
}

/// What a schema can see of one file.
const VISIBLE: &[&str] = &["field.missing", "field.unknown", "value.choice"];

#[test]
fn the_schema_sees_what_a_schema_can_see() {
    let schema = schema::cycle();
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let world = World::new();
    let mut seen = 0;
    for (path, text) in files("bad") {
        let Ok(file) = plain(&text) else { continue };
        let codes: Vec<String> = world
            .check("x.yaml", &text)
            .diagnostics
            .iter()
            .map(|found| found.code.to_string())
            .collect();
        if codes.iter().any(|code| VISIBLE.contains(&code.as_str())) && !excused(&path) {
            assert!(
                !validator.is_valid(&file),
                "{} fits the schema",
                path.display()
            );
            seen += 1;
        }
    }
    assert!(
        seen >= 6,
        "only {seen} bad files were held against the schema"
    );
}

/// Faults that only the connector or a sibling key tells.
fn excused(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    [
        "auth",
        "schedule",
        "step.no_map",
        "field.alone",
        "step.unknown_input",
        "storage_step",
        "watermark",
    ]
    .iter()
    .any(|start| name.starts_with(start))
}

#[test]
fn every_key_stands_in_a_file() {
    let mut said = BTreeSet::new();
    for (_, text) in files("good") {
        keys_of(&plain(&text).unwrap_or_default(), &mut said);
    }
    let steps = KINDS.iter().flat_map(|kind| kind.table.keys);
    for key in CYCLE.keys.iter().chain(steps) {
        expect(key, &said);
    }
}

fn expect(key: &Key, said: &BTreeSet<String>) {
    assert!(
        said.contains(key.name),
        "no good file has the key `{}`",
        key.name
    );
    let inner = |takes: &Takes| match takes {
        Takes::Keys(table) => Some(*table),
        _ => None,
    };
    let tables: Vec<&Table> = match &key.takes {
        Takes::Either(kinds) => kinds.iter().filter_map(inner).collect(),
        takes => inner(takes).into_iter().collect(),
    };
    for key in tables.iter().flat_map(|table| table.keys) {
        expect(key, said);
    }
}

fn keys_of(value: &Value, said: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                said.insert(name.clone());
                keys_of(value, said);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, said)),
        _ => {}
    }
}
