//! A run: where it is and what later steps may read.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use velodrome_spec::plan::WaitScope;
use velodrome_types::{Code, CycleId, Json, JsonMap, LoopId, RunId, RunStatus, StepId, Timestamp};

use crate::accept::Delivery;
use crate::branches::CHILD_FAILED;
use crate::each::{Each, ItemWrites};
use crate::paging::Pages;

/// One traversal of a cycle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its cycle.
    pub cycle: CycleId,
    /// The hash of the plan it began with and finishes on.
    pub plan: String,
    /// Its loop.
    pub loop_id: LoopId,
    /// Its lap, from 1.
    pub lap: u64,
    /// The run that handed off to it, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<RunId>,
    /// The run at the very beginning, through laps and hops; itself if nothing handed off to it.
    pub root: RunId,
    /// Hand-offs to another cycle on the way here; a lap adds none.
    pub hops: u64,
    /// When it was accepted.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// Rises whenever an action is issued or a wait begins: an older report is refused.
    pub fence: u64,
    /// Whether it has handed off to its own webhook: a lap does so once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub handed_off: bool,
    /// Whether the notice of a failed run began it, or a run did that one began: it is not told to this
    /// server again when it fails.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub of_notice: bool,
    /// The caller who is held until a `respond` is reached; none once it has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<Held>,
    /// Set where its parent is a run of the same lap, which waits for it: a branch of a fork, or an item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<Branch>,
    /// Where it is.
    pub state: State,
    /// What later steps read, by step and name; only live names are kept (I4, I5). Shared, for a list of
    /// thousands of records is carried along by each item that is made of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<StepId, Arc<JsonMap>>,
}

/// What a run has of the one of its lap that began it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// The item of a split that it goes on with, its own or that of a run before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<SplitItem>,
}

/// One item of a list that was split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SplitItem {
    /// What `${item}` is; null where nothing reads it.
    #[serde(default, skip_serializing_if = "Json::is_null")]
    pub value: Json,
    /// Its place in the list, from 0.
    pub index: u64,
    /// How many items the list had.
    pub count: u64,
}

/// Where a run begins that another of its lap began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// With this step.
    At(StepId),
    /// Behind this step, whose list was split.
    Behind(StepId),
}

/// Whose runs a run waits for at a `wait_all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whose {
    /// Its lap's.
    Lap,
    /// Its cycle's.
    Cycle,
}

impl Whose {
    /// Whether it is its lap's.
    pub const fn is_lap(self) -> bool {
        matches!(self, Self::Lap)
    }
}

impl From<WaitScope> for Whose {
    fn from(scope: WaitScope) -> Self {
        match scope {
            WaitScope::Lap => Self::Lap,
            WaitScope::Cycle => Self::Cycle,
        }
    }
}

/// A caller who waits for a run's `respond`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The key under which the answer is remembered, if the request had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<HeldKey>,
}

/// What a remembered answer is found by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldKey {
    /// The webhook that was called, `cycle` or `cycle/step`; its cycle's where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<String>,
    /// The key.
    pub key: String,
    /// The SHA-256 of the request's body, in hex.
    pub body_hash: String,
    /// Until when it is remembered.
    pub expires: Timestamp,
}

/// What a caller who is held is answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The status, from 200 to 599.
    pub status: u16,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body; null is none, text is sent as it stands.
    pub body: Json,
    /// What the answer is remembered under, if it is.
    pub key: Option<HeldKey>,
}

/// Where a run is. Each state carries what is valid in it and nothing else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Accepted; its trigger's `after_webhook` has not run yet.
    Queued {
        /// What came.
        delivery: Delivery,
    },
    /// Another run of its lap has begun it; it has not taken its first step.
    Begun {
        /// Where it begins.
        start: Start,
    },
    /// It failed, was taken up again, and waits for its loop's place.
    Again {
        /// Where it failed.
        failure: Failure,
    },
    /// An action of this step is under way.
    Running {
        /// The step.
        step: StepId,
        /// Which attempt, from 1.
        attempt: u32,
        /// The request as it was built, where it had to be committed before it was sent (I6).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        built: Option<Json>,
    },
    /// A step runs once for each item of a list.
    Each {
        /// The step.
        step: StepId,
        /// How far it is.
        each: Box<Each>,
    },
    /// A list step asks for one page after the other.
    Paging {
        /// The step.
        step: StepId,
        /// How far it is.
        pages: Box<Pages>,
    },
    /// Nothing is under way until something happens.
    Waiting {
        /// The step.
        step: StepId,
        /// What for.
        on: WaitingOn,
    },
    /// Over.
    Finished {
        /// How.
        how: Finish,
    },
}

/// The step that a run on its way is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The step.
    pub step: StepId,
    /// Whether it waits there; else something is under way.
    pub waits: bool,
}

/// What is kept of a run's step beside its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// The items of a `for_each`.
    Items,
    /// The pages of a list.
    Pages,
}

/// What a waiting run waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingOn {
    /// A delay's end.
    Timer {
        /// When.
        due: Timestamp,
    },
    /// The next attempt.
    Retry {
        /// When.
        due: Timestamp,
        /// Which attempt it will be.
        attempt: u32,
        /// The request as it was built, sent again as it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        built: Option<Json>,
    },
    /// A request.
    Webhook {
        /// When it gives up; `None` is never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due: Option<Timestamp>,
    },
    /// The runs that it began: it has come to its own end.
    Children,
    /// That no other run is unfinished.
    All {
        /// Of whose.
        scope: Whose,
    },
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "few runs fail, and none is kept in numbers"
)]
pub enum Finish {
    /// Well.
    Succeeded,
    /// `after_webhook` returned false.
    Ignored,
    /// By a person.
    Stopped,
    /// By an error.
    Failed(Failure),
}

/// Where and how a run failed, with what a resume needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// The step.
    pub step: StepId,
    /// The error.
    pub error: StepError,
    /// The attempt's request as built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Json>,
    /// How far the step was with its items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Box<Each>>,
    /// How far the list was with its pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Box<Pages>>,
}

/// What `${step.error}` is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepError {
    /// `transient`, `permanent` or `unknown`.
    pub kind: String,
    /// The stable code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// The HTTP status, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The answer's headers, where there was one.
    #[serde(default, skip_serializing_if = "JsonMap::is_empty")]
    pub headers: JsonMap,
    /// The beginning of the answer's body, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Json>,
    /// How many attempts were made.
    pub attempts: u32,
}

impl Run {
    /// The state as people and the API see it.
    pub fn status(&self) -> RunStatus {
        match &self.state {
            State::Queued { .. } | State::Again { .. } => RunStatus::Queued,
            // It is on its way with the run that began it.
            State::Begun { .. } | State::Running { .. } => RunStatus::Running,
            State::Each { each, .. } if each.waits() => RunStatus::Waiting,
            State::Each { .. } => RunStatus::Running,
            State::Paging { pages, .. } if pages.due.is_some() => RunStatus::Waiting,
            State::Paging { .. } => RunStatus::Running,
            State::Waiting { .. } => RunStatus::Waiting,
            State::Finished { how } => match how {
                Finish::Succeeded => RunStatus::Succeeded,
                Finish::Ignored => RunStatus::Ignored,
                Finish::Stopped => RunStatus::Stopped,
                Finish::Failed(_) => RunStatus::Failed,
            },
        }
    }

    /// The step it is at, or failed at.
    pub fn step(&self) -> Option<&StepId> {
        match &self.state {
            State::Running { step, .. }
            | State::Each { step, .. }
            | State::Paging { step, .. }
            | State::Waiting { step, .. } => Some(step),
            State::Again { failure }
            | State::Finished {
                how: Finish::Failed(failure),
            } => Some(&failure.step),
            State::Begun {
                start: Start::At(step) | Start::Behind(step),
            } => Some(step),
            State::Queued { .. } | State::Finished { .. } => None,
        }
    }

    /// The step that it is at, while it is on its way: neither queued nor over.
    pub fn standing(&self) -> Option<Standing> {
        let waits = match self.status() {
            RunStatus::Running => false,
            RunStatus::Waiting => true,
            _ => return None,
        };
        let step = self.step()?.clone();
        Some(Standing { step, waits })
    }

    /// Whether it has come to its own end and waits for the runs that it began.
    pub fn waits_for_children(&self) -> bool {
        matches!(
            self.state,
            State::Waiting {
                on: WaitingOn::Children,
                ..
            }
        )
    }

    /// Whether it failed for nothing but a run that it began.
    pub fn failed_by_child(&self) -> bool {
        self.error()
            .is_some_and(|error| error.code.as_str() == CHILD_FAILED)
    }

    /// The run of its lap that began it and waits for it, if one did.
    pub fn begun_by(&self) -> Option<RunId> {
        self.parent.filter(|_| self.branch.is_some())
    }

    /// When its timer is due, if it waits for one.
    pub fn due(&self) -> Option<Timestamp> {
        match &self.state {
            State::Waiting {
                on: WaitingOn::Timer { due } | WaitingOn::Retry { due, .. },
                ..
            } => Some(*due),
            State::Waiting {
                on: WaitingOn::Webhook { due },
                ..
            } => *due,
            State::Each { each, .. } => each.due(),
            State::Paging { pages, .. } => pages.due,
            _ => None,
        }
    }

    /// What is kept of a step's items or pages beside the run's row, if it is or was at such a step.
    pub fn beside(&self) -> Beside {
        match &self.state {
            State::Each { .. } => Beside::Items,
            State::Paging { .. } => Beside::Pages,
            State::Again { failure }
            | State::Finished {
                how: Finish::Failed(failure),
            } => match (&failure.each, &failure.pages) {
                (Some(_), _) => Beside::Items,
                (_, Some(_)) => Beside::Pages,
                _ => Beside::Nothing,
            },
            _ => Beside::Nothing,
        }
    }

    /// Takes over what was stored of a step's items or pages beside the run's row.
    pub fn restore_items(&mut self, writes: ItemWrites) {
        let (each, pages) = match &mut self.state {
            State::Each { each, .. } => (Some(each), None),
            State::Paging { pages, .. } => (None, Some(pages)),
            State::Again { failure }
            | State::Finished {
                how: Finish::Failed(failure),
            } => (failure.each.as_mut(), failure.pages.as_mut()),
            _ => return,
        };
        if let Some(each) = each {
            if let Some(progress) = writes.progress {
                **each = progress;
            }
            each.results = writes.results.into_iter().collect();
        } else if let Some(pages) = pages {
            if let Some(progress) = writes.pages {
                **pages = progress;
            }
            pages.read = writes
                .results
                .into_iter()
                .map(|(_, page)| match page {
                    Json::Array(records) => Arc::new(records),
                    other => Arc::new(vec![other]),
                })
                .collect();
        }
    }

    /// The error it failed with.
    pub fn error(&self) -> Option<&StepError> {
        match &self.state {
            State::Finished {
                how: Finish::Failed(failure),
            } => Some(&failure.error),
            _ => None,
        }
    }
}
