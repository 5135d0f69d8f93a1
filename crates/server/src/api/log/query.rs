//! Which lines a request for the log wants.

use axum::http::HeaderMap;
use velodrome_runtime::Engine;
use velodrome_runtime::api::Problem;
use velodrome_store::LogFilter;
use velodrome_types::Timestamp;

use super::framing::Framing;
use crate::api::parameters::{DEFAULT_LIMIT, Parameters, bad_parameter, seq};

const PARAMETERS: &[&str] = &[
    "cycle", "loop", "run", "step", "level", "event", "since", "after", "limit", "tail", "follow",
];

/// Where the answer begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Behind the line of this `seq`.
    After(u64),
    /// With the last so many matching lines.
    Tail(usize),
}

/// What is asked for.
#[derive(Debug, PartialEq)]
pub(super) struct LogQuery {
    filter: LogFilter,
    looped: Option<String>,
    run: Option<String>,
    /// Where to begin.
    pub(super) start: Start,
    /// The most lines of an answer that ends.
    pub(super) limit: usize,
    /// Whether it goes on with what is yet to come.
    pub(super) follow: bool,
    /// How lines are written.
    pub(super) framing: Framing,
}

impl LogQuery {
    /// Reads the request.
    ///
    /// `Last-Event-ID` goes before `after`, and both before `tail`: it is a browser coming back to an
    /// address that says where it first began. Without any of them `since` begins at that moment, and
    /// without that come the last `limit` lines.
    pub(super) fn read(
        query: Option<&str>,
        headers: &HeaderMap,
        now: Timestamp,
    ) -> Result<Self, Problem> {
        let parameters = Parameters::read(query, PARAMETERS)?;
        let framing = Framing::accepted(headers);
        let limit = parameters.count("limit", 1)?;
        let since = parameters.since(now)?;
        let behind = |text: &str| {
            seq(text).ok_or_else(|| bad_parameter("after", format!("`{text}` is no `seq`")))
        };
        let after = parameters.text("after")?.map(behind).transpose()?;
        let after = match headers.get("last-event-id") {
            Some(value) => {
                let last = value.to_str().ok().and_then(seq);
                Some(last.ok_or_else(|| bad_parameter("Last-Event-ID", "it is no `seq`"))?)
            }
            None => after,
        };
        let start = match (after, parameters.count("tail", 0)?, since) {
            (Some(after), _, _) => Start::After(after),
            (None, Some(tail), _) => Start::Tail(tail),
            (None, None, Some(_)) => Start::After(0),
            (None, None, None) => Start::Tail(limit.unwrap_or(DEFAULT_LIMIT)),
        };
        Ok(Self {
            filter: LogFilter {
                cycle: parameters.name("cycle")?,
                loop_id: None,
                run: None,
                step: parameters.name("step")?,
                level: parameters.one("level")?,
                event: parameters.one("event")?,
                since,
            },
            looped: parameters.text("loop")?.map(str::to_owned),
            run: parameters.text("run")?.map(str::to_owned),
            start,
            limit: limit.unwrap_or(DEFAULT_LIMIT),
            follow: parameters
                .flag("follow")?
                .unwrap_or(framing == Framing::Events),
            framing,
        })
    }

    /// The filter, with short ids looked up; blocks shortly.
    pub(super) fn filter(&self, engine: &Engine) -> Result<LogFilter, Problem> {
        Ok(LogFilter {
            loop_id: self
                .looped
                .as_deref()
                .map(|id| engine.find_loop(id))
                .transpose()?,
            run: self
                .run
                .as_deref()
                .map(|id| engine.find_run(id))
                .transpose()?,
            ..self.filter.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::ACCEPT;
    use velodrome_types::{CycleId, Event, Level, StepId};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_795_435_200_000);

    fn read(query: &str) -> Result<LogQuery, Problem> {
        LogQuery::read(Some(query), &HeaderMap::new(), NOW)
    }

    #[test]
    fn the_beginning_is_what_is_said_most_closely() {
        let check = |query: &str, start: Start, limit: usize| {
            let read = read(query).unwrap();
            assert_eq!((read.start, read.limit), (start, limit), "{query}");
        };
        check("", Start::Tail(50), 50);
        check("limit=7", Start::Tail(7), 7);
        check("tail=3", Start::Tail(3), 50);
        check("tail=0&follow=true", Start::Tail(0), 50);
        check("after=12", Start::After(12), 50);
        check("after=0&tail=3&limit=9", Start::After(0), 9);
        check("since=2h", Start::After(0), 50);
        check("since=2h&tail=3", Start::Tail(3), 50);
    }

    #[test]
    fn everything_else_narrows() {
        let read = read(
            "cycle=zoho&step=pause&level=warn&event=run.failed&since=1s&loop=last&run=84sn02q",
        )
        .unwrap();
        let filter = LogFilter {
            cycle: Some(CycleId::from("zoho")),
            step: Some(StepId::from("pause")),
            level: Some(Level::Warn),
            event: Some(Event::RunFailed),
            since: Some(Timestamp::from_millis(NOW.as_millis() - 1_000)),
            ..LogFilter::default()
        };
        assert_eq!(read.filter, filter);
        assert_eq!(read.looped.as_deref(), Some("last"));
        assert_eq!(read.run.as_deref(), Some("84sn02q"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, name) in [
            ("level=loud", "level"),
            ("event=run.broken", "event"),
            ("after=-1", "after"),
            ("after=last", "after"),
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("tail=-1", "tail"),
            ("follow=maybe", "follow"),
            ("since=soon", "since"),
            ("cycles=a", "cycles"),
        ] {
            let problem = read(query).unwrap_err();
            assert_eq!(problem.status, 400);
            assert_eq!(problem.more["parameter"], name, "{query}");
        }
    }

    #[test]
    fn a_browser_that_comes_back_goes_on_where_it_was() {
        let headers = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
            headers.insert("last-event-id", HeaderValue::from_static(id));
            headers
        };
        let query = LogQuery::read(Some("tail=10&after=3"), &headers("99"), NOW).unwrap();
        assert_eq!(query.start, Start::After(99));
        assert!(query.follow);
        assert_eq!(query.framing, Framing::Events);
        assert!(LogQuery::read(None, &headers("x"), NOW).is_err());
    }

    #[test]
    fn events_follow_unless_told_not_to_and_lines_when_told_to() {
        let mut events = HeaderMap::new();
        events.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let follow = |query: &str, headers: &HeaderMap| {
            LogQuery::read(Some(query), headers, NOW).unwrap().follow
        };
        assert!(follow("", &events));
        assert!(!follow("follow=false", &events));
        assert!(!follow("", &HeaderMap::new()));
        assert!(follow("follow=true", &HeaderMap::new()));
    }
}
