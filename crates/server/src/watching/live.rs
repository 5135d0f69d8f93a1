//! `GET /live`: an event whenever something happened that a page of the console shows.
//!
//! The page asks for its own part again then; what is in it is no part of the event. Its id is the `seq` of the
//! newest line that matters, so that a browser that comes back, or a page that says with `after` what it shows
//! already, is told at once of what it missed.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;
use velodrome_runtime::Engine;
use velodrome_runtime::api::Problem;
use velodrome_store::{LogFilter, LogRead};
use velodrome_types::Role;

use super::allowed::Allowed;
use super::hub::Viewer;
use crate::access::{Caller, Guarded};
use crate::api::parameters::{Parameters, bad_parameter, seq};
use crate::app::App;
use crate::blocking::{blocking, unreadable};
use crate::openapi::{
    After, AtLeast, BadRequest, Conflict, LastEvent, LogLines, NotFound, OfCycle, OfEvent, OfLoop,
    OfRun, OfStep,
};
use crate::problem::Refusal;

/// The least time between two events: four a second are as many as an eye follows.
const PACE: Duration = Duration::from_millis(250);
/// Besides, each who watches waits this much longer for every one of them: each event makes a browser ask for a page,
/// and all of them together ask for no more than forty a second, however many there are.
const EACH: Duration = Duration::from_millis(25);
/// How long nothing is sent before a sign of life, for proxies and for noticing that a browser has gone.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const SIGN_OF_LIFE: Bytes = Bytes::from_static(b": keep-alive\n\n");

const PARAMETERS: &[&str] = &["cycle", "loop", "run", "step", "level", "event", "after"];

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(show))]
pub(crate) struct Operations;

/// `/live`.
pub(crate) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/live", show)
}

#[utoipa::path(
    get,
    path = "/live",
    operation_id = "watch",
    tag = "log",
    summary = "An event whenever something happened, at most four a second",
    params(OfCycle, OfLoop, OfRun, OfStep, AtLeast, OfEvent, After, LastEvent),
    responses((status = 200, description = "Server-sent events: the `id` of each is the `seq` of the newest log line that matters. The answer has no end.", body = LogLines, content_type = "text/event-stream"), BadRequest, NotFound, Conflict)
)]
async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let shown = shown(query.as_deref(), &headers)?;
    let (filter, place, first) = blocking(&app, move |engine| {
        beginning(engine, query.as_deref(), shown)
    })
    .await?;
    let watching = Watching {
        viewer: app.hub.viewer(),
        allowed: Allowed::caller(&app, caller),
        shutdown: app.options.shutdown.clone(),
        filter,
        place,
        first,
        next: Instant::now(),
        over: false,
    };
    let mut response = Response::new(watching.into_body());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    // nginx would hold events back to fill its buffer.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// The line up to which the page shows what happened, if it says so: `Last-Event-ID`, else `after`.
fn shown(query: Option<&str>, headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let parameters = Parameters::read(query, PARAMETERS)?;
    let behind = |text: &str| {
        seq(text).ok_or_else(|| bad_parameter("after", format!("`{text}` is no `seq`")))
    };
    let after = parameters.text("after")?.map(behind).transpose()?;
    let Some(value) = headers.get("last-event-id") else {
        return Ok(after);
    };
    let last = value.to_str().ok().and_then(seq);
    last.map(Some)
        .ok_or_else(|| bad_parameter("Last-Event-ID", "it is no `seq`"))
}

fn filter(engine: &Engine, query: Option<&str>) -> Result<LogFilter, Problem> {
    let parameters = Parameters::read(query, PARAMETERS)?;
    let (looped, run) = (parameters.text("loop")?, parameters.text("run")?);
    Ok(LogFilter {
        cycle: parameters.name("cycle")?,
        loop_id: looped.map(|id| engine.find_loop(id)).transpose()?,
        run: run.map(|id| engine.find_run(id)).transpose()?,
        step: parameters.name("step")?,
        level: parameters.one("level")?,
        event: parameters.one("event")?,
        since: None,
    })
}

/// What to watch for and from where on, and the newest line that matters if the page does not show it yet.
fn beginning(
    engine: &Engine,
    query: Option<&str>,
    shown: Option<u64>,
) -> Result<(LogFilter, u64, Option<u64>), Problem> {
    let filter = filter(engine, query)?;
    let log = engine.store();
    let known = log.last_seq();
    let Some(shown) = shown else {
        return Ok((filter, known, None));
    };
    let lines = log.log_tail(1, &filter).map_err(unreadable)?;
    let newest = lines.last().map(|line| line.seq);
    let place = newest.map_or(known, |newest| newest.max(known));
    Ok((filter, place, newest.filter(|newest| *newest > shown)))
}

/// One who watches.
struct Watching<L: LogRead + ?Sized + 'static> {
    viewer: Viewer<L>,
    allowed: Allowed,
    shutdown: CancellationToken,
    filter: LogFilter,
    place: u64,
    /// What is to be told at once.
    first: Option<u64>,
    /// When the next event may be sent.
    next: Instant,
    over: bool,
}

impl<L: LogRead + ?Sized + 'static> Watching<L> {
    /// A body that ends at shutdown, and when its viewer may not see it any more, and breaks off where the store cannot be read.
    fn into_body(self) -> Body {
        Body::from_stream(stream::unfold(self, async |mut watching| {
            let event = watching.event().await?;
            watching.over = event.is_err();
            Some((event, watching))
        }))
    }

    async fn event(&mut self) -> Option<io::Result<Bytes>> {
        let shutdown = self.shutdown.clone();
        if self.over {
            return None;
        }
        tokio::select! {
            biased;
            () = shutdown.cancelled() => None,
            event = self.happened() => event,
        }
    }

    /// The next event, or a sign of life; none where nothing will happen any more.
    async fn happened(&mut self) -> Option<io::Result<Bytes>> {
        let silent = Instant::now() + KEEP_ALIVE;
        if let Some(seq) = self.first.take() {
            return Some(Ok(self.changed(seq)));
        }
        while self.allowed.still() {
            if self.place < self.viewer.newest() {
                sleep_until(self.next).await;
                match self.look().await {
                    Ok(Some(seq)) => return Some(Ok(self.changed(seq))),
                    Ok(None) => {}
                    Err(error) => return Some(Err(error)),
                }
                if silent <= Instant::now() {
                    return Some(Ok(SIGN_OF_LIFE));
                }
            } else {
                tokio::select! {
                    goes_on = self.viewer.changed() => if !goes_on { return None },
                    () = sleep_until(silent) => return Some(Ok(SIGN_OF_LIFE)),
                }
            }
        }
        None
    }

    /// Whether something matters in what is new.
    async fn look(&mut self) -> io::Result<Option<u64>> {
        let found = self.viewer.newest_match(self.place, &self.filter).await?;
        self.place = self.place.max(found.searched);
        self.next = Instant::now() + self.viewer.pace_of(PACE, EACH);
        Ok(found.lines.last().map(|line| line.seq()))
    }

    fn changed(&mut self, seq: u64) -> Bytes {
        self.next = Instant::now() + self.viewer.pace_of(PACE, EACH);
        Bytes::from(format!("event: changed\nid: {seq}\ndata: {seq}\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use velodrome_types::Level;

    use super::*;
    use crate::watching::growing::{Growing, Scene};

    struct Events(axum::body::BodyDataStream);

    impl Scene {
        /// Watches for warnings.
        fn live(&self, place: u64, first: Option<u64>) -> Events {
            let watching = Watching {
                viewer: self.hub.viewer(),
                allowed: Allowed::while_(|| true),
                shutdown: self.shutdown.clone(),
                filter: LogFilter {
                    level: Some(Level::Warn),
                    ..LogFilter::default()
                },
                place,
                first,
                next: Instant::now(),
                over: false,
            };
            Events(watching.into_body().into_data_stream())
        }
    }

    impl Events {
        async fn next(&mut self) -> Option<String> {
            let piece = self.0.next().await?;
            Some(String::from_utf8(piece.unwrap().to_vec()).unwrap())
        }

        async fn told(&mut self, seq: u64) {
            let event = format!("event: changed\nid: {seq}\ndata: {seq}\n\n");
            assert_eq!(self.next().await, Some(event));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn much_at_once_is_one_event_and_no_more_than_four_come_in_a_second() {
        let scene = Scene::new(Growing::default());
        let mut events = scene.live(0, None);
        scene.grow(500, Level::Warn);
        events.told(500).await;
        let begun = Instant::now();
        for seq in 501..=504 {
            scene.grow(1, Level::Warn);
            events.told(seq).await;
        }
        assert!(begun.elapsed() >= 4 * PACE, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_matters_is_told_and_life_is_shown_meanwhile() {
        let scene = Scene::new(Growing::default());
        let mut events = scene.live(0, None);
        scene.grow(5, Level::Info);
        assert_eq!(events.next().await.as_deref(), Some(": keep-alive\n\n"));
        scene.grow(1, Level::Error);
        scene.grow(5, Level::Info);
        events.told(6).await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_missed_is_told_at_once_and_then_it_goes_on() {
        let scene = Scene::new(Growing::default());
        scene.grow(9, Level::Warn);
        let mut events = scene.live(9, Some(9));
        events.told(9).await;
        scene.grow(1, Level::Warn);
        events.told(10).await;
        let shutdown = scene.shutdown.clone();
        let (end, ()) = tokio::join!(events.next(), async { shutdown.cancel() });
        assert_eq!(end, None);
    }

    #[test]
    fn a_browser_that_comes_back_says_what_it_has_seen_and_a_page_what_it_shows() {
        let check = |query: &str, last: Option<&'static str>, expect: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.extend(last.map(|last| {
                let name = axum::http::HeaderName::from_static("last-event-id");
                (name, HeaderValue::from_static(last))
            }));
            assert_eq!(shown(Some(query), &headers).unwrap(), expect, "{query}");
        };
        check("loop=last", None, None);
        check("loop=last&after=7", None, Some(7));
        check("after=7", Some("9"), Some(9));
        let wrong = shown(Some("follow=true"), &HeaderMap::new()).unwrap_err();
        assert_eq!(wrong.more["parameter"], "follow");
        assert!(shown(Some("after=x"), &HeaderMap::new()).is_err());
    }
}
