//! The shipped page loop, checked, and a page as its API sends it.

use std::sync::Arc;

use serde_json::json;
use velodrome_connect::BUILT_IN;
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::connector::{ConnectorDef, MethodDef};
use velodrome_spec::{
    ConnectionLookup, CycleInput, Lookup, Plan, check_connector, check_cycle, render,
};
use velodrome_tests::ZOHO_INCREMENTAL;
use velodrome_types::Json;

/// The built-in connectors, under the names that the shipped file uses.
#[derive(Debug)]
pub(crate) struct Connections {
    zoho: Arc<ConnectorDef>,
    generic_webhook: Arc<ConnectorDef>,
}

fn connector(name: &str) -> Arc<ConnectorDef> {
    let (name, text) = BUILT_IN
        .iter()
        .find(|(known, _)| *known == name)
        .expect("it is built in");
    Arc::new(check_connector(name, text).0.expect("it has no fault"))
}

impl Connections {
    pub(crate) fn new() -> Self {
        Self {
            zoho: connector("zoho_crm"),
            generic_webhook: connector("generic_webhook"),
        }
    }

    /// The list method of the page loop.
    pub(crate) fn list(&self) -> &MethodDef {
        &self.zoho.methods["list_new_updated_contacts_by_page"]
    }
}

impl Lookup for Connections {
    fn connection(&self, name: &str) -> ConnectionLookup {
        match name {
            "zoho" => ConnectionLookup::Found(self.zoho.clone()),
            "generic_webhook" => ConnectionLookup::Found(self.generic_webhook.clone()),
            _ => ConnectionLookup::Unknown,
        }
    }

    fn connections(&self) -> Vec<String> {
        vec!["zoho".to_owned(), "generic_webhook".to_owned()]
    }

    fn env_allowed(&self, _: &str) -> bool {
        false
    }

    fn hook_exists(&self, _: &str, _: Option<&str>) -> bool {
        true
    }
}

pub(crate) fn host() -> ScriptHost {
    ScriptHost::new(ScriptLimits::default(), Workers::threads())
}

/// Checks the shipped file as a server does when it loads it.
pub(crate) fn check(host: &ScriptHost, connections: &Connections, text: &str) -> Arc<Plan> {
    let checked = check_cycle(CycleInput {
        path: "zoho_incremental.yaml",
        text,
        analyser: host,
        lookup: connections,
        script_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    });
    checked.plan.unwrap_or_else(|| {
        panic!(
            "{}",
            render(&checked.diagnostics, "zoho_incremental.yaml", text)
        )
    })
}

pub(crate) fn plan() -> Arc<Plan> {
    check(&host(), &Connections::new(), ZOHO_INCREMENTAL)
}

fn record(n: u64) -> Json {
    json!({
        "id": format!("55555500000{n:07}"),
        "First_Name": format!("First{n}"), "Last_Name": format!("Last{n}"),
        "Full_Name": format!("First{n} Last{n}"),
        "Email": format!("person{n}@example.test"), "Phone": "+49 30 1234567", "Mobile": null,
        "Account_Name": {"name": "Example GmbH", "id": "5555550000009999999"},
        "Owner": {"name": "A User", "id": "5555550000000001", "email": "user@example.test"},
        "Created_Time": "2026-05-14T14:37:59+03:00",
        "Modified_Time": "2026-11-14T14:37:59+03:00",
    })
}

/// A page of Zoho's v8, of so many records.
pub(crate) fn page(records: u64) -> Json {
    let data: Vec<Json> = (0..records).map(record).collect();
    json!({
        "data": data,
        "info": {
            "per_page": 200, "next_page_token": "c8582xx9e7c7", "count": records, "page": 1,
            "more_records": true,
        },
    })
}
