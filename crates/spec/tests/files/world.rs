//! The world around a file under test: a few connections, one other cycle, two script files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use velodrome_script::{ScriptHost, ScriptLimits, Workers};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::{
    Checked, ConnectionLookup, ConnectorInput, CycleInput, Diagnostic, Lookup, check_connector,
    check_connector_file, check_cycle,
};

/// Connections `generic_webhook`, `zoho`, `data_storage`, `github`, `hubspot` and `stripe`; connector `zoho_crm` without a connection of its name; the
/// cycles `other` and `export_poll` with a webhook; `STAGE` of the environment.
pub(crate) struct World {
    generic_webhook: Arc<ConnectorDef>,
    zoho_crm: Arc<ConnectorDef>,
    others: [Arc<ConnectorDef>; 4],
    scripts: ScriptHost,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            generic_webhook: connector("generic_webhook"),
            zoho_crm: connector("zoho_crm"),
            others: ["data_storage", "github", "hubspot", "stripe"].map(connector),
            scripts: ScriptHost::new(ScriptLimits::default(), Workers::threads()),
        }
    }

    /// Checks a connector definition, with the same script files.
    pub(crate) fn check_connector(
        &self,
        path: &str,
        text: &str,
    ) -> (Option<ConnectorDef>, Vec<Diagnostic>) {
        check_connector_file(ConnectorInput {
            path,
            text,
            analyser: &self.scripts,
            script_file: &script_file,
        })
    }

    /// The same where each script file holds this.
    pub(crate) fn check_connector_over(&self, text: &str, code: &str) -> Option<ConnectorDef> {
        let input = ConnectorInput {
            path: "x",
            text,
            analyser: &self.scripts,
            script_file: &|_| Ok(code.to_owned()),
        };
        check_connector_file(input).0
    }

    pub(crate) fn check(&self, path: &str, text: &str) -> Checked {
        // What only a server shows that others can reach, a file says in its first line.
        let around = Around {
            world: self,
            exposed: text.starts_with("# Where others can reach the server."),
        };
        check_cycle(CycleInput {
            path,
            text,
            analyser: &self.scripts,
            lookup: &around,
            script_file: &script_file,
        })
    }
}

fn script_file(file: &str) -> std::io::Result<String> {
    match file {
        "hooks/good.rhai" => Ok("fn before_action() { return true; }\n".to_owned()),
        "hooks/broken.rhai" => Ok("fn before_action() {\n    let x = ;\n}\n".to_owned()),
        "hooks/broken.js" => Ok("function before_action() {\n    let x = ;\n}\n".to_owned()),
        "path.txt" => Ok("orders".to_owned()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    }
}

/// The world, and whether others can reach the server.
struct Around<'a> {
    world: &'a World,
    exposed: bool,
}

impl Lookup for Around<'_> {
    fn connection(&self, name: &str) -> ConnectionLookup {
        match name {
            "generic_webhook" => ConnectionLookup::Found(Arc::clone(&self.world.generic_webhook)),
            "zoho" => ConnectionLookup::Found(Arc::clone(&self.world.zoho_crm)),
            "zoho_crm" => ConnectionLookup::Undeclared(Arc::clone(&self.world.zoho_crm)),
            other => {
                let mut others = self.world.others.iter();
                let found = others.find(|def| def.name == other);
                found.map_or(ConnectionLookup::Unknown, |def| {
                    ConnectionLookup::Found(Arc::clone(def))
                })
            }
        }
    }

    fn connections(&self) -> Vec<String> {
        let others = self.world.others.iter().map(|def| def.name.clone());
        ["generic_webhook", "zoho", "zoho_crm"]
            .map(str::to_owned)
            .into_iter()
            .chain(others)
            .collect()
    }

    fn env_allowed(&self, name: &str) -> bool {
        name == "STAGE"
    }

    fn hook_exists(&self, cycle: &str, step: Option<&str>) -> bool {
        let known = ["other", "export_poll"].contains(&cycle);
        known && step.is_none_or(|step| step == "webhook")
    }

    fn auth_needed(&self) -> bool {
        self.exposed
    }
}

fn connector(name: &str) -> Arc<ConnectorDef> {
    let path = format!(
        "{}/../connect/connectors/{name}.yaml",
        env!("CARGO_MANIFEST_DIR")
    );
    let text = std::fs::read_to_string(path).expect("the built-in connectors are beside");
    let (def, faults) = check_connector(name, &text);
    Arc::new(def.unwrap_or_else(|| panic!("{faults:?}")))
}

/// Every YAML file of a folder beside this one.
pub(crate) fn files(folder: &str) -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            (path, text)
        })
        .collect()
}
