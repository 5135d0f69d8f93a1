//! A store whose commits crash the process, are refused or take their time.
//!
//! Commits are applied one after the other, in the order in which they were offered, by a task of their own
//! ([`Faulty::started`]), as a store with a committer thread does: between an offer and its commit other
//! things happen. While an engine starts they are applied at once.

mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::{Future, pending, ready};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use velodrome_runtime::simulated::VirtualTime;
use velodrome_store::{
    Commit, CommitError, Committed, MemoryStore, Namespace, Store, StoreError, Unit,
};
use velodrome_types::{ConnectionId, Timestamp};

/// What goes wrong, by the number of the commit, from 0.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// The process ends before this commit is written.
    pub crash_before: Option<u64>,
    /// The process ends when this commit is written, before anybody hears of it.
    pub crash_after: Option<u64>,
    /// The disk refuses these.
    pub refuse: BTreeSet<u64>,
    /// These take so long, and those behind them wait.
    pub hold: BTreeMap<u64, Duration>,
}

/// What becomes of a commit that somebody objects to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The process ends before it is written.
    Crash,
    /// It is answered so.
    Refuse(CommitError),
}

/// Looks at each commit and may object.
pub type Objection = Box<dyn Fn(&Unit) -> Option<Verdict> + Send + Sync>;

type Offered = (Unit, oneshot::Sender<Result<Committed, CommitError>>);

/// The store of one life of the process.
pub struct Faulty {
    inner: MemoryStore,
    faults: Faults,
    time: VirtualTime,
    crashed: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When each commit was begun.
    begun: Vec<Timestamp>,
    refused: u64,
    /// Offered, and not answered yet.
    under_way: u64,
    objection: Option<Objection>,
    /// Where commits are offered once the engine has started.
    offers: Option<mpsc::UnboundedSender<Offered>>,
}

impl Faulty {
    /// A store that goes on with what another one left.
    pub fn new(inner: MemoryStore, faults: Faults, time: VirtualTime) -> Arc<Self> {
        Arc::new(Self {
            inner,
            faults,
            time,
            crashed: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the process has ended.
    pub fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    /// How many commits were refused for want of room.
    pub fn refused(&self) -> u64 {
        self.lock().refused
    }

    /// When each commit was begun, in order.
    pub fn begun(&self) -> Vec<Timestamp> {
        self.lock().begun.clone()
    }

    /// How many commits have been offered and are not done.
    pub fn under_way(&self) -> u64 {
        self.lock().under_way
    }

    /// What a crash leaves behind.
    pub fn left(&self) -> MemoryStore {
        self.inner.reopened()
    }

    /// Somebody looks at each commit from now on; `None` lifts it.
    pub fn object(&self, objection: Option<Objection>) {
        self.lock().objection = objection;
    }

    /// The engine has started. Gives the task that commits from here on, to be added to the simulation; a
    /// crash leaves everybody who waits for a commit where they are.
    pub fn started(self: &Arc<Self>) -> impl Future<Output = ()> + Send + 'static {
        let (offers, mut offered) = mpsc::unbounded_channel::<Offered>();
        self.lock().offers = Some(offers);
        let store = Arc::clone(self);
        async move {
            while let Some((unit, answer)) = offered.recv().await {
                let number = store.begin();
                if let Some(hold) = store.faults.hold.get(&number) {
                    store.time.sleep(*hold).await;
                }
                let Some(commit) = store.apply(number, unit) else {
                    return store.crash();
                };
                let outcome = commit.await;
                store.lock().under_way -= 1;
                // Whoever offered it may have left: it is committed all the same.
                let _ = answer.send(outcome);
            }
        }
    }

    /// The process ends here.
    pub fn crash(&self) {
        self.crashed.store(true, Ordering::SeqCst);
        self.time.stand_still();
    }

    /// The number of the commit that begins.
    fn begin(&self) -> u64 {
        let now = self.time.now();
        let mut state = self.lock();
        state.begun.push(now);
        state.begun.len() as u64 - 1
    }

    /// What becomes of a commit; `None` is a crash.
    fn apply(&self, number: u64, unit: Unit) -> Option<Commit> {
        let verdict = self
            .lock()
            .objection
            .as_ref()
            .and_then(|objection| objection(&unit));
        if self.has_crashed()
            || self.faults.crash_before == Some(number)
            || matches!(verdict, Some(Verdict::Crash))
        {
            return None;
        }
        let commit = match verdict {
            Some(Verdict::Refuse(error)) => Box::pin(ready(Err(error))),
            _ if self.faults.refuse.contains(&number) => {
                self.lock().refused += 1;
                let why = "no space left on device".to_owned();
                Box::pin(ready(Err(CommitError::Refused(why))))
            }
            // The memory store writes at once: its answer need not be asked for.
            _ => self.inner.commit(unit),
        };
        (self.faults.crash_after != Some(number)).then_some(commit)
    }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faulty")
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

impl Store for Faulty {
    fn commit(&self, unit: Unit) -> Commit {
        let offers = self.lock().offers.clone();
        let Some(offers) = offers else {
            // Whoever starts an engine waits for this: even of a crash it has to hear something.
            let commit = if self.has_crashed() {
                None
            } else {
                self.apply(self.begin(), unit)
            };
            return commit.unwrap_or_else(|| {
                self.crash();
                let why = "the process is gone".to_owned();
                Box::pin(ready(Err(CommitError::Unknown(why))))
            });
        };
        self.lock().under_way += 1;
        let (answer, answered) = oneshot::channel();
        let offered = offers.send((unit, answer));
        Box::pin(async move {
            match (offered, answered.await) {
                (Ok(()), Ok(outcome)) => outcome,
                // The process is gone, and with it whoever waits here.
                _ => pending().await,
            }
        })
    }

    fn close(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>> {
        self.inner.close()
    }

    fn backup(&self) -> Result<std::fs::File, StoreError> {
        self.inner.backup()
    }

    fn size_bytes(&self) -> Result<u64, StoreError> {
        self.inner.size_bytes()
    }

    fn connection_namespaces(
        &self,
        connection: &ConnectionId,
    ) -> Result<Vec<Namespace>, StoreError> {
        self.inner.connection_namespaces(connection)
    }
}
