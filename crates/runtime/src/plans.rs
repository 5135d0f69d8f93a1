//! The plans: the current one of each cycle, and older ones while runs are on them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use velodrome_script::ScriptHost;
use velodrome_spec::callers::{WebhookAuth, WebhookDefaults};
use velodrome_spec::connector::ConnectorDef;
use velodrome_spec::graph::Graph;
use velodrome_spec::plan::Sources;
use velodrome_spec::{
    Checked, ConnectionLookup, ConnectorInput, CycleInput, Lookup, Plan, Severity,
    check_connector_file, check_cycle, render,
};
use velodrome_store::{PlanRow, Plans as StoredPlans, StoreError};
use velodrome_types::CycleId;

use crate::connections::Connections;
use crate::cycle_files::CycleFiles;

/// The format of stored plans.
const FORMAT: u8 = 1;

/// What is known of a cycle's file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The last good version, if there was one.
    pub(crate) plan: Option<Arc<Plan>>,
    /// The file, relative to the cycles folder.
    pub(crate) file: String,
    /// What is wrong with the file as it is now, rendered.
    pub(crate) problems: Option<String>,
    /// The cycle as a picture: of the last good version, or of a file that has faults but can be drawn.
    pub(crate) graph: Option<Arc<Graph>>,
}

/// What reading the files changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new version is in force.
    Loaded {
        cycle: CycleId,
        version: String,
        file: String,
        warnings: Option<String>,
    },
    /// A file was not taken.
    Rejected {
        cycle: Option<CycleId>,
        file: String,
        problems: String,
    },
    /// A cycle's file is gone.
    Removed { cycle: CycleId, file: String },
}

/// The plans of this server.
#[derive(Debug)]
pub(crate) struct Plans {
    files: CycleFiles,
    host: Arc<ScriptHost>,
    /// Whether others can reach this server.
    exposed: bool,
    settled: RwLock<Arc<Settled>>,
    current: RwLock<HashMap<CycleId, Entry>>,
    /// What is wrong with files whose cycle is not known, and every text that was read last.
    seen: Mutex<BTreeMap<String, Seen>>,
    by_hash: Mutex<HashMap<String, Arc<Plan>>>,
    stored: Mutex<HashSet<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    cycle: Option<CycleId>,
    problems: Option<String>,
}

/// What cycle files are checked against beside the connections: it may change while the engine runs.
#[derive(Debug)]
pub(crate) struct Settled {
    connectors: HashMap<String, (Arc<ConnectorDef>, String)>,
    env: HashMap<String, Option<String>>,
    webhooks: Arc<WebhookDefaults>,
}

impl Settled {
    pub(crate) fn new(
        connectors: Vec<(Arc<ConnectorDef>, String)>,
        env: HashMap<String, Option<String>>,
        webhooks: WebhookDefaults,
    ) -> Self {
        let connectors = connectors
            .into_iter()
            .map(|(def, text)| (def.name.clone(), (def, text)))
            .collect();
        Self {
            connectors,
            env,
            webhooks: Arc::new(webhooks),
        }
    }
}

/// Answers the checker's questions about connections and other cycles.
struct Known<'a> {
    first_seen: &'a dyn Fn(&CycleId),
    settled: Arc<Settled>,
    connections: &'a Connections,
    cycles: &'a HashSet<String>,
    exposed: bool,
}

impl Lookup for Known<'_> {
    fn connection(&self, name: &str) -> ConnectionLookup {
        if let Some(def) = self.connections.declared(name) {
            return ConnectionLookup::Found(def);
        }
        match self.settled.connectors.get(name) {
            Some((def, _)) => ConnectionLookup::Undeclared(Arc::clone(def)),
            None => ConnectionLookup::Unknown,
        }
    }

    fn connections(&self) -> Vec<String> {
        let declared = self.connections.names();
        let built_in = self.settled.connectors.keys().cloned();
        declared.chain(built_in).collect()
    }

    fn env_allowed(&self, name: &str) -> bool {
        self.settled.env.contains_key(name)
    }

    fn hook_exists(&self, cycle: &str, _step: Option<&str>) -> bool {
        self.cycles.contains(cycle)
    }

    fn auth_needed(&self) -> bool {
        self.exposed && self.settled.webhooks.auth == WebhookAuth::Unsaid
    }
}

impl Plans {
    pub(crate) fn new(
        files: CycleFiles,
        host: Arc<ScriptHost>,
        settled: Settled,
        exposed: bool,
    ) -> Self {
        Self {
            files,
            host,
            exposed,
            settled: RwLock::new(Arc::new(settled)),
            current: RwLock::default(),
            seen: Mutex::default(),
            by_hash: Mutex::default(),
            stored: Mutex::default(),
        }
    }

    /// Puts other connectors and another environment in force; the files are read again after it.
    pub(crate) fn settle(&self, settled: Settled) {
        *self.settled.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settled);
    }

    fn settled(&self) -> Arc<Settled> {
        Arc::clone(&self.settled.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What holds for webhooks that say nothing else, and whether others can reach this server.
    pub(crate) fn callers(&self) -> (Arc<WebhookDefaults>, bool) {
        (Arc::clone(&self.settled().webhooks), self.exposed)
    }

    /// A variable of the environment that cycles may read.
    pub(crate) fn env(&self, name: &str) -> Option<String> {
        self.settled().env.get(name).cloned().flatten()
    }

    /// The folder to watch, if there is one.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.files.folder()
    }

    fn read_current(&self) -> std::sync::RwLockReadGuard<'_, HashMap<CycleId, Entry>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The version that new runs begin on.
    pub(crate) fn current(&self, cycle: &CycleId) -> Option<Arc<Plan>> {
        self.read_current().get(cycle)?.plan.clone()
    }

    pub(crate) fn entry(&self, cycle: &CycleId) -> Option<Entry> {
        self.read_current().get(cycle).cloned()
    }

    pub(crate) fn is_known(&self, cycle: &CycleId) -> bool {
        self.read_current().contains_key(cycle)
    }

    /// Every known cycle, in order of its id.
    pub(crate) fn ids(&self) -> Vec<CycleId> {
        let mut ids: Vec<CycleId> = self.read_current().keys().cloned().collect();
        ids.sort();
        ids
    }

    /// The names of all connectors.
    pub(crate) fn connectors(&self) -> Vec<String> {
        self.settled().connectors.keys().cloned().collect()
    }

    pub(crate) fn has_problems(&self) -> bool {
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .any(|seen| seen.problems.is_some())
    }

    /// Reads every cycle file and tells what changed since the last time.
    ///
    /// `first_seen` is told of a cycle before anything may be accepted for it.
    pub(crate) fn read(
        &self,
        connections: &Connections,
        first_seen: &dyn Fn(&CycleId),
    ) -> Vec<Change> {
        let texts = self.files.texts();
        let cycles: HashSet<String> = texts
            .iter()
            .filter_map(|(_, text)| declared_id(text.as_ref().ok()?))
            .collect();
        let known = Known {
            first_seen,
            settled: self.settled(),
            connections,
            cycles: &cycles,
            exposed: self.exposed,
        };
        let mut changes = Vec::new();
        let mut now = BTreeMap::new();
        let mut owners: HashMap<CycleId, String> = HashMap::new();
        for (file, text) in texts {
            let seen = match text {
                Err(error) => Seen {
                    cycle: None,
                    problems: Some(format!("error: `{file}` cannot be read: {error}\n")),
                },
                Ok(text) => self.take(&file, &text, &known, &mut owners, &mut changes),
            };
            now.insert(file, seen);
        }
        self.note_rejected(&now, &mut changes);
        self.note_removed(&now, &mut changes);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = now;
        changes
    }

    /// Checks one file and puts a new good version in force.
    fn take(
        &self,
        file: &str,
        text: &str,
        known: &Known<'_>,
        owners: &mut HashMap<CycleId, String>,
        changes: &mut Vec<Change>,
    ) -> Seen {
        let checked = self.check(file, text, known);
        let rendered =
            (!checked.diagnostics.is_empty()).then(|| render(&checked.diagnostics, file, text));
        let Some(cycle) = checked.cycle.clone() else {
            return Seen {
                cycle: None,
                problems: rendered,
            };
        };
        if let Some(other) = owners.get(&cycle) {
            let problems = format!(
                "error[cycle.duplicate]: `{file}` and `{other}` both declare cycle `{cycle}`: rename one of them\n"
            );
            return Seen {
                cycle: None,
                problems: Some(problems),
            };
        }
        owners.insert(cycle.clone(), file.to_owned());
        let failed = checked
            .diagnostics
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error);
        if !self.is_known(&cycle) {
            (known.first_seen)(&cycle);
        }
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let entry = current.entry(cycle.clone()).or_insert_with(|| Entry {
            plan: None,
            file: String::new(),
            problems: None,
            graph: None,
        });
        file.clone_into(&mut entry.file);
        if !failed || entry.plan.is_none() {
            entry.graph = checked.graph.map(Arc::new);
        }
        match checked.plan.filter(|_| !failed) {
            Some(plan) => {
                entry.problems = None;
                if entry.plan.as_ref().is_none_or(|old| old.hash != plan.hash) {
                    changes.push(Change::Loaded {
                        cycle: cycle.clone(),
                        version: plan.version().to_owned(),
                        file: file.to_owned(),
                        warnings: rendered,
                    });
                    entry.plan = Some(Arc::clone(&plan));
                    self.by_hash
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(plan.hash.clone(), plan);
                }
                Seen {
                    cycle: Some(cycle),
                    problems: None,
                }
            }
            None => {
                entry.problems.clone_from(&rendered);
                Seen {
                    cycle: Some(cycle),
                    problems: rendered,
                }
            }
        }
    }

    fn note_rejected(&self, now: &BTreeMap<String, Seen>, changes: &mut Vec<Change>) {
        let before = self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        for (file, seen) in now {
            if let Some(problems) = &seen.problems
                && before.get(file) != Some(seen)
            {
                changes.push(Change::Rejected {
                    cycle: seen.cycle.clone(),
                    file: file.clone(),
                    problems: problems.clone(),
                });
            }
        }
    }

    fn note_removed(&self, now: &BTreeMap<String, Seen>, changes: &mut Vec<Change>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        current.retain(|cycle, entry| {
            // A file that no longer parses may still be this cycle's: its last good version stays.
            let stays = now.values().any(|seen| seen.cycle.as_ref() == Some(cycle))
                || now
                    .get(&entry.file)
                    .is_some_and(|seen| seen.cycle.is_none() && seen.problems.is_some());
            if !stays {
                changes.push(Change::Removed {
                    cycle: cycle.clone(),
                    file: entry.file.clone(),
                });
            } else if let Some(seen) = now.get(&entry.file)
                && seen.cycle.is_none()
            {
                entry.problems.clone_from(&seen.problems);
            }
            stays
        });
    }

    fn check(&self, file: &str, text: &str, known: &dyn Lookup) -> Checked {
        check_cycle(CycleInput {
            path: file,
            text,
            analyser: &*self.host,
            lookup: known,
            script_file: &|path| self.files.script(path),
        })
    }

    /// The row of a plan that is not stored yet.
    pub(crate) fn row_of(&self, plan: &Plan) -> Option<PlanRow> {
        if self
            .stored
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&plan.hash)
        {
            return None;
        }
        let mut body = vec![FORMAT];
        serde_json::to_writer(&mut body, &self.sources_of(&plan.sources)).expect("texts are JSON");
        Some(PlanRow {
            hash: plan.hash.clone(),
            cycle: plan.cycle.clone(),
            body,
        })
    }

    /// A plan's sources with the texts of its connectors: a rebuilt plan must not depend on those that
    /// a later program ships.
    fn sources_of(&self, sources: &Sources) -> StoredSources {
        let settled = self.settled();
        let mut connector_scripts = BTreeMap::new();
        let connectors = sources.connectors.iter().map(|(connection, connector, _)| {
            let known = settled.connectors.get(connector);
            if let Some((def, _)) = known.filter(|(def, _)| def.has_scripts()) {
                let scripts = StoredScripts {
                    path: def.path.clone(),
                    files: def.script_files.clone(),
                };
                connector_scripts.insert(connector.clone(), scripts);
            }
            let text = settled
                .connectors
                .get(connector)
                .map(|(_, text)| text.clone())
                .unwrap_or_default();
            (connection.clone(), connector.clone(), text)
        });
        StoredSources {
            path: sources.path.clone(),
            cycle: sources.cycle.clone(),
            scripts: sources.scripts.clone(),
            connectors: connectors.collect(),
            connector_scripts,
        }
    }

    /// These plans are stored now.
    pub(crate) fn stored(&self, hashes: &[String]) {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in hashes {
            if !stored.contains(hash) {
                stored.insert(hash.clone());
            }
        }
    }

    /// The plan that a stored run is on, built again from its sources if need be.
    pub(crate) fn of_run(
        &self,
        store: &(impl StoredPlans + ?Sized),
        hash: &str,
    ) -> Result<Arc<Plan>, StoreError> {
        if let Some(plan) = self
            .by_hash
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)
        {
            return Ok(Arc::clone(plan));
        }
        let damaged = |why: String| StoreError::Damaged {
            what: format!("plan {hash}"),
            why,
        };
        let row = store
            .plan(hash)?
            .ok_or_else(|| damaged("it is missing".to_owned()))?;
        let sources: StoredSources = match row.body.split_first() {
            Some((&FORMAT, json)) => {
                serde_json::from_slice(json).map_err(|error| damaged(error.to_string()))?
            }
            _ => return Err(damaged("its format is unknown".to_owned())),
        };
        let plan = self.rebuild(&sources).map_err(damaged)?;
        self.by_hash
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(hash.to_owned(), Arc::clone(&plan));
        Ok(plan)
    }

    fn rebuild(&self, sources: &StoredSources) -> Result<Arc<Plan>, String> {
        let past = Past::of(sources, &self.host)?;
        let checked = check_cycle(CycleInput {
            path: &sources.path,
            text: &sources.cycle,
            analyser: &*self.host,
            lookup: &past,
            script_file: &|path| file_of(&sources.scripts, path),
        });
        checked
            .plan
            .ok_or_else(|| render(&checked.diagnostics, &sources.path, &sources.cycle))
    }
}

/// Connections as they were when a stored plan was made.
struct Past(HashMap<String, Arc<ConnectorDef>>);

impl Past {
    fn of(sources: &StoredSources, host: &ScriptHost) -> Result<Self, String> {
        let mut connections = HashMap::new();
        for (connection, connector, text) in &sources.connectors {
            let scripts = sources.connector_scripts.get(connector);
            let files = scripts.map_or(&[][..], |scripts| &scripts.files);
            let (def, diagnostics) = check_connector_file(ConnectorInput {
                path: scripts.map_or(connector, |scripts| &scripts.path),
                text,
                analyser: host,
                script_file: &|path| file_of(files, path),
            });
            let def = def.ok_or_else(|| render(&diagnostics, connector, text))?;
            connections.insert(connection.clone(), Arc::new(def));
        }
        Ok(Self(connections))
    }
}

impl Lookup for Past {
    fn connection(&self, name: &str) -> ConnectionLookup {
        self.0.get(name).map_or(ConnectionLookup::Unknown, |def| {
            ConnectionLookup::Found(Arc::clone(def))
        })
    }

    fn connections(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn env_allowed(&self, _name: &str) -> bool {
        true
    }

    fn hook_exists(&self, _cycle: &str, _step: Option<&str>) -> bool {
        true
    }
}

/// The sources of a plan as they are stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredSources {
    path: String,
    cycle: String,
    scripts: Vec<(String, String)>,
    connectors: Vec<(String, String, String)>,
    /// By connector, of those that have scripts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    connector_scripts: BTreeMap<String, StoredScripts>,
}

/// What a connector's scripts stand in beside its definition.
#[derive(Debug, Serialize, Deserialize)]
struct StoredScripts {
    /// What the definition's file was called: where errors are told to be.
    path: String,
    /// The script files that it names: path and text.
    files: Vec<(String, String)>,
}

/// A text of these files.
fn file_of(files: &[(String, String)], path: &str) -> std::io::Result<String> {
    let found = files.iter().find(|(known, _)| known == path);
    found
        .map(|(_, text)| text.clone())
        .ok_or_else(|| std::io::ErrorKind::NotFound.into())
}

/// The id that a file declares, as far as one line tells: enough to know which hooks there are.
fn declared_id(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("cycle:"))?;
    let id = line
        .split('#')
        .next()
        .unwrap_or_default()
        .trim()
        .trim_matches(['"', '\'']);
    (!id.is_empty()).then(|| id.to_owned())
}
