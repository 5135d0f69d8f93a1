//! The transition table: every state, every input.
//!
//! ```text
//! Queued  --Begin-->  (next steps)          Queued  --Ignore-->  Finished(Ignored)
//! Queued  --Failed--> Finished(Failed)
//! Running --Built-->  Running, the request committed
//! Running --Listed, Sent--> (next steps)    Running --Failed--> Waiting(Retry) | catch | Finished(Failed)
//! Running --Evaluated--> (next steps)
//! Running --Recover--> Running, the action issued again
//! Waiting(Timer) --Due--> (next steps)      Waiting(Retry) --Due--> Running
//! Waiting(Webhook) --Called--> (next steps) | Waiting(Webhook), a child begun
//! Waiting(Webhook) --CalledInVain--> Waiting(Webhook)    Waiting(Webhook) --Due--> (next steps)
//! Each    --Item--> Each | (next steps) | catch | Finished(Failed)
//! Each    --Due, Recover--> Each, attempts issued
//! Paging  --Listed--> Paging, the next page asked | (next steps)
//! Paging  --Failed--> Paging, waits | catch | Finished(Failed)
//! Paging  --Due, Recover--> Paging, the page asked again
//! Finished(Failed) --Resume--> (the step again) | Again        Again --GoOn--> (the step again)
//! Begun   --Branch--> (next steps)          Waiting(Children) --ChildrenOver--> Finished
//! Finished(Failed by a child) --ChildAgain--> Waiting(Children)
//! Waiting(All) --AllHere--> (next steps)    Waiting(All) --AllPassed--> Finished | Waiting(Children)
//! any but Finished --Stop--> Finished(Stopped)
//! anything else: the run fails with `engine.fault`; a report with an old fence changes nothing
//! ```
//!
//! *(next steps)* is [`crate::steps`]: pure steps are folded until an action, a wait or the end.

use velodrome_spec::Plan;
use velodrome_spec::plan::{IfUnknown, StepIx};
use velodrome_types::{Code, Event, Level, LoopStatus, RunStatus, StepId, Timestamp};

use crate::branches::{self, Child};
use crate::each::{self, Each, ItemWrites};
use crate::eval::{InlineValues, Scope};
use crate::input::{
    Action, Exit, Facts, FailureKind, Input, ItemReport, RecordKey, Rows, StepFailure, TimerChange,
    Transition,
};
use crate::lines::Lines;
use crate::looped::Loop;
use crate::midway::{self, Awaited};
use crate::notice::Notice;
use crate::paging::{self, Pages};
use crate::run::{Finish, Reply, Run, Standing, State, WaitingOn};
use crate::{exits, fail, gather, resume, steps};

/// A transition in the making.
#[derive(Debug)]
pub(crate) struct Moving<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) run: Run,
    pub(crate) looped: Loop,
    pub(crate) lines: Lines<'a>,
    pub(crate) timer: TimerChange,
    pub(crate) awaited: Vec<Awaited>,
    pub(crate) watermarks: Vec<(StepId, Timestamp)>,
    pub(crate) action: Option<Action>,
    pub(crate) stop_cycle: bool,
    pub(crate) notice: Option<Box<Notice>>,
    pub(crate) exits: Vec<(StepIx, Exit)>,
    pub(crate) items: ItemWrites,
    /// How far a `for_each` was that has just failed, for a resume.
    pub(crate) failed_items: Option<Box<Each>>,
    /// How far a list that pages itself was that has just failed, for a resume.
    pub(crate) failed_pages: Option<Box<Pages>>,
    pub(crate) keys: Option<(StepId, Vec<RecordKey>)>,
    /// What the caller who is held is answered.
    pub(crate) reply: Option<Reply>,
    /// What the inline scripts of a step gave.
    pub(crate) inline: Option<(StepIx, InlineValues)>,
    /// Runs of its lap that it begins.
    pub(crate) children: Vec<Child>,
    /// The run's state before the move.
    was: RunStatus,
    /// The step that it was at.
    stood: Option<Standing>,
}

/// Moves a run. `None` when the input is the late report of an action that is no longer awaited: the
/// run is as it was.
///
/// An input that the state does not allow is the engine's own fault: the run fails with
/// `engine.fault`, nothing panics.
pub fn advance(
    plan: &Plan,
    run: Run,
    looped: Loop,
    input: Input,
    facts: &Facts<'_>,
) -> Option<Transition> {
    if is_late(&run, &input) {
        return None;
    }
    let lines = Lines::new(plan, &run, facts.now);
    let (was, stood) = (run.status(), run.standing());
    let mut moving = Moving {
        plan,
        facts,
        run,
        looped,
        lines,
        timer: TimerChange::Keep,
        awaited: Vec::new(),
        watermarks: Vec::new(),
        action: None,
        stop_cycle: false,
        notice: None,
        exits: Vec::new(),
        items: ItemWrites::default(),
        failed_items: None,
        failed_pages: None,
        keys: None,
        reply: None,
        inline: None,
        children: Vec::new(),
        was,
        stood,
    };
    // A hand-off changes the loop; anything else an item does changes nothing but the items.
    let item_only = match &input {
        Input::Item { report, .. } => {
            !matches!(report, ItemReport::Sent(answer) if answer.handoff.is_some())
        }
        Input::Due { .. } => true,
        _ => false,
    } && matches!(moving.run.state, State::Each { .. });
    let paged =
        matches!(moving.run.state, State::Paging { .. }) && matches!(input, Input::Listed { .. });
    let awaited = midway::waits_at(&moving.run).cloned();
    moving.decide(input);
    if let Some(step) = awaited
        && midway::waits_at(&moving.run) != Some(&step)
    {
        moving.awaited.insert(0, Awaited::End(step));
    }
    let same = moving.run.status() == was && !moving.items.clear;
    let rows = match &moving.run.state {
        State::Each { .. } if item_only && same && moving.items.progress.is_some() => Rows::Neither,
        State::Paging { .. } if paged && same && moving.items.pages.is_some() => Rows::LoopOnly,
        _ => Rows::Both,
    };
    let children = std::mem::take(&mut moving.children);
    let mut transition = moving.finish_up();
    transition.rows = rows;
    if !children.is_empty() {
        branches::grow(plan, &mut transition, children, facts);
    }
    Some(transition)
}

/// Whether the input reports an action or a wait that is over.
fn is_late(run: &Run, input: &Input) -> bool {
    let fence = match input {
        Input::Built { fence, .. }
        | Input::Listed { fence, .. }
        | Input::Sent { fence, .. }
        | Input::Failed { fence, .. }
        | Input::Evaluated { fence, .. }
        | Input::Called { fence, .. }
        | Input::CalledInVain { fence, .. }
        | Input::Item { fence, .. }
        | Input::Due { fence } => *fence,
        Input::Stop => return matches!(run.state, State::Finished { .. }),
        // What concerns other runs comes late where this one was stopped meanwhile.
        Input::ChildrenOver => return !run.waits_for_children(),
        Input::AllHere | Input::AllPassed => {
            return !waits_for(run, |on| matches!(on, WaitingOn::All { .. }));
        }
        Input::ChildAgain => return !run.failed_by_child(),
        // There is nothing of its own to go on with (`may_resume` says so first).
        Input::Resume { .. } => return run.failed_by_child(),
        Input::Begin { .. }
        | Input::Ignore { .. }
        | Input::Branch
        | Input::Recover
        | Input::GoOn => return false,
    };
    fence != run.fence || matches!(run.state, State::Finished { .. })
}

fn waits_for(run: &Run, what: impl Fn(&WaitingOn) -> bool) -> bool {
    matches!(&run.state, State::Waiting { on, .. } if what(on))
}

impl Moving<'_> {
    /// What a step's values may read.
    pub(crate) fn scope(&self, at: StepIx) -> Scope<'_> {
        let scope = Scope::new(self.plan, &self.run, self.facts.statics);
        match &self.inline {
            Some((of, values)) if *of == at => scope.with_inline(values),
            _ => scope,
        }
    }

    fn decide(&mut self, input: Input) {
        let state = self.run.state.clone();
        match (state, input) {
            (State::Queued { .. }, Input::Begin { body, logs }) => {
                let trigger = self.plan.trigger;
                self.script_logs(&self.plan.step(trigger).id, logs);
                if self.looped.open.len() == 1 && self.run.lap == 1 {
                    self.looped.placed = true;
                }
                if self.plan.webhook(trigger).is_some() {
                    exits::keep_webhook(self, trigger, body);
                    steps::leave(self, trigger, Exit::Then);
                } else {
                    steps::go(self, Some(trigger));
                }
            }
            (State::Queued { .. }, Input::Ignore { logs }) => {
                let step = self.plan.step(self.plan.trigger).id.clone();
                self.script_logs(&step, logs);
                self.lines.at(
                    &step,
                    Level::Info,
                    Event::WebhookIgnored,
                    "ignored: after_webhook returned false",
                );
                self.end(Finish::Ignored);
            }
            (State::Queued { .. }, Input::Failed { failure, .. }) => {
                let step = self.plan.step(self.plan.trigger).id.clone();
                self.script_logs(&step, failure.logs.clone());
                fail::fail_run(self, step, &failure, 1, None);
            }
            (
                State::Running {
                    step,
                    attempt,
                    built: None,
                },
                Input::Built { request, logs, .. },
            ) => {
                self.script_logs(&step, logs);
                self.lines
                    .at(&step, Level::Debug, Event::RequestSent, "request built")
                    .attempt = Some(attempt);
                self.send_built(step, attempt, request);
            }
            (State::Running { step, attempt, .. }, Input::Listed { answer, .. }) => {
                exits::listed(self, &step, attempt, answer);
            }
            (State::Running { step, attempt, .. }, Input::Sent { answer, .. }) => {
                exits::sent(self, &step, attempt, answer);
            }
            (State::Running { step, .. }, Input::Evaluated { values, logs, .. })
                if steps::is_decided_here(self.plan, &step) =>
            {
                self.script_logs(&step, logs);
                let at = self.plan.find(step.as_str());
                self.inline = at.map(|at| (at, values));
                steps::go(self, at);
            }
            (
                State::Running {
                    step,
                    attempt,
                    built,
                },
                Input::Failed { failure, .. },
            ) => {
                fail::failed(self, step, attempt, built, failure);
            }
            (
                State::Running {
                    step,
                    attempt,
                    built,
                },
                Input::Recover,
            ) => self.recover(step, attempt, built),
            (
                State::Waiting {
                    step,
                    on: WaitingOn::Timer { .. },
                },
                Input::Due { .. },
            ) => {
                self.timer = TimerChange::Clear;
                steps::waited(self, &step);
            }
            (
                State::Waiting {
                    step,
                    on: WaitingOn::Webhook { .. },
                },
                input @ (Input::Called { .. } | Input::CalledInVain { .. } | Input::Due { .. }),
            ) if self.plan.midway(step.as_str()).is_some() => self.at_webhook(&step, input),
            (
                State::Waiting {
                    step,
                    on: WaitingOn::Retry { attempt, built, .. },
                },
                Input::Due { .. },
            ) => {
                self.timer = TimerChange::Clear;
                match built {
                    Some(request) => self.send_built(step, attempt, request),
                    None => steps::act(self, &step, attempt),
                }
            }
            (
                State::Each { step, each },
                Input::Item {
                    index,
                    attempt,
                    report,
                    ..
                },
            ) if each::plan_of(self.plan, &step).is_some() => {
                if let Some((step, plan)) = each::plan_of(self.plan, &step) {
                    each::reported(self, step, plan, *each, (index, attempt), report);
                }
            }
            (State::Each { step, each }, Input::Due { .. })
                if each::plan_of(self.plan, &step).is_some() =>
            {
                if let Some((step, _)) = each::plan_of(self.plan, &step) {
                    each::due(self, step, *each);
                }
            }
            (State::Each { step, each }, Input::Recover)
                if each::plan_of(self.plan, &step).is_some() =>
            {
                if let Some((step, plan)) = each::plan_of(self.plan, &step) {
                    each::recover(self, step, plan, *each);
                }
            }
            (State::Paging { step, pages }, Input::Listed { answer, .. })
                if pages.due.is_none() =>
            {
                paging::listed(self, step, *pages, answer);
            }
            (State::Paging { step, pages }, Input::Failed { failure, .. })
                if pages.due.is_none() =>
            {
                paging::failed(self, step, *pages, failure);
            }
            (State::Paging { step, pages }, Input::Due { .. }) => {
                paging::due(self, step, *pages);
            }
            (State::Paging { step, pages }, Input::Recover) => {
                paging::recover(self, step, *pages);
            }
            (State::Begun { start }, Input::Branch) => branches::begin(self, start),
            // It had not taken its first step: the loop begins it.
            (State::Begun { start }, Input::Recover) => branches::begin(self, start),
            (
                State::Waiting {
                    on: WaitingOn::Children,
                    ..
                },
                Input::ChildrenOver,
            ) => branches::all_over(self),
            (
                State::Finished {
                    how: Finish::Failed(failure),
                },
                Input::ChildAgain,
            ) => branches::again(self, failure.step),
            (
                State::Waiting {
                    step,
                    on: WaitingOn::All { .. },
                },
                input @ (Input::AllHere | Input::AllPassed),
            ) => match self.plan.find(step.as_str()) {
                Some(at) if input == Input::AllHere => gather::go_on(self, at),
                Some(at) => gather::passed(self, at),
                None => steps::go(self, None),
            },
            (
                State::Queued { .. }
                | State::Begun { .. }
                | State::Again { .. }
                | State::Running { .. }
                | State::Each { .. }
                | State::Paging { .. }
                | State::Waiting { .. },
                Input::Stop,
            ) => {
                self.items.clear |=
                    matches!(self.run.state, State::Each { .. } | State::Paging { .. });
                self.timer = TimerChange::Clear;
                let id = self.run.id;
                self.looped.gathered.retain(|there| there.run != id);
                self.lines.push(Level::Warn, Event::RunStopped, "stopped");
                self.end(Finish::Stopped);
            }
            (
                State::Finished {
                    how: Finish::Failed(failure),
                },
                Input::Resume { placed },
            ) => resume::resume(self, failure, placed),
            (State::Again { failure }, Input::GoOn) => {
                self.looped.placed = true;
                resume::go_on(self, failure);
            }
            (state, input) => self.fault(&state, &input),
        }
    }

    /// What becomes of a run that waits for a request.
    fn at_webhook(&mut self, step: &StepId, input: Input) {
        let plan = self.plan;
        let Some((at, webhook)) = plan
            .midway(step.as_str())
            .and_then(|at| Some((at, plan.webhook(at)?)))
        else {
            return;
        };
        match input {
            Input::Called { call, .. } => midway::called(self, at, webhook, *call),
            Input::CalledInVain { logs, .. } => midway::ignored(self, step, logs),
            _ => midway::late(self, at, webhook),
        }
    }

    /// The fields of a state and an input that do not belong together never reach a log: only names.
    fn fault(&mut self, state: &State, input: &Input) {
        if matches!(state, State::Finished { .. }) {
            return;
        }
        let name = |debug: String| {
            debug
                .split([' ', '{', '('])
                .next()
                .unwrap_or_default()
                .to_owned()
        };
        let message = format!(
            "the engine gave a run that is `{}` the input `{}`: please report this",
            name(format!("{state:?}")),
            name(format!("{input:?}")),
        );
        let step = self
            .run
            .step()
            .cloned()
            .unwrap_or_else(|| self.plan.step(self.plan.trigger).id.clone());
        let failure = StepFailure::permanent(Code::new("engine.fault"), message);
        self.timer = TimerChange::Clear;
        fail::fail_run(self, step, &failure, 1, None);
    }

    /// After a crash the request in flight is sent again as it was built, or not, as the step says.
    fn recover(&mut self, step: StepId, attempt: u32, built: Option<velodrome_types::Json>) {
        let Some(request) = built else {
            return steps::act(self, &step, attempt);
        };
        let at_most_once = self
            .plan
            .find(step.as_str())
            .is_some_and(|ix| self.plan.step(ix).if_unknown == IfUnknown::Fail);
        if at_most_once {
            let mut failure = StepFailure::permanent(
                Code::new("request.outcome_unknown"),
                "the process ended while the request was under way, and `if_unknown: fail` forbids sending it again",
            );
            failure.kind = FailureKind::Unknown;
            fail::failed(self, step, attempt, Some(request), failure);
        } else {
            self.send_built(step, attempt, request);
        }
    }

    pub(crate) fn send_built(
        &mut self,
        step: StepId,
        attempt: u32,
        request: velodrome_types::Json,
    ) {
        self.run.fence += 1;
        self.run.state = State::Running {
            step: step.clone(),
            attempt,
            built: Some(request.clone()),
        };
        self.action = Some(Action::Send {
            step,
            attempt,
            fence: self.run.fence,
            built: Some(request),
        });
    }

    pub(crate) fn script_logs(&mut self, step: &StepId, logs: Vec<String>) {
        for text in logs {
            self.lines.at(step, Level::Info, Event::ScriptLogged, text);
        }
    }

    /// Ends the run; what the loop does then follows in [`Moving::finish_up`].
    pub(crate) fn end(&mut self, how: Finish) {
        self.run.fence += 1;
        self.run.data.clear();
        self.run.state = State::Finished { how };
        self.action = None;
    }

    fn finish_up(mut self) -> Transition {
        let now = self.facts.now;
        let was_over = self.looped.status.is_final();
        let over = matches!(self.run.state, State::Finished { .. });
        self.looped.settle(&self.run, self.was);
        if matches!(self.run.state, State::Again { .. }) {
            self.looped.status = LoopStatus::Queued;
        }
        self.run.updated = now;
        // The next lap, which this run began, may have come further than this run.
        let ended = self.looped.updated.max(now);
        self.looped.updated = now;
        // What a branch has read is told when the run that began it has ended, and all its children.
        let succeeded = matches!(
            &self.run.state,
            State::Finished {
                how: Finish::Succeeded
            }
        );
        if succeeded && self.run.branch.is_none() {
            steps::move_own_watermarks(&mut self, false);
        }
        if over && !was_over && self.looped.status == LoopStatus::Succeeded {
            steps::move_own_watermarks(&mut self, true);
        }
        if over && !was_over && self.looped.status.is_final() {
            self.loop_ended(ended);
        }
        Transition {
            run: self.run,
            looped: self.looped,
            lines: self.lines.done(),
            timer: self.timer,
            awaited: self.awaited,
            watermarks: self.watermarks,
            action: self.action,
            stop_cycle: self.stop_cycle,
            notice: self.notice,
            exits: self.exits,
            was: self.stood,
            items: self.items,
            keys: self.keys,
            reply: self.reply,
            rows: Rows::Both,
            others: Vec::new(),
        }
    }

    fn loop_ended(&mut self, ended: Timestamp) {
        if matches!(
            self.run.state,
            State::Finished {
                how: Finish::Stopped
            }
        ) && self.looped.failed.is_none()
        {
            self.looped.status = LoopStatus::Stopped;
        }
        let looped = &self.looped;
        let elapsed = ended.since(looped.started);
        let laps = if looped.laps == 1 {
            "1 lap".to_owned()
        } else {
            format!("{} laps", looped.laps)
        };
        let told = format!(
            "{laps}, {} records, {}",
            looped.records,
            velodrome_types::format_duration(elapsed)
        );
        let (level, event, message) = match looped.status {
            LoopStatus::Failed => (
                Level::Error,
                Event::LoopFailed,
                format!("loop failed: {told}"),
            ),
            LoopStatus::Stopped => (
                Level::Warn,
                Event::LoopStopped,
                format!("loop stopped: {told}"),
            ),
            _ => (
                Level::Info,
                Event::LoopSucceeded,
                format!("loop succeeded: {told}"),
            ),
        };
        let data = serde_json::json!({
            "laps": looped.laps, "records": looped.records, "ms": elapsed.as_millis() as u64
        });
        let code = looped.failed.as_ref().map(|(_, code)| code.clone());
        let last = looped.laps;
        let line = self.lines.push(level, event, message);
        // The loop may end with a run that is not its last lap's.
        line.lap = Some(last);
        line.time = ended;
        line.data = Some(data);
        line.code = code;
    }
}
