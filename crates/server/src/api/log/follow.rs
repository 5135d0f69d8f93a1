//! The log as it grows: a body that reads on when its viewer does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;
use velodrome_store::{LogFilter, LogRead};

use super::framing::Framing;

/// How many lines are read and sent at once: some 60 kB, a socket's buffer.
const CHUNK: usize = 200;
/// How often one follower reads at the most. A log that grows by thousands of commits a second is
/// read for each viewer forty times a second, and nobody sees the difference.
const PACE: Duration = Duration::from_millis(25);
/// How long nothing is sent before a sign of life: proxies give up after 30 s and more.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A place in the log, and what to send from there.
#[derive(Debug)]
pub(super) struct Follower<L: ?Sized> {
    pub(super) source: Arc<L>,
    pub(super) changed: watch::Receiver<u64>,
    pub(super) shutdown: CancellationToken,
    pub(super) filter: LogFilter,
    pub(super) framing: Framing,
    pub(super) place: u64,
}

/// What is under way between two pieces of the body.
struct Following<L: ?Sized> {
    follower: Follower<L>,
    first: Option<Bytes>,
    pace: Interval,
    over: bool,
}

impl<L: LogRead + ?Sized + 'static> Follower<L> {
    /// A body that begins with `first` and ends at shutdown. If the store cannot be read the body
    /// breaks off, so that its viewer sees that something is missing.
    pub(super) fn into_body(self, first: Bytes) -> Body {
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = Some(first).filter(|first| !first.is_empty());
        let following = Following {
            follower: self,
            first,
            pace,
            over: false,
        };
        Body::from_stream(stream::unfold(following, async |mut following| {
            let piece = following.next().await?;
            following.over = piece.is_err();
            Some((piece, following))
        }))
    }
}

impl<L: LogRead + ?Sized + 'static> Following<L> {
    /// The next piece of the body; none when it ends.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        while !self.over && !self.follower.shutdown.is_cancelled() {
            let newest = *self.follower.changed.borrow_and_update();
            if self.follower.place < newest.max(self.follower.source.last_seq()) {
                self.pace.tick().await;
                match self.read().await {
                    Ok(Read { bytes, .. }) if !bytes.is_empty() => return Some(Ok(bytes)),
                    // Nothing in this part matched; there may be more.
                    Ok(Read { went_on: true, .. }) => continue,
                    Ok(_) => {}
                    Err(error) => return Some(Err(error)),
                }
            }
            tokio::select! {
                biased;
                () = self.follower.shutdown.cancelled() => return None,
                changed = self.follower.changed.changed() => changed.ok()?,
                () = sleep(KEEP_ALIVE) => {
                    if let Some(sign) = self.follower.framing.keep_alive() {
                        return Some(Ok(sign));
                    }
                }
            }
        }
        None
    }

    /// Reads a chunk and moves on behind it.
    async fn read(&mut self) -> io::Result<Read> {
        let Follower {
            source,
            filter,
            framing,
            place,
            ..
        } = &self.follower;
        let (source, filter, framing, place) =
            (Arc::clone(source), filter.clone(), *framing, *place);
        let reading = tokio::task::spawn_blocking(move || {
            let (lines, searched) = source
                .log_after(place, &filter, CHUNK)
                .map_err(io::Error::other)?;
            Ok::<_, io::Error>((framing.write(&lines)?, searched))
        });
        let (bytes, searched) = reading
            .await
            .map_err(io::Error::other)
            .flatten()
            .inspect_err(|error| tracing::error!(%error, "a followed log could not be read"))?;
        let went_on = searched > place;
        self.follower.place = searched.max(place);
        Ok(Read { bytes, went_on })
    }
}

struct Read {
    bytes: Bytes,
    went_on: bool,
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;
    use velodrome_store::StoreError;
    use velodrome_types::{Event, Level, LogLine, Timestamp};

    use super::*;

    #[derive(Debug, Default)]
    struct Growing {
        lines: Mutex<Vec<LogLine>>,
        reads: AtomicUsize,
        broken: bool,
    }

    impl LogRead for Growing {
        fn log_after(
            &self,
            after: u64,
            filter: &LogFilter,
            limit: usize,
        ) -> Result<(Vec<LogLine>, u64), StoreError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            if self.broken {
                return Err(StoreError::Backend("on purpose".to_owned()));
            }
            let all = self.lines.lock().unwrap();
            let fits = all
                .iter()
                .filter(|line| line.seq > after && filter.matches(line));
            let lines: Vec<_> = fits.take(limit).cloned().collect();
            let searched = if lines.len() == limit {
                lines[limit - 1].seq
            } else {
                all.len() as u64
            };
            Ok((lines, searched))
        }

        fn log_tail(&self, _: usize, _: &LogFilter) -> Result<Vec<LogLine>, StoreError> {
            Ok(Vec::new())
        }

        fn last_seq(&self) -> u64 {
            self.lines.lock().unwrap().len() as u64
        }
    }

    struct Scene {
        log: Arc<Growing>,
        told: watch::Sender<u64>,
        shutdown: CancellationToken,
    }

    impl Scene {
        fn new(log: Growing) -> Self {
            let (told, _) = watch::channel(log.last_seq());
            Self {
                log: Arc::new(log),
                told,
                shutdown: CancellationToken::new(),
            }
        }

        fn grow(&self, by: u64, level: Level) {
            let mut lines = self.log.lines.lock().unwrap();
            for _ in 0..by {
                let seq = lines.len() as u64 + 1;
                let line = LogLine::new(Timestamp::default(), level, Event::ScriptLogged, "");
                lines.push(LogLine { seq, ..line });
            }
            self.told.send_replace(lines.len() as u64);
        }

        fn follow(&self, framing: Framing, place: u64, first: &'static str) -> Pieces {
            let follower = Follower {
                source: Arc::clone(&self.log),
                changed: self.told.subscribe(),
                shutdown: self.shutdown.clone(),
                filter: LogFilter {
                    level: Some(Level::Warn),
                    ..LogFilter::default()
                },
                framing,
                place,
            };
            let body = follower.into_body(Bytes::from_static(first.as_bytes()));
            Pieces(body.into_data_stream())
        }
    }

    struct Pieces(axum::body::BodyDataStream);

    impl Pieces {
        /// The next piece: the `seq`s of its lines, or a keep-alive as it is.
        async fn next(&mut self) -> Option<Result<Vec<u64>, String>> {
            let piece = match self.0.next().await? {
                Ok(piece) => String::from_utf8(piece.to_vec()).unwrap(),
                Err(error) => return Some(Err(error.to_string())),
            };
            if piece.starts_with(':') {
                return Some(Err(piece));
            }
            let seq = |line: &str| {
                serde_json::from_str::<LogLine>(line)
                    .ok()
                    .map(|line| line.seq)
            };
            Some(Ok(piece.lines().filter_map(seq).collect()))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_there_comes_in_chunks_and_then_what_is_added() {
        let scene = Scene::new(Growing::default());
        scene.grow(450, Level::Warn);
        let mut pieces = scene.follow(Framing::Lines, 10, "");
        assert_eq!(pieces.next().await, Some(Ok((11..=210).collect())));
        assert_eq!(pieces.next().await, Some(Ok((211..=410).collect())));
        assert_eq!(pieces.next().await, Some(Ok((411..=450).collect())));
        scene.grow(30, Level::Info);
        scene.grow(2, Level::Error);
        assert_eq!(pieces.next().await, Some(Ok(vec![481, 482])));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_read_for_a_viewer_who_does_not_read() {
        let scene = Scene::new(Growing::default());
        scene.grow(1_000, Level::Warn);
        let mut pieces = scene.follow(Framing::Lines, 0, "");
        assert_eq!(pieces.next().await, Some(Ok((1..=200).collect())));
        scene.grow(1_000, Level::Warn);
        sleep(Duration::from_secs(3600)).await;
        assert_eq!(scene.log.reads.load(Ordering::Relaxed), 1);
        assert_eq!(pieces.next().await, Some(Ok((201..=400).collect())));
    }

    #[tokio::test(start_paused = true)]
    async fn events_show_life_while_nothing_happens() {
        let scene = Scene::new(Growing::default());
        let mut pieces = scene.follow(Framing::Events, 0, "");
        assert_eq!(
            pieces.next().await,
            Some(Err(": keep-alive\n\n".to_owned()))
        );
        scene.grow(1, Level::Info);
        assert_eq!(
            pieces.next().await,
            Some(Err(": keep-alive\n\n".to_owned()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn it_begins_with_what_was_read_before_and_ends_at_shutdown() {
        let scene = Scene::new(Growing::default());
        scene.grow(3, Level::Warn);
        let mut pieces = scene.follow(Framing::Lines, 3, "first\n");
        assert_eq!(pieces.next().await, Some(Ok(vec![])));
        let shutdown = scene.shutdown.clone();
        let (end, ()) = tokio::join!(pieces.next(), async { shutdown.cancel() });
        assert_eq!(end, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_cannot_be_read_breaks_the_body_off() {
        let scene = Scene::new(Growing {
            broken: true,
            ..Growing::default()
        });
        scene.grow(1, Level::Warn);
        let mut pieces = scene.follow(Framing::Lines, 0, "");
        assert!(matches!(pieces.next().await, Some(Err(error)) if error.contains("on purpose")));
        assert_eq!(pieces.next().await, None);
    }
}
