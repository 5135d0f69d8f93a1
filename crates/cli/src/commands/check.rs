//! `check`: what a compiler would say of the cycle files, and of `velodrome.yaml` where it is named.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use serde_json::{Value, json};
use velodrome_script::ScriptHost;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::{
    ConnectionLookup, CycleInput, Diagnostic, Lookup, Severity, check_config, check_cycle, render,
    shared_keys,
};
use velodrome_types::CycleId;

use crate::args::{Check, Global};
use crate::assemble::{connector_of, known_connectors, script_limits};
use crate::config::{Settings, cycle_files};
use crate::exit::Ended;
use crate::out;
use crate::terminal::count;

/// Connections as the settings declare them, cycles as the folder holds them.
struct Known {
    declared: Vec<(String, Arc<ConnectorDef>)>,
    built_in: Vec<(String, Arc<ConnectorDef>)>,
    has_settings: bool,
    cycles: HashSet<String>,
    env: Vec<String>,
}

impl Lookup for Known {
    fn connection(&self, name: &str) -> ConnectionLookup {
        let of = |list: &[(String, Arc<ConnectorDef>)]| {
            list.iter()
                .find(|(known, _)| known == name)
                .map(|(_, def)| Arc::clone(def))
        };
        if let Some(def) = of(&self.declared) {
            return ConnectionLookup::Found(def);
        }
        // Without settings a file can still be checked: `zoho` is what `zoho_crm` is usually called.
        let usual = self
            .built_in
            .iter()
            .find(|(known, _)| !self.has_settings && known.split('_').next() == Some(name));
        match of(&self.built_in).or_else(|| usual.map(|(_, def)| Arc::clone(def))) {
            Some(def) => ConnectionLookup::Undeclared(def),
            None => ConnectionLookup::Unknown,
        }
    }

    fn connections(&self) -> Vec<String> {
        let all = self.declared.iter().chain(&self.built_in);
        all.map(|(name, _)| name.clone()).collect()
    }

    fn env_allowed(&self, name: &str) -> bool {
        self.env.iter().any(|listed| listed == name)
    }

    fn hook_exists(&self, cycle: &str, _: Option<&str>) -> bool {
        self.cycles.contains(cycle)
    }
}

/// A file and what it says.
struct Source {
    path: PathBuf,
    shown: String,
    text: String,
}

impl Source {
    fn read(path: PathBuf) -> Result<Self> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Ended::Invalid(format!("`{shown}` cannot be read: {error}")))?;
        Ok(Self { path, shown, text })
    }

    fn is_settings(&self) -> bool {
        self.path
            .file_name()
            .is_some_and(|name| name == "velodrome.yaml")
    }

    /// The cycle that the file declares, as far as a glance tells.
    fn declares(&self) -> Option<String> {
        let id = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix("cycle:"))?;
        Some(id.split('#').next().unwrap_or_default().trim().to_owned())
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    errors: u64,
    warnings: u64,
    json: Vec<Value>,
    owners: BTreeMap<CycleId, String>,
}

impl Found {
    fn tell(&mut self, global: &Global, source: &Source, diagnostics: &[Diagnostic]) {
        for diagnostic in diagnostics {
            match diagnostic.severity {
                Severity::Error => self.errors += 1,
                Severity::Warning => self.warnings += 1,
            }
        }
        if global.json {
            self.json.extend(
                diagnostics
                    .iter()
                    .map(|found| json_of(found, &source.shown)),
            );
        } else {
            eprint!("{}", render(diagnostics, &source.shown, &source.text));
        }
    }

    /// Two files cannot be one cycle; a running server keeps the first.
    fn own(&mut self, global: &Global, cycle: CycleId, source: &Source) {
        let Some(other) = self.owners.get(&cycle) else {
            self.owners.insert(cycle, source.shown.clone());
            return;
        };
        self.errors += 1;
        let message = format!("`{}` and `{other}` both declare `{cycle}`", source.shown);
        let hint = "rename one of them";
        if global.json {
            self.json.push(json!({
                "file": source.shown, "line": 1, "column": 1, "severity": "error",
                "code": "cycle.duplicate", "message": message, "hint": hint,
            }));
        } else {
            eprintln!("error[cycle.duplicate]: {message}\n  = help: {hint}\n");
        }
    }
}

pub(super) fn run(global: &Global, args: &Check) -> Result<()> {
    let settings = Settings::read(global)?;
    let paths = if args.files.is_empty() {
        cycle_files(&settings.cycles()).map_err(|error| Ended::Invalid(format!("{error:#}")))?
    } else {
        args.files.clone()
    };
    let sources: Vec<Source> = paths.into_iter().map(Source::read).collect::<Result<_>>()?;
    let known = known(&settings, &sources)?;
    let host = ScriptHost::new(script_limits(&settings.config));
    let mut found = Found::default();
    let mut plans = Vec::new();
    for source in &sources {
        if source.is_settings() {
            found.tell(global, source, &check_config(&source.text).1);
            continue;
        }
        let folder = script_folder(&source.path, &settings.cycles());
        let checked = check_cycle(CycleInput {
            path: &source.shown,
            text: &source.text,
            analyser: &host,
            lookup: &known,
            script_file: &move |file| std::fs::read_to_string(folder.join(file)),
        });
        found.tell(global, source, &checked.diagnostics);
        if let Some(cycle) = checked.cycle {
            found.own(global, cycle, source);
        }
        plans.extend(checked.plan.map(|plan| (source, plan)));
    }
    let all: Vec<_> = plans.iter().map(|(_, plan)| Arc::clone(plan)).collect();
    for (at, fault) in shared_keys(&all) {
        found.tell(global, plans[at].0, &[fault]);
    }
    if global.json {
        out::json(&Value::Array(std::mem::take(&mut found.json)))?;
    }
    verdict(global, &found, &sources)
}

fn verdict(global: &Global, found: &Found, sources: &[Source]) -> Result<()> {
    let all = sources.len() as u64;
    if found.errors > 0 {
        let errors = count(found.errors, "error");
        return Err(Ended::Invalid(format!("{errors} in {}", count(all, "file"))).into());
    }
    if global.json {
        return Ok(());
    }
    let settings = sources.iter().any(Source::is_settings);
    let what = count(all, if settings { "file" } else { "cycle" });
    match found.warnings {
        0 => out::line(&format!("{what} checked, all good")),
        warnings => out::line(&format!("{what} checked, {}", count(warnings, "warning"))),
    }
}

/// The folder that a cycle's script files are in: the server's cycles folder, as it has it, and for a
/// file elsewhere its own.
fn script_folder(path: &Path, cycles: &Path) -> PathBuf {
    let own = path.parent().unwrap_or(Path::new("")).to_owned();
    let inside = match (path.canonicalize(), cycles.canonicalize()) {
        (Ok(path), Ok(cycles)) => path.starts_with(cycles),
        _ => false,
    };
    if inside { cycles.to_owned() } else { own }
}

fn known(settings: &Settings, sources: &[Source]) -> Result<Known> {
    let connectors = known_connectors(settings)?;
    let mut connections = Vec::new();
    for (name, declared) in &settings.config.connections {
        let def = &connector_of(name, &declared.connector, &connectors)?.0;
        connections.push((name.clone(), Arc::clone(def)));
    }
    let built_in = connectors
        .iter()
        .map(|(name, (def, _))| (name.clone(), Arc::clone(def)))
        .collect();
    // A file that is checked alone may name a cycle beside it.
    let mut cycles: HashSet<String> = sources.iter().filter_map(Source::declares).collect();
    let beside = cycle_files(&settings.cycles()).unwrap_or_default();
    cycles.extend(
        beside
            .into_iter()
            .filter_map(|path| Source::read(path).ok()?.declares()),
    );
    Ok(Known {
        declared: connections,
        built_in,
        has_settings: settings.found,
        cycles,
        env: settings.config.env_for_cycles.clone(),
    })
}

fn json_of(diagnostic: &Diagnostic, file: &str) -> Value {
    json!({
        "file": file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
        "code": diagnostic.code,
        "message": diagnostic.message,
        "hint": diagnostic.hint,
    })
}
