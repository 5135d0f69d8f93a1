//! The cycle files of a folder, each on the bench with its tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use velodrome_connect::{BUILT_IN, Connection, EgressRules};
use velodrome_cycle_test::{Bench, connection};
use velodrome_runtime::HeldFiles;
use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::plan::StepKind;
use velodrome_spec::test_file::{CycleTest, TestFile, check_test_file, is_test_file};
use velodrome_spec::{
    ConnectionLookup, ConnectorInput, CycleInput, Lookup, Plan, Severity, check_connector_file,
    check_cycle, render,
};
use velodrome_types::CycleId;

/// A cycle file and the tests beside it.
#[derive(Clone, Debug)]
pub struct Shipped {
    /// Its path, relative to the folder.
    pub file: String,
    /// Its tests, in order.
    pub cases: Vec<Case>,
}

/// One test of a cycle: what is posted, and what is answered outside.
#[derive(Clone, Debug)]
pub struct Case {
    /// The cycle's file.
    pub file: String,
    /// The test.
    pub test: CycleTest,
    /// What it stands on.
    pub bench: Arc<Bench>,
}

impl Case {
    /// A cycle's plan.
    pub fn plan(&self, cycle: &CycleId) -> Option<&Arc<Plan>> {
        let all = std::iter::once(&self.bench.plan).chain(&self.bench.others);
        all.into_iter().find(|plan| plan.cycle == *cycle)
    }

    /// Every cycle on the bench.
    pub fn cycles(&self) -> Vec<CycleId> {
        let all = std::iter::once(&self.bench.plan).chain(&self.bench.others);
        all.map(|plan| plan.cycle.clone()).collect()
    }

    /// `first_loop.yaml, "counts from one to five"`.
    pub fn name(&self) -> String {
        format!("{}, {:?}", self.file, self.test.name.value)
    }
}

/// Every cycle file below a folder. A folder `connectors` beside it has its own connectors.
///
/// # Panics
///
/// A file has faults, or no tests beside it: what is shipped is tested.
pub fn shipped(folder: &Path) -> Vec<Shipped> {
    let mut paths = Vec::new();
    collect(folder, &mut paths);
    paths.sort();
    let texts: BTreeMap<String, String> = paths
        .iter()
        .map(|path| (relative(folder, path), read(path)))
        .collect();
    let host = Arc::new(ScriptHost::new(ScriptLimits::default(), Workers::threads()));
    let known = Known(connectors(&folder.with_file_name("connectors"), &host));
    let plans: BTreeMap<&String, Arc<Plan>> = texts
        .iter()
        .map(|(file, text)| (file, plan(folder, file, text, (&host, &known))))
        .collect();
    let all = plans.iter().map(|(file, plan)| {
        let tests = tests(folder, file);
        let bench = Arc::new(bench(plan, plans.values(), &tests, (&host, &known)));
        let cases = tests.tests.into_iter().map(|test| Case {
            file: (*file).clone(),
            test,
            bench: Arc::clone(&bench),
        });
        Shipped {
            file: (*file).clone(),
            cases: cases.collect(),
        }
    });
    all.collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("`{}` cannot be read: {error}", folder.display()));
    for entry in entries.flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            collect(&path, into);
        } else if name.ends_with(".yaml") && !is_test_file(&name) && name != "velodrome.yaml" {
            into.push(path);
        }
    }
}

fn relative(folder: &Path, path: &Path) -> String {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.to_string_lossy().into_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path)
        .unwrap_or_else(|error| panic!("`{}` cannot be read: {error}", path.display()))
}

fn plan(
    folder: &Path,
    file: &str,
    text: &str,
    (host, known): (&Arc<ScriptHost>, &Known),
) -> Arc<Plan> {
    let checked = check_cycle(CycleInput {
        path: file,
        text,
        analyser: &**host,
        lookup: known,
        script_file: &|path| std::fs::read_to_string(folder.join(path)),
    });
    let errors: Vec<_> = checked
        .diagnostics
        .into_iter()
        .filter(|found| found.severity == Severity::Error)
        .collect();
    match checked.plan {
        Some(plan) if errors.is_empty() => plan,
        _ => panic!("{}", render(&errors, file, text)),
    }
}

fn tests(folder: &Path, file: &str) -> TestFile {
    let path = folder.join(file.replace(".yaml", ".test.yaml"));
    let text = read(&path);
    let (tests, faults) = check_test_file(&text);
    tests.unwrap_or_else(|| panic!("{}", render(&faults, &path.to_string_lossy(), &text)))
}

/// The cycle with those that it hands off to, and they do.
fn bench<'p>(
    plan: &Arc<Plan>,
    all: impl Iterator<Item = &'p Arc<Plan>> + Clone,
    tests: &TestFile,
    (host, known): (&Arc<ScriptHost>, &Known),
) -> Bench {
    let mut others: Vec<Arc<Plan>> = Vec::new();
    let mut open = targets(plan);
    while let Some(cycle) = open.pop() {
        if cycle == plan.cycle || others.iter().any(|known| known.cycle == cycle) {
            continue;
        }
        let found = all.clone().find(|known| known.cycle == cycle);
        let found = found.unwrap_or_else(|| panic!("no file declares `{cycle}`"));
        open.extend(targets(found));
        others.push(Arc::clone(found));
    }
    let mut files = HeldFiles::default();
    let mut connections: Vec<Connection> = Vec::new();
    for plan in std::iter::once(plan).chain(&others) {
        let sources = &plan.sources;
        files
            .cycles
            .insert(sources.path.clone(), sources.cycle.clone());
        files.scripts.extend(sources.scripts.iter().cloned());
        for (name, of, _) in &sources.connectors {
            if !connections.iter().any(|other| other.id.as_str() == name) {
                connections.push(connection(name, known.connector(of), [], tests));
            }
        }
    }
    Bench {
        plan: Arc::clone(plan),
        others,
        files: Arc::new(files),
        connectors: known.0.clone(),
        connections,
        egress: EgressRules::default(),
        response_limit: 32 << 20,
        env: Default::default(),
        host: Arc::clone(host),
    }
}

fn targets(plan: &Plan) -> Vec<CycleId> {
    let target = |kind: &StepKind| match kind {
        StepKind::Send(send) => Some(send.target.as_ref()?.cycle.clone()),
        _ => None,
    };
    plan.steps
        .iter()
        .filter_map(|step| target(&step.kind))
        .collect()
}

/// Every built-in connector, and those of a folder that may not be there, each with its text.
fn connectors(folder: &Path, host: &ScriptHost) -> Vec<(Arc<ConnectorDef>, String)> {
    let built_in = BUILT_IN.iter();
    let mut files: Vec<(String, String)> = built_in
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    if folder.is_dir() {
        let mut paths = Vec::new();
        collect(folder, &mut paths);
        paths.sort();
        files.extend(
            paths
                .iter()
                .map(|path| (relative(folder, path), read(path))),
        );
    }
    let read = files.into_iter().map(|(path, text)| {
        let (def, faults) = check_connector_file(ConnectorInput {
            path: &path,
            text: &text,
            analyser: host,
            script_file: &|file| std::fs::read_to_string(folder.join(file)),
        });
        let def = def.unwrap_or_else(|| panic!("{}", render(&faults, &path, &text)));
        (Arc::new(def), text)
    });
    read.collect()
}

/// Connections as a user without settings has them: by the connector's name, or its beginning.
struct Known(Vec<(Arc<ConnectorDef>, String)>);

impl Known {
    fn connector(&self, name: &str) -> &Arc<ConnectorDef> {
        let found = self.0.iter().find(|(def, _)| def.name == name);
        let (def, _) = found.unwrap_or_else(|| panic!("there is no connector `{name}`"));
        def
    }
}

impl Lookup for Known {
    fn connection(&self, name: &str) -> ConnectionLookup {
        let named = |def: &ConnectorDef| def.name == name;
        let usual = |def: &ConnectorDef| def.name.split('_').next() == Some(name);
        let all = || self.0.iter().map(|(def, _)| def);
        let found = all()
            .find(|def| named(def))
            .or_else(|| all().find(|def| usual(def)));
        found.map_or(ConnectionLookup::Unknown, |def| {
            ConnectionLookup::Found(Arc::clone(def))
        })
    }

    fn connections(&self) -> Vec<String> {
        self.0.iter().map(|(def, _)| def.name.clone()).collect()
    }

    fn env_allowed(&self, _: &str) -> bool {
        false
    }

    fn hook_exists(&self, _: &str, _: Option<&str>) -> bool {
        true
    }
}
