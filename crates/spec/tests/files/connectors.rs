//! Connector definitions: what is wrong with bad ones, and their schema over good ones.

use velodrome_spec::connector::PagingDef;
use velodrome_spec::format::schema;
use velodrome_spec::{Severity, plain, render};

use crate::world::{World, files};

#[test]
fn every_bad_connector_says_what_its_snapshot_says() {
    insta::glob!("../bad_connectors", "*.yaml", |path| {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (def, diagnostics) = World::new().check_connector(&name, &text);
        assert_eq!(def, None, "{name}");
        assert!(
            diagnostics
                .iter()
                .any(|found| found.severity == Severity::Error)
        );
        insta::with_settings!({
            snapshot_path => "../bad_connectors/said",
            prepend_module_to_snapshot => false,
            omit_expression => true,
            snapshot_suffix => "",
        }, {
            insta::assert_snapshot!(name.trim_end_matches(".yaml"), render(&diagnostics, &name, &text));
        });
    });
}

#[test]
fn built_in_connectors_and_the_documented_ones_are_good_and_fit_the_schema() {
    let schema = schema::connector();
    let validator = jsonschema::validator_for(&schema).expect("a valid schema");
    let mut styles = 0;
    for (path, text) in files("../../connect/connectors")
        .into_iter()
        .chain(files("good_connectors"))
    {
        let path = path.display();
        let (def, faults) = World::new().check_connector("x", &text);
        let def = def.unwrap_or_else(|| panic!("{path}: {faults:#?}"));
        let methods = def.methods.values();
        styles += methods
            .filter(|method| matches!(method.paging, PagingDef::Engine(_)))
            .count();
        let file = plain(&text).unwrap_or_else(|faults| panic!("{path}: {faults:?}"));
        let faults: Vec<String> = validator
            .iter_errors(&file)
            .map(|fault| format!("{}: {fault}", fault.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{path}: {faults:#?}");
    }
    assert!(styles >= 8, "only {styles} methods page by the engine");
}

#[test]
fn a_script_file_is_part_of_what_tells_a_definition_from_others() {
    let text = "connector: x\nmethods:\n  get: {kind: request, verb: GET, path: /x, script: {file: a.rhai}}\n";
    let world = World::new();
    let with = |code: &str| world.check_connector_over(text, code).expect("a good one");
    let (one, other) = (
        with("fn before_action() { true }"),
        with("fn before_action() { false }"),
    );
    assert_ne!(one.hash, other.hash);
    assert_eq!(one.script_files[0].0, "a.rhai");
    assert_eq!(one, with("fn before_action() { true }"));
}

#[test]
fn a_condition_at_any_level_gives_two_exits_to_what_asks_an_api() {
    let methods =
        "methods:\n  hook: {kind: webhook}\n  get: {kind: request, verb: GET, path: /x}\n";
    let condition = "script: |\n  fn action_condition() { true }\n";
    for (text, expect) in [
        (format!("connector: x\n{condition}{methods}"), true),
        (format!("connector: x\n{methods}"), false),
    ] {
        let (def, faults) = World::new().check_connector("x", &text);
        let def = def.unwrap_or_else(|| panic!("{faults:?}"));
        assert_eq!(def.methods["get"].two_exits, expect);
        assert!(!def.methods["hook"].two_exits);
    }
}
