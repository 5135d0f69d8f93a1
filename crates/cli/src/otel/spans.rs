//! Lines of the run log to spans.
//!
//! A loop is a span, each of its runs a span below it, each request, wait and hand-off one below its run. A span is
//! made by the line that ends it. Where it began says the line itself, an id, or the run's line before, which is
//! remembered; what is no longer remembered is looked up. Ids of loops and runs give their spans' ids, a line's `seq`
//! that of any other. Nothing that a message or a payload holds is told.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{
    Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanLinks};
use velodrome_runtime::{LoopTrace, span_of_loop, span_of_run};
use velodrome_store::StoreError;
use velodrome_types::{Event, LogLine, LoopId, RunId, Timestamp};

/// Of so many runs it is remembered when their last line was; some megabytes. Past that all are forgotten, and what
/// is missed is looked up.
const REMEMBERED_RUNS: usize = 65_536;
/// Of so many loops it is remembered which trace they are part of.
const REMEMBERED_LOOPS: usize = 8_192;
/// What `error.type` is where no code says it.
const UNKNOWN: &str = "_OTHER";

/// What was stored, for what is not remembered.
pub(super) trait Past {
    /// The trace of a loop, of which this is a run.
    fn trace(&self, run: RunId, loop_id: LoopId) -> Result<Option<LoopTrace>, StoreError>;
    /// Some of the run's lines before this one, in order.
    fn before(&self, run: RunId, seq: u64) -> Result<Vec<LogLine>, StoreError>;
    /// Whether the run ended because `after_webhook` returned false.
    fn is_ignored(&self, run: RunId) -> Result<bool, StoreError>;
}

/// Makes spans of lines as they come.
#[derive(Debug)]
pub(super) struct Spans {
    scope: InstrumentationScope,
    began: HashMap<RunId, Began>,
    loops: HashMap<LoopId, Option<LoopTrace>>,
}

/// When what a run does now began.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Began {
    /// It goes on since then.
    At(Timestamp),
    /// It waits since then, whatever is told meanwhile.
    Waiting(Timestamp),
}

impl Began {
    /// What a line of the run makes of it.
    fn next(before: Option<Self>, line: &LogLine) -> Self {
        match (line.event, before) {
            (Event::DelayStarted | Event::WaitStarted, _) => Self::Waiting(line.time),
            (Event::WebhookAccepted | Event::WebhookIgnored, Some(waiting @ Self::Waiting(_)))
            | (Event::ScriptLogged, Some(waiting @ Self::Waiting(_))) => waiting,
            // The next attempt begins when it is due.
            (Event::RetryScheduled, _) => {
                let until = line.data.as_ref().and_then(|data| data["until"].as_str());
                let until = until.and_then(|until| Timestamp::parse(until).ok());
                Self::At(until.unwrap_or(line.time))
            }
            _ => Self::At(line.time),
        }
    }

    fn at(self) -> Timestamp {
        match self {
            Self::At(at) | Self::Waiting(at) => at,
        }
    }
}

/// What of a span its line says.
struct Made {
    id: [u8; 8],
    /// Its parent's; `None` is what the loop's trace says.
    parent: Option<[u8; 8]>,
    kind: SpanKind,
    name: String,
    start: Timestamp,
    more: Vec<KeyValue>,
    link: Option<RunId>,
}

impl Spans {
    pub(super) fn new() -> Self {
        Self {
            scope: InstrumentationScope::builder("velodrome")
                .with_version(env!("CARGO_PKG_VERSION"))
                .build(),
            began: HashMap::new(),
            loops: HashMap::new(),
        }
    }

    /// The span that ends with this line, if one does and its trace is recorded.
    pub(super) fn of(
        &mut self,
        line: &LogLine,
        past: &dyn Past,
    ) -> Result<Option<SpanData>, StoreError> {
        let (Some(run), Some(loop_id)) = (line.run, line.loop_id) else {
            return Ok(None);
        };
        let Some(trace) = self
            .trace(run, loop_id, past)?
            .filter(|trace| trace.sampled)
        else {
            return Ok(None);
        };
        let made = self.made(line, (run, loop_id), past)?;
        if is_end_of_run(line.event) {
            self.began.remove(&run);
        } else if !is_end_of_loop(line.event) {
            if self.began.len() >= REMEMBERED_RUNS {
                self.began.clear();
            }
            let next = Began::next(self.began.get(&run).copied(), line);
            self.began.insert(run, next);
        }
        if is_end_of_loop(line.event) {
            self.loops.remove(&loop_id);
        }
        Ok(made.map(|made| self.span(line, &trace, made)))
    }

    fn trace(
        &mut self,
        run: RunId,
        loop_id: LoopId,
        past: &dyn Past,
    ) -> Result<Option<LoopTrace>, StoreError> {
        if let Some(known) = self.loops.get(&loop_id) {
            return Ok(known.clone());
        }
        let found = past.trace(run, loop_id)?;
        if self.loops.len() >= REMEMBERED_LOOPS {
            self.loops.clear();
        }
        self.loops.insert(loop_id, found.clone());
        Ok(found)
    }

    fn made(
        &self,
        line: &LogLine,
        (run, loop_id): (RunId, LoopId),
        past: &dyn Past,
    ) -> Result<Option<Made>, StoreError> {
        let cycle = line
            .cycle
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        let below_run = |kind: SpanKind, start: Timestamp| Made {
            id: of_seq(line.seq),
            parent: Some(span_of_run(run)),
            kind,
            name: line
                .step
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            start,
            more: Vec::new(),
            link: None,
        };
        let made = match line.event {
            Event::LoopSucceeded | Event::LoopFailed | Event::LoopStopped => Made {
                id: span_of_loop(loop_id),
                parent: None,
                kind: SpanKind::Server,
                name: cycle,
                start: loop_id.made_at(),
                more: ["laps", "records"]
                    .into_iter()
                    .filter_map(|name| Some((name, line.data.as_ref()?[name].as_i64()?)))
                    .map(|(name, number)| KeyValue::new(format!("velodrome.{name}"), number))
                    .collect(),
                link: None,
            },
            // A run that waits for a request goes on waiting.
            Event::WebhookIgnored if !past.is_ignored(run)? => return Ok(None),
            event if is_end_of_run(event) || event == Event::WebhookIgnored => Made {
                id: span_of_run(run),
                parent: Some(span_of_loop(loop_id)),
                kind: SpanKind::Consumer,
                name: format!("{cycle} lap"),
                start: run.made_at(),
                more: Vec::new(),
                link: None,
            },
            Event::HandoffSent => Made {
                link: line.to.as_deref().and_then(|to| to.parse().ok()),
                ..below_run(SpanKind::Producer, line.time)
            },
            Event::ResponseReceived => {
                let Some(ms) = line.ms else { return Ok(None) };
                // Of all the items of a step together no URL is told.
                let kind = match line.url {
                    Some(_) => SpanKind::Client,
                    None => SpanKind::Internal,
                };
                below_run(kind, line.time.minus(Duration::from_millis(ms)))
            }
            Event::DelayEnded | Event::WaitEnded => {
                below_run(SpanKind::Internal, self.began(line, run, past)?)
            }
            // What was held back left nowhere: it has no attempt.
            Event::RetryScheduled if line.attempt.is_none() => return Ok(None),
            Event::RetryScheduled
            | Event::RequestFailed
            | Event::ScriptFailed
            | Event::HandoffFailed
            | Event::ItemFailed => {
                // A warning beside a good answer, and the list that begins again, are no attempts of their own.
                let told = line.code.as_ref().map(|code| code.as_str());
                if matches!(told, None | Some("paging.token_expired")) {
                    return Ok(None);
                }
                let start = match line.item {
                    // Others were under way beside it.
                    Some(_) => line.time,
                    None => self.began(line, run, past)?,
                };
                let kind = match line.event {
                    Event::RetryScheduled | Event::RequestFailed => SpanKind::Client,
                    Event::HandoffFailed => SpanKind::Producer,
                    _ => SpanKind::Internal,
                };
                below_run(kind, start)
            }
            _ => return Ok(None),
        };
        Ok(Some(made))
    }

    /// When what ends with this line began: with the run's line before.
    fn began(&self, line: &LogLine, run: RunId, past: &dyn Past) -> Result<Timestamp, StoreError> {
        if let Some(began) = self.began.get(&run) {
            return Ok(began.at());
        }
        let before = past.before(run, line.seq)?;
        let began = before
            .iter()
            .fold(None, |began, line| Some(Began::next(began, line)));
        Ok(began.map_or(line.time, Began::at))
    }

    fn span(&self, line: &LogLine, trace: &LoopTrace, made: Made) -> SpanData {
        let state = trace.state.as_deref().and_then(|state| state.parse().ok());
        let state: TraceState = state.unwrap_or_default();
        let id = TraceId::from_bytes(trace.trace);
        let context = |span: [u8; 8]| {
            let span = SpanId::from_bytes(span);
            SpanContext::new(id, span, TraceFlags::SAMPLED, false, state.clone())
        };
        let parent = made
            .parent
            .or(trace.above)
            .map_or(SpanId::INVALID, SpanId::from_bytes);
        let failed = is_failure(line.event);
        let code = line
            .code
            .as_ref()
            .map_or(UNKNOWN, |code| code.as_str())
            .to_owned();
        let mut attributes = attributes(line);
        attributes.extend(made.more);
        if failed {
            attributes.push(KeyValue::new("error.type", code.clone()));
        }
        let mut links = SpanLinks::default();
        let link = made
            .link
            .map(|run| Link::with_context(context(span_of_run(run))));
        links.links.extend(link);
        SpanData {
            span_context: context(made.id),
            parent_span_id: parent,
            parent_span_is_remote: made.parent.is_none() && trace.from_elsewhere,
            span_kind: made.kind,
            name: made.name.into(),
            start_time: system_time(made.start.min(line.time)),
            end_time: system_time(line.time),
            attributes,
            dropped_attributes_count: 0,
            events: Default::default(),
            links,
            status: match failed {
                true => Status::error(code),
                false => Status::Unset,
            },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// What is told of every span: ids and numbers, and where a request went.
fn attributes(line: &LogLine) -> Vec<KeyValue> {
    let text =
        |name: &'static str, value: Option<String>| value.map(|value| KeyValue::new(name, value));
    let number = |name: &'static str, value: Option<u64>| {
        value.map(|value| KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX)))
    };
    let of_run = !is_end_of_loop(line.event);
    let how = match line.event {
        Event::RunSucceeded | Event::LoopSucceeded => Some("succeeded"),
        Event::RunFailed | Event::LoopFailed => Some("failed"),
        Event::RunStopped | Event::LoopStopped => Some("stopped"),
        Event::WebhookIgnored => Some("ignored"),
        _ => None,
    };
    let step = line.step.as_ref().filter(|_| how.is_none());
    [
        text(
            "velodrome.cycle",
            line.cycle.as_ref().map(ToString::to_string),
        ),
        text("velodrome.version", line.version.clone().filter(|_| of_run)),
        text("velodrome.loop", line.loop_id.map(|id| id.to_string())),
        text(
            "velodrome.run",
            line.run.filter(|_| of_run).map(|id| id.to_string()),
        ),
        number("velodrome.lap", line.lap.filter(|_| of_run)),
        text("velodrome.step", step.map(ToString::to_string)),
        text("velodrome.status", how.map(str::to_owned)),
        text(
            "velodrome.handoff.run",
            line.to.clone().filter(|_| line.event == Event::HandoffSent),
        ),
        number("velodrome.item", line.item),
        number("velodrome.records", line.records),
        number("http.response.status_code", line.status.map(u64::from)),
        number(
            "http.request.resend_count",
            line.attempt
                .filter(|attempt| *attempt > 1)
                .map(|attempt| u64::from(attempt - 1)),
        ),
        text("url.full", line.url.clone()),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn is_end_of_run(event: Event) -> bool {
    matches!(
        event,
        Event::RunSucceeded | Event::RunFailed | Event::RunStopped
    )
}

fn is_end_of_loop(event: Event) -> bool {
    matches!(
        event,
        Event::LoopSucceeded | Event::LoopFailed | Event::LoopStopped
    )
}

fn is_failure(event: Event) -> bool {
    matches!(
        event,
        Event::RunFailed
            | Event::LoopFailed
            | Event::RetryScheduled
            | Event::RequestFailed
            | Event::ScriptFailed
            | Event::HandoffFailed
            | Event::ItemFailed
    )
}

/// The span of what a line ends that is neither a run nor a loop. Lines are numbered for ever.
fn of_seq(seq: u64) -> [u8; 8] {
    // Spread over all bits, as those who look at ids expect; the multiplier is odd, so no two are one.
    seq.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()
}

fn system_time(at: Timestamp) -> SystemTime {
    let millis = u64::try_from(at.as_millis()).unwrap_or_default();
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}
