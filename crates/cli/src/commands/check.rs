//! `check`: what a compiler would say of the cycle files.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use velodrome_script::{ScriptHost, ScriptLimits};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::{
    Checked, ConnectionLookup, CycleInput, Lookup, Severity, check_cycle, render,
};

use super::print_json;
use crate::args::{Check, Global};
use crate::assemble::known_connectors;
use crate::config::{Settings, cycle_files};
use crate::exit::Ended;

/// Connections as the settings declare them, cycles as the folder holds them.
struct Known {
    declared: Vec<(String, Arc<ConnectorDef>)>,
    built_in: Vec<(String, Arc<ConnectorDef>)>,
    has_settings: bool,
    cycles: HashSet<String>,
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

    fn hook_exists(&self, cycle: &str, _: Option<&str>) -> bool {
        self.cycles.contains(cycle)
    }
}

pub(super) fn run(global: &Global, args: &Check) -> Result<()> {
    let settings = Settings::read(global)?;
    let folder = settings.cycles();
    let files = if args.files.is_empty() {
        cycle_files(&folder).map_err(|error| Ended::Invalid(format!("{error:#}")))?
    } else {
        args.files.clone()
    };
    let known = known(&settings, &files)?;
    let host = ScriptHost::new(ScriptLimits::default());
    let (mut errors, mut warnings, mut all) = (0, 0, Vec::new());
    for path in &files {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Ended::Invalid(format!("`{shown}`: {error}")))?;
        let checked = check(path, &text, &known, &host);
        for diagnostic in &checked.diagnostics {
            match diagnostic.severity {
                Severity::Error => errors += 1,
                Severity::Warning => warnings += 1,
            }
        }
        if global.json {
            all.extend(json_of(&checked, &shown));
        } else {
            eprint!("{}", render(&checked.diagnostics, &shown, &text));
        }
    }
    if global.json {
        print_json(&Value::Array(all))?;
    }
    let count = |number: usize, what: &str| match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    };
    if errors > 0 {
        let told = format!(
            "{} in {}",
            count(errors, "error"),
            count(files.len(), "file")
        );
        return Err(Ended::Invalid(told).into());
    }
    if !global.json {
        let cycles = count(files.len(), "cycle");
        match warnings {
            0 => println!("{cycles} checked, all good"),
            _ => println!("{cycles} checked, {}", count(warnings, "warning")),
        }
    }
    Ok(())
}

fn known(settings: &Settings, files: &[PathBuf]) -> Result<Known> {
    let connectors = known_connectors(settings)?;
    let declared = settings
        .config
        .connections
        .iter()
        .filter_map(|(name, declared)| {
            Some((
                name.clone(),
                Arc::clone(&connectors.get(&declared.connector)?.0),
            ))
        })
        .collect();
    let built_in = connectors
        .iter()
        .map(|(name, (def, _))| (name.clone(), Arc::clone(def)))
        .collect();
    let mut cycles = HashSet::new();
    for path in files {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading `{}`", path.display()))?;
        let id = text.lines().find_map(|line| line.strip_prefix("cycle:"));
        cycles.extend(id.map(|id| id.split('#').next().unwrap_or_default().trim().to_owned()));
    }
    Ok(Known {
        declared,
        built_in,
        has_settings: settings.found,
        cycles,
    })
}

fn check(path: &Path, text: &str, known: &Known, host: &ScriptHost) -> Checked {
    let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
    check_cycle(CycleInput {
        path: &path.display().to_string(),
        text,
        analyser: host,
        lookup: known,
        script_file: &move |file| std::fs::read_to_string(folder.join(file)),
    })
}

fn json_of(checked: &Checked, file: &str) -> Vec<Value> {
    checked
        .diagnostics
        .iter()
        .map(|diagnostic| {
            json!({
                "file": file,
                "line": diagnostic.span.line,
                "column": diagnostic.span.column,
                "severity": if diagnostic.severity == Severity::Error { "error" } else { "warning" },
                "code": diagnostic.code,
                "message": diagnostic.message,
                "hint": diagnostic.hint,
            })
        })
        .collect()
}
