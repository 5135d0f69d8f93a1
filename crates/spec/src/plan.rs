//! A checked cycle, immutable and versioned by the hash of everything it was made from.
//!
//! Everything that runs reads this and nothing else of a cycle file. References are resolved, defaults
//! are filled in, scripts are known to compile, and [`Live`] tells which of a step's data anything
//! later reads.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use velodrome_types::{ConnectionId, CycleId, Json, OnError, RetryPolicy, StepId, Zone};

use crate::callers::WebhookAuth;
pub use crate::condition::{Comparison, Condition};
use crate::connector::{ConnectorDef, MethodDef, StorageDoes};
use crate::expr::{Expr, HookTarget, Inline};
use crate::schedule::Rhythm;
pub use crate::step_scripts::ScriptLevel;

/// A step's place in [`Plan::steps`]. Means nothing outside its plan: stored records name steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIx(pub u16);

/// A checked cycle.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its id.
    pub cycle: CycleId,
    /// Its name for people; the id if none is given.
    pub name: String,
    /// SHA-256, in hex, of cycle file, script files and connector definitions together.
    pub hash: String,
    /// The one step that no exit leads to.
    pub trigger: StepIx,
    /// All steps, in file order.
    pub steps: Vec<Step>,
    /// Loops in progress at a time; `None` is without bound.
    pub concurrency: Option<u32>,
    /// Queued loops, at most.
    pub queue_limit: u32,
    /// Bounds of a loop.
    pub limits: LoopLimits,
    /// Values of `${var:x}`.
    pub variables: Vec<(String, Json)>,
    /// Whether the cycle runs as soon as its file is there.
    pub autostart: bool,
    /// What is kept of payloads in the log.
    pub log: LogPolicy,
    /// How long finished runs are kept, as far as the file says.
    pub retention: Retention,
    /// Where failed runs are told; `None` is what `velodrome.yaml` says. Nothing of a run is in it.
    pub error_webhook: Option<Expr>,
    /// When it starts by itself.
    pub schedule: Option<SchedulePlan>,
    /// What it takes to build this plan again.
    pub sources: Sources,
}

/// `schedule:`.
#[derive(Clone, Debug, PartialEq)]
pub struct SchedulePlan {
    /// When.
    pub rhythm: Rhythm,
    /// What the webhook trigger gets as its body. Nothing of a run is in it, and no secret.
    pub send: Vec<(String, Expr)>,
    /// What happens while a loop of the cycle is in progress or queued.
    pub if_running: IfRunning,
    /// What happens with starts that were missed while the server was down.
    pub catch_up: CatchUp,
}

/// `if_running:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfRunning {
    /// The start is passed over.
    #[default]
    Skip,
    /// It begins a loop all the same, which queues where `concurrency` says so.
    Queue,
}

/// `catch_up:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUp {
    /// One start makes up for all of them.
    #[default]
    Once,
    /// They are passed over.
    None,
}

/// `retention:`, of a cycle or of all; what is `None` was not said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// How long loops are kept that ended well.
    pub succeeded: Option<Duration>,
    /// How long loops are kept that failed or were stopped.
    pub failed: Option<Duration>,
    /// Of one loop the newest so many finished laps are kept.
    pub laps: Option<u64>,
}

/// The texts a plan was made from; stored while a run is on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    /// The cycle file's path, relative to the cycles folder, for messages.
    pub path: String,
    /// The cycle file.
    pub cycle: String,
    /// `{file: …}` scripts and `${file:…}`: path and text.
    pub scripts: Vec<(String, String)>,
    /// Each connection the file uses, its connector's name and the hash of its definition.
    pub connectors: Vec<(String, String, String)>,
}

impl Sources {
    /// Adds a file that the cycle file names, once.
    pub(crate) fn add_file(&mut self, path: &str, text: &str) {
        if self.scripts.iter().all(|(known, _)| known != path) {
            self.scripts.push((path.to_owned(), text.to_owned()));
        }
    }
}

/// `loop:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoopLimits {
    /// `max_laps`; `None` is `none`, written out.
    pub max_laps: Option<u64>,
    /// `max_hops`.
    pub max_hops: Option<u64>,
    /// `same_page_limit`.
    pub same_page_limit: Option<u32>,
    /// Whether one lap may post to its own webhook more than once.
    pub fork: bool,
    /// How many record keys a loop remembers to drop repeats.
    pub remember: u64,
}

impl Default for LoopLimits {
    fn default() -> Self {
        Self {
            max_laps: Some(10_000),
            max_hops: Some(10_000),
            same_page_limit: Some(5),
            fork: false,
            remember: 200_000,
        }
    }
}

/// `log:`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogPolicy {
    /// How much of a payload is shown.
    pub payloads: Payloads,
    /// Field names whose values are never shown, at any depth.
    pub redact: Vec<String>,
}

/// `log: {payloads}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payloads {
    /// The first few fields and characters.
    #[default]
    Preview,
    /// Everything.
    Full,
    /// Nothing.
    None,
}

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// Its id.
    pub id: StepId,
    /// Its name for people; the id if none is given.
    pub name: String,
    /// What it does.
    pub kind: StepKind,
    /// Its script, if it has one.
    pub script: Option<StepScript>,
    /// Where a run goes on; `None` ends it.
    pub then: Option<StepIx>,
    /// The false exit.
    pub otherwise: Option<StepIx>,
    /// The error exit.
    pub catch: Option<StepIx>,
    /// What exits begin beside the step that each names first.
    pub forks: Forks,
    /// Whether each item of the list that it gives goes on by itself, as a run of its own.
    pub split: bool,
    /// What an error does that nothing caught.
    pub on_error: OnError,
    /// How a transient failure is tried again.
    pub retry: RetryPolicy,
    /// How long one request may take.
    pub timeout: Duration,
    /// What is done when nobody knows whether a request arrived.
    pub if_unknown: IfUnknown,
    /// The list that it runs once for each item of.
    pub each: Option<EachPlan>,
    /// What of its data something later reads.
    pub live: Live,
    /// The 1-based line of the step in the cycle file.
    pub line: u32,
}

/// What the exits of a step begin beside the first step that each names: the other branches of a fork, each a
/// run of its own. Empty where an exit names one step or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forks {
    /// Beside [`Step::then`].
    pub then: Vec<StepIx>,
    /// Beside [`Step::otherwise`].
    pub otherwise: Vec<StepIx>,
    /// Beside [`Step::catch`].
    pub catch: Vec<StepIx>,
}

/// `for_each`, `parallel` and `skip_failures`.
#[derive(Clone, Debug, PartialEq)]
pub struct EachPlan {
    /// The list.
    pub list: Expr,
    /// Items under way at once.
    pub parallel: u32,
    /// Whether the others go on where an item failed.
    pub skip_failures: bool,
}

/// `if_unknown:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IfUnknown {
    /// Send it again as it was built: at least once.
    #[default]
    Resend,
    /// Fail as `request.outcome_unknown`: at most once.
    Fail,
}

/// A step's script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepScript {
    /// Its language.
    pub language: Language,
    /// Its text.
    pub code: Arc<str>,
    /// Where it stands: the cycle file itself or a script file, relative to the cycles folder.
    pub path: String,
    /// The 1-based line of `path` on which the text begins, for errors that point into the file.
    pub line: u32,
    /// How many characters each line is indented there.
    pub indent: u32,
    /// What was found in it.
    pub analysis: ScriptAnalysis,
}

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// The default.
    Rhai,
    /// As Cyclr's.
    JavaScript,
}

/// What reading a script tells without running it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptAnalysis {
    /// Handlers that it defines, such as `before_action`.
    pub handlers: BTreeSet<String>,
    /// Cyclr's variables that it mentions, such as `method_response`.
    pub names: BTreeSet<String>,
    /// Literal keys it writes, with the storage family (`cyclr`, `cycle`, `loop`).
    pub writes: BTreeSet<(String, String)>,
    /// Literal keys it reads, with the storage family.
    pub reads: BTreeSet<(String, String)>,
    /// Whether each of its handlers certainly ends within a few hundred operations, none of which costs
    /// more than copying the data it is given: it has no loop, calls no function of its own and takes
    /// none as a value, and calls only functions that are known to be quick. False where that is not
    /// certain.
    pub short: bool,
}

impl ScriptAnalysis {
    /// Whether this handler is defined.
    pub fn has(&self, handler: &str) -> bool {
        self.handlers.contains(handler)
    }
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// Takes requests from outside: as the trigger it begins runs, elsewhere a run waits at it.
    Webhook(WebhookStep),
    /// Asks an API for a list, one page at a time or all pages.
    List(ListStep),
    /// Sends one request: POST and its like, or any single method.
    Send(SendStep),
    /// Reads or writes the script storage of a connection.
    Storage(StorageStep),
    /// Runs `fn run()` of the step's script; what that returns is the step's data.
    Script {
        /// What is `method_request` there.
        map: Vec<(String, Expr)>,
    },
    /// Commits the date of a list step.
    Watermark {
        /// The list step.
        of: StepIx,
    },
    /// Chooses `then` or `else`.
    Decision(Condition),
    /// Answers the caller who is held.
    Respond(RespondStep),
    /// Chooses one of several exits by a text.
    Switch(SwitchStep),
    /// Waits so long.
    Delay(Duration),
    /// Waits until a date.
    WaitUntil(DatePlan),
    /// Goes on once, when there is no other unfinished run.
    WaitAll(WaitScope),
    /// Ends the run.
    Stop {
        /// What the log says.
        message: Option<Expr>,
        /// Whether the run has failed.
        failed: bool,
    },
}

impl StepKind {
    /// Whether it hands off to a webhook of this server.
    pub(crate) fn hands_off(&self) -> bool {
        matches!(self, Self::Send(send) if send.target.is_some())
    }
}

/// A webhook step.
#[derive(Clone, Debug)]
pub struct WebhookStep {
    /// What takes the requests; scripts see its connection's storage.
    pub method: MethodUse,
    /// What a body must have.
    pub fields: Vec<Field>,
    /// The field that names a delivery, and how long it is remembered.
    pub dedupe: Option<(String, Duration)>,
    /// Who may call.
    pub auth: WebhookAuth,
    /// The addresses that may call; empty is any.
    pub allow_ips: Vec<IpNet>,
    /// The web pages that may call, as browsers write their origins; empty leaves it to `auth`.
    pub origins: Vec<String>,
    /// How long a caller is held for a `respond`; `None` where no way leads to one before the next webhook, and
    /// nobody is held.
    pub respond_within: Option<Duration>,
    /// In the middle of a cycle: fields of a request, each with what the waiting run has for it.
    pub matches: Vec<(String, Expr)>,
    /// In the middle of a cycle: whether each request begins a child run and the run goes on waiting.
    pub repeat: bool,
    /// In the middle of a cycle: how long a run waits before it leaves by `else`; `None` is for ever.
    pub waits: Option<Duration>,
}

/// A declared field of a webhook.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: FieldKind,
    /// Whether a body without it is refused.
    pub required: bool,
    /// What a missing one becomes.
    pub default: Option<Json>,
    /// The least number.
    pub minimum: Option<f64>,
    /// The greatest number.
    pub maximum: Option<f64>,
    /// The least characters of a text, or items of a list.
    pub min_length: Option<u64>,
    /// The most.
    pub max_length: Option<u64>,
    /// What a text must match somewhere.
    pub pattern: Option<Pattern>,
    /// The only values taken; empty is any.
    pub values: Vec<Json>,
    /// The fields of an object.
    pub fields: Vec<Field>,
    /// What each item of a list must be.
    pub items: Option<Box<Field>>,
}

impl Field {
    /// A field of this name that takes anything.
    pub fn any(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: FieldKind::Any,
            required: false,
            default: None,
            minimum: None,
            maximum: None,
            min_length: None,
            max_length: None,
            pattern: None,
            values: Vec::new(),
            fields: Vec::new(),
            items: None,
        }
    }
}

/// A regular expression that has been compiled; equal where its text is.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

impl Pattern {
    pub(crate) fn new(regex: regex::Regex) -> Self {
        Self(regex)
    }

    /// Whether some part of the text matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

/// The type of a webhook's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Text.
    Text,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// True or false.
    Boolean,
    /// RFC 3339.
    Datetime,
    /// An object.
    Object,
    /// A list.
    List,
    /// Whatever comes.
    Any,
}

/// A method of a connection, as a step uses it.
#[derive(Clone, Debug)]
pub struct MethodUse {
    /// The connection.
    pub connection: ConnectionId,
    /// Its connector.
    pub connector: Arc<ConnectorDef>,
    /// The method's name in [`ConnectorDef::methods`].
    pub method: String,
}

impl MethodUse {
    /// The method's definition.
    pub fn def(&self) -> &MethodDef {
        self.connector
            .methods
            .get(&self.method)
            .expect("the checker found the method")
    }
}

/// A list step.
#[derive(Clone, Debug)]
pub struct ListStep {
    /// What it asks.
    pub method: MethodUse,
    /// The method's inputs.
    pub map: Vec<(String, Expr)>,
    /// The filter date while none is set.
    pub first_run: FirstRun,
}

/// `first_run:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FirstRun {
    /// No filter: everything.
    #[default]
    All,
    /// Cyclr's: what changes from now on.
    Now,
    /// From this date on.
    From(velodrome_types::Timestamp),
}

/// A sending step.
#[derive(Clone, Debug)]
pub struct SendStep {
    /// What it sends.
    pub method: MethodUse,
    /// The inputs, or for `generic_webhook` the body's fields.
    pub map: Vec<(String, Expr)>,
    /// `url`, where the method takes one.
    pub url: Option<Expr>,
    /// The webhook of this server that `url` names, where the file itself says so.
    pub target: Option<HookTarget>,
    /// `query`.
    pub query: Vec<(String, Expr)>,
    /// `headers`.
    pub headers: Vec<(String, Expr)>,
    /// Statuses that are no error beside 2xx.
    pub ok: Vec<crate::connector::StatusMatch>,
    /// How a hand-off travels.
    pub handoff: Handoff,
}

/// A step at a storage method.
#[derive(Clone, Debug)]
pub struct StorageStep {
    /// The method.
    pub method: MethodUse,
    /// What it does.
    pub does: StorageDoes,
    /// The method's inputs.
    pub map: Vec<(String, Expr)>,
}

/// An answer to the webhook's caller.
#[derive(Clone, Debug, PartialEq)]
pub struct RespondStep {
    /// `status`; 200 where it is not said.
    pub status: Option<Expr>,
    /// `headers`.
    pub headers: Vec<(String, Expr)>,
    /// `body`; none where it is not said.
    pub body: Option<Expr>,
}

/// A switch.
#[derive(Clone, Debug, PartialEq)]
pub struct SwitchStep {
    /// What is looked at.
    pub value: Expr,
    /// The texts, in lower case, and where each leads; `else` is where none fits.
    pub cases: Vec<(String, StepIx)>,
}

/// Whose runs a `wait_all` waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WaitScope {
    /// The lap's.
    #[default]
    Lap,
    /// The whole cycle's, as Cyclr does.
    Cycle,
}

/// A date of a cycle file: known, or what a reference gives.
#[derive(Clone, Debug, PartialEq)]
pub struct DatePlan {
    /// The date.
    pub at: Expr,
    /// Where dates without an offset are read.
    pub zone: Zone,
}

/// `handoff:`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handoff {
    /// In one commit with this step's outcome, without a socket.
    #[default]
    Direct,
    /// As a real request, exactly once too.
    Http,
}

/// Which of a step's data something later reads (DESIGN §3: only that is kept).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    /// Names behind `${step.`: own names (`count`, `records`, `error`, `http`, `body`, …) and fields.
    pub names: BTreeSet<String>,
}

impl Live {
    /// Whether this name is read later.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }
}

impl Plan {
    /// The step at this place.
    pub fn step(&self, ix: StepIx) -> &Step {
        &self.steps[ix.0 as usize]
    }

    /// The webhook at this place, if one is there.
    pub fn webhook(&self, ix: StepIx) -> Option<&WebhookStep> {
        match &self.step(ix).kind {
            StepKind::Webhook(webhook) => Some(webhook),
            _ => None,
        }
    }

    /// The webhook of this id at which runs wait, if there is one in the middle of the cycle.
    pub fn midway(&self, id: &str) -> Option<StepIx> {
        let ix = self.find(id).filter(|ix| *ix != self.trigger)?;
        self.webhook(ix).map(|_| ix)
    }

    /// The place of the step with this id.
    pub fn find(&self, id: &str) -> Option<StepIx> {
        self.steps
            .iter()
            .position(|step| step.id.as_str() == id)
            .map(|at| StepIx(at as u16))
    }

    /// Whether some way leads from one step to another.
    pub fn leads(&self, from: StepIx, to: StepIx) -> bool {
        let mut open = vec![from];
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(self.step(at).leads_to());
            }
        }
        from != to && seen.contains(&to)
    }

    /// Whether a run that is at one step may come to another itself, and not only a run that it begins.
    pub fn may_come(&self, from: StepIx, to: StepIx) -> bool {
        let mut open: Vec<StepIx> = self.step(from).goes_on_with().collect();
        let mut seen = BTreeSet::new();
        while let Some(at) = open.pop() {
            if seen.insert(at) {
                open.extend(self.step(at).goes_on_with());
            }
        }
        seen.contains(&to)
    }

    /// What a step reads of others, by name; several times where it is read several times.
    pub fn reads(&self, ix: StepIx) -> Vec<(StepIx, String)> {
        let step = self.step(ix);
        let mut found = Vec::new();
        step.each_value(&mut |expr| expr.reads(&mut found));
        if let Some(each) = &step.each {
            each.list.reads(&mut found);
        }
        found
    }

    /// The first characters of the hash, as people see a version.
    pub fn version(&self) -> &str {
        &self.hash[..self.hash.len().min(12)]
    }
}

impl Step {
    /// Calls with every value that is written in the step, but the list of a `for_each`.
    pub fn each_value<'s>(&'s self, read: &mut dyn FnMut(&'s Expr)) {
        fn fields<'s>(fields: &'s [(String, Expr)], read: &mut dyn FnMut(&'s Expr)) {
            fields.iter().for_each(|(_, expr)| read(expr));
        }
        match &self.kind {
            StepKind::List(list) => fields(&list.map, read),
            StepKind::Send(send) => {
                fields(&send.map, read);
                fields(&send.query, read);
                fields(&send.headers, read);
                send.url.iter().for_each(&mut *read);
            }
            StepKind::Storage(storage) => fields(&storage.map, read),
            StepKind::Script { map } => fields(map, read),
            StepKind::Decision(condition) => condition.each(read),
            StepKind::Respond(respond) => {
                fields(&respond.headers, read);
                respond
                    .status
                    .iter()
                    .chain(&respond.body)
                    .for_each(&mut *read);
            }
            StepKind::Switch(switch) => read(&switch.value),
            StepKind::WaitUntil(date) => read(&date.at),
            StepKind::Stop { message, .. } => message.iter().for_each(&mut *read),
            StepKind::Webhook(webhook) => fields(&webhook.matches, read),
            StepKind::Watermark { .. } | StepKind::Delay(_) | StepKind::WaitAll(_) => {}
        }
    }

    /// The inline scripts among its values, in the order of the file.
    pub fn inlines(&self) -> Vec<&Arc<Inline>> {
        let mut found = Vec::new();
        self.each_value(&mut |expr| expr.each_script(&mut |script| found.push(script)));
        found
    }

    /// Every step that one of its exits leads to, a step named by several exits several times.
    pub fn leads_to(&self) -> impl Iterator<Item = StepIx> {
        let cases = match &self.kind {
            StepKind::Switch(switch) => switch.cases.as_slice(),
            _ => &[],
        };
        let first = [self.then, self.otherwise, self.catch];
        let forks = [&self.forks.then, &self.forks.otherwise, &self.forks.catch];
        first
            .into_iter()
            .flatten()
            .chain(forks.into_iter().flatten().copied())
            .chain(cases.iter().map(|(_, to)| *to))
    }

    /// The steps that `then` names: the first, and the other branches of its fork.
    pub fn then_all(&self) -> impl Iterator<Item = StepIx> {
        self.then.into_iter().chain(self.forks.then.iter().copied())
    }

    /// The steps that a run goes on with itself: of a fork the first, and none where each item or each request is
    /// another run's.
    fn goes_on_with(&self) -> impl Iterator<Item = StepIx> {
        let cases = match &self.kind {
            StepKind::Switch(switch) => switch.cases.as_slice(),
            _ => &[],
        };
        let repeats = matches!(&self.kind, StepKind::Webhook(webhook) if webhook.repeat);
        let then = self.then.filter(|_| !self.split && !repeats);
        let exits = [then, self.otherwise, self.catch];
        exits
            .into_iter()
            .flatten()
            .chain(cases.iter().map(|(_, to)| *to))
    }

    /// What holds the list of a step that splits: its name among the step's data.
    pub fn split_name(&self) -> &'static str {
        match self.kind {
            StepKind::List(_) => "records",
            _ => "body",
        }
    }

    /// Whether the step hands off to a webhook of this server.
    pub fn hands_off(&self) -> bool {
        self.kind.hands_off()
    }

    /// The method that the step uses, where it uses one.
    pub fn method(&self) -> Option<&MethodUse> {
        match &self.kind {
            StepKind::Webhook(webhook) => Some(&webhook.method),
            StepKind::List(list) => Some(&list.method),
            StepKind::Send(send) => Some(&send.method),
            StepKind::Storage(storage) => Some(&storage.method),
            StepKind::Script { .. }
            | StepKind::Watermark { .. }
            | StepKind::Decision(_)
            | StepKind::Respond(_)
            | StepKind::Switch(_)
            | StepKind::Delay(_)
            | StepKind::WaitUntil(_)
            | StepKind::WaitAll(_)
            | StepKind::Stop { .. } => None,
        }
    }

    /// The connection whose storage the step's scripts see.
    pub fn connection(&self) -> ConnectionId {
        match self.method() {
            Some(method) => method.connection.clone(),
            None => ConnectionId::from("data_storage"),
        }
    }
}
