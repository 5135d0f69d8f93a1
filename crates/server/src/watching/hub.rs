//! Where viewers of the log meet: who reads, and when.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until};
use velodrome_store::{LogFilter, LogRead, StoreError};

use super::recent::{Line, Recent, Step};

/// The least time between two reads of what is new, unless one was not enough. A log that grows by thousands of
/// commits a second is read forty times a second, and nobody sees the difference.
const PACE: Duration = Duration::from_millis(25);
/// The part of a viewer in the time between two pieces that each is sent: all of them together are sent at most a
/// piece in so long, 32 MB a second.
const EACH: Duration = Duration::from_millis(2);
/// How many times as long as a read of one who is behind took, none other is made.
const REST: u32 = 3;

/// What viewers share.
pub(crate) struct Hub<L: ?Sized> {
    /// Told the newest line's `seq` with each commit that brought one.
    changed: watch::Receiver<u64>,
    recent: Mutex<Head>,
    /// Sent whenever a read of what is new is over.
    read: watch::Sender<()>,
    /// When the next one who is behind may read.
    catching_up: Semaphore,
    rested: Mutex<Instant>,
    viewers: AtomicUsize,
    source: Arc<L>,
}

/// The newest lines, and the one read that brings more.
struct Head {
    recent: Recent,
    reading: bool,
    /// When it may be read again.
    next: Instant,
}

impl<L: ?Sized> fmt::Debug for Hub<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("viewers", &self.viewers)
            .finish_non_exhaustive()
    }
}

/// Matching lines, oldest first, and up to where the log was looked through.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) lines: Vec<Arc<Line>>,
    pub(crate) searched: u64,
}

/// Which lines are wanted.
#[derive(Clone, Copy, Debug)]
enum Want {
    /// The first so many.
    First(usize),
    /// The newest.
    Newest,
}

/// One who watches.
#[derive(Debug)]
pub(crate) struct Viewer<L: LogRead + ?Sized + 'static> {
    hub: Arc<Hub<L>>,
    changed: watch::Receiver<u64>,
}

impl<L: LogRead + ?Sized + 'static> Hub<L> {
    /// Of this log; `changed` tells that it grew.
    pub(crate) fn new(source: Arc<L>, changed: watch::Receiver<u64>) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            changed,
            recent: Mutex::new(Head {
                recent: Recent::default(),
                reading: false,
                next: now,
            }),
            read: watch::channel(()).0,
            catching_up: Semaphore::new(1),
            rested: Mutex::new(now),
            viewers: AtomicUsize::new(0),
            source,
        })
    }

    /// One more who watches.
    pub(crate) fn viewer(self: &Arc<Self>) -> Viewer<L> {
        self.viewers.fetch_add(1, Ordering::Relaxed);
        Viewer {
            hub: Arc::clone(self),
            changed: self.changed.clone(),
        }
    }

    /// How many watch.
    pub(crate) fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    fn head(&self) -> MutexGuard<'_, Head> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn find(
        self: &Arc<Self>,
        place: u64,
        newest: u64,
        filter: &LogFilter,
        want: Want,
    ) -> io::Result<Found> {
        let mut read = self.read.subscribe();
        loop {
            read.borrow_and_update();
            match self.step(place, newest, filter, want) {
                Next::Found(found) => return Ok(found),
                Next::Behind => return self.catch_up(place, filter, want).await,
                Next::Read(flight) => flight.read().await?,
                Next::Later(at) => sleep_until(at).await,
                Next::BeingRead => {
                    // Never closed: it is this hub's own.
                    let _ = read.changed().await;
                }
            }
        }
    }

    fn step(self: &Arc<Self>, place: u64, newest: u64, filter: &LogFilter, want: Want) -> Next<L> {
        let mut head = self.head();
        let step = match want {
            Want::First(most) => head.recent.after(place, newest, filter, most),
            Want::Newest => head.recent.newest_after(place, newest, filter),
        };
        match step {
            Step::Here(lines, searched) => Next::Found(Found { lines, searched }),
            Step::Behind => Next::Behind,
            Step::Read(..) if head.reading => Next::BeingRead,
            Step::Read(..) if Instant::now() < head.next => Next::Later(head.next),
            Step::Read(behind, most) => {
                head.reading = true;
                Next::Read(Flight {
                    hub: Arc::clone(self),
                    behind,
                    most,
                })
            }
        }
    }

    /// A read of its own, for one whose place is not kept any more.
    async fn catch_up(
        self: &Arc<Self>,
        place: u64,
        filter: &LogFilter,
        want: Want,
    ) -> io::Result<Found> {
        let _turn = self.catching_up.acquire().await.map_err(io::Error::other)?;
        let rested = *self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        sleep_until(rested).await;
        let (source, filter) = (Arc::clone(&self.source), filter.clone());
        let begun = Instant::now();
        let found = blocking(move || match want {
            Want::First(most) => source.log_after(place, &filter, most),
            Want::Newest => {
                let known = source.last_seq();
                let lines = source.log_tail(1, &filter)?;
                let last = lines.last().map_or(0, |line| line.seq);
                Ok((
                    lines.into_iter().filter(|line| line.seq > place).collect(),
                    known.max(last),
                ))
            }
        });
        let (lines, searched) = found.await?;
        let now = Instant::now();
        *self.rested.lock().unwrap_or_else(PoisonError::into_inner) = now + (now - begun) * REST;
        Ok(Found {
            lines: lines.into_iter().map(Line::new).collect(),
            searched,
        })
    }
}

/// What to do next for a viewer.
enum Next<L: LogRead + ?Sized + 'static> {
    Found(Found),
    Behind,
    Read(Flight<L>),
    Later(Instant),
    BeingRead,
}

/// The one read of what is new. It goes on if the viewer who began it goes away, and whoever waits for it is told
/// when it is over, however it ends.
struct Flight<L: LogRead + ?Sized + 'static> {
    hub: Arc<Hub<L>>,
    behind: u64,
    most: usize,
}

impl<L: LogRead + ?Sized + 'static> Flight<L> {
    async fn read(self) -> io::Result<()> {
        blocking(move || {
            let flight = self;
            let (behind, most) = (flight.behind, flight.most);
            let all = LogFilter::default();
            let (lines, searched) = flight.hub.source.log_after(behind, &all, most)?;
            let mut head = flight.hub.head();
            let is_more = head.recent.extend(behind, most, lines, searched);
            head.next = Instant::now() + if is_more { Duration::ZERO } else { PACE };
            Ok(())
        })
        .await
    }
}

impl<L: LogRead + ?Sized + 'static> Drop for Flight<L> {
    fn drop(&mut self) {
        self.hub.head().reading = false;
        self.hub.read.send_replace(());
    }
}

/// Reads where it may block.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(read).await;
    done.map_err(io::Error::other)?
        .map_err(io::Error::other)
        .inspect_err(|error| tracing::error!(%error, "a followed log could not be read"))
}

impl<L: LogRead + ?Sized + 'static> Viewer<L> {
    /// The newest line's `seq`. [`Viewer::changed`] tells of what comes after this look.
    pub(crate) fn newest(&mut self) -> u64 {
        let told = *self.changed.borrow_and_update();
        told.max(self.hub.source.last_seq())
    }

    /// Completes when something was committed since the last look; `false` when nothing will be any more.
    pub(crate) async fn changed(&mut self) -> bool {
        self.changed.changed().await.is_ok()
    }

    /// How long a viewer waits at least between two pieces: the more there are the longer.
    pub(crate) fn pace(&self) -> Duration {
        self.pace_of(PACE, EACH)
    }

    /// The same where one alone waits for `least`, and many for `each` times as many as they are.
    pub(crate) fn pace_of(&self, least: Duration, each: Duration) -> Duration {
        let viewers = self.hub.viewers();
        least.max(each * u32::try_from(viewers).unwrap_or(u32::MAX))
    }

    /// The first lines behind `place` that match, at most `most`, of which there are none where none came up to
    /// what was searched.
    pub(crate) async fn after(
        &mut self,
        place: u64,
        filter: &LogFilter,
        most: usize,
    ) -> io::Result<Found> {
        let newest = self.newest();
        let want = Want::First(most);
        self.hub.find(place, newest, filter, want).await
    }

    /// The newest line behind `place` that matches.
    pub(crate) async fn newest_match(
        &mut self,
        place: u64,
        filter: &LogFilter,
    ) -> io::Result<Found> {
        let newest = self.newest();
        self.hub.find(place, newest, filter, Want::Newest).await
    }
}

impl<L: LogRead + ?Sized + 'static> Drop for Viewer<L> {
    fn drop(&mut self) {
        if self.hub.viewers.fetch_sub(1, Ordering::Relaxed) == 1 {
            // Nobody watches: what was kept for them is given back.
            self.hub.head().recent.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use velodrome_types::Level;

    use super::*;
    use crate::watching::growing::{Growing, Scene};

    /// Follows up to this line; gives the `seq`s that came.
    async fn up_to(viewer: &mut Viewer<Growing>, from: u64, to: u64) -> Vec<u64> {
        let (mut place, mut seen) = (from, Vec::new());
        while place < to {
            let found = viewer.after(place, &LogFilter::default(), 50).await;
            let found = found.unwrap();
            assert!(found.searched > place, "no way forward behind {place}");
            seen.extend(found.lines.iter().map(|line| line.seq()));
            place = found.searched;
        }
        seen
    }

    #[tokio::test(start_paused = true)]
    async fn a_hundred_viewers_are_read_for_once() {
        let scene = Scene::new(Growing::default());
        scene.grow(1_000, Level::Info);
        let mut viewers: Vec<_> = (0..100).map(|_| scene.hub.viewer()).collect();
        for (from, to) in [(1_000, 1_300), (1_300, 1_320)] {
            scene.grow(to - from, Level::Info);
            let all = viewers.iter_mut().map(|viewer| up_to(viewer, from, to));
            for seen in join_all(all).await {
                assert_eq!(seen, (from + 1..=to).collect::<Vec<_>>());
            }
        }
        assert_eq!(scene.reads(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_far_behind_misses_nothing_and_holds_nobody_up() {
        let scene = Scene::new(Growing::default());
        scene.grow(100_000, Level::Info);
        let (mut near, mut far) = (scene.hub.viewer(), scene.hub.viewer());
        let (seen, all) = tokio::join!(
            up_to(&mut near, 99_990, 100_000),
            up_to(&mut far, 0, 100_000)
        );
        assert_eq!(seen, (99_991..=100_000).collect::<Vec<_>>());
        assert_eq!(all, (1..=100_000).collect::<Vec<_>>());
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_goes_on_for_others_when_who_began_it_goes_away() {
        let scene = Scene::new(Growing::default());
        let (mut first, mut second) = (scene.hub.viewer(), scene.hub.viewer());
        scene.grow(10, Level::Info);
        let all = LogFilter::default();
        let mut begun = Box::pin(first.after(0, &all, 50));
        assert!(futures_util::poll!(begun.as_mut()).is_pending());
        drop(begun);
        let seen = tokio::time::timeout(Duration::from_secs(60), up_to(&mut second, 0, 10)).await;
        assert_eq!(seen.unwrap(), (1..=10).collect::<Vec<_>>());
        assert_eq!(scene.reads(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_goes_with_the_last_viewer() {
        let scene = Scene::new(Growing::default());
        scene.grow(10, Level::Info);
        for reads in 1..=2 {
            let mut viewer = scene.hub.viewer();
            up_to(&mut viewer, 0, 10).await;
            drop(viewer);
            assert_eq!(scene.reads(), reads);
        }
    }

    #[tokio::test]
    async fn the_more_viewers_the_longer_each_waits() {
        let scene = Scene::new(Growing::default());
        let one = scene.hub.viewer();
        assert_eq!(one.pace(), PACE);
        let many: Vec<_> = (0..99).map(|_| scene.hub.viewer()).collect();
        assert_eq!(one.pace(), Duration::from_millis(200));
        drop(many);
        assert_eq!(one.pace(), PACE);
    }
}
