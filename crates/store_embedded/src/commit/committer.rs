//! The committer: one thread that owns the write connection.
//!
//! It takes all that waits, writes each unit or nothing of it, commits once, brings sled along, and then
//! answers all. No timer and no delay: while it is at the disk the next group gathers.
//!
//! How it fails (DESIGN, I8): a refused unit leaves nothing and is answered alone. A full disk refuses
//! what finds no room; nothing of that was written, and what only deletes gets the room that is kept for
//! it (`reserve.rs`). Any other failure of COMMIT leaves the outcome unknown: all of the group are told
//! so, and the store takes nothing any more.

use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;
use velodrome_store::{CommitError, Committed, StorageLimits, StoreError, Unit};

use super::forget::{give_back_up_to, give_some_back};
use super::queue::{Pending, Taken};
use super::storage::{Forgetter, give_back};
use super::unit::{Refusal, UnitWriter};
use crate::journal::{Counters, Meta, empty_log};
use crate::reserve::{RESERVE_BYTES, Reserve};
use crate::script_storage::{Rebuild, SledWrites};
use crate::shared::Shared;

type UnitResult = Result<Committed, CommitError>;
type Answer = oneshot::Sender<UnitResult>;

/// What the committer begins with.
#[derive(Debug)]
pub(crate) struct CommitterParts {
    pub(crate) conn: Connection,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Counters,
    pub(crate) limits: StorageLimits,
    /// What sled still lacks.
    pub(crate) rebuild: Option<Rebuild>,
    pub(crate) reserve: Reserve,
}

/// The thread's own state.
#[derive(Debug)]
pub(crate) struct Committer {
    conn: Connection,
    shared: Arc<Shared>,
    counters: Counters,
    limits: StorageLimits,
    rebuild: Option<Rebuild>,
    reserve: Reserve,
    forgetter: Forgetter,
    distrust_noted: bool,
    /// The file may have more free pages than are soon used again.
    gives_back: bool,
}

/// Ends the queue whatever way the thread ends, so that nobody waits for ever.
struct EndQueue(Arc<Shared>);

impl Drop for EndQueue {
    fn drop(&mut self) {
        let why = "the committer ended unexpectedly".to_owned();
        self.0.queue.end(Err(StoreError::Backend(why)));
    }
}

/// The transaction is not there, or nobody knows.
enum Lost {
    /// Nothing of it was written.
    Refused(String),
    /// Nothing of it was written: there is no room for it.
    Full(String),
    /// The disk failed while it was committed.
    Unknown(String),
}

fn answer_lost(answers: Vec<Answer>, lost: Lost) -> Result<(), String> {
    let (error, end) = match lost {
        Lost::Refused(why) | Lost::Full(why) => (CommitError::Refused(why), Ok(())),
        Lost::Unknown(why) => (CommitError::Unknown(why.clone()), Err(why)),
    };
    for answer in answers {
        drop(answer.send(Err(error.clone())));
    }
    end
}

impl Committer {
    pub(crate) fn new(parts: CommitterParts) -> Self {
        Self {
            conn: parts.conn,
            shared: parts.shared,
            counters: parts.counters,
            limits: parts.limits,
            rebuild: parts.rebuild,
            reserve: parts.reserve,
            forgetter: Forgetter::default(),
            distrust_noted: false,
            gives_back: false,
        }
    }

    /// Works until the store is closed, abandoned or unable to go on.
    pub(crate) fn run(mut self) {
        let _end = EndQueue(self.shared.clone());
        loop {
            let idle_work = self.rebuild.is_some() || self.gives_back;
            match self.shared.queue.take(idle_work) {
                Taken::Units(units) => {
                    if let Err(why) = self.commit(units) {
                        self.shared.queue.end(Err(StoreError::Backend(why)));
                        return;
                    }
                    self.rebuild_further();
                }
                Taken::Nothing => {
                    self.rebuild_further();
                    self.give_some_back();
                }
                Taken::Close => {
                    let shared = self.shared.clone();
                    shared.queue.end(self.close());
                    return;
                }
                Taken::End => {
                    self.shared.queue.end(Ok(()));
                    return;
                }
            }
        }
    }

    /// Commits a group and answers it. `Err` says why the store cannot go on.
    ///
    /// When the transaction is lost before it was committed, because there is no room for one of its
    /// units or SQLite rolled it back, each unit gets a transaction of its own.
    fn commit(&mut self, group: Vec<Pending>) -> Result<(), String> {
        let mut answers: Vec<Answer> = Vec::with_capacity(group.len());
        let mut units = Vec::with_capacity(group.len());
        for pending in group {
            answers.push(pending.answer);
            units.push(pending.unit);
        }
        if units.len() > 1 && self.reserve.hold() {
            match self.transaction(&units) {
                Ok(results) => {
                    for (answer, result) in answers.into_iter().zip(results) {
                        drop(answer.send(result));
                    }
                    return Ok(());
                }
                Err(lost @ Lost::Unknown(_)) => return answer_lost(answers, lost),
                Err(Lost::Refused(_) | Lost::Full(_)) => {}
            }
        }
        let mut waiting = answers.into_iter();
        for unit in &units {
            let Some(answer) = waiting.next() else { break };
            match self.alone(unit) {
                Ok(mut results) => drop(results.pop().map(|result| answer.send(result))),
                Err(lost @ (Lost::Refused(_) | Lost::Full(_))) => answer_lost(vec![answer], lost)?,
                Err(lost @ Lost::Unknown(_)) => {
                    // Those behind it were not tried.
                    for answer in waiting {
                        drop(answer.send(Err(CommitError::Closed)));
                    }
                    return answer_lost(vec![answer], lost);
                }
            }
        }
        Ok(())
    }

    /// Commits one unit, with the reserve's room if it only deletes and there is no other.
    fn alone(&mut self, unit: &Unit) -> Result<Vec<UnitResult>, Lost> {
        let group = slice::from_ref(unit);
        if !unit.only_deletes() {
            if self.reserve.hold() {
                return self.transaction(group);
            }
            let needs = RESERVE_BYTES >> 20;
            return Err(Lost::Full(format!(
                "the disk is full: only deletions go on until {needs} MiB are free"
            )));
        }
        let deleted = match self.transaction(group) {
            Err(Lost::Full(_)) if self.reserve.give_up() => {
                tracing::warn!(
                    "the disk is full: its reserve is used to delete what is no longer kept"
                );
                self.empty_log();
                self.transaction(group)?
            }
            tried => tried?,
        };
        self.regain_reserve();
        Ok(deleted)
    }

    /// A slice, while nobody waits.
    fn give_some_back(&mut self) {
        if !self.gives_back {
            return;
        }
        match give_some_back(&self.conn) {
            Ok(0) => {
                self.gives_back = false;
                // The file is as long as it was until the log is moved into it.
                self.empty_log();
            }
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "free pages of the journal could not be given back");
                self.gives_back = false;
            }
        }
    }

    /// Gives back what was deleted until there is room for the reserve, or nothing is left to give back.
    fn regain_reserve(&mut self) {
        while !self.reserve.hold() {
            match give_back_up_to(&self.conn, 0) {
                Ok(0) => return,
                Ok(_) => self.empty_log(),
                Err(error) => {
                    tracing::warn!(%error, "deleted pages of the journal could not be given back");
                    return;
                }
            }
        }
    }

    fn empty_log(&self) {
        if let Err(error) = empty_log(&self.conn) {
            tracing::warn!(%error, "the journal's write-ahead log could not be emptied");
        }
    }

    /// Commits units in one transaction, and brings sled along.
    fn transaction(&mut self, units: &[Unit]) -> Result<Vec<UnitResult>, Lost> {
        let names = self.shared.names.count();
        let before = self.counters;
        let mut writes = SledWrites::default();
        let written = self
            .write_units(units, &mut writes)
            .and_then(|results| self.commit_journal().map(|()| results));
        if written.is_ok() {
            self.shared.batches.count(units.len());
            let last_seq = self.counters.lines;
            self.shared.last_seq.store(last_seq, Ordering::Release);
            self.bring_sled_along(writes);
        } else {
            self.shared.names.truncate(names);
            self.counters = before;
        }
        written
    }

    fn write_units(
        &mut self,
        units: &[Unit],
        writes: &mut SledWrites,
    ) -> Result<Vec<UnitResult>, Lost> {
        run(&self.conn, "BEGIN IMMEDIATE").map_err(|error| self.abort(&error))?;
        let mut results = Vec::with_capacity(units.len());
        for unit in units {
            match self.write_unit(unit, writes) {
                Ok(committed) => results.push(Ok(committed)),
                Err(Refusal::Sqlite(error)) => return Err(self.abort(&error)),
                Err(refusal) => results.push(Err(refusal.into_commit_error())),
            }
        }
        if units.iter().any(|unit| !unit.forget.is_empty()) {
            give_some_back(&self.conn).map_err(|error| self.abort(&error))?;
            self.gives_back = true;
        }
        self.note_what_changed()
            .map_err(|error| self.abort(&error))?;
        Ok(results)
    }

    /// Writes one unit, or nothing.
    ///
    /// What can refuse a unit comes before its first write: its expectations, and its first write of
    /// script storage. Only a unit with more of those can be refused half-way, so only it stands under
    /// a savepoint, which costs a copy of every page that is touched.
    fn write_unit(&mut self, unit: &Unit, writes: &mut SledWrites) -> Result<Committed, Refusal> {
        let savepoint = unit.storage.len() > 1;
        let mark = writes.len();
        let mut counters = self.counters;
        counters.commits += 1;
        if savepoint {
            run(&self.conn, "SAVEPOINT unit")?;
        }
        let written = UnitWriter {
            conn: &self.conn,
            names: &self.shared.names,
            limits: &self.limits,
            counters: &mut counters,
            sled: writes,
        }
        .write(unit);
        match written {
            Ok(()) => self.counters = counters,
            Err(Refusal::Sqlite(error)) => return Err(error.into()),
            Err(_) => {
                writes.truncate(mark);
                if savepoint {
                    run(&self.conn, "ROLLBACK TO unit")?;
                }
            }
        }
        if savepoint {
            run(&self.conn, "RELEASE unit")?;
        }
        written.map(|()| Committed {
            order: counters.commits,
            last_seq: counters.lines,
        })
    }

    fn note_what_changed(&mut self) -> rusqlite::Result<()> {
        if !self.distrust_noted && self.shared.sled.is_distrusted() {
            Meta::Distrusted.set(&self.conn, 1)?;
            self.distrust_noted = true;
        }
        self.forgetter.forget_some(&self.conn)?;
        self.counters.save(&self.conn)
    }

    /// Before COMMIT nothing is on its way to the disk that a reader could ever see.
    fn abort(&self, error: &rusqlite::Error) -> Lost {
        self.roll_back_group();
        if is_full(error) {
            Lost::Full(error.to_string())
        } else {
            Lost::Refused(error.to_string())
        }
    }

    fn roll_back_group(&self) {
        if self.conn.is_autocommit() {
            return;
        }
        if let Err(error) = run(&self.conn, "ROLLBACK") {
            // The next BEGIN fails then, and its group is refused in turn.
            tracing::error!(%error, "a transaction of the journal could not be rolled back");
        }
    }

    fn commit_journal(&self) -> Result<(), Lost> {
        let Err(error) = run(&self.conn, "COMMIT") else {
            return Ok(());
        };
        // The write of a frame found no room: the frame that makes the transaction count was not
        // written, so it does not. Every other failure, of the fsync above all, leaves it open.
        if is_full(&error) {
            return Err(self.abort(&error));
        }
        Err(Lost::Unknown(error.to_string()))
    }

    fn bring_sled_along(&mut self, writes: SledWrites) {
        self.forgetter.count(writes.deletions());
        let marker = self.rebuild.is_none().then_some(self.counters.commits);
        self.shared.sled.apply(writes, marker);
        if self.forgetter.is_due() {
            let flushed = self.shared.sled.flush(self.counters.commits);
            // Where sled will be built anew it never catches up, and nothing has to be kept for it.
            if flushed || self.shared.sled.is_distrusted() || self.rebuild.is_some() {
                self.forgetter.begin(self.counters.commits);
            }
        }
    }

    fn rebuild_further(&mut self) {
        let Some(rebuild) = &mut self.rebuild else {
            return;
        };
        match rebuild.further(&self.conn, &self.shared.sled, self.counters.commits) {
            Ok(false) => {}
            Ok(true) => self.rebuild = None,
            Err(error) => {
                self.shared.sled.distrust(&error.to_string());
                self.rebuild = None;
            }
        }
    }

    /// Leaves both files so that the next start trusts sled as it stands.
    fn close(mut self) -> Result<(), StoreError> {
        let backend = |error: rusqlite::Error| StoreError::Backend(error.to_string());
        let at = self.counters.commits;
        let closed = self.shared.sled.close(at);
        let distrusted = self.shared.sled.is_distrusted();
        let whole = closed && !distrusted && self.rebuild.is_none();
        let mark = |conn: &Connection| -> rusqlite::Result<()> {
            let transaction = conn.unchecked_transaction()?;
            if whole {
                Forgetter::forget_all(&transaction, at)?;
                Meta::Closed.set(&transaction, at.cast_signed())?;
            } else if distrusted {
                Meta::Distrusted.set(&transaction, 1)?;
            }
            transaction.commit()
        };
        let marked = mark(&self.conn).map_err(backend);
        if self.rebuild.take().is_some() {
            self.shared.sled.discard();
        }
        self.shared.readers.close();
        let tidied = give_back(&self.conn, None).and_then(|()| empty_log(&self.conn));
        let closed = self.conn.close().map_err(|(_, error)| error);
        let mut lock = self
            .shared
            .lock
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *lock = None;
        drop(lock);
        marked?;
        tidied.map_err(backend)?;
        closed.map_err(backend)
    }
}

fn is_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::DiskFull)
}

fn run(conn: &Connection, sql: &str) -> rusqlite::Result<()> {
    conn.prepare_cached(sql)?.execute([])?;
    Ok(())
}
