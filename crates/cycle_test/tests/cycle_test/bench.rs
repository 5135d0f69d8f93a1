//! A cycle on the bench, from texts.

use std::sync::Arc;

use velodrome_connect::{BUILT_IN, Connection};
use velodrome_cycle_test::{Bench, FileReport, run};
use velodrome_runtime::HeldFiles;
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::test_file::{check_against, check_test_file};
use velodrome_spec::{
    ConnectionLookup, CycleInput, Diagnostic, Lookup, Plan, check_connector, check_cycle,
};
use velodrome_types::ConnectionId;

struct Known(Vec<(Arc<ConnectorDef>, String)>);

impl Known {
    fn def(&self, connector: &str) -> Arc<ConnectorDef> {
        let found = self.0.iter().find(|(def, _)| def.name == connector);
        Arc::clone(&found.expect("a fixture").0)
    }
}

impl Lookup for Known {
    fn connection(&self, name: &str) -> ConnectionLookup {
        ConnectionLookup::Found(self.def(match name {
            "zoho" => "zoho_crm",
            other => other,
        }))
    }

    fn connections(&self) -> Vec<String> {
        Vec::new()
    }

    fn env_allowed(&self, _: &str) -> bool {
        false
    }

    fn hook_exists(&self, _: &str, _: Option<&str>) -> bool {
        true
    }
}

/// Puts the first cycle on the bench, with the others beside it.
pub(crate) fn bench(cycles: &[&str]) -> Arc<Bench> {
    let connectors = BUILT_IN
        .iter()
        .map(|(name, text)| {
            let def = check_connector(name, text).0.expect("a fixture");
            (Arc::new(def), (*text).to_owned())
        })
        .collect();
    let known = Known(connectors);
    let host = Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads()));
    let mut files = HeldFiles::default();
    let mut plans: Vec<Arc<Plan>> = Vec::new();
    for (at, text) in cycles.iter().enumerate() {
        let path = format!("{at}.yaml");
        let checked = check_cycle(CycleInput {
            path: &path,
            text,
            analyser: &*host,
            lookup: &known,
            script_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
        });
        plans.push(
            checked
                .plan
                .unwrap_or_else(|| panic!("{:?}", checked.diagnostics)),
        );
        files.cycles.insert(path, (*text).to_owned());
    }
    let zoho = Connection::with_defaults(ConnectionId::from("zoho"), known.def("zoho_crm"));
    Arc::new(Bench {
        plan: plans.remove(0),
        others: plans,
        files: Arc::new(files),
        connectors: known.0,
        connections: vec![zoho],
        egress: Default::default(),
        response_limit: 1 << 20,
        env: Default::default(),
        host,
    })
}

/// Runs the tests of a text.
pub(crate) fn tested(cycles: &[&str], tests: &str) -> FileReport {
    let bench = bench(cycles);
    let (file, faults) = check_test_file(tests);
    let file = file.unwrap_or_else(|| panic!("{faults:?}"));
    let faults = check_against(&file, &bench.plan, &bench.others);
    assert!(faults.is_empty(), "{faults:?}");
    run(&bench, &file).expect("an engine starts")
}

/// What is wrong with the tests of a text.
pub(crate) fn faults(cycle: &str, tests: &str) -> Vec<Diagnostic> {
    let bench = bench(&[cycle]);
    let (file, faults) = check_test_file(tests);
    let file = file.unwrap_or_else(|| panic!("{faults:?}"));
    check_against(&file, &bench.plan, &bench.others)
}

/// The tests pass.
pub(crate) fn passes(cycles: &[&str], tests: &str) -> FileReport {
    let report = tested(cycles, tests);
    for test in &report.tests {
        assert!(test.passed(), "{}: {:#?}", test.name.value, test.failures);
    }
    report
}

pub(crate) const ZOHO: &str = include_str!("../../../../cycles/zoho_incremental.yaml");
pub(crate) const FIRST_LOOP: &str = include_str!("../../../../cycles/first_loop.yaml");
