//! Telling of failed runs: what the outbox holds is delivered until it is taken, or three days have passed.
//!
//! ```text
//!  a run fails ──▶ its commit holds the notice ──wake──▶ the heads: the first notice of each cycle
//!                                                           │ one at a time to each place
//!                                    tried again later ◀────┴────▶ taken: its row goes
//! ```
//!
//! Where a notice goes is looked up at each attempt, from the present version of its cycle: a URL that was
//! wrong is mended by mending the file, and no row holds what an environment variable keeps secret. A place
//! that does not answer is left alone until its first notice is due again, so that notices reach it in the
//! order of their commits; one that is refused for what it is steps aside. Where a secret that is set makes
//! another place of the one that a notice waits for, the notice waits no longer.

use std::collections::{HashMap, HashSet};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use velodrome_core::{Delivery, Notice, NoticeTo, notice_to};
use velodrome_spec::expr::HookTarget;
use velodrome_store::{OutboxRow, OutboxWrite, StoreError, Unit};
use velodrome_types::{JsonMap, RetryPolicy, RetryTimes, RunId, Timestamp};

use crate::accept;
use crate::metrics::NoticeTold;
use crate::records::{StoredNotice, notice_of, tried_row};
use crate::shared::{Shared, UNREADABLE_PAUSE};

/// Places that are told at once: one that hangs must not keep the others waiting.
const AT_ONCE: usize = 8;
/// How long a place may take to answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a notice is tried.
pub(crate) const GIVEN_UP: Duration = Duration::from_secs(3 * 24 * 3600);
/// The gaps between attempts: as those of a step, but up to an hour.
const GAPS: RetryPolicy = RetryPolicy {
    times: RetryTimes::Backoff(u32::MAX),
    first: Duration::from_secs(1),
    factor: 2.0,
    max: Duration::from_secs(3600),
};
/// The longest gap for a cycle of this server: asking it costs nothing, and it may be started any moment.
const HOOK_GAP: Duration = Duration::from_secs(60);
/// After so many looks, an hour apart, a notice that cannot be read is given up.
const UNREADABLE_LOOKS: u32 = 72;
/// How long is waited before a write is offered again that the disk refused.
const REFUSED_PAUSE: Duration = Duration::from_millis(500);

/// Wakes the task when notices were committed, or may go elsewhere.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    woken: Notify,
    /// Whether notices that wait may go elsewhere now.
    moved: AtomicBool,
}

impl Outbox {
    pub(crate) fn wake(&self) {
        self.woken.notify_one();
    }

    /// What places are made of has changed: notices that wait for one that is theirs no more are due.
    pub(crate) fn places_changed(&self) {
        self.moved.store(true, Ordering::Release);
        self.wake();
    }
}

/// A notice by its run and number.
type Id = (RunId, u64);

/// What became of an attempt.
enum Told {
    /// It was taken, or nobody is to be told any more.
    Done,
    /// It is tried again then; with `whole`, nothing else goes there before.
    Later { at: Timestamp, whole: bool },
    /// The engine drains: the next start goes on.
    Left,
}

struct Ended {
    id: Id,
    place: String,
    told: Told,
}

type UnderWay = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Delivers until the engine drains; what is under way then is brought to its end.
pub(crate) async fn deliver(shared: Arc<Shared>) {
    let mut outbox = Delivering {
        shared: Arc::clone(&shared),
        under_way: FuturesUnordered::new(),
        ids: HashSet::new(),
        places: HashSet::new(),
        held: HashMap::new(),
    };
    outbox.hold_again();
    loop {
        let draining = shared.draining.is_cancelled();
        let next = if draining { None } else { outbox.begin() };
        if draining && outbox.under_way.is_empty() {
            return;
        }
        let until = async {
            match next {
                Some(next) => shared.clock.sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Some(ended) = outbox.under_way.next(), if !outbox.under_way.is_empty() => {
                outbox.ended(ended);
            }
            () = shared.outbox.woken.notified(), if !draining => {}
            () = until => {}
            () = shared.draining.cancelled(), if !draining => {}
        }
    }
}

/// The task's own state.
struct Delivering {
    shared: Arc<Shared>,
    under_way: FuturesUnordered<UnderWay>,
    ids: HashSet<Id>,
    /// Places with a notice under way.
    places: HashSet<String>,
    /// Places that did not answer, and until when they are left alone.
    held: HashMap<String, Timestamp>,
}

impl Delivering {
    /// Places that did not answer before the start are left alone as they would have been without it.
    fn hold_again(&mut self) {
        let now = self.shared.clock.now();
        let ever = Timestamp::from_millis(i64::MAX);
        // Where it cannot be read, the first look says so.
        for row in self.shared.store.outbox_heads(ever).unwrap_or_default() {
            if row.due > now
                && let Ok((known, place)) = whom(&self.shared, &row)
                && known.stored.holds
            {
                self.held.insert(place, row.due);
            }
        }
    }

    /// Begins what may begin now; gives when to look again.
    fn begin(&mut self) -> Option<Timestamp> {
        let now = self.shared.clock.now();
        match self.begin_heads(now) {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(%error, "the outbox cannot be read");
                Some(now.plus(UNREADABLE_PAUSE))
            }
        }
    }

    fn begin_heads(&mut self, now: Timestamp) -> Result<Option<Timestamp>, StoreError> {
        self.held.retain(|_, until| *until > now);
        let mut next = self.shared.store.outbox_next(now)?;
        let mut heads = match self.shared.outbox.moved.swap(false, Ordering::AcqRel) {
            true => self.moved_heads(now)?,
            false => Vec::new(),
        };
        heads.extend(self.shared.store.outbox_heads(now)?);
        for row in heads {
            let id = (row.run, row.number);
            if self.under_way.len() >= AT_ONCE {
                // The end of one of them looks again, at those that are not due yet too.
                if row.due > now {
                    self.shared.outbox.moved.store(true, Ordering::Release);
                }
                break;
            }
            if self.ids.contains(&id) {
                continue;
            }
            let (known, place) = match whom(&self.shared, &row) {
                Ok((known, place)) => (Ok(known), place),
                // Neither is a place: nothing else is kept waiting.
                Err(error) => (Err(error), format!("{}/{}", id.0, id.1)),
            };
            if let Some(until) = self.held.get(&place) {
                next = Some(next.map_or(*until, |next| next.min(*until)));
                continue;
            }
            if !self.places.insert(place.clone()) {
                continue;
            }
            self.ids.insert(id);
            let shared = Arc::clone(&self.shared);
            self.under_way.push(Box::pin(async move {
                let told = attempt(&shared, row, known).await;
                Ended { id, place, told }
            }));
        }
        Ok(next)
    }

    /// Notices that are not due because their place did not answer, and whose place is another now.
    fn moved_heads(&self, now: Timestamp) -> Result<Vec<OutboxRow>, StoreError> {
        let ever = Timestamp::from_millis(i64::MAX);
        let mut heads = self.shared.store.outbox_heads(ever)?;
        heads.retain(|row| {
            row.due > now
                && whom(&self.shared, row).is_ok_and(|(known, place)| {
                    known.stored.holds && !self.held.contains_key(&place)
                })
        });
        Ok(heads)
    }

    fn ended(&mut self, ended: Ended) {
        self.ids.remove(&ended.id);
        self.places.remove(&ended.place);
        if let Told::Later { at, whole: true } = ended.told {
            self.held.insert(ended.place, at);
        }
    }
}

/// A notice that could be read, and where it goes by what is said now.
struct Known {
    stored: StoredNotice,
    to: Option<NoticeTo>,
}

/// With a name for the place.
fn whom(shared: &Shared, row: &OutboxRow) -> Result<(Known, String), StoreError> {
    let stored = notice_of(&shared.vault, row)?;
    let notice = &stored.notice;
    let plan = match shared.plans.current(&notice.cycle) {
        Some(plan) => plan,
        None => shared.plans.of_run(&*shared.store, &notice.plan)?,
    };
    let to = notice_to(&plan, notice.of_notice, shared);
    let place = match &to {
        Some(NoticeTo::Hook(target)) => shared.hook_url_for(target),
        Some(NoticeTo::Url(url)) => url.clone(),
        Some(NoticeTo::Nowhere(_)) | None => format!("cycle {}", notice.cycle),
    };
    Ok((Known { stored, to }, place))
}

/// Why an attempt did not tell anybody.
struct Untold {
    why: String,
    /// What the place asks to wait.
    after: Option<Duration>,
    /// Whether others would fare alike there now.
    whole: bool,
    /// Whether it will never be taken.
    gone: bool,
}

/// One attempt, and the commit that says what became of it.
async fn attempt(shared: &Arc<Shared>, row: OutboxRow, known: Result<Known, StoreError>) -> Told {
    let Known { mut stored, to } = match known {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(run = %row.run, %error, "the notice of a failed run is left out");
            if row.attempts >= UNREADABLE_LOOKS {
                return remove(shared, &row).await;
            }
            let later = OutboxRow {
                due: shared.clock.now().plus(GAPS.max),
                attempts: row.attempts + 1,
                ..row
            };
            return put_off(shared, later, false).await;
        }
    };
    let notice = &stored.notice;
    let longest = match &to {
        Some(NoticeTo::Hook(_)) => HOOK_GAP,
        _ => GAPS.max,
    };
    let outcome = match to {
        None => {
            tracing::warn!(run = %notice.run, cycle = %notice.cycle, "nobody is to be told of a failed run any more");
            return remove(shared, &row).await;
        }
        Some(NoticeTo::Nowhere(why)) => Err(Untold {
            why,
            after: None,
            whole: true,
            gone: false,
        }),
        Some(NoticeTo::Hook(target)) => to_hook(shared, &row, notice, &target).await,
        Some(NoticeTo::Url(url)) => to_url(shared, notice, &url).await,
    };
    let untold = match outcome {
        Ok(committed) => {
            shared.metrics.notice(NoticeTold::Delivered);
            return match committed {
                true => Told::Done,
                false => remove(shared, &row).await,
            };
        }
        Err(untold) => untold,
    };
    if shared.draining.is_cancelled() {
        return Told::Left;
    }
    let now = shared.clock.now();
    let (run, cycle, why) = (notice.run, &notice.cycle, untold.why);
    if untold.gone || now.since(notice.at) >= GIVEN_UP {
        let attempts = row.attempts + 1;
        shared.metrics.notice(NoticeTold::GivenUp);
        tracing::error!(%run, %cycle, attempts, "given up: nobody was told of a failed run: {why}");
        return remove(shared, &row).await;
    }
    shared.metrics.notice(NoticeTold::Failed);
    let gap = GAPS
        .gap(row.attempts + 1, shared.random.fraction())
        .unwrap_or(GAPS.max);
    let gap = gap.min(longest).max(untold.after.unwrap_or_default());
    tracing::warn!(
        %run, %cycle, again_in = velodrome_types::format_duration(gap),
        "`error_webhook` was not told of a failed run: {why}"
    );
    stored.holds = untold.whole;
    let later = tried_row(&row, &stored, now.plus(gap));
    put_off(shared, later, untold.whole).await
}

/// An ordinary acceptance, in one commit with the end of the notice; gives whether that is committed.
async fn to_hook(
    shared: &Arc<Shared>,
    row: &OutboxRow,
    notice: &Notice,
    target: &HookTarget,
) -> Result<bool, Untold> {
    let key = ("idempotency-key".to_owned(), notice.key().into());
    let delivery = Delivery {
        body: payload(shared, notice),
        headers: JsonMap::from_iter([key]),
        query: JsonMap::new(),
    };
    let told = OutboxWrite::Remove(row.run, row.number);
    let accepted = accept::told(shared, target, delivery, notice.origin(), told).await;
    match accepted {
        Ok(answer) if answer.status < 300 => Ok(true),
        Ok(answer) => Err(Untold {
            why: format!("`{}` answered {}", target.cycle, answer.status),
            after: None,
            whole: false,
            gone: false,
        }),
        Err(problem) => Err(Untold {
            why: format!("`{}` refused it: {}", target.cycle, problem.detail),
            after: None,
            whole: matches!(problem.status, 404 | 409 | 429 | 503),
            gone: false,
        }),
    }
}

async fn to_url(shared: &Shared, notice: &Notice, url: &str) -> Result<bool, Untold> {
    let (body, key) = (payload(shared, notice), notice.key());
    let sent = shared.connect.notify(url, body, &key, TIMEOUT);
    match sent.await {
        Ok(status) => {
            tracing::debug!(run = %notice.run, status, "`error_webhook` was told of a failed run");
            Ok(false)
        }
        Err(error) => Err(Untold {
            whole: error
                .status
                .is_none_or(|status| matches!(status, 408 | 425 | 429 | 500..=599)),
            gone: error.status == Some(410),
            why: error.message,
            after: error.retry_after,
        }),
    }
}

fn payload(shared: &Shared, notice: &Notice) -> velodrome_types::Json {
    notice.payload(&shared.run_url(notice.run))
}

async fn remove(shared: &Shared, row: &OutboxRow) -> Told {
    let write = OutboxWrite::Remove(row.run, row.number);
    match commit(shared, write).await {
        true => Told::Done,
        false => Told::Left,
    }
}

async fn put_off(shared: &Shared, later: OutboxRow, whole: bool) -> Told {
    let at = later.due;
    match commit(shared, OutboxWrite::Put(later)).await {
        true => Told::Later { at, whole },
        false => Told::Left,
    }
}

async fn commit(shared: &Shared, write: OutboxWrite) -> bool {
    let unit = Unit {
        outbox: vec![write],
        ..Unit::default()
    };
    match shared.commit_unit(unit, Some(REFUSED_PAUSE)).await {
        Ok(_) => true,
        Err(error) => {
            tracing::error!(%error, "what became of a notice was not stored: it is told again");
            false
        }
    }
}
