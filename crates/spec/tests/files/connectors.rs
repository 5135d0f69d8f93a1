//! Connector definitions: what is wrong with bad ones, and their schema over good ones.

use velodrome_spec::connector::PagingDef;
use velodrome_spec::format::schema;
use velodrome_spec::{Severity, check_connector, plain, render};

use crate::world::files;

#[test]
fn every_bad_connector_says_what_its_snapshot_says() {
    insta::glob!("../bad_connectors", "*.yaml", |path| {
        let text = std::fs::read_to_string(path).expect("a readable file");
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (def, diagnostics) = check_connector(&name, &text);
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
        let (def, faults) = check_connector("x", &text);
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
