//! Turns: requests of all runs leave as the process and the connections' limits let them, in turn between
//! cycles, then loops (SPEC §7).
//!
//! ```text
//!   enter ── free? ── Turn ──▶ request ──▶ dropped: the next one's turn
//!      │ no                                        ▲
//!      ├── waits ── its turn comes ────────────────┘
//!      └── shut for long ──▶ `request.held`: come again then
//! ```
//!
//! A request has its turn only when all that it needs is free at once, so one that waits for a slow
//! connection takes nothing from the others. What must wait long is sent back rather than kept: the run
//! waits in the store, not in memory.

mod lane;
mod queue;
mod window;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use velodrome_spec::connector::{Limits, MethodDef};
use velodrome_types::{ConnectionId, Timestamp};

use crate::connection::Connection;
use crate::error::{ErrorKind, RequestError};
use crate::process::Process;
use crate::transport::Asker;
use lane::Opening;
use queue::{GateId, Party, Queue, Ticket};

/// The longest wait for a limit that a request spends in memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands out turns. One for each process.
#[derive(Clone)]
pub(crate) struct Turns(Arc<Shared>);

struct Shared {
    process: Arc<dyn Process>,
    state: Mutex<State>,
    /// Held by the one request that looks at the clock for all that wait.
    watch: tokio::sync::Mutex<()>,
    /// A gate may open sooner than the watch knows.
    changed: Notify,
}

struct State {
    queue: Queue,
    /// Those that wait, each with who is told.
    waiting: HashMap<Ticket, oneshot::Sender<Called>>,
    closed: bool,
}

/// What becomes of one that waits.
enum Called {
    /// Its turn has come, at this moment.
    Go(Timestamp),
    /// Its gate stays shut until then.
    Held(Timestamp),
    /// The process ends.
    Closed,
}

/// A request's turn; the next one's comes when it is dropped.
pub(crate) struct Turn {
    turns: Turns,
    gate: GateId,
    /// When it came.
    pub(crate) since: Timestamp,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        state.queue.ended(&self.gate);
        self.turns.call_and_look(&mut state);
    }
}

/// Takes its ticket back when whoever waits goes away.
struct Waiting<'a> {
    turns: &'a Turns,
    gate: &'a GateId,
    party: &'a Party,
    ticket: Ticket,
    called: oneshot::Receiver<Called>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.lock();
        if state.waiting.remove(&self.ticket).is_some() {
            state.queue.withdraw(self.gate, self.party, self.ticket);
        } else if let Ok(Called::Go(_)) = self.called.try_recv() {
            // Its turn came as it went away.
            state.queue.ended(self.gate);
            self.turns.call_and_look(&mut state);
        }
    }
}

impl Turns {
    /// So many requests under way at once.
    pub(crate) fn new(workers: usize, process: Arc<dyn Process>) -> Self {
        Self(Arc::new(Shared {
            process,
            state: Mutex::new(State {
                queue: Queue::new(workers),
                waiting: HashMap::new(),
                closed: false,
            }),
            watch: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn of a request.
    ///
    /// Errors: `request.held`, where the connection may not be asked for long.
    pub(crate) async fn enter(
        &self,
        connection: &Connection,
        method: Option<&MethodDef>,
        asker: Option<&Asker>,
    ) -> Result<Turn, RequestError> {
        let limits = method.map(|method| &method.limits);
        let limits = limits.filter(|limits| **limits != Limits::default());
        let gate = GateId {
            connection: connection.id.clone(),
            method: limits
                .and(method)
                .map(|method| Arc::from(method.name.as_str())),
        };
        let none = Limits::default();
        let party = Party {
            cycle: asker.map(|asker| asker.cycle.clone()),
            member: asker.map(|asker| asker.loop_id),
        };
        self.come(
            gate,
            (&connection.def.limits, limits.unwrap_or(&none)),
            party,
        )
        .await
    }

    async fn come(
        &self,
        gate: GateId,
        limits: (&Limits, &Limits),
        party: Party,
    ) -> Result<Turn, RequestError> {
        let turn = |gate: &GateId, since| Turn {
            turns: self.clone(),
            gate: gate.clone(),
            since,
        };
        let waiting = {
            let now = self.0.process.now();
            let mut state = self.lock();
            if state.closed {
                return Err(closed());
            }
            state.queue.limit(&gate, limits.0, limits.1);
            if state.queue.goes(&gate, now) {
                drop(state);
                return Ok(turn(&gate, now));
            }
            if let Opening::At(then) = state.queue.opening(&gate, now)
                && then.since(now) > PATIENCE
            {
                return Err(held(&gate.connection, now, then));
            }
            let ticket = state.queue.wait(&gate, &party);
            let (tell, called) = oneshot::channel();
            state.waiting.insert(ticket, tell);
            self.0.changed.notify_one();
            Waiting {
                turns: self,
                gate: &gate,
                party: &party,
                ticket,
                called,
            }
        };
        match self.wait(waiting).await {
            Called::Go(since) => Ok(turn(&gate, since)),
            Called::Held(then) => Err(held(&gate.connection, self.0.process.now(), then)),
            Called::Closed => Err(closed()),
        }
    }

    async fn wait(&self, mut waiting: Waiting<'_>) -> Called {
        let _watch = tokio::select! {
            biased;
            called = &mut waiting.called => return called.unwrap_or(Called::Closed),
            watch = self.0.watch.lock() => watch,
        };
        loop {
            let now = self.0.process.now();
            let looks = {
                let mut state = self.lock();
                self.call(&mut state);
                state.queue.looks(now)
            };
            let opens = async {
                match looks {
                    Some(then) => self.0.process.sleep_until(then).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                called = &mut waiting.called => return called.unwrap_or(Called::Closed),
                () = self.0.changed.notified() => {}
                () = opens => {}
            }
        }
    }

    /// Calls all whose turn it is, and sends back those whose gate stays shut for long.
    fn call(&self, state: &mut State) {
        let now = self.0.process.now();
        while let Some(ticket) = state.queue.next(now) {
            if let Some(tell) = state.waiting.remove(&ticket) {
                // Whoever has just gone gives the turn back as it goes.
                let _ = tell.send(Called::Go(now));
            }
        }
        if state.waiting.is_empty() {
            return;
        }
        for (ticket, opens) in state.queue.give_up(now, now.plus(PATIENCE)) {
            if let Some(tell) = state.waiting.remove(&ticket) {
                let _ = tell.send(Called::Held(opens));
            }
        }
    }

    /// The same after something ended: what was full may be shut by time now.
    fn call_and_look(&self, state: &mut State) {
        self.call(state);
        if !state.waiting.is_empty() {
            self.0.changed.notify_one();
        }
    }

    /// The API asks this connection to wait: all of it does.
    pub(crate) fn hold(
        &self,
        connection: &ConnectionId,
        turn: &Turn,
        said: Option<Duration>,
        gaps: &[Duration],
    ) {
        let now = self.0.process.now();
        let mut state = self.lock();
        state.queue.of(connection).hold(turn.since, now, said, gaps);
        self.call_and_look(&mut state);
    }

    /// The API took a request of this connection.
    pub(crate) fn taken(&self, connection: &ConnectionId, turn: &Turn) {
        self.lock().queue.of(connection).taken(turn.since);
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    /// Nobody waits any more and none comes: the process ends.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut waiting: Vec<_> = std::mem::take(&mut state.waiting).into_iter().collect();
        waiting.sort_unstable_by_key(|(ticket, _)| *ticket);
        for (_, tell) in waiting {
            let _ = tell.send(Called::Closed);
        }
    }
}

fn held(connection: &ConnectionId, now: Timestamp, then: Timestamp) -> RequestError {
    let message = format!("connection `{connection}` may not be asked before {then}");
    RequestError {
        retry_after: Some(then.since(now)),
        ..RequestError::new(ErrorKind::Held, "request.held", message)
    }
}

fn closed() -> RequestError {
    let message = "the server is shutting down: its turn comes after the next start";
    RequestError {
        retry_after: Some(Duration::ZERO),
        ..RequestError::new(ErrorKind::Held, "request.held", message)
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turns")
            .field("waiting", &self.lock().waiting.len())
            .finish_non_exhaustive()
    }
}
