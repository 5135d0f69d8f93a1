//! Cycle files as commands without a server read them: with the settings, the connectors and the other
//! cycles around them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use velodrome_runtime::read_below;
use velodrome_script::ScriptHost;
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::plan::StepKind;
use velodrome_spec::test_file::{TestFile, is_test_file};
use velodrome_spec::{
    Checked, Config, ConnectionLookup, CycleInput, Diagnostic, Lookup, Plan, Severity, Span,
    check_config, check_cycle, check_named_cycle, error_hook,
};
use velodrome_types::Code;

use crate::assemble::{Connectors, connector_of, known_connectors, script_limits, script_workers};
use crate::config::{Settings, cycle_files};
use crate::exit::Ended;

/// Connections as the settings declare them, cycles as the folder holds them.
struct Known {
    declared: Vec<(String, Arc<ConnectorDef>)>,
    built_in: Vec<(String, Arc<ConnectorDef>)>,
    has_settings: bool,
    cycles: HashSet<String>,
    env: Vec<String>,
    auth_needed: bool,
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

    fn auth_needed(&self) -> bool {
        self.auth_needed
    }
}

/// A file and what it says.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) shown: String,
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn read(path: PathBuf) -> Result<Self> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Ended::Invalid(format!("`{shown}` cannot be read: {error}")))?;
        Ok(Self { path, shown, text })
    }

    pub(crate) fn is_settings(&self) -> bool {
        self.path
            .file_name()
            .is_some_and(|name| name == "velodrome.yaml")
    }

    /// Whether it holds a cycle's tests.
    pub(crate) fn is_test(&self) -> bool {
        self.path
            .file_name()
            .is_some_and(|name| is_test_file(&name.to_string_lossy()))
    }

    /// The cycle that the file declares, as far as a glance tells.
    pub(crate) fn declares(&self) -> Option<String> {
        let id = self
            .text
            .lines()
            .find_map(|line| line.strip_prefix("cycle:"))?;
        let id = id.split('#').next().unwrap_or_default().trim();
        Some(id.trim_matches(['"', '\'']).to_owned())
    }
}

/// Cycle files and what is known around them.
pub(crate) struct Shelf {
    folder: PathBuf,
    pub(crate) connectors: Connectors,
    pub(crate) host: Arc<ScriptHost>,
    known: Known,
    /// Every cycle file: those that were named, and those of the cycles folder.
    cycles: Vec<Source>,
}

impl Shelf {
    /// What the settings and the cycles folder tell, and these files beside.
    pub(crate) fn new(settings: &Settings, named: &[Source]) -> Result<Self> {
        let connectors = known_connectors(settings)?;
        let mut declared = Vec::new();
        for (name, connection) in &settings.config.connections {
            let def = &connector_of(name, &connection.connector, &connectors)?.0;
            declared.push((name.clone(), Arc::clone(def)));
        }
        let built_in = connectors
            .iter()
            .map(|(name, (def, _))| (name.clone(), Arc::clone(def)))
            .collect();
        let mut cycles: Vec<Source> = named
            .iter()
            .filter(|source| !source.is_test() && !source.is_settings())
            .cloned()
            .collect();
        // A file alone may name a cycle beside it.
        for path in cycle_files(&settings.cycles()).unwrap_or_default() {
            if !cycles.iter().any(|source| same_file(&source.path, &path)) {
                cycles.extend(Source::read(path));
            }
        }
        Ok(Self {
            folder: settings.cycles(),
            connectors,
            host: Arc::new(ScriptHost::new(
                script_limits(&settings.config),
                script_workers(),
            )),
            known: Known {
                declared,
                built_in,
                has_settings: settings.found,
                cycles: cycles.iter().filter_map(Source::declares).collect(),
                env: settings.config.env_for_cycles.clone(),
                auth_needed: auth_needed(settings),
            },
            cycles,
        })
    }

    /// The ids that the cycle files declare.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.cycles.iter().filter_map(Source::declares).collect()
    }

    /// Checks a cycle file.
    pub(crate) fn check(&self, source: &Source) -> Checked {
        self.check_as(source, &source.shown)
    }

    /// Checks a settings file, and whether the cycle that it names is here.
    pub(crate) fn check_settings(&self, source: &Source) -> (Option<Config>, Vec<Diagnostic>) {
        let folder = source.path.parent().unwrap_or(Path::new(""));
        let files = |file: &str| read_below(folder, file);
        let (config, mut diagnostics) = check_config(&source.text, &files);
        let named = config
            .as_ref()
            .and_then(|config| config.error_webhook.as_ref());
        let missing = named.and_then(|(said, span)| check_named_cycle(said, *span, &self.known));
        diagnostics.extend(missing);
        (config, diagnostics)
    }

    /// Checks a cycle file that messages call by the name that a server gives it.
    pub(crate) fn check_as(&self, source: &Source, shown: &str) -> Checked {
        let folder = script_folder(&source.path, &self.folder);
        check_cycle(CycleInput {
            path: shown,
            text: &source.text,
            analyser: &*self.host,
            lookup: &self.known,
            script_file: &move |file| read_below(&folder, file),
        })
    }

    /// A cycle file's path, relative to the cycles folder, as a server shows it.
    pub(crate) fn relative(&self, source: &Source) -> String {
        let inside = source.path.strip_prefix(&self.folder).ok();
        let name = || source.path.file_name().map(Path::new);
        inside
            .or_else(name)
            .unwrap_or(&source.path)
            .display()
            .to_string()
    }

    /// The cycles that a cycle's hand-offs lead to, and theirs; those without faults.
    pub(crate) fn reached(&self, plan: &Plan) -> Vec<Arc<Plan>> {
        let mut found: Vec<Arc<Plan>> = Vec::new();
        let mut to_see = targets(plan);
        while let Some(cycle) = to_see.pop() {
            let known = |plan: &Plan| plan.cycle.as_str() == cycle;
            if known(plan) || found.iter().any(|plan| known(plan)) {
                continue;
            }
            let checked = self
                .declaring(&cycle)
                .and_then(|source| self.check_as(source, &self.relative(source)).plan);
            if let Some(next) = checked {
                to_see.extend(targets(&next));
                found.push(next);
            }
        }
        found
    }

    /// The file that declares a cycle.
    pub(crate) fn declaring(&self, cycle: &str) -> Option<&Source> {
        self.cycles
            .iter()
            .find(|source| source.declares().as_deref() == Some(cycle))
    }

    /// The cycle file that a test file is about: the one beside it, or the one it names.
    pub(crate) fn tested(&self, tests: &Source, file: &TestFile) -> Result<Source, Diagnostic> {
        let beside = beside(&tests.path);
        let found = Source::read(beside.clone()).ok();
        let Some(named) = &file.cycle else {
            return found.ok_or_else(|| {
                let message = format!("there is no `{}` that it could test", beside.display());
                no_cycle(Span::default(), message)
            });
        };
        let id = named.value.as_str();
        found
            .filter(|source| source.declares().as_deref() == Some(id))
            .or_else(|| self.declaring(id).cloned())
            .ok_or_else(|| {
                let message = format!("no file declares a cycle `{id}`");
                no_cycle(named.span, message)
            })
    }
}

/// Whether the server that these settings make wants to be told who may call each webhook.
fn auth_needed(settings: &Settings) -> bool {
    let config = &settings.config;
    config.auth_needed(&config.listen, config.service_url.as_deref())
}

/// The cycles whose webhooks a cycle's steps post to, and the one that is told of its failures.
fn targets(plan: &Plan) -> Vec<String> {
    let told = plan.error_webhook.as_ref().and_then(error_hook);
    let posts = plan.steps.iter().filter_map(|step| match &step.kind {
        StepKind::Send(send) => Some(send.target.as_ref()?.cycle.to_string()),
        _ => None,
    });
    posts
        .chain(told.map(|target| target.cycle.to_string()))
        .collect()
}

fn no_cycle(span: Span, message: String) -> Diagnostic {
    let start = Span {
        line: span.line.max(1),
        column: span.column.max(1),
        ..span
    };
    Diagnostic {
        severity: Severity::Error,
        code: Code::new("test.no_cycle"),
        message,
        span: start,
        hint: Some(
            "`x.test.yaml` tests the `x.yaml` beside it; `cycle:` names another cycle".to_owned(),
        ),
    }
}

/// `x.yaml` of `x.test.yaml`.
fn beside(tests: &Path) -> PathBuf {
    let name = tests.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".test.yaml").unwrap_or(&name);
    tests.with_file_name(format!("{stem}.yaml"))
}

fn same_file(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
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
