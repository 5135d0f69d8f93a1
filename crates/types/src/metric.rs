//! The closed list of metrics: what `GET /metrics` shows, and what `docs/metrics.md` is made from.
//!
//! Every label takes its values from what is written in files (cycles, steps, connections and their methods), from
//! closed lists (codes, states, exits) or from this program. None comes from data, so the number of series is
//! bounded by the files: at the most some 40 a cycle, 9 a step, and 6 a method of a connection that is used.

use std::fmt;

/// What a metric's number does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MetricKind {
    /// It rises, from 0 when the server starts.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often something took so long, or was so large.
    Histogram(&'static [f64]),
}

impl MetricKind {
    /// As Prometheus names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

/// What a label says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// A cycle's id; none where a request named no cycle there is.
    Cycle,
    /// A step's id.
    Step,
    /// A step's exit.
    Exit,
    /// A connection's name.
    Connection,
    /// A connector's method.
    Method,
    /// What an HTTP answer was.
    Status,
    /// How something ended.
    End,
    /// Where something is.
    State,
    /// A code of the list of errors.
    Code,
    /// What a script is written in.
    Language,
    /// What became of something.
    Result,
    /// What was deleted.
    What,
    /// How much a log line matters.
    Level,
    /// The program's version.
    Version,
}

impl Label {
    /// Every label.
    pub const ALL: &'static [Self] = &[
        Self::Cycle,
        Self::Step,
        Self::Exit,
        Self::Connection,
        Self::Method,
        Self::Status,
        Self::End,
        Self::State,
        Self::Code,
        Self::Language,
        Self::Result,
        Self::What,
        Self::Level,
        Self::Version,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cycle => "cycle",
            Self::Step => "step",
            Self::Exit => "exit",
            Self::Connection => "connection",
            Self::Method => "method",
            Self::Status => "status",
            Self::End => "end",
            Self::State => "state",
            Self::Code => "code",
            Self::Language => "language",
            Self::Result => "result",
            Self::What => "what",
            Self::Level => "level",
            Self::Version => "version",
        }
    }

    /// Where its values come from.
    pub const fn values(self) -> &'static str {
        match self {
            Self::Cycle => {
                "the id of a cycle; empty where a webhook was asked for that no cycle has"
            }
            Self::Step => "the id of a step of the cycle",
            Self::Exit => "`then`, `else`, `catch`, `case`, `end`",
            Self::Connection => "the name of a connection",
            Self::Method => "a method of its connector; `http_request` for requests of scripts",
            Self::Status => {
                "`1xx` to `5xx`; of requests also `none` (no answer came) and `held` (nothing was sent: its turn comes later)"
            }
            Self::End => "`succeeded`, `failed`, `stopped`; of runs also `ignored`",
            Self::State => {
                "of loops `queued`, `running`, `waiting`; of runs `running`, `waiting`; of cycles as `cycle list` says it"
            }
            Self::Code => {
                "a code of the [list of errors](errors/README.md); `other` past the 200th code"
            }
            Self::Language => "`rhai`, `javascript`",
            Self::Result => "as the metric says",
            Self::What => "as the metric says",
            Self::Level => "`debug`, `info`, `warn`, `error`",
            Self::Version => "the program's version",
        }
    }
}

/// All there is to say of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricDef {
    /// Its name.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// What its number does.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [Label],
}

/// From half a millisecond to ten seconds: requests, webhooks.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// From a hundred microseconds to some seconds: commits, timers.
const FINE_SECONDS: &[f64] = &[
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0,
];
/// From ten microseconds to the longest time that a script has.
const SCRIPT_SECONDS: &[f64] = &[
    0.00001, 0.000025, 0.00005, 0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0,
];
/// How many units share a transaction.
pub const BATCH_UNITS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

const fn counter(name: &'static str, labels: &'static [Label], help: &'static str) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Counter,
        labels,
    }
}

const fn gauge(name: &'static str, labels: &'static [Label], help: &'static str) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Gauge,
        labels,
    }
}

const fn histogram(
    name: &'static str,
    labels: &'static [Label],
    buckets: &'static [f64],
    help: &'static str,
) -> MetricDef {
    MetricDef {
        name,
        help,
        kind: MetricKind::Histogram(buckets),
        labels,
    }
}

macro_rules! metrics {
    ($($variant:ident = $def:expr,)+) => {
        /// A metric.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each variant says what it is beside it")]
        pub enum Metric { $($variant),+ }

        impl Metric {
            /// Every metric, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// All there is to say of it.
            pub const fn def(self) -> MetricDef {
                use Label::*;
                match self { $(Self::$variant => $def),+ }
            }
        }
    };
}

metrics! {
    Webhooks = counter("velodrome_webhooks_total", &[Cycle, Status],
        "Requests to webhooks that were answered"),
    WebhookDuration = histogram("velodrome_webhook_duration_seconds", &[Cycle], SECONDS,
        "From the head of a webhook's request to its answer; for a caller who is held until the run responds"),
    LogViewers = gauge("velodrome_log_viewers", &[],
        "Who follows the log or an open page of the console at this moment"),

    Laps = counter("velodrome_laps_total", &[Cycle],
        "Laps that were accepted, first laps included"),
    Records = counter("velodrome_records_total", &[Cycle],
        "Records that lists brought"),
    Runs = counter("velodrome_runs_total", &[Cycle, End],
        "Runs that have ended; those of branches and items count too"),
    RunFailures = counter("velodrome_run_failures_total", &[Cycle, Code],
        "Runs that have failed, by the code they failed with"),
    Loops = gauge("velodrome_loops", &[Cycle, State],
        "Loops that have not ended"),
    LoopsEnded = counter("velodrome_loops_ended_total", &[Cycle, End],
        "Loops that have ended"),
    LoopsInMemory = gauge("velodrome_loops_in_memory", &[],
        "Loops with something under way; all others sleep in the store"),
    RunsAtStep = gauge("velodrome_runs_at_step", &[Cycle, Step, State],
        "Runs that are at a step"),
    StepExits = counter("velodrome_step_exits_total", &[Cycle, Step, Exit],
        "Runs that left a step by this exit; of a list that is split, one for each item"),
    Handoffs = counter("velodrome_handoffs_total", &[Cycle],
        "Hand-offs that were accepted, by the cycle that posts"),
    Retries = counter("velodrome_retries_total", &[Cycle, Code],
        "Attempts that are made again later, by the code of what failed"),
    CycleState = gauge("velodrome_cycle_state", &[Cycle, State],
        "1 for the state that a cycle is in, 0 for the others"),

    TimerLateness = histogram("velodrome_timer_lateness_seconds", &[], FINE_SECONDS,
        "How much later than due a delay, a retry or a wait went on"),
    ScheduleStarts = counter("velodrome_schedule_starts_total", &[Cycle, Result],
        "Moments of schedules that came: `fired` or `skipped`"),

    Requests = counter("velodrome_requests_total", &[Connection, Method, Status],
        "Requests of steps and scripts; each attempt counts"),
    RequestDuration = histogram("velodrome_request_duration_seconds", &[Connection], SECONDS,
        "From asking for its turn to the last byte of the answer, or to its failure"),
    RequestsQueued = gauge("velodrome_requests_queued", &[],
        "Requests that wait for their turn at this moment"),
    ConnectionReady = gauge("velodrome_connection_ready", &[Connection],
        "1 where a connection can be used, 0 where somebody must sign in"),
    ConnectionRefreshes = counter("velodrome_connection_refreshes_total", &[Connection, Result],
        "Tokens that were asked for: `refreshed` or `failed`"),

    ScriptCalls = counter("velodrome_script_calls_total", &[Language, Result],
        "Calls of handlers and inline scripts: `ok` or `failed`"),
    ScriptDuration = histogram("velodrome_script_duration_seconds", &[Language], SCRIPT_SECONDS,
        "How long such a call took, waiting for a thread or a worker included"),
    ScriptWorkers = gauge("velodrome_script_workers", &[],
        "Worker processes for JavaScript"),

    Commits = counter("velodrome_commits_total", &[Result],
        "Units of work that were to be stored: `done`, `conflict`, `refused` (the disk is full, or a script's write is not taken), `unknown`"),
    CommitDuration = histogram("velodrome_commit_duration_seconds", &[], FINE_SECONDS,
        "From giving a unit of work to the store to its being durable"),
    CommitBatch = histogram("velodrome_commit_batch_units", &[], BATCH_UNITS,
        "How many units shared one transaction"),
    CommitQueue = gauge("velodrome_commit_queue", &[],
        "Units that wait for the next transaction"),
    JournalBytes = gauge("velodrome_journal_bytes", &[],
        "Bytes of the journal"),
    JournalLogBytes = gauge("velodrome_journal_wal_bytes", &[],
        "Bytes of the journal's write-ahead log"),
    LogLines = counter("velodrome_log_lines_total", &[Level],
        "Lines of the run log that were stored"),
    RetentionDeletions = counter("velodrome_retention_deletions_total", &[What],
        "What retention deleted: a `loop` each, and slices of old `laps` and `lines`"),

    NoticesPending = gauge("velodrome_error_webhook_pending", &[],
        "Notices of failed runs that have not been delivered"),
    Notices = counter("velodrome_error_webhook_attempts_total", &[Result],
        "Attempts to deliver one: `delivered`, `failed`, `given_up`"),

    ProcessCpu = counter("process_cpu_seconds_total", &[],
        "User and system time of this process; worker processes not included"),
    ProcessResident = gauge("process_resident_memory_bytes", &[],
        "Resident memory of this process"),
    ProcessVirtual = gauge("process_virtual_memory_bytes", &[],
        "Virtual memory of this process"),
    ProcessOpenFds = gauge("process_open_fds", &[],
        "Open file descriptors"),
    ProcessMaxFds = gauge("process_max_fds", &[],
        "The most file descriptors that may be open"),
    ProcessStart = gauge("process_start_time_seconds", &[],
        "When the process started, in seconds since 1970"),
    BuildInfo = gauge("velodrome_build_info", &[Version],
        "Always 1"),
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.def().name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_conventions_and_are_each_a_metrics_own() {
        let mut names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.def().name).collect();
        for metric in Metric::ALL {
            let MetricDef {
                name, help, kind, ..
            } = metric.def();
            let total = name.ends_with("_total");
            assert_eq!(total, kind == MetricKind::Counter, "{name}");
            let ours = ["velodrome_", "process_"];
            assert!(ours.iter().any(|ours| name.starts_with(ours)), "{name}");
            assert!(!help.is_empty() && !help.ends_with('.'), "{name}: {help}");
        }
        names.sort_unstable();
        let all = names.len();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn buckets_rise() {
        for metric in Metric::ALL {
            if let MetricKind::Histogram(buckets) = metric.def().kind {
                assert!(buckets.is_sorted_by(|a, b| a < b), "{metric}");
            }
        }
    }
}
