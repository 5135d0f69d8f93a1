//! The value of an expression, from what the run has so far.

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use thiserror::Error;
use velodrome_spec::Plan;
use velodrome_spec::expr::{Expr, HookTarget, Inline, Piece, Reference, Root, Segment, follow};
use velodrome_types::{Code, CycleId, Json, JsonMap, RunId, StepId};

use crate::run::Run;

/// What references stand for that are known before the run.
pub trait Statics: std::fmt::Debug {
    /// The URL of a webhook of this server.
    fn hook_url(&self, target: &HookTarget) -> String;
    /// Where this run goes on at a webhook that it waits at, or will. Nobody can guess it.
    fn resume_url(&self, cycle: &CycleId, step: &StepId, run: RunId) -> String;
    /// A variable of the environment that cycles may read; `None` where it is not set.
    fn env(&self, name: &str) -> Option<String>;
    /// A secret of this server, as it is now; `None` where it is not set.
    fn secret(&self, name: &str) -> Option<String>;
    /// The webhook of this server that a URL leads to, if it leads to one.
    fn hook_at(&self, url: &str) -> Option<HookTarget>;
    /// Where failed runs are told whose cycle says nothing of it.
    fn error_webhook(&self) -> Option<Arc<Expr>>;
}

/// What an expression may read.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The run; `None` for what is known before any.
    pub run: Option<&'a Run>,
    /// Static references.
    pub statics: &'a dyn Statics,
    /// What the step's inline scripts gave.
    pub inline: Option<&'a InlineValues>,
    /// The item of a `for_each`, or of a list that was split, and its index.
    pub item: Option<(&'a Json, u64)>,
}

impl<'a> Scope<'a> {
    /// What a step may read that runs once; `item` is that of a list which was split.
    pub fn new(plan: &'a Plan, run: &'a Run, statics: &'a dyn Statics) -> Self {
        let item = run.branch.as_ref().and_then(|branch| branch.item.as_ref());
        Self {
            plan,
            run: Some(run),
            statics,
            inline: None,
            item: item.map(|item| (&item.value, item.index)),
        }
    }

    /// What is known before any run.
    pub fn before_runs(plan: &'a Plan, statics: &'a dyn Statics) -> Self {
        Self {
            plan,
            run: None,
            statics,
            inline: None,
            item: None,
        }
    }

    /// The same with what inline scripts gave.
    pub fn with_inline(self, inline: &'a InlineValues) -> Self {
        Self {
            inline: Some(inline),
            ..self
        }
    }

    /// The same for one item of a `for_each`.
    pub fn with_item(self, item: &'a Json, index: u64) -> Self {
        Self {
            item: Some((item, index)),
            ..self
        }
    }
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EvalError {
    /// A reference inside a text is null.
    #[error(
        "`{source_text}` is null, and a text cannot hold a null: write `${{… ?? \"\"}}` for an empty text"
    )]
    NullInText {
        /// The reference as it is written.
        source_text: String,
    },
    /// A reference inside a URL is `.` or `..`, which would lead elsewhere.
    #[error("`{source_text}` is only dots, which lead elsewhere in a URL")]
    DotsInUrl {
        /// The reference as it is written.
        source_text: String,
    },
    /// A secret that nobody has set.
    #[error("the secret `{name}` is not set: run `velodrome secret set {name}`")]
    SecretUnset {
        /// Its name.
        name: String,
    },
    /// A variable of the environment that is not there for cycles.
    #[error(
        "the environment has no `{name}`, or `env_for_cycles` in velodrome.yaml does not list it"
    )]
    EnvUnset {
        /// Its name.
        name: String,
    },
    /// An inline script that nobody has run.
    #[error("an inline script was not run here: please report this")]
    Unevaluated,
    /// A kind of reference that nothing here can resolve.
    #[error("`{source_text}` cannot be resolved here")]
    Unresolved {
        /// The reference as it is written.
        source_text: String,
    },
}

/// What the inline scripts of a step gave, by their ids.
pub type InlineValues = BTreeMap<u32, Json>;

/// What an inline script finds in its names, as the fields of its `method_request`.
pub fn inline_inputs(script: &Inline, scope: Scope<'_>) -> JsonMap {
    let mut inputs = JsonMap::new();
    for name in &script.names {
        let value = match name.as_str() {
            "run" => scope.run.map_or(Json::Null, |run| {
                serde_json::json!({
                    "id": run.id, "loop": run.loop_id, "lap": run.lap, "created": run.created
                })
            }),
            "cycle" => serde_json::json!({
                "id": scope.plan.cycle, "name": scope.plan.name, "version": scope.plan.version()
            }),
            "item" => scope.item.map_or(Json::Null, |(item, _)| item.clone()),
            "index" => scope
                .item
                .map_or(Json::Null, |(_, index)| Json::from(index)),
            step => step_data(script, step, scope),
        };
        inputs.insert(name.clone(), value);
    }
    inputs
}

/// What the run has of a step, as far as the script reads it.
fn step_data(script: &Inline, id: &str, scope: Scope<'_>) -> Json {
    let Some(ix) = scope.plan.find(id) else {
        return Json::Null;
    };
    let mut fields = JsonMap::new();
    let reads = script.reads.iter().filter(|(step, _)| *step == ix);
    for (_, name) in reads {
        let reference = Reference {
            root: Root::Step(ix),
            path: vec![Segment::Key(name.clone())],
            default: None,
            source: format!("${{{id}.{name}}}"),
        };
        let value = resolve(&reference, scope).unwrap_or(Json::Null);
        fields.insert(name.clone(), value);
    }
    Json::Object(fields)
}

impl EvalError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::NullInText { .. } => Code::new("reference.null_in_text"),
            Self::DotsInUrl { .. } => Code::new("request.bad_url"),
            Self::SecretUnset { .. } => Code::new("secret.unset"),
            Self::EnvUnset { .. } | Self::Unresolved { .. } => Code::new("reference.unresolved"),
            Self::Unevaluated => Code::new("engine.fault"),
        }
    }
}

/// The value; `None` for `ignore`.
pub fn evaluate(expr: &Expr, scope: Scope<'_>) -> Result<Option<Json>, EvalError> {
    Ok(Some(match expr {
        Expr::Ignore => return Ok(None),
        Expr::Literal(value) => value.clone(),
        Expr::Ref(reference) => resolve(reference, scope)?,
        Expr::Script(script) => {
            let given = scope.inline.and_then(|values| values.get(&script.id));
            given.cloned().ok_or(EvalError::Unevaluated)?
        }
        Expr::Text(pieces) => {
            let mut text = String::new();
            for piece in pieces {
                match piece {
                    Piece::Text(part) => text.push_str(part),
                    Piece::Ref(reference) => {
                        let value = resolve(reference, scope)?;
                        let part = text_of(&value).ok_or_else(|| EvalError::NullInText {
                            source_text: reference.source.clone(),
                        })?;
                        text.push_str(&part);
                    }
                }
            }
            Json::String(text)
        }
        Expr::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.extend(evaluate(item, scope)?);
            }
            Json::Array(list)
        }
        Expr::Object(fields) => Json::Object(evaluate_map(fields, scope)?),
    }))
}

/// The text of an expression that reads nothing of a run: of the environment, of secrets, of files.
pub fn evaluate_static(expr: &Expr, statics: &dyn Statics) -> Result<String, EvalError> {
    let of = |reference: &Reference| match &reference.root {
        Root::Env(name) => statics
            .env(name)
            .ok_or_else(|| EvalError::EnvUnset { name: name.clone() }),
        Root::Secret(name) => statics
            .secret(name)
            .ok_or_else(|| EvalError::SecretUnset { name: name.clone() }),
        Root::File(file) => Ok(file.text.to_string()),
        Root::Hook(target) => Ok(statics.hook_url(target)),
        _ => Err(unresolved(reference)),
    };
    match expr {
        Expr::Literal(value) => Ok(text_of(value).unwrap_or_default()),
        Expr::Ref(reference) => of(reference),
        Expr::Text(pieces) => {
            let parts = pieces.iter().map(|piece| match piece {
                Piece::Text(text) => Ok(text.clone()),
                Piece::Ref(reference) => of(reference),
            });
            parts.collect()
        }
        Expr::List(_) | Expr::Object(_) | Expr::Ignore | Expr::Script(_) => Ok(String::new()),
    }
}

/// A URL: each reference is percent-encoded for its place unless it stands first (SPEC §3), so that no
/// value can lead elsewhere. A null is an error, as in any text.
pub fn evaluate_url(expr: &Expr, scope: Scope<'_>) -> Result<Option<String>, EvalError> {
    let Expr::Text(pieces) = expr else {
        return Ok(evaluate(expr, scope)?.as_ref().and_then(text_of));
    };
    let mut url = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(part) => url.push_str(part),
            Piece::Ref(reference) => {
                let value = resolve(reference, scope)?;
                let part = text_of(&value).ok_or_else(|| EvalError::NullInText {
                    source_text: reference.source.clone(),
                })?;
                if url.is_empty() {
                    url.push_str(&part);
                } else if matches!(part.as_str(), "." | "..") {
                    // However it is encoded, a URL reads it as a way up.
                    return Err(EvalError::DotsInUrl {
                        source_text: reference.source.clone(),
                    });
                } else {
                    url.extend(utf8_percent_encode(&part, place_of(&url)));
                }
            }
        }
    }
    Ok(Some(url))
}

/// What must be encoded behind this beginning of a URL.
fn place_of(url: &str) -> &'static AsciiSet {
    let host = url
        .split_once("://")
        .is_some_and(|(_, rest)| !rest.contains(['/', '?', '#']));
    if host { HOST } else { COMPONENT }
}

/// In paths and queries all is encoded that is not RFC 3986's *unreserved*.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// A host may have a port and, in brackets, colons.
const HOST: &AsciiSet = &COMPONENT.remove(b':').remove(b'[').remove(b']');

/// The values of named expressions; what is `ignore` is left out.
pub fn evaluate_map(fields: &[(String, Expr)], scope: Scope<'_>) -> Result<JsonMap, EvalError> {
    let mut map = JsonMap::new();
    for (name, expr) in fields {
        if let Some(value) = evaluate(expr, scope)? {
            map.insert(name.clone(), value);
        }
    }
    Ok(map)
}

/// A value as text inside a text: `None` for null; lists and objects as their JSON.
pub fn text_of(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        Json::Number(number) => Some(number_text(number)),
        other => Some(other.to_string()),
    }
}

/// A whole number has no fraction, however a script came to it.
fn number_text(number: &serde_json::Number) -> String {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if number.is_f64() && value.fract() == 0.0 && value.abs() < EXACT => {
            format!("{value:.0}")
        }
        _ => number.to_string(),
    }
}

fn resolve(reference: &Reference, scope: Scope<'_>) -> Result<Json, EvalError> {
    let value = match &reference.root {
        Root::Step(ix) => {
            let step = scope.plan.step(*ix);
            match reference.path.split_first() {
                Some((Segment::Key(name), [])) if name == "url" && is_webhook(&step.kind) => {
                    let step = (*ix != scope.plan.trigger).then(|| step.id.clone());
                    let target = HookTarget {
                        cycle: scope.plan.cycle.clone(),
                        step,
                    };
                    Json::String(scope.statics.hook_url(&target))
                }
                Some((Segment::Key(name), []))
                    if name == "resume_url" && is_webhook(&step.kind) =>
                {
                    let run = run_of(reference, scope)?;
                    let statics = scope.statics;
                    Json::String(statics.resume_url(&scope.plan.cycle, &step.id, run.id))
                }
                Some((Segment::Key(name), rest)) => {
                    let run = run_of(reference, scope)?;
                    match run.data.get(&step.id).and_then(|data| data.get(name)) {
                        Some(value) => follow(value, rest),
                        None => Json::Null,
                    }
                }
                _ => run_of(reference, scope)?
                    .data
                    .get(&step.id)
                    .map_or(Json::Null, |data| Json::Object(JsonMap::clone(data))),
            }
        }
        Root::Run => {
            let run = run_of(reference, scope)?;
            match key(reference) {
                "id" => Json::String(run.id.to_string()),
                "loop" => Json::String(run.loop_id.to_string()),
                "lap" => Json::from(run.lap),
                "created" => Json::String(run.created.to_string()),
                _ => Json::Null,
            }
        }
        Root::Cycle => match key(reference) {
            "id" => Json::String(scope.plan.cycle.to_string()),
            "name" => Json::String(scope.plan.name.clone()),
            "version" => Json::String(scope.plan.version().to_owned()),
            _ => Json::Null,
        },
        Root::Var(name) => match scope.plan.variables.iter().find(|(known, _)| known == name) {
            Some((_, value)) => follow(value, &reference.path),
            None => Json::Null,
        },
        Root::Hook(target) => Json::String(scope.statics.hook_url(target)),
        Root::Env(name) => scope.statics.env(name).map_or(Json::Null, Json::String),
        // A run that came another way than by the split has none (the checker warns of it).
        Root::Item => match scope.item {
            Some((item, _)) => follow(item, &reference.path),
            None => Json::Null,
        },
        Root::Index => match scope.item {
            Some((_, index)) => Json::from(index),
            None => Json::Null,
        },
        Root::Secret(name) => match (scope.statics.secret(name), &reference.default) {
            (Some(value), _) => Json::String(value),
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(EvalError::SecretUnset { name: name.clone() }),
        },
        Root::File(file) => Json::String(file.text.to_string()),
        Root::Settings | Root::Auth | Root::Input | Root::Last | Root::Since => {
            return Err(unresolved(reference));
        }
    };
    Ok(match (value, &reference.default) {
        (Json::Null, Some(default)) => default.clone(),
        (value, _) => value,
    })
}

fn run_of<'a>(reference: &Reference, scope: Scope<'a>) -> Result<&'a Run, EvalError> {
    scope.run.ok_or_else(|| unresolved(reference))
}

fn unresolved(reference: &Reference) -> EvalError {
    EvalError::Unresolved {
        source_text: reference.source.clone(),
    }
}

fn is_webhook(kind: &velodrome_spec::plan::StepKind) -> bool {
    matches!(kind, velodrome_spec::plan::StepKind::Webhook(_))
}

fn key(reference: &Reference) -> &str {
    match reference.path.first() {
        Some(Segment::Key(name)) => name,
        _ => "",
    }
}
