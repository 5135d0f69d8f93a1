//! What other steps may know of a step: whether it takes requests, its exits, its own names, its fields.
//!
//! A step whose tool does not run yet has a form like any other, so that everything around it is checked.

use crate::plan::{StepIx, StepKind};

/// The outside of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Its `use` could not be read.
    Unknown,
    /// Takes requests.
    Webhook,
    /// Brings records; `fields` is `None` where any may be named.
    List {
        two_exits: bool,
        fields: Option<Vec<String>>,
    },
    /// Sends one request.
    Send {
        two_exits: bool,
        fields: Option<Vec<String>>,
    },
    /// Commits the date of a list step.
    Watermark,
    /// Two exits by a condition.
    Decision,
    /// An exit a case, and `else`.
    Switch,
    /// Waits: a delay, or until a date.
    Wait,
    /// Goes on once for many runs.
    WaitAll,
    /// Answers the caller.
    Respond,
    /// Runs a function of the user's.
    Script,
    /// Ends the run.
    Stop,
}

impl Form {
    pub(super) fn of(kind: &StepKind) -> Self {
        match kind {
            StepKind::Webhook(_) => Self::Webhook,
            StepKind::List(list) => {
                let def = list.method.def();
                Self::List {
                    two_exits: def.two_exits,
                    fields: described(&def.response),
                }
            }
            StepKind::Send(send) => {
                let def = send.method.def();
                Self::Send {
                    two_exits: def.two_exits,
                    fields: described(&def.response),
                }
            }
            StepKind::Storage(storage) => Self::Send {
                two_exits: false,
                fields: described(&storage.method.def().response),
            },
            StepKind::Script { .. } => Self::Script,
            StepKind::Watermark { .. } => Self::Watermark,
            StepKind::Decision(_) => Self::Decision,
            StepKind::Respond(_) => Self::Respond,
            StepKind::Switch(_) => Self::Switch,
            StepKind::Delay(_) | StepKind::WaitUntil(_) => Self::Wait,
            StepKind::WaitAll(_) => Self::WaitAll,
            StepKind::Stop { .. } => Self::Stop,
        }
    }

    /// The same where the step's own script has an `action_condition`.
    pub(super) fn deciding(self) -> Self {
        match self {
            Self::List { fields, .. } => Self::List {
                two_exits: true,
                fields,
            },
            Self::Send { fields, .. } => Self::Send {
                two_exits: true,
                fields,
            },
            other => other,
        }
    }

    /// Whether the step has a false exit.
    pub(super) fn has_else(&self) -> bool {
        match self {
            Self::Unknown | Self::Decision | Self::Switch => true,
            Self::List { two_exits, .. } | Self::Send { two_exits, .. } => *two_exits,
            // A webhook in the middle of a cycle leaves by `else` when nobody calls in time.
            Self::Webhook => true,
            _ => false,
        }
    }

    /// Whether it gives a list that may be split: records, or whatever nobody described.
    pub(super) fn gives_list(&self) -> bool {
        match self {
            Self::List { .. } | Self::Script | Self::Webhook => true,
            Self::Send { fields, .. } => fields.is_none(),
            _ => false,
        }
    }

    /// The names that win over an answer's fields.
    pub(super) fn own_names(&self) -> &'static [&'static str] {
        match self {
            Self::Unknown => &[],
            Self::Webhook => WEBHOOK_NAMES,
            Self::List { .. } => &[
                "body",
                "records",
                "count",
                "error",
                "last_successful_run_date",
                "http",
            ],
            Self::Send { .. } | Self::Script => &["body", "error", "http"],
            _ => &["error"],
        }
    }

    /// The described fields; `None` where any may be named.
    pub(super) fn fields(&self) -> Option<&[String]> {
        match self {
            Self::Unknown | Self::Webhook | Self::Script => None,
            Self::List { fields, .. } | Self::Send { fields, .. } => fields.as_deref(),
            _ => Some(&[]),
        }
    }

    /// Handlers that the engine calls at such a step.
    pub(super) fn handlers(&self) -> &'static [&'static str] {
        match self {
            Self::Webhook => WEBHOOK_HANDLERS,
            Self::List { .. } | Self::Send { .. } => REQUEST_HANDLERS,
            Self::Script => &["run"],
            _ => &[],
        }
    }
}

/// What is called around a request that comes.
pub(crate) const WEBHOOK_HANDLERS: &[&str] = &["before_webhook", "after_webhook"];

/// What is called around a request that goes out.
pub(crate) const REQUEST_HANDLERS: &[&str] = &[
    "before_action",
    "after_action",
    "after_action_paging",
    "after_error",
    "action_condition",
];

/// What is called around a hand-off to a webhook of this server, which is no request.
pub(super) const HANDOFF_HANDLERS: &[&str] = &["before_action"];

/// The own names of a webhook: a declared field cannot have one.
pub(super) const WEBHOOK_NAMES: &[&str] = &["url", "resume_url", "body", "http", "error"];

/// Names of `for_each` over a step, in place of its answer's.
pub(super) const EACH_NAMES: &[&str] = &["count", "succeeded", "failed", "results", "error"];

fn described(response: &crate::connector::ResponseDef) -> Option<Vec<String>> {
    (!response.open).then(|| response.fields.keys().cloned().collect())
}

/// An exit as it is written.
#[derive(Clone, Debug)]
pub(super) struct ExitDraft {
    pub(super) to: String,
    pub(super) span: crate::diagnostic::Span,
    pub(super) ix: Option<StepIx>,
}

/// All exits of a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Exits {
    pub(super) then: Vec<ExitDraft>,
    pub(super) otherwise: Vec<ExitDraft>,
    pub(super) catch: Vec<ExitDraft>,
    /// A switch's own, with their texts.
    pub(super) cases: Vec<(String, ExitDraft)>,
}

impl Exits {
    pub(super) fn all(&self) -> impl Iterator<Item = &ExitDraft> {
        self.then
            .iter()
            .chain(&self.otherwise)
            .chain(&self.catch)
            .chain(self.cases.iter().map(|(_, exit)| exit))
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = &mut ExitDraft> {
        self.then
            .iter_mut()
            .chain(&mut self.otherwise)
            .chain(&mut self.catch)
            .chain(self.cases.iter_mut().map(|(_, exit)| exit))
    }
}
