//! The log as it grows: a body that reads on when its viewer does.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use velodrome_store::{LogFilter, LogRead};

use super::framing::Framing;
use crate::watching::{Allowed, Viewer};

/// How many lines are sent at once.
const CHUNK: usize = 200;
/// About how many bytes: a socket's buffer. Lines of `payloads: full` have up to some 100 kB each.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long nothing is sent before a sign of life: proxies give up after 30 s and more.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A place in the log, and what to send from there.
#[derive(Debug)]
pub(super) struct Follower<L: LogRead + ?Sized + 'static> {
    pub(super) viewer: Viewer<L>,
    pub(super) allowed: Allowed,
    pub(super) shutdown: CancellationToken,
    pub(super) filter: LogFilter,
    pub(super) framing: Framing,
    pub(super) place: u64,
}

/// What is under way between two pieces of the body.
struct Following<L: LogRead + ?Sized + 'static> {
    follower: Follower<L>,
    first: Option<Bytes>,
    /// How many lines to ask for: as many as fill a piece.
    chunk: usize,
    /// When the next piece may be sent.
    next: Instant,
    over: bool,
}

impl<L: LogRead + ?Sized + 'static> Follower<L> {
    /// A body that begins with `first` and ends at shutdown, and when its viewer may not see it any more. If the store cannot be read the body
    /// breaks off, so that its viewer sees that something is missing.
    pub(super) fn into_body(self, first: Bytes) -> Body {
        let first = Some(first).filter(|first| !first.is_empty());
        let following = Following {
            follower: self,
            first,
            chunk: CHUNK,
            next: Instant::now(),
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
        let shutdown = self.follower.shutdown.clone();
        let mut silent = Instant::now() + KEEP_ALIVE;
        while !self.over && !shutdown.is_cancelled() && self.follower.allowed.still() {
            if self.follower.place < self.follower.viewer.newest() {
                let read = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return None,
                    read = self.read() => read,
                };
                match read {
                    // Nothing in this part matched; there may be more.
                    Ok(bytes) if bytes.is_empty() && Instant::now() < silent => continue,
                    Ok(bytes) if bytes.is_empty() => {}
                    found => return Some(found),
                }
            } else {
                tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return None,
                    goes_on = self.follower.viewer.changed() => match goes_on {
                        true => continue,
                        false => return None,
                    },
                    () = sleep_until(silent) => {}
                }
            }
            silent = Instant::now() + KEEP_ALIVE;
            if let Some(sign) = self.follower.framing.keep_alive() {
                return Some(Ok(sign));
            }
        }
        None
    }

    /// Reads a piece and moves on behind it.
    async fn read(&mut self) -> io::Result<Bytes> {
        sleep_until(self.next).await;
        let follower = &mut self.follower;
        let found = follower
            .viewer
            .after(follower.place, &follower.filter, self.chunk)
            .await?;
        let (bytes, written) = follower.framing.piece(&found.lines, CHUNK_BYTES)?;
        let searched = match found.lines.get(written) {
            Some(_) => found.lines[..written]
                .last()
                .map_or(follower.place, |line| line.seq()),
            None => found.searched,
        };
        if !found.lines.is_empty() {
            let whole = written == found.lines.len();
            self.chunk = if whole { written * 2 } else { written }.clamp(1, CHUNK);
            self.next = Instant::now() + follower.viewer.pace();
        }
        follower.place = searched.max(follower.place);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use futures_util::StreamExt;
    use tokio::time::sleep;
    use velodrome_types::{Level, LogLine};

    use super::*;
    use crate::watching::growing::{Growing, Scene};

    impl Scene {
        fn follow(&self, framing: Framing, place: u64, first: &'static str) -> Pieces {
            let follower = Follower {
                viewer: self.hub.viewer(),
                allowed: Allowed::while_({
                    let forbidden = self.forbidden.clone();
                    move || !forbidden.is_cancelled()
                }),
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
    async fn who_may_not_see_it_any_more_is_sent_no_more() {
        let scene = Scene::new(Growing::default());
        let mut pieces = scene.follow(Framing::Lines, 0, "");
        scene.grow(1, Level::Warn);
        assert_eq!(pieces.next().await, Some(Ok(vec![1])));
        scene.forbidden.cancel();
        // Also where there is nothing to send and no sign of life.
        assert_eq!(pieces.next().await, None);
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
