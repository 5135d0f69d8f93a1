//! A connector definition file, checked.
//!
//! ```yaml
//! connector: name            title, settings, auth, base_url, request, errors, limits, methods
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

use sha2::{Digest, Sha256};
use velodrome_types::Json;

use crate::connector::{AuthDef, ConnectorDef, ErrorFields, Limits, RequestDefaults, SettingDef};
use crate::diagnostic::{Diagnostic, Span};
use crate::expr::{Expr, Root, Segment};
use crate::keys::{Faults, Keys, text, truth};
use crate::values::{Names, unknown, value};
use crate::yaml::{self, Node, Value};

/// Checks a connector definition. `name` is what the file is called, for messages.
pub fn check_connector(name: &str, text: &str) -> (Option<ConnectorDef>, Vec<Diagnostic>) {
    let root = match yaml::parse(text) {
        Ok(root) => root,
        Err(diagnostics) => return (None, diagnostics),
    };
    let mut faults = Faults::default();
    let def = read(name, text, &root, &mut faults);
    let mut diagnostics = faults.0;
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    let fatal = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == crate::Severity::Error);
    (def.filter(|_| !fatal), diagnostics)
}

fn read(name: &str, source: &str, root: &Node, faults: &mut Faults) -> Option<ConnectorDef> {
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
    let mut methods = BTreeMap::new();
    match keys
        .need("methods", name, faults)
        .map(|node| (&node.value, node))
    {
        Some((Value::Map(entries), _)) => {
            for entry in entries {
                if let Some(method) = method::read(&entry.key, &entry.value, &mut names, faults) {
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
        docs,
        settings,
        auth,
        base_url,
        request,
        error_fields,
        errors,
        limits,
        methods,
        hash: Sha256::digest(source.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    })
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
