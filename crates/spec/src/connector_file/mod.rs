//! A connector definition file, checked.
//!
//! ```yaml
//! connector: name            title, settings, auth, base_url, request, errors, limits, script, methods
//! settings:
//!   domain: {title: Domain, default: "https://…", values: […], secret: true}
//! methods:
//!   list_things:
//!     kind: list             # webhook | list | request | update_watermark
//!     verb: GET
//!     path: /things          # appended to base_url; without it the step gives a whole `url`
//!     query: {per_page: 200}
//!     inputs: {page: {type: integer, required: true, query: page}}
//!     response: {records: data, fields: {more: {path: info.more, when_empty: false}}}
//! ```
//!
//! References are `${settings.x}`, `${auth.x}`, `${input.x}`; of a keyset `${last.x}`, of an incremental
//! list `${since}`.

mod auth;
mod errors;
mod incremental;
mod limits;
mod method;
mod paging;
mod storage;
pub(crate) use storage::SCOPE;

use std::collections::BTreeMap;
use std::fmt;

use sha2::{Digest, Sha256};
use velodrome_types::Json;

use crate::analyse::{ScriptAnalyser, ScriptFault};
use crate::connector::{AuthDef, ConnectorDef, ErrorFields, Limits, RequestDefaults, SettingDef};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Expr, Root, Segment};
use crate::keys::{Faults, Keys, text, truth};
use crate::plan::{Language, ScriptAnalysis, StepScript};
use crate::script_text::{ScriptPlace, uncalled};
use crate::values::{Names, unknown, value};
use crate::yaml::{self, Entry, Node, Value};

/// A connector file to be checked.
#[derive(Clone, Copy)]
pub struct ConnectorInput<'a> {
    /// What the file is called, for messages.
    pub path: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Reads its scripts.
    pub analyser: &'a dyn ScriptAnalyser,
    /// Reads a script file that it names, relative to its own folder.
    pub script_file: &'a dyn Fn(&str) -> std::io::Result<String>,
}

impl fmt::Debug for ConnectorInput<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectorInput")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Checks a connector definition that has no scripts, such as those that are built in: a `script` is an
/// error there. `name` is what the file is called, for messages.
pub fn check_connector(name: &str, text: &str) -> (Option<ConnectorDef>, Vec<Diagnostic>) {
    check_connector_file(ConnectorInput {
        path: name,
        text,
        analyser: &NoScripts,
        script_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
    })
}

/// Stands where no host of scripts is at hand.
struct NoScripts;

impl ScriptAnalyser for NoScripts {
    fn analyse(&self, _: Language, _: &str) -> Result<ScriptAnalysis, Vec<ScriptFault>> {
        Err(vec![ScriptFault {
            code: "script.file",
            message: "this connector cannot have scripts".to_owned(),
            hint: None,
            line: 1,
            column: 1,
        }])
    }
}

/// Checks a connector definition.
pub fn check_connector_file(input: ConnectorInput<'_>) -> (Option<ConnectorDef>, Vec<Diagnostic>) {
    let root = match yaml::parse(input.text) {
        Ok(root) => root,
        Err(diagnostics) => return (None, diagnostics),
    };
    let mut faults = Faults::default();
    let def = read(input, &root, &mut faults);
    let mut diagnostics = faults.0;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    let fatal = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == crate::Severity::Error);
    (def.filter(|_| !fatal), diagnostics)
}

fn read(input: ConnectorInput<'_>, root: &Node, faults: &mut Faults) -> Option<ConnectorDef> {
    let name = input.path;
    let mut keys = Keys::of(root, "a connector file", faults)?;
    let connector = keys
        .need("connector", name, faults)
        .and_then(|node| text(node, "`connector`", faults));
    let title = keys
        .get("title")
        .and_then(|node| text(node, "`title`", faults));
    let docs = keys
        .get("docs")
        .and_then(|node| text(node, "`docs`", faults));
    let settings = keys
        .get("settings")
        .map_or_else(BTreeMap::new, |node| settings(node, faults));
    let mut names = ConnectorNames {
        settings: settings.keys().cloned().collect(),
        inputs: Vec::new(),
        last: Vec::new(),
        since: None,
    };
    let auth = keys
        .get("auth")
        .map_or(AuthDef::None, |node| auth::read(node, &mut names, faults));
    let base_url = keys
        .get("base_url")
        .and_then(|node| value(node, &mut names, faults));
    let request = keys
        .get("request")
        .map_or_else(RequestDefaults::default, |node| {
            request(node, &mut names, faults)
        });
    let errors = keys
        .get("errors")
        .map_or_else(Vec::new, |node| errors::rules(node, faults));
    let error_fields = keys
        .get("error_fields")
        .map_or_else(ErrorFields::default, |node| errors::fields(node, faults));
    let limits = keys
        .get("limits")
        .map_or_else(Limits::default, |node| limits::read(node, faults));
    let mut scripts = Scripts {
        place: ScriptPlace {
            path: input.path,
            analyser: input.analyser,
            file: input.script_file,
            folder: "the connector file's folder",
            language: Language::Rhai,
        },
        files: Vec::new(),
        all: None,
    };
    let oauth = matches!(auth, AuthDef::OAuth2(_));
    let script = keys.entry("script").and_then(|entry| {
        let handlers: &[&str] = if oauth { SIGNING_IN } else { ASKING };
        let place = (handlers, "of this connector");
        scripts.read(entry, place, faults)
    });
    scripts.all = script;
    let mut methods = BTreeMap::new();
    match keys
        .need("methods", name, faults)
        .map(|node| (&node.value, node))
    {
        Some((Value::Map(entries), _)) => {
            for entry in entries {
                if let Some(method) = method::read(entry, &mut names, &mut scripts, faults) {
                    methods.insert(entry.key.clone(), method);
                }
            }
        }
        Some((_, node)) => {
            faults.error("value.type", node.span, "`methods` must be a map");
        }
        None => {}
    }
    keys.finish("a connector", faults);
    let connector = connector?;
    Some(ConnectorDef {
        title: title.unwrap_or_else(|| connector.clone()),
        name: connector,
        path: name.to_owned(),
        docs,
        settings,
        auth,
        base_url,
        request,
        error_fields,
        errors,
        limits,
        methods,
        script: scripts.all,
        hash: hash(input.text, &scripts.files),
        script_files: scripts.files,
    })
}

/// What tells a definition from all others: its text, and those of its script files.
fn hash(text: &str, files: &[(String, String)]) -> String {
    let mut hasher = Sha256::new_with_prefix(text.as_bytes());
    for (path, text) in files {
        hasher.update([0]);
        hasher.update(path.as_bytes());
        hasher.update([0]);
        hasher.update(text.as_bytes());
    }
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The handlers of a method that asks an API, at whatever level they stand.
pub(crate) const ASKING: &[&str] = &[
    "before_webhook",
    "after_webhook",
    "before_action",
    "after_action",
    "after_action_paging",
    "after_error",
    "action_condition",
];

/// Those of a connector with OAuth 2.0.
const SIGNING_IN: &[&str] = &[
    "before_webhook",
    "after_webhook",
    "before_action",
    "after_action",
    "after_action_paging",
    "after_error",
    "action_condition",
    "before_oauth2_authorise",
    "before_oauth2_token",
    "after_oauth2_token",
    "before_oauth2_refresh",
    "after_oauth2_refresh",
];

/// The scripts of a connector file, as far as they have been read.
struct Scripts<'a> {
    place: ScriptPlace<'a>,
    files: Vec<(String, String)>,
    /// The connector's own, that all its methods share.
    all: Option<StepScript>,
}

impl Scripts<'_> {
    fn read(
        &mut self,
        entry: &Entry,
        called: (&[&str], &str),
        faults: &mut Faults,
    ) -> Option<StepScript> {
        let script = self.place.read(entry, &mut self.files, faults)?;
        let own = script.path == self.place.path;
        uncalled(&script, entry, own, called, faults);
        Some(script)
    }

    /// Whether a method with this script has a condition, its own or all methods'.
    fn decide(&self, own: Option<&StepScript>) -> bool {
        let mut both = own.into_iter().chain(&self.all);
        both.any(|script| script.analysis.has("action_condition"))
    }
}

fn settings(node: &Node, faults: &mut Faults) -> BTreeMap<String, SettingDef> {
    let Value::Map(entries) = &node.value else {
        faults.error(
            "value.type",
            node.span,
            format!("`settings` must be a map, not {}", node.kind()),
        );
        return BTreeMap::new();
    };
    let mut settings = BTreeMap::new();
    for entry in entries {
        let what = format!("setting `{}`", entry.key);
        let Some(mut keys) = Keys::of(&entry.value, &what, faults) else {
            continue;
        };
        let values = match keys.get("values").map(Node::to_json) {
            Some(Json::Array(values)) => values,
            _ => Vec::new(),
        };
        let setting = SettingDef {
            title: keys
                .get("title")
                .and_then(|node| text(node, "`title`", faults))
                .unwrap_or_else(|| entry.key.clone()),
            default: keys.get("default").map(Node::to_json),
            values,
            secret: keys
                .get("secret")
                .and_then(|node| truth(node, "`secret`", faults))
                .unwrap_or(false),
        };
        keys.finish(&what, faults);
        settings.insert(entry.key.clone(), setting);
    }
    settings
}

fn request(node: &Node, names: &mut ConnectorNames, faults: &mut Faults) -> RequestDefaults {
    let Some(mut keys) = Keys::of(node, "`request`", faults) else {
        return RequestDefaults::default();
    };
    let headers = keys
        .get("headers")
        .map_or_else(Vec::new, |node| pairs(node, names, faults));
    let query = keys
        .get("query")
        .map_or_else(Vec::new, |node| pairs(node, names, faults));
    keys.finish("`request`", faults);
    RequestDefaults { headers, query }
}

/// A map of names to values, in the order of the file.
fn pairs(node: &Node, names: &mut ConnectorNames, faults: &mut Faults) -> Vec<(String, Expr)> {
    match &node.value {
        Value::Map(entries) => entries
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), value(&entry.value, names, faults)?)))
            .collect(),
        _ => {
            faults.error(
                "value.type",
                node.span,
                format!("this must be a map, not {}", node.kind()),
            );
            Vec::new()
        }
    }
}

fn one_or_more(node: &Node) -> Vec<&Node> {
    match &node.value {
        Value::List(items) => items.iter().collect(),
        _ => vec![node],
    }
}

/// What a reference in a connector may begin with.
struct ConnectorNames {
    settings: Vec<String>,
    inputs: Vec<String>,
    /// What a keyset keeps of the last record.
    last: Vec<String>,
    /// Whether `${since}` was read, in a method that is incremental.
    since: Option<bool>,
}

impl Names for ConnectorNames {
    fn name(
        &mut self,
        name: &str,
        path: &[Segment],
        span: Span,
        faults: &mut Faults,
    ) -> Option<Root> {
        let first = match path.first() {
            Some(Segment::Key(key)) => key.as_str(),
            _ => "",
        };
        match name {
            "settings" if self.settings.iter().any(|known| known == first) => Some(Root::Settings),
            "settings" => {
                unknown(
                    first,
                    span,
                    self.settings.iter().map(String::as_str),
                    "setting of this connector",
                    faults,
                );
                None
            }
            "auth" => Some(Root::Auth),
            "input" if self.inputs.iter().any(|known| known == first) => Some(Root::Input),
            "input" => {
                unknown(
                    first,
                    span,
                    self.inputs.iter().map(String::as_str),
                    "input of this method",
                    faults,
                );
                None
            }
            "last" if self.last.iter().any(|known| known == first) => Some(Root::Last),
            "last" => {
                unknown(
                    first,
                    span,
                    self.last.iter().map(String::as_str),
                    "field that `last` of a keyset lists",
                    faults,
                );
                None
            }
            "since" if self.since.is_some() && path.is_empty() => {
                self.since = Some(true);
                Some(Root::Since)
            }
            "since" => {
                let message = "`since` is the filter date of a method with `incremental`, alone";
                faults.error("reference.unknown", span, message);
                None
            }
            other => {
                unknown(
                    other,
                    span,
                    ["settings", "auth", "input", "last", "since"].into_iter(),
                    "name a connector knows",
                    faults,
                );
                None
            }
        }
    }

    fn kind(&mut self, kind: &str, _: &str, span: Span, faults: &mut Faults) -> Option<Root> {
        unknown(
            kind,
            span,
            std::iter::empty(),
            "kind of reference in a connector",
            faults,
        );
        None
    }
}
