//! The router and the document say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document;
use crate::access::{Gate, Who};
use crate::router::route_table;

/// Open pages that only a browser is sent to; like the console's own they are no part of the API.
const PAGES: [&str; 3] = ["/connector", "/sign-in", "/assets"];

fn is_page(path: &str) -> bool {
    PAGES.iter().any(|page| {
        path.strip_prefix(page)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// Each route of the API: its method and path, and the role it asks for.
fn routes() -> BTreeSet<(String, String, Option<String>)> {
    let rule = |method: &str, path: String, role| (method.to_lowercase(), path, role);
    route_table()
        .into_iter()
        .filter_map(|route| match route.who {
            Who::Role(Gate::Console, _) => None,
            Who::Role(Gate::Api, role) => {
                Some(rule(route.method, route.path, Some(role.to_string())))
            }
            Who::Anybody(_) if is_page(&route.path) => None,
            Who::Anybody(_) => Some(rule(route.method, route.path, None)),
        })
        .collect()
}

/// Each operation of the document, likewise.
fn operations(document: &Value) -> BTreeSet<(String, String, Option<String>)> {
    let paths = document["paths"].as_object().expect("there are paths");
    let of_path = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().into_iter().flatten();
        methods.map(|(method, operation)| {
            let role = operation["security"][0]["bearer"][0].as_str();
            (method.clone(), path.clone(), role.map(str::to_owned))
        })
    });
    of_path.collect()
}

fn whole() -> Value {
    serde_json::to_value(document()).expect("it is JSON")
}

#[test]
fn every_route_is_an_operation_with_its_role_and_every_operation_a_route() {
    let (routes, operations) = (routes(), operations(&whole()));
    let missing: Vec<_> = routes.difference(&operations).collect();
    let beyond: Vec<_> = operations.difference(&routes).collect();
    assert!(
        missing.is_empty() && beyond.is_empty(),
        "not in the document: {missing:#?}\nno such route: {beyond:#?}"
    );
    assert!(routes.len() > 40, "{}", routes.len());
}

#[test]
fn whoever_needs_a_token_is_told_401_and_403() {
    let whole = whole();
    for (method, path, role) in operations(&whole) {
        let operation = &whole["paths"][&path][&method];
        let answers = operation["responses"].as_object().expect("it answers");
        assert!(answers.contains_key("500"), "{method} {path}");
        if let Some(role) = role {
            for status in ["401", "429"] {
                assert!(answers.contains_key(status), "{method} {path}: {status}");
            }
            let forbidden = answers["403"]["description"].as_str().unwrap_or_default();
            assert!(forbidden.contains(&role), "{method} {path}: {forbidden}");
        }
    }
}

#[test]
fn what_is_referred_to_is_there_and_ids_are_unique() {
    let whole = whole();
    let mut ids = BTreeSet::new();
    for (method, path, _) in operations(&whole) {
        let id = whole["paths"][&path][&method]["operationId"].as_str();
        assert!(ids.insert(id.expect("it has an id")), "{id:?} twice");
    }
    let text = whole.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap_or_default();
        assert!(whole.pointer(pointer).is_some(), "nothing at {pointer}");
    }
}
