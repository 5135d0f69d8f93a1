//! `GET /log`: the part that is asked for, and what follows it.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use utoipa::OpenApi;
use velodrome_runtime::Engine;
use velodrome_runtime::api::Problem;
use velodrome_store::{LogFilter, LogRead, StoreError};
use velodrome_types::{LogLine, Role};

use super::follow::Follower;
use super::framing::Framing;
use super::query::{LogQuery, Start};
use crate::access::{Caller, Guarded};
use crate::app::App;
use crate::blocking::{blocking, unreadable};
use crate::openapi::{
    After, AtLeast, BadRequest, Conflict, Follow, LastEvent, Limit, LogLines, NotFound, OfCycle,
    OfEvent, OfLoop, OfRun, OfStep, Since, Tail,
};
use crate::problem::Refusal;
use crate::watching::Allowed;

/// What is done here, as the document describes it.
#[derive(OpenApi)]
#[openapi(paths(show))]
pub(in crate::api) struct Operations;

/// `/log`.
pub(in crate::api) fn routes() -> Guarded {
    Guarded::new().get(Role::Read, "/log", show)
}

#[utoipa::path(
    get,
    path = "/log",
    operation_id = "show_log",
    tag = "log",
    summary = "The run log, as it stands or as it grows",
    params(OfCycle, OfLoop, OfRun, OfStep, AtLeast, OfEvent, Since, After, Limit, Tail, Follow, LastEvent),
    responses((status = 200, description = "Lines in order of commit: JSON lines, or server-sent events where `Accept` names them, each with its `seq` as `id` and the line as `data`.", content((LogLines = "application/x-ndjson"), (LogLines = "text/event-stream"))), BadRequest, NotFound, Conflict)
)]
async fn show(
    State(app): State<Arc<App>>,
    caller: Caller,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let query = LogQuery::read(query.as_deref(), &headers, app.options.now.read())?;
    let (framing, follow) = (query.framing, query.follow);
    let Beginning {
        filter,
        bytes,
        before,
        place,
    } = blocking(&app, move |engine| beginning(engine, &query)).await?;
    let since = filter.since;
    let body = if follow {
        let follower = Follower {
            viewer: app.hub.viewer(),
            allowed: Allowed::caller(&app, caller),
            shutdown: app.options.shutdown.clone(),
            filter,
            framing,
            place,
        };
        follower.into_body(bytes)
    } else {
        Body::from(bytes)
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, framing.media_type());
    // nginx would hold lines back to fill its buffer.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if follow {
        headers.insert(AFTER, HeaderValue::from(before));
    }
    let since = since.and_then(|since| HeaderValue::try_from(since.to_string()).ok());
    headers.extend(since.map(|since| (SINCE, since)));
    Ok(response)
}

/// Behind which line a followed log begins. A viewer that is cut off before it has got a line comes back with this
/// as `after`, and misses nothing.
const AFTER: HeaderName = HeaderName::from_static("velodrome-log-after");
/// What `since=2h` came to, for who comes back later for what follows.
const SINCE: HeaderName = HeaderName::from_static("velodrome-log-since");

/// What is sent at once, and where the log goes on behind it.
struct Beginning {
    filter: LogFilter,
    bytes: Bytes,
    /// The place behind which the lines at once begin.
    before: u64,
    place: u64,
}

fn beginning(engine: &Engine, query: &LogQuery) -> Result<Beginning, Problem> {
    let filter = query.filter(engine)?;
    let log = engine.store();
    let (lines, place) = match query.start {
        Start::Tail(count) => tail(log.as_ref(), count, &filter),
        // A follower reads from there by itself, in chunks.
        Start::After(after) if query.follow => Ok((Vec::new(), after)),
        Start::After(after) => behind(log.as_ref(), after, &filter, query.limit),
    }
    .map_err(unreadable)?;
    let bytes = written(query.framing, &lines)?;
    let before = lines.first().map_or(place, |line| line.seq - 1);
    Ok(Beginning {
        filter,
        bytes,
        before,
        place,
    })
}

fn written(framing: Framing, lines: &[LogLine]) -> Result<Bytes, Problem> {
    framing
        .write(lines)
        .map_err(|error| Problem::new(500, "engine.fault", error.to_string()))
}

/// The last `count` lines, and the place behind which others may come: what was committed before the
/// look is in it, whatever it matched.
fn tail<L: LogRead + ?Sized>(
    log: &L,
    count: usize,
    filter: &LogFilter,
) -> Result<(Vec<LogLine>, u64), StoreError> {
    let known = log.last_seq();
    let lines = log.log_tail(count, filter)?;
    let place = lines.last().map_or(known, |line| line.seq.max(known));
    Ok((lines, place))
}

/// Up to `limit` lines behind `after`; a store looks through a bounded part of the log at a time.
fn behind<L: LogRead + ?Sized>(
    log: &L,
    after: u64,
    filter: &LogFilter,
    limit: usize,
) -> Result<(Vec<LogLine>, u64), StoreError> {
    let newest = log.last_seq();
    let mut found = Vec::new();
    let mut place = after;
    while found.len() < limit && place < newest {
        let (lines, searched) = log.log_after(place, filter, limit - found.len())?;
        found.extend(lines);
        if searched <= place {
            break;
        }
        place = searched;
    }
    Ok((found, place))
}

#[cfg(test)]
mod tests {
    use velodrome_types::{Event, Level, Timestamp};

    use super::*;

    /// A log of lines 1 to 100, every tenth a warning, that is looked through seven lines at a time.
    #[derive(Debug)]
    struct Hundred;

    fn line(seq: u64) -> LogLine {
        let level = if seq.is_multiple_of(10) {
            Level::Warn
        } else {
            Level::Info
        };
        let at = Timestamp::from_millis(0);
        LogLine {
            seq,
            ..LogLine::new(at, level, Event::ScriptLogged, "")
        }
    }

    impl LogRead for Hundred {
        fn log_after(
            &self,
            after: u64,
            filter: &LogFilter,
            limit: usize,
        ) -> Result<(Vec<LogLine>, u64), StoreError> {
            let last = 100.min(after + 7);
            let all = (after + 1..=last).map(line);
            let lines: Vec<_> = all
                .filter(|line| filter.matches(line))
                .take(limit)
                .collect();
            let searched = if lines.len() == limit {
                lines[limit - 1].seq
            } else {
                last
            };
            Ok((lines, searched))
        }

        fn log_tail(&self, count: usize, filter: &LogFilter) -> Result<Vec<LogLine>, StoreError> {
            let fits = (1..=100)
                .rev()
                .map(line)
                .filter(|line| filter.matches(line));
            let mut lines: Vec<_> = fits.take(count).collect();
            lines.reverse();
            Ok(lines)
        }

        fn last_seq(&self) -> u64 {
            100
        }
    }

    fn seqs(found: (Vec<LogLine>, u64)) -> (Vec<u64>, u64) {
        (found.0.iter().map(|line| line.seq).collect(), found.1)
    }

    #[test]
    fn a_filter_does_not_cut_an_answer_short() {
        let warnings = LogFilter {
            level: Some(Level::Warn),
            ..LogFilter::default()
        };
        let ask = |after, limit| seqs(behind(&Hundred, after, &warnings, limit).unwrap());
        assert_eq!(ask(0, 3), (vec![10, 20, 30], 30));
        assert_eq!(ask(30, 3), (vec![40, 50, 60], 60));
        assert_eq!(ask(75, 50), (vec![80, 90, 100], 100));
        assert_eq!(ask(100, 50), (vec![], 100));
        assert_eq!(ask(500, 50), (vec![], 500));
    }

    #[test]
    fn a_tail_goes_on_behind_all_that_was_there() {
        let warnings = LogFilter {
            level: Some(Level::Warn),
            ..LogFilter::default()
        };
        let errors = LogFilter {
            level: Some(Level::Error),
            ..LogFilter::default()
        };
        let ask = |count, filter| seqs(tail(&Hundred, count, filter).unwrap());
        assert_eq!(ask(2, &warnings), (vec![90, 100], 100));
        assert_eq!(ask(2, &errors), (vec![], 100));
        assert_eq!(ask(0, &warnings), (vec![], 100));
    }
}
