//! Values as a file writes them: literals, references and texts with references in them.
//!
//! These are the checked forms: names are resolved to places in the plan. Evaluation is `core`'s.

use velodrome_types::Json;

use crate::plan::StepIx;

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
    File(String),
    /// `hook:CYCLE` or `hook:CYCLE.STEP`: the URL of a webhook of this server.
    Hook(HookTarget),
    /// `settings.x` in a connector definition.
    Settings,
    /// `auth.x` in a connector definition.
    Auth,
    /// `input.x` in a connector definition.
    Input,
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
