//! Starting cycles by the clock (SPEC §3): one task looks at each schedule when its next moment comes.
//!
//! ```text
//!  file, operator, sign-in ──wake──▶ look: what is due of each cycle?
//!                                      │ counts anew: committed    │ passed over: committed, with a line
//!                                      ▼ a start
//!                                  accept::by_clock ── one commit: the run, how far the schedule has come
//! ```
//!
//! How far a schedule has come is a row of the store, written by the very commit that accepts the run, or
//! that logs why there is none: a crash neither loses nor repeats a start. Time is the wall clock's, because
//! a schedule goes by the calendar. What is due is worked out by [`velodrome_spec::schedule`].

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::sync::Notify;
use velodrome_core::{Delivery, Scope, evaluate_map};
use velodrome_spec::Plan;
use velodrome_spec::plan::{CatchUp, IfRunning, SchedulePlan};
use velodrome_spec::schedule::{COUNTED, Due};
use velodrome_store::{ScheduleRow, ScheduleWrite, Unit};
use velodrome_types::{
    CycleId, CycleState, Event, Json, Level, LogLine, Timestamp, format_duration,
};

use crate::accept::{self, Start};
use crate::api::{Problem, ScheduleView};
use crate::shared::{Shared, UNREADABLE_PAUSE};

/// A schedule that has come further than this past the present was counted by a clock that was wrong.
const AHEAD: Duration = Duration::from_secs(3600);
/// From this on a line says that a start is late.
const LATE: Duration = Duration::from_secs(1);

/// How far each schedule has come.
#[derive(Debug, Default)]
pub(crate) struct Schedules {
    counting: Mutex<HashMap<CycleId, Counting>>,
    woken: Notify,
}

/// One cycle's schedule, as far as it has come.
#[derive(Clone, Debug)]
struct Counting {
    row: ScheduleRow,
    /// It was counted before the start, and nothing has been due since.
    before_start: bool,
    /// The cycle took no starts when it was looked at last: what comes due meanwhile is nobody's.
    idle: bool,
    /// A start is under way.
    under_way: bool,
    /// Something went wrong that may pass: it is looked at again then.
    held: Option<Timestamp>,
}

impl Counting {
    fn of(row: ScheduleRow) -> Self {
        Self {
            row,
            before_start: false,
            idle: false,
            under_way: false,
            held: None,
        }
    }
}

/// Whether a cycle takes starts of its schedule: where webhooks are taken too.
pub(crate) fn fires(state: CycleState) -> bool {
    matches!(state, CycleState::Running | CycleState::Paused)
}

impl Schedules {
    fn lock(&self) -> MutexGuard<'_, HashMap<CycleId, Counting>> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes over how far schedules had come before the start.
    pub(crate) fn recover(&self, rows: Vec<ScheduleRow>) {
        let known = rows.into_iter().map(|row| {
            let counting = Counting {
                before_start: true,
                ..Counting::of(row)
            };
            (counting.row.cycle.clone(), counting)
        });
        self.lock().extend(known);
    }

    /// Files, states or connections may have changed: schedules are looked at.
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// What a cycle's schedule counts from when it takes starts again.
    pub(crate) fn resumed(&self, shared: &Shared, cycle: &CycleId) -> Option<ScheduleRow> {
        let plan = shared.plans.current(cycle)?;
        let schedule = plan.schedule.as_ref()?;
        Some(row(&plan, schedule, shared.clock.wall()))
    }

    /// A row was committed that counts anew.
    pub(crate) fn counted(&self, row: ScheduleRow) {
        let mut counting = self.lock();
        match counting.get_mut(&row.cycle) {
            Some(known) if known.under_way => known.idle = true,
            _ => {
                counting.insert(row.cycle.clone(), Counting::of(row));
            }
        }
    }

    /// What is shown of a cycle's schedule.
    pub(crate) fn view(&self, plan: &Plan, state: CycleState) -> Option<ScheduleView> {
        let schedule = plan.schedule.as_ref()?;
        let next = match self.lock().get(&plan.cycle) {
            Some(known) if fires(state) && known.row.rule == schedule.rhythm.rule() => {
                schedule.rhythm.next(known.row.passed)
            }
            _ => None,
        };
        Some(ScheduleView {
            when: schedule.rhythm.words(),
            next,
        })
    }
}

fn row(plan: &Plan, schedule: &SchedulePlan, passed: Timestamp) -> ScheduleRow {
    ScheduleRow {
        cycle: plan.cycle.clone(),
        rule: schedule.rhythm.rule(),
        passed,
    }
}

/// What is to be done about a schedule now.
#[derive(Debug, PartialEq, Eq)]
enum Todo {
    /// Nothing before this moment; nothing at all before somebody wakes the task.
    Wait(Option<Timestamp>),
    /// The cycle takes no starts.
    Idle,
    /// It begins to count now.
    CountAnew,
    /// What was due is passed over, for this reason.
    PassOver(Due, &'static str),
    /// A start.
    Start(Due),
}

/// Decides about one schedule. `busy` tells whether a loop of the cycle is in progress or queued.
fn decide(
    schedule: &SchedulePlan,
    known: Option<&Counting>,
    state: CycleState,
    busy: bool,
    now: Timestamp,
) -> Todo {
    if !fires(state) {
        return Todo::Idle;
    }
    let Some(known) = known.filter(|known| known.row.rule == schedule.rhythm.rule()) else {
        return Todo::CountAnew;
    };
    let passed = known.row.passed;
    if known.idle || passed > now.plus(AHEAD) {
        return Todo::CountAnew;
    }
    let Some(due) = schedule.rhythm.due(passed, now) else {
        return Todo::Wait(schedule.rhythm.next(passed));
    };
    if let Some(until) = known.held.filter(|until| *until > now) {
        return Todo::Wait(Some(until));
    }
    if known.before_start && schedule.catch_up == CatchUp::None {
        return Todo::PassOver(
            due,
            "missed while the server was down, and `catch_up` is none",
        );
    }
    match schedule.if_running {
        IfRunning::Skip if busy => {
            Todo::PassOver(due, "a loop of the cycle is in progress or queued")
        }
        IfRunning::Skip | IfRunning::Queue => Todo::Start(due),
    }
}

type UnderWay = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// A start that is over: how far the schedule has come, or that it is tried again.
struct Ended {
    cycle: CycleId,
    passed: Option<Timestamp>,
}

/// Keeps schedules until the engine drains; a start under way then is brought to its end.
pub(crate) async fn keep(shared: Arc<Shared>) {
    let mut under_way: FuturesUnordered<UnderWay> = FuturesUnordered::new();
    loop {
        let draining = shared.draining.is_cancelled();
        if draining && under_way.is_empty() {
            return;
        }
        let next = if draining {
            None
        } else {
            look(&shared, &mut under_way).await
        };
        let until = async {
            match next {
                Some(next) => shared.clock.sleep_until_wall(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(ended) = under_way.next(), if !under_way.is_empty() => over(&shared, &ended),
            () = shared.schedules.woken.notified(), if !draining => {}
            () = until => {}
            () = shared.draining.cancelled(), if !draining => {}
        }
    }
}

fn over(shared: &Shared, ended: &Ended) {
    if let Some(known) = shared.schedules.lock().get_mut(&ended.cycle) {
        known.under_way = false;
        match ended.passed {
            Some(passed) => {
                known.row.passed = passed;
                known.before_start = false;
                known.held = None;
            }
            None => known.held = Some(shared.clock.wall().plus(UNREADABLE_PAUSE)),
        }
    }
}

/// Looks at every schedule and does what is to be done; gives when to look again.
async fn look(
    shared: &Arc<Shared>,
    under_way: &mut FuturesUnordered<UnderWay>,
) -> Option<Timestamp> {
    let mut next: Option<Timestamp> = None;
    let mut sooner = |at: Timestamp| next = Some(next.map_or(at, |next| next.min(at)));
    forget_others(shared).await;
    for cycle in shared.plans.ids() {
        let Some(plan) = shared.plans.current(&cycle) else {
            continue;
        };
        let Some(schedule) = &plan.schedule else {
            continue;
        };
        let now = shared.clock.wall();
        let known = shared.schedules.lock().get(&cycle).cloned();
        if known.as_ref().is_some_and(|known| known.under_way) {
            continue;
        }
        let busy = shared.cycles.counts(&cycle) != (0, 0);
        let state = shared.state_of(&cycle);
        match decide(schedule, known.as_ref(), state, busy, now) {
            Todo::Wait(at) => {
                // Nothing was missed, or no longer is: what is due from here on comes while the server is up.
                if let Some(known) = shared.schedules.lock().get_mut(&cycle) {
                    known.before_start &= known.held.is_some();
                }
                at.into_iter().for_each(&mut sooner);
            }
            Todo::Idle => {
                if let Some(known) = shared.schedules.lock().get_mut(&cycle) {
                    known.idle = true;
                }
            }
            Todo::CountAnew => {
                let passed = row(&plan, schedule, now);
                sooner(match count(shared, passed, None).await {
                    true => schedule.rhythm.next(now).unwrap_or(now.plus(AHEAD)),
                    false => now.plus(UNREADABLE_PAUSE),
                });
            }
            Todo::PassOver(due, why) => {
                let passed = row(&plan, schedule, due.at);
                let line = Said::of(&plan, due, now).skipped(shared, Level::Info, why);
                sooner(match count(shared, passed, Some(line)).await {
                    true => schedule.rhythm.next(due.at).unwrap_or(now.plus(AHEAD)),
                    false => now.plus(UNREADABLE_PAUSE),
                });
            }
            Todo::Start(due) => {
                if let Some(known) = shared.schedules.lock().get_mut(&cycle) {
                    known.under_way = true;
                }
                let shared = Arc::clone(shared);
                under_way.push(Box::pin(async move {
                    let passed = start(&shared, plan, due, now).await;
                    Ended { cycle, passed }
                }));
            }
        }
    }
    next
}

/// Forgets how far schedules had come that are gone. A file that is only wrong now keeps its own.
async fn forget_others(shared: &Arc<Shared>) {
    let gone = |(cycle, known): (&CycleId, &Counting)| {
        let is_gone = match shared.plans.entry(cycle) {
            None => true,
            Some(entry) => entry.plan.is_some_and(|plan| plan.schedule.is_none()),
        };
        (is_gone && !known.under_way).then(|| cycle.clone())
    };
    let gone: Vec<CycleId> = shared.schedules.lock().iter().filter_map(gone).collect();
    if gone.is_empty() {
        return;
    }
    let unit = Unit {
        schedules: gone.iter().cloned().map(ScheduleWrite::Remove).collect(),
        ..Unit::default()
    };
    // Where it fails, the next look tries again.
    if shared.commit_unit(unit, None).await.is_ok() {
        shared
            .schedules
            .lock()
            .retain(|cycle, _| !gone.contains(cycle));
    }
}

/// Commits how far a schedule has come without a start.
async fn count(shared: &Arc<Shared>, row: ScheduleRow, line: Option<LogLine>) -> bool {
    let unit = Unit {
        schedules: vec![ScheduleWrite::Put(row.clone())],
        lines: line.into_iter().collect(),
        ..Unit::default()
    };
    match shared.commit_unit(unit, None).await {
        Ok(_) => {
            let counting = Counting::of(row);
            let cycle = counting.row.cycle.clone();
            shared.schedules.lock().insert(cycle, counting);
            true
        }
        Err(error) => {
            tracing::error!(cycle = %row.cycle, %error, "how far a schedule has come was not stored");
            false
        }
    }
}

/// Begins a loop for what is due; gives how far the schedule has come, or nothing where it is tried again.
async fn start(
    shared: &Arc<Shared>,
    plan: Arc<Plan>,
    due: Due,
    now: Timestamp,
) -> Option<Timestamp> {
    let said = Said::of(&plan, due, now);
    let schedule = plan.schedule.as_ref()?;
    let passed = row(&plan, schedule, due.at);
    let write = ScheduleWrite::Put(passed.clone());
    let body = evaluate_map(&schedule.send, Scope::before_runs(&plan, &**shared));
    let problem = match body {
        Err(error) => Problem {
            code: error.code(),
            ..Problem::new(422, "reference.unresolved", format!("`send`: {error}"))
        },
        Ok(body) => {
            let start = Start {
                write: write.clone(),
                line: said.fired(shared),
                answered: said.skipped(shared, Level::Info, "`before_webhook` answered itself"),
            };
            let delivery = Delivery {
                body: Json::Object(body),
                ..Delivery::default()
            };
            match accept::by_clock(shared, Arc::clone(&plan), delivery, start).await {
                Ok(_) => return Some(due.at),
                // The store, or the engine, takes nothing now: the moment stays due.
                Err(problem) if problem.status == 503 => {
                    tracing::warn!(cycle = %plan.cycle, %problem, "a start by the clock is tried again");
                    return None;
                }
                Err(problem) => problem,
            }
        }
    };
    let mut line = said.skipped(shared, Level::Warn, &problem.detail);
    line.code = Some(problem.code.clone());
    let unit = Unit {
        schedules: vec![write],
        lines: vec![line],
        ..Unit::default()
    };
    match shared.commit_unit(unit, None).await {
        Ok(_) => Some(due.at),
        Err(error) => {
            tracing::error!(cycle = %plan.cycle, %error, "a start by the clock was not logged");
            None
        }
    }
}

/// What lines say of a moment that was due.
struct Said<'a> {
    plan: &'a Plan,
    due: Due,
    now: Timestamp,
}

impl<'a> Said<'a> {
    fn of(plan: &'a Plan, due: Due, now: Timestamp) -> Self {
        Self { plan, due, now }
    }

    fn line(&self, shared: &Shared, level: Level, event: Event, rest: &str) -> LogLine {
        let late = self.now.since(self.due.at);
        let mut message = format!("due {}", self.due.at);
        if late >= LATE {
            message.push_str(&format!(", {} late", format_duration(late)));
        }
        let missed = self.due.count - 1;
        if missed > 0 {
            let at_least = if self.due.count == COUNTED {
                "at least "
            } else {
                ""
            };
            message.push_str(&format!(", {at_least}{missed} before it missed"));
        }
        message.push_str(rest);
        let mut line = LogLine::new(shared.clock.now(), level, event, message);
        line.cycle = Some(self.plan.cycle.clone());
        line.version = Some(self.plan.version().to_owned());
        let late = u64::try_from(late.as_millis()).unwrap_or(u64::MAX);
        line.data = Some(json!({"due": self.due.at, "late_ms": late, "missed": missed}));
        line
    }

    fn fired(&self, shared: &Shared) -> LogLine {
        self.line(shared, Level::Info, Event::ScheduleFired, "")
    }

    fn skipped(&self, shared: &Shared, level: Level, why: &str) -> LogLine {
        self.line(shared, level, Event::ScheduleSkipped, &format!(": {why}"))
    }
}
