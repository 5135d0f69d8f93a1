//! Ends a call that passes its limits in time, stack or memory.
//!
//! The engine reports progress before every statement and expression, without saying whose: a call
//! stays on one thread, so its meter stands in that thread. Three things are watched.
//!
//! *Time*: read every [`EVERY`] operations, and after functions that may take long by themselves, and
//! held against the deadline.
//!
//! *Stack*: the address of a local tells how much of the thread's stack the call has taken. This holds
//! whatever the build and however functions and expressions are nested in each other.
//!
//! *Memory and nesting*: when a call has gone on for a while a look is due, and the next variable that
//! the script touches gives the occasion to measure what its function holds (`on_var` shows a scope).
//! Functions further up are counted as they were last seen; of those that called each other too fast
//! ever to be seen, all but the first few are taken to hold what the one in sight holds. Looks take at
//! most half of the time. Between two of them a script can take what it can make in that time, each
//! value within `text` and `list`: the hostile scripts of the tests came to two or three times the limit.
//! Nesting grows by a level in some four operations at most, so it stays far below what the stack bears.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use rhai::{Dynamic, Scope};

use crate::errors::{DEPTH, MEMORY, TIME};
use crate::priority::{self, LONG};

/// Operations between two looks at the clock. An operation takes from 50 ns to some milliseconds (a
/// copy of the largest list): rarely enough to cost nothing, often enough to end within a fraction of a
/// second of the deadline.
const EVERY: u64 = 32;
/// Stack that one call may take. Threads of a pool have 2 MiB, and what called the host sits there too;
/// copies of nested values come on top of it.
const STACK: usize = 768 * 1024;
/// The first look at memory, and the least time between two.
const LOOK: Duration = Duration::from_millis(1);
/// So many levels of calls are counted only as seen: usual scripts, of which one function may hold
/// much and its callers nothing. Deeper than that is recursion, whose levels are alike.
const UNLIKE_LEVELS: usize = 8;
/// A look is due at the latest after so many operations, however slowly the clock goes.
const LOOK_OPERATIONS: u64 = 8_192;
/// Values nested deeper end a call: copying and dropping them takes stack in proportion.
const NESTING: usize = 512;
/// What a call may say in its log: lines, and bytes of them all.
pub(crate) const LOG_LINES: usize = 1_000;
pub(crate) const LOG_BYTES: usize = 256 * 1024;

/// Which limit ended a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Time,
    Memory,
    Nesting,
    Depth,
}

impl Stop {
    const ALL: [Self; 4] = [Self::Time, Self::Memory, Self::Nesting, Self::Depth];

    pub(crate) fn token(self) -> Dynamic {
        Dynamic::from_int(self as i64)
    }

    pub(crate) fn from_token(token: &Dynamic) -> Self {
        let number = token.as_int().unwrap_or(0);
        Self::ALL
            .into_iter()
            .find(|stop| *stop as i64 == number)
            .unwrap_or(Self::Time)
    }

    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Time => TIME,
            Self::Memory | Self::Nesting => MEMORY,
            Self::Depth => DEPTH,
        }
    }

    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Time => "the script took longer than `script_limits.time` allows",
            Self::Memory => "the script holds more than `script_limits.memory` allows",
            Self::Nesting => "a value is nested too deep",
            Self::Depth => "functions call each other deeper than `script_limits.depth` allows",
        }
    }
}

/// What one call has used so far.
#[derive(Default)]
struct Meter {
    running: Cell<bool>,
    /// When the call counts as long; no more once it does.
    long: Cell<Duration>,
    deadline: Cell<Duration>,
    memory: Cell<usize>,
    stack: Cell<usize>,
    stopped: Cell<Option<Stop>>,
    due: Cell<bool>,
    next_look: Cell<Duration>,
    next_look_operations: Cell<u64>,
    now: Cell<Duration>,
    operations: Cell<u64>,
    /// The clock is to be read at the next progress.
    look_at_clock: Cell<bool>,
    /// Bytes in the scope of each function in progress, as last seen.
    levels: RefCell<Vec<Option<usize>>>,
    log: RefCell<Log>,
}

#[derive(Default)]
struct Log {
    lines: Vec<String>,
    bytes: usize,
    full: bool,
}

thread_local! {
    static METER: Meter = Meter::default();
}

/// What a call may use, in the meter's terms.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    pub(crate) now: Duration,
    pub(crate) time: Duration,
    pub(crate) memory: usize,
}

/// A call being metered on this thread. Dropping it ends the metering, also when a panic unwinds.
pub(crate) struct Metered(());

impl Metered {
    /// Begins metering. `None` where a call is already in progress on this thread: a storage view
    /// that calls scripts would run them on the outer call's allowance.
    pub(crate) fn begin(allowance: Allowance) -> Option<Self> {
        METER.with(|meter| {
            if meter.running.replace(true) {
                return None;
            }
            meter
                .deadline
                .set(allowance.now.saturating_add(allowance.time));
            meter.long.set(allowance.now.saturating_add(LONG));
            meter.memory.set(allowance.memory);
            meter.stack.set(stack_address());
            meter.stopped.set(None);
            meter.due.set(false);
            meter.now.set(allowance.now);
            meter.next_look.set(allowance.now.saturating_add(LOOK));
            meter.next_look_operations.set(LOOK_OPERATIONS);
            meter.operations.set(0);
            meter.look_at_clock.set(false);
            Some(Self(()))
        })
    }

    /// What the call said in its log.
    pub(crate) fn take_log(&self) -> Vec<String> {
        METER.with(|meter| std::mem::take(&mut *meter.log.borrow_mut()).lines)
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        METER.with(|meter| {
            meter.running.set(false);
            meter.levels.borrow_mut().clear();
            if !meter.log.borrow().lines.is_empty() {
                *meter.log.borrow_mut() = Log::default();
            }
        });
    }
}

/// Roughly where the stack ends now.
#[inline(never)]
fn stack_address() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(std::hint::black_box(&here)).addr()
}

/// The engine's progress: `Some` ends the call.
pub(crate) fn progress(operations: u64, clock: &dyn Fn() -> Duration) -> Option<Dynamic> {
    METER.with(|meter| {
        if stack_address().abs_diff(meter.stack.get()) > STACK {
            meter.stopped.set(Some(Stop::Depth));
        }
        let looked_for = meter.look_at_clock.take();
        if (looked_for || operations.is_multiple_of(EVERY)) && meter.running.get() {
            let now = clock();
            meter.now.set(now);
            meter.operations.set(operations);
            if now > meter.long.get() {
                meter.long.set(Duration::MAX);
                priority::give_way();
            }
            if now > meter.deadline.get() {
                meter.stopped.set(Some(Stop::Time));
            }
            if now >= meter.next_look.get() || operations >= meter.next_look_operations.get() {
                meter.due.set(true);
            }
        }
        meter.stopped.get().map(Stop::token)
    })
}

/// Has the clock read at the next progress: a function is about to run that may take long.
pub(crate) fn look_at_clock() {
    METER.with(|meter| meter.look_at_clock.set(true));
}

/// Whether what the script holds should be looked at.
#[inline]
pub(crate) fn look_is_due() -> bool {
    METER.with(|meter| meter.due.get())
}

/// Measures what a function holds, and the `outside` values with it; an error ends the call.
pub(crate) fn look<'a>(
    level: usize,
    scope: &Scope<'_>,
    mut outside: impl Iterator<Item = &'a Dynamic>,
    clock: &dyn Fn() -> Duration,
) -> Result<(), Stop> {
    METER.with(|meter| {
        meter.due.set(false);
        let mut levels = meter.levels.borrow_mut();
        levels.resize(level + 1, None);
        levels[level] = None;
        let above: usize = levels.iter().flatten().sum();
        let unseen = levels.iter().take(level).skip(UNLIKE_LEVELS);
        let alike = 1 + unseen.filter(|seen| seen.is_none()).count();
        let mut measure = Measure {
            bytes: 0,
            room: meter.memory.get().saturating_sub(above) / alike,
        };
        let outcome = scope
            .iter_raw()
            .try_for_each(|(_, _, value)| measure.add(value, 0))
            .map(|()| measure.bytes)
            .and_then(|own| {
                outside
                    .try_for_each(|value| measure.add(value, 0))
                    .map(|()| own)
            });
        match outcome {
            Ok(own) => levels[level] = Some(own),
            Err(stop) => {
                meter.stopped.set(Some(stop));
                return Err(stop);
            }
        }
        let now = clock();
        let cost = now.saturating_sub(meter.now.get());
        meter.next_look.set(now.saturating_add(LOOK.max(cost)));
        let operations = meter.operations.get().saturating_add(LOOK_OPERATIONS);
        meter.next_look_operations.set(operations);
        Ok(())
    })
}

/// Bytes of values, until there is no room or they are nested too deep.
struct Measure {
    bytes: usize,
    room: usize,
}

impl Measure {
    /// A list's place for one value, and an object's for one field with its share of the tree.
    const VALUE: usize = size_of::<Dynamic>();
    const FIELD: usize = size_of::<Dynamic>() + 40;

    fn add(&mut self, value: &Dynamic, level: usize) -> Result<(), Stop> {
        if level > NESTING {
            return Err(Stop::Nesting);
        }
        // A method that is working on it, such as `map`, holds it: it is measured when that is done.
        if value.is_shared() && value.is_locked() {
            return Ok(());
        }
        if let Ok(array) = value.as_array_ref() {
            self.take(array.capacity() * Self::VALUE)?;
            for item in array.iter() {
                self.add(item, level + 1)?;
            }
        } else if let Ok(map) = value.as_map_ref() {
            self.take(map.len() * Self::FIELD)?;
            for (name, field) in map.iter() {
                self.take(name.len())?;
                self.add(field, level + 1)?;
            }
        } else if let Ok(text) = value.as_immutable_string_ref() {
            self.take(text.len())?;
        }
        Ok(())
    }

    fn take(&mut self, bytes: usize) -> Result<(), Stop> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > self.room {
            return Err(Stop::Memory);
        }
        Ok(())
    }
}

/// Says something in the log of the call on this thread. Past a bound the rest is dropped, and the last
/// line says so.
pub(crate) fn log(line: &str) {
    METER.with(|meter| {
        let mut log = meter.log.borrow_mut();
        if log.full {
            return;
        }
        if log.lines.len() >= LOG_LINES || log.bytes + line.len() > LOG_BYTES {
            log.full = true;
            log.lines
                .push("the script said more than fits its log; the rest is dropped".to_owned());
            return;
        }
        log.bytes += line.len();
        log.lines.push(line.to_owned());
    });
}
