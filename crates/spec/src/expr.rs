//! Values as a file writes them: literals, references and texts with references in them.
//!
//! These are the checked forms: names are resolved to places in the plan. Evaluation is `core`'s.

use std::sync::Arc;

use velodrome_types::Json;

use crate::plan::{StepIx, StepScript};

/// A value of a cycle file, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// As it stands.
    Literal(Json),
    /// One reference alone: keeps its type.
    Ref(Reference),
    /// A text with references in it: each becomes text, a null is an error.
    Text(Vec<Piece>),
    /// A list of values.
    List(Vec<Expr>),
    /// An object of values.
    Object(Vec<(String, Expr)>),
    /// `ignore`: the field is left out.
    Ignore,
    /// An inline script.
    Script(Arc<Inline>),
}

/// A value that begins with `=`: an expression in the language of the cycle's scripts.
#[derive(Clone, Debug, PartialEq)]
pub struct Inline {
    /// Tells it from the others of its file.
    pub id: u32,
    /// The expression as the function `run` of a script.
    pub script: StepScript,
    /// The names it uses: each is a field of that script's `method_request`.
    pub names: Vec<String>,
    /// What it reads of steps, by name.
    pub reads: Vec<(StepIx, String)>,
}

impl Expr {
    /// Adds what it reads of steps, by name.
    pub(crate) fn reads(&self, found: &mut Vec<(StepIx, String)>) {
        self.each_script(&mut |script| found.extend(script.reads.iter().cloned()));
        self.each_reference(&mut |reference| {
            if let (Root::Step(ix), Some(Segment::Key(name))) =
                (&reference.root, reference.path.first())
            {
                found.push((*ix, name.clone()));
            }
        });
    }

    /// Whether a secret is part of the value.
    pub fn reads_secret(&self) -> bool {
        let mut found = false;
        self.each_reference(&mut |reference| found |= matches!(reference.root, Root::Secret(_)));
        found
    }

    /// Calls with every inline script in it, in the order of the file.
    pub fn each_script<'e>(&'e self, call: &mut dyn FnMut(&'e Arc<Inline>)) {
        match self {
            Self::Script(script) => call(script),
            Self::List(items) => items.iter().for_each(|item| item.each_script(call)),
            Self::Object(fields) => fields.iter().for_each(|(_, field)| field.each_script(call)),
            Self::Literal(_) | Self::Ref(_) | Self::Text(_) | Self::Ignore => {}
        }
    }

    /// Calls with every reference in it, in the order of the file.
    pub fn each_reference(&self, call: &mut dyn FnMut(&Reference)) {
        match self {
            Self::Literal(_) | Self::Ignore | Self::Script(_) => {}
            Self::Ref(reference) => call(reference),
            Self::Text(pieces) => {
                for piece in pieces {
                    if let Piece::Ref(reference) = piece {
                        call(reference);
                    }
                }
            }
            Self::List(items) => items.iter().for_each(|item| item.each_reference(call)),
            Self::Object(fields) => fields
                .iter()
                .for_each(|(_, field)| field.each_reference(call)),
        }
    }
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// As it stands.
    Text(String),
    /// A reference.
    Ref(Reference),
}

/// `${root.path ?? default}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Reference {
    /// What it begins with.
    pub root: Root,
    /// What follows.
    pub path: Vec<Segment>,
    /// What stands behind `??`.
    pub default: Option<Json>,
    /// As it is written, for messages.
    pub source: String,
}

/// What a reference begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum Root {
    /// A step's data; the first segment is one of its own names or a field of its answer.
    Step(StepIx),
    /// `run`: `id loop lap created`.
    Run,
    /// `cycle`: `id name version`.
    Cycle,
    /// `item` of a `for_each`.
    Item,
    /// `index` of a `for_each`.
    Index,
    /// `var:x`.
    Var(String),
    /// `env:X`.
    Env(String),
    /// `secret:x`.
    Secret(String),
    /// `file:path`.
    File(FileText),
    /// `hook:CYCLE` or `hook:CYCLE.STEP`: the URL of a webhook of this server.
    Hook(HookTarget),
    /// `settings.x` in a connector definition.
    Settings,
    /// `auth.x` in a connector definition.
    Auth,
    /// `input.x` in a connector definition.
    Input,
    /// `last.x` in a connector definition: a field of the last record of the page before.
    Last,
    /// `since` in a connector definition: the filter date, as it is written.
    Since,
}

/// A file as it was read when what names it was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Its path, relative to the folder it must be below.
    pub path: String,
    /// What it holds, as it stands: a line break at the end included.
    pub text: Arc<str>,
}

/// A webhook of this server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HookTarget {
    /// The cycle.
    pub cycle: velodrome_types::CycleId,
    /// A webhook step; `None` is the trigger.
    pub step: Option<velodrome_types::StepId>,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    /// `.name` or `["odd.name"]`.
    Key(String),
    /// `[0]`, `[-1]` from the end.
    Index(i64),
    /// `[]`: each item; what follows is taken of each.
    Each,
}

/// Follows a path; null where it leads nowhere.
pub fn follow(value: &Json, path: &[Segment]) -> Json {
    let Some((segment, rest)) = path.split_first() else {
        return value.clone();
    };
    match (segment, value) {
        (Segment::Key(name), Json::Object(fields)) => fields
            .get(name)
            .map_or(Json::Null, |inner| follow(inner, rest)),
        (Segment::Index(index), Json::Array(items)) => {
            let at = if *index < 0 {
                index.saturating_add_unsigned(items.len() as u64)
            } else {
                *index
            };
            usize::try_from(at)
                .ok()
                .and_then(|at| items.get(at))
                .map_or(Json::Null, |inner| follow(inner, rest))
        }
        (Segment::Each, Json::Array(items)) => {
            Json::Array(items.iter().map(|inner| follow(inner, rest)).collect())
        }
        _ => Json::Null,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_lead_to_values_or_to_null() {
        let value = json!({"a": {"b": 1}, "list": [{"id": 1}, {"id": 2}], "odd.key": true});
        let key = |name: &str| Segment::Key(name.to_owned());
        let check =
            |path: &[Segment], expect: Json| assert_eq!(follow(&value, path), expect, "{path:?}");
        check(&[key("a"), key("b")], json!(1));
        check(&[key("list"), Segment::Index(0), key("id")], json!(1));
        check(&[key("list"), Segment::Index(-1), key("id")], json!(2));
        check(&[key("list"), Segment::Index(-3)], json!(null));
        check(&[key("list"), Segment::Index(i64::MIN)], json!(null));
        check(&[key("list"), Segment::Each, key("id")], json!([1, 2]));
        check(&[key("odd.key")], json!(true));
        check(&[key("a"), Segment::Index(0)], json!(null));
    }
}
