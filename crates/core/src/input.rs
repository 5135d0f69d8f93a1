//! What moves a run, and what its move brings about.

use std::time::Duration;

use velodrome_spec::plan::StepIx;
use velodrome_types::{
    Code, CycleState, Event, Json, JsonMap, LogLine, LoopId, RunId, StepId, Timestamp,
};

use crate::each::ItemWrites;
use crate::eval::InlineValues;
use crate::looped::Loop;
use crate::midway::{Awaited, Call};
use crate::notice::Notice;
use crate::run::{Reply, Run, Standing, StepError};

/// What moves a run.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// It has its place and `after_webhook` let it pass, leaving this `method_response`.
    Begin {
        /// What later steps see as the webhook's body.
        body: Json,
        /// Script log lines, oldest first.
        logs: Vec<String>,
    },
    /// `after_webhook` returned false.
    Ignore {
        /// Script log lines, oldest first.
        logs: Vec<String>,
    },
    /// A request that must be committed before it is sent has been built (I6).
    Built {
        /// The fence of the action.
        fence: u64,
        /// The request.
        request: Json,
        /// Script log lines, oldest first.
        logs: Vec<String>,
    },
    /// A list has answered.
    Listed {
        /// The fence of the action.
        fence: u64,
        /// The answer.
        answer: ListAnswer,
    },
    /// A request was answered, or a hand-off was accepted.
    Sent {
        /// The fence of the action.
        fence: u64,
        /// The answer.
        answer: SendAnswer,
    },
    /// Something became of one item of a `for_each`.
    Item {
        /// The fence of the step.
        fence: u64,
        /// Which item.
        index: u64,
        /// Which attempt.
        attempt: u32,
        /// What.
        report: ItemReport,
    },
    /// The inline scripts of a step that decides in the machine have run.
    Evaluated {
        /// The fence of the action.
        fence: u64,
        /// What they gave.
        values: InlineValues,
        /// Script log lines, oldest first.
        logs: Vec<String>,
    },
    /// The action failed.
    Failed {
        /// The fence of the action; that of `Queued` for a trigger's handler.
        fence: u64,
        /// How.
        failure: StepFailure,
    },
    /// A request has come to the webhook that it waits at, and `after_webhook` let it pass.
    Called {
        /// The fence of the wait.
        fence: u64,
        /// The request.
        call: Box<Call>,
    },
    /// A request has come to the webhook that it waits at, and `after_webhook` returned false.
    CalledInVain {
        /// The fence of the wait.
        fence: u64,
        /// Script log lines, oldest first.
        logs: Vec<String>,
    },
    /// The timer of this fence is due.
    Due {
        /// The fence of the wait.
        fence: u64,
    },
    /// A run that another of its lap has begun takes its first step.
    Branch,
    /// All runs that it has begun in its lap have ended.
    ChildrenOver,
    /// A run that it began and that had failed is taken up again.
    ChildAgain,
    /// It waits at a `wait_all`, and there is no other unfinished run.
    AllHere,
    /// It waits at a `wait_all` of the cycle, and another run goes on from there.
    AllPassed,
    /// The process began again with this action under way.
    Recover,
    /// A person takes it up again where it failed, on the plan that the transition is given.
    Resume {
        /// Whether its loop has its place at once.
        placed: bool,
    },
    /// It has been taken up again and its loop has its place now.
    GoOn,
    /// A person ends it.
    Stop,
}

/// What tells one state of a record from all others.
pub type RecordKey = [u8; 12];

/// A list's answer, already reduced to what somebody reads.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct ListAnswer {
    /// The HTTP status.
    pub status: u16,
    /// Records the API sent.
    pub count: u64,
    /// Bytes of the body.
    pub bytes: u64,
    /// Milliseconds from sending to the last byte.
    pub ms: u64,
    /// Where it was asked, without query.
    pub url: String,
    /// The input that pages, as it was asked.
    pub asked: Json,
    /// A hash of the records.
    pub page_hash: u64,
    /// Fields by name, the live ones.
    pub fields: JsonMap,
    /// The records, where something reads them.
    pub records: Option<Vec<Json>>,
    /// The paging token, where the method hands off to one.
    pub token: Option<String>,
    /// The answer's `Date`, less the method's overlap.
    pub date: Option<Timestamp>,
    /// What scripts said of it, where there are any.
    pub scripted: Option<Box<Scripted>>,
    /// Where a script wants the step's next date; wins over the held one.
    pub next_date: Option<Timestamp>,
    /// Keys of records that had not come before in this loop, where repeats are dropped.
    pub keys: Vec<RecordKey>,
    /// How many records were dropped as repeats.
    pub repeats: u64,
    /// Which page it is of a list that pages itself; 0 of others.
    pub page: u64,
    /// Where the next page is asked of a list that pages itself; `None` at its end.
    pub next: Option<Json>,
    /// Whether it ended at `max_records` though there is more.
    pub cut: bool,
    /// The paging token was void, so the list begins again: how many pages of the count before it.
    pub restarted: Option<u64>,
    /// Answer headers, where something reads them.
    pub headers: JsonMap,
    /// What the log keeps of the request and the answer.
    pub kept: Option<Box<JsonMap>>,
    /// Script log lines, oldest first.
    pub logs: Vec<String>,
}

impl ListAnswer {
    /// How many records `action_condition` let pass; `None` where there is none.
    pub(crate) fn passed(&self) -> Option<u64> {
        self.scripted.as_ref()?.passed
    }
}

/// What the scripts of a list said of a page.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Scripted {
    /// How many records `action_condition` let pass; `None` where there is none. Repeats have passed.
    pub passed: Option<u64>,
    /// What the handlers of the list hand on to those of its next page.
    pub action_data: Json,
    /// An error that a script made a warning.
    pub warning: Option<Box<str>>,
}

/// The answer to a request or a hand-off.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct SendAnswer {
    /// The HTTP status; a hand-off's is the one an HTTP caller would see.
    pub status: u16,
    /// Bytes of the body.
    pub bytes: u64,
    /// Milliseconds from sending to the last byte.
    pub ms: u64,
    /// Where it went, without query.
    pub url: String,
    /// The body, where something reads it.
    pub body: Json,
    /// Answer headers, where something reads them.
    pub headers: JsonMap,
    /// The run that a hand-off began: id, loop, lap, and a preview of what was posted.
    pub handoff: Option<(RunId, LoopId, u64, String)>,
    /// Whether the hand-off went to the own cycle.
    pub own: bool,
    /// What `action_condition` said of the answer; `None` where there is none.
    pub passed: Option<bool>,
    /// An error that a script made a warning.
    pub warning: Option<Box<str>>,
    /// What the log keeps of the request and the answer.
    pub kept: Option<Box<JsonMap>>,
    /// What the log says of a step that asked nobody: it computed in this process.
    pub computed: Option<(Event, String)>,
    /// Script log lines, oldest first.
    pub logs: Vec<String>,
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq)]
pub enum ItemReport {
    /// Its request has been built and must be committed before it is sent (I6).
    Built {
        /// The request.
        request: Json,
        /// Script log lines, oldest first.
        logs: Vec<String>,
    },
    /// It was answered, or its hand-off accepted.
    Sent(SendAnswer),
    /// It failed.
    Failed(StepFailure),
}

/// An item to be performed.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemCall {
    /// Which item, from 0.
    pub index: u64,
    /// Which attempt, from 1.
    pub attempt: u32,
    /// The request as it was built; nothing is run again to build it.
    pub built: Option<Json>,
}

/// Whether a failure may pass by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It may.
    Transient,
    /// It will not.
    Permanent,
    /// Nobody knows whether the request arrived.
    Unknown,
    /// Nothing was sent: its turn comes after `retry_after`. No attempt, and never the end of a run.
    Held,
}

impl FailureKind {
    /// As `${step.error.kind}` says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Held => "held",
            Self::Unknown => "unknown",
        }
    }
}

/// How an action failed.
#[derive(Clone, Debug, PartialEq)]
pub struct StepFailure {
    /// Whether it may pass.
    pub kind: FailureKind,
    /// The stable code.
    pub code: Code,
    /// What happened.
    pub message: String,
    /// The HTTP status, where there was one.
    pub status: Option<u16>,
    /// The answer's headers, where there was one.
    pub headers: JsonMap,
    /// The beginning of the answer's body, where there was one.
    pub body: Option<Json>,
    /// What the answer asks to wait.
    pub retry_after: Option<Duration>,
    /// The connector's own gaps, tried until it passes.
    pub gaps: Option<Vec<Duration>>,
    /// Where in a file a script failed, `cycles/x.yaml:12`.
    pub at: Option<String>,
    /// What the log keeps of the request and the answer.
    pub kept: Option<Box<JsonMap>>,
    /// Script log lines, oldest first.
    pub logs: Vec<String>,
}

impl StepFailure {
    /// A failure that will not pass.
    pub fn permanent(code: Code, message: impl Into<String>) -> Self {
        Self {
            kind: FailureKind::Permanent,
            code,
            message: message.into(),
            status: None,
            headers: JsonMap::new(),
            body: None,
            retry_after: None,
            gaps: None,
            at: None,
            kept: None,
            logs: Vec::new(),
        }
    }

    /// As `${step.error}` shows it.
    pub fn to_error(&self, attempts: u32) -> StepError {
        StepError {
            kind: self.kind.as_str().to_owned(),
            code: self.code.clone(),
            message: match &self.at {
                Some(at) => format!("{} ({at})", self.message),
                None => self.message.clone(),
            },
            status: self.status,
            headers: self.headers.clone(),
            body: self.body.clone(),
            attempts,
        }
    }
}

/// What is true at the moment of a transition.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The time.
    pub now: Timestamp,
    /// A random number in 0..=1 for retry gaps.
    pub jitter: f64,
    /// What the operator said of the cycle.
    pub cycle: CycleState,
    /// Stored watermarks.
    pub watermarks: &'a dyn Watermarks,
    /// What static references stand for.
    pub statics: &'a dyn crate::eval::Statics,
    /// Ids of runs that begin.
    pub ids: &'a dyn Ids,
}

/// Where the ids of runs come from that a move begins.
pub trait Ids: std::fmt::Debug {
    /// One that no run has.
    fn run_id(&self, now: Timestamp) -> RunId;
}

/// Reads stored watermarks.
pub trait Watermarks: std::fmt::Debug {
    /// The date of this step of the run's cycle.
    ///
    /// # Errors
    ///
    /// Why it cannot be read: never the same as none, for without a filter everything comes again.
    fn get(&self, step: &StepId) -> Result<Option<Timestamp>, String>;
}

/// What happens to the run's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TimerChange {
    /// Nothing.
    #[default]
    Keep,
    /// Wake it then.
    Set(Timestamp),
    /// It needs none any more.
    Clear,
}

/// What is to be performed once the transition is committed.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Ask a list step's API.
    List {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// To be reported back.
        fence: u64,
    },
    /// Build and send a sending step's request.
    Send {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// To be reported back.
        fence: u64,
        /// The request as it was built; nothing is run again to build it.
        built: Option<Json>,
    },
    /// Do what a step does in this process: its script, its storage.
    Compute {
        /// The step.
        step: StepId,
        /// Which attempt.
        attempt: u32,
        /// To be reported back.
        fence: u64,
    },
    /// Run the inline scripts of a step that decides in the machine.
    Evaluate {
        /// The step.
        step: StepId,
        /// To be reported back.
        fence: u64,
    },
    /// Perform the step for some items of a `for_each`.
    Items {
        /// The step.
        step: StepId,
        /// To be reported back.
        fence: u64,
        /// The items.
        items: Vec<ItemCall>,
    },
}

/// Where a run leaves a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// The only one, or the true one.
    Then,
    /// The false one.
    Else,
    /// The error one.
    Catch,
    /// The true one of a step that splits its list, as the run takes it that comes to its end there: each item
    /// leaves by `Then` with a run of its own.
    Split,
    /// A switch's case of this place in its list.
    Case(u16),
    /// A `stop`, which has none: the run ends there.
    End,
}

impl Exit {
    /// As a cycle file names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Then | Self::Split => "then",
            Self::Else => "else",
            Self::Catch => "catch",
            Self::Case(_) => "case",
            Self::End => "end",
        }
    }
}

/// A run's move: to be committed whole, then acted on.
#[derive(Clone, Debug, PartialEq)]
pub struct Transition {
    /// The run as it is now.
    pub run: Run,
    /// The loop as it is now.
    pub looped: Loop,
    /// What the log says.
    pub lines: Vec<LogLine>,
    /// What happens to the timer.
    pub timer: TimerChange,
    /// What becomes of its place among runs that wait for a request, in order.
    pub awaited: Vec<Awaited>,
    /// Watermarks to raise.
    pub watermarks: Vec<(StepId, Timestamp)>,
    /// What is to be performed for the run once this is committed, or within the same commit where it stays
    /// inside the process (I4).
    pub action: Option<Action>,
    /// An error said so.
    pub stop_cycle: bool,
    /// The run has failed, and somebody is to be told.
    pub notice: Option<Box<Notice>>,
    /// The exits that the run left by, in order: for counts and coverage, not stored.
    pub exits: Vec<(StepIx, Exit)>,
    /// The step that the run was at before; none of a run that is new.
    pub was: Option<Standing>,
    /// What is written of a step's items or pages beside the run's row.
    pub items: ItemWrites,
    /// Records that are remembered, so that the loop drops their repeats.
    pub keys: Option<(StepId, Vec<RecordKey>)>,
    /// What the caller who was held is answered.
    pub reply: Option<Reply>,
    /// Which rows are written.
    pub rows: Rows,
    /// What belongs to it, in order: moves of the runs that it begins, and then of this run where those ended
    /// at once.
    pub others: Vec<Transition>,
}

impl Transition {
    /// A run that has begun and takes its first step later.
    pub(crate) fn begun(run: Run, looped: Loop) -> Self {
        Self {
            run,
            looped,
            lines: Vec::new(),
            timer: TimerChange::Keep,
            awaited: Vec::new(),
            watermarks: Vec::new(),
            action: None,
            stop_cycle: false,
            notice: None,
            exits: Vec::new(),
            was: None,
            items: ItemWrites::default(),
            keys: None,
            reply: None,
            rows: Rows::Both,
            others: Vec::new(),
        }
    }

    /// The loop as all of it leaves it.
    pub fn last_loop(&self) -> &Loop {
        self.others.last().map_or(&self.looped, Self::last_loop)
    }
}

/// Which rows a move writes beside what stands in its `items`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Rows {
    /// The run's and its loop's.
    #[default]
    Both,
    /// The loop's: of the run only `items` changed.
    LoopOnly,
    /// Only `items` changed.
    Neither,
}
