//! Putting a cycle on the bench: the files and connections that its runs come to.

use std::collections::BTreeSet;
use std::sync::Arc;

use velodrome_connect::{Connection, EgressRules};
use velodrome_cycle_test::{Bench, PLACEHOLDER, connection};
use velodrome_runtime::HeldFiles;
use velodrome_spec::test_file::TestFile;
use velodrome_spec::{Diagnostic, Plan, Severity, with_environment, with_secrets};
use velodrome_types::Json;

use crate::config::Settings;
use crate::shelf::{Shelf, Source};

/// Puts cycles on the bench.
pub(super) struct Workshop<'a> {
    settings: &'a Settings,
    shelf: &'a Shelf,
}

impl<'a> Workshop<'a> {
    pub(super) fn new(settings: &'a Settings, shelf: &'a Shelf) -> Self {
        Self { settings, shelf }
    }

    /// The cycle with all that it reaches; else its file with what is wrong there.
    pub(super) fn bench(
        &self,
        cycle: &Source,
        file: &TestFile,
    ) -> Result<Arc<Bench>, (Source, Vec<Diagnostic>)> {
        let checked = self.shelf.check_as(cycle, &self.shelf.relative(cycle));
        let Some(plan) = checked.plan else {
            let mut faults = checked.diagnostics;
            faults.retain(|fault| fault.severity == Severity::Error);
            return Err((cycle.clone(), faults));
        };
        let others = self.shelf.reached(&plan);
        let mut files = HeldFiles::default();
        for plan in std::iter::once(&plan).chain(&others) {
            let sources = &plan.sources;
            files
                .cycles
                .insert(sources.path.clone(), sources.cycle.clone());
            files.scripts.extend(sources.scripts.iter().cloned());
        }
        let config = &self.settings.config;
        let listed = |name: &String| (name.clone(), std::env::var(name).ok());
        Ok(Arc::new(Bench {
            connections: self.connections(std::iter::once(&plan).chain(&others), file),
            plan,
            others,
            files: Arc::new(files),
            connectors: self.shelf.connectors.values().cloned().collect(),
            egress: EgressRules {
                allow: config.egress.allow.clone(),
                only: config.egress.only.clone(),
                // No request of a test leaves.
                proxy: None,
            },
            response_limit: config.response_limit,
            env: config.env_for_cycles.iter().map(listed).collect(),
            host: Arc::clone(&self.shelf.host),
        }))
    }

    /// Every connection that the cycles use, with the settings of the test file, of `velodrome.yaml`, or
    /// their defaults.
    fn connections<'p>(
        &self,
        plans: impl Iterator<Item = &'p Arc<Plan>>,
        file: &TestFile,
    ) -> Vec<Connection> {
        let used: BTreeSet<&(String, String, String)> =
            plans.flat_map(|plan| &plan.sources.connectors).collect();
        let mut all: Vec<Connection> = Vec::new();
        for (name, connector, _) in used {
            let Some((def, _)) = self.shelf.connectors.get(connector) else {
                continue;
            };
            if all.iter().any(|known| known.id.as_str() == name) {
                continue;
            }
            all.push(connection(name, def, self.declared(name), file));
        }
        all
    }
    /// The settings that `velodrome.yaml` declares of a connection.
    fn declared(&self, connection: &str) -> Vec<(String, Json)> {
        let Some(declared) = self.settings.config.connections.get(connection) else {
            return Vec::new();
        };
        // What stands in the environment is a secret more often than not, and none is needed.
        let env = |_: &str| Some(PLACEHOLDER.to_owned());
        let settled = declared.settings.iter().filter_map(|(setting, expr)| {
            let settled = with_environment(expr, &env);
            let value = settled.and_then(|expr| with_secrets(&expr, &env)).ok()?;
            Some((setting.clone(), value))
        });
        settled.collect()
    }
}
