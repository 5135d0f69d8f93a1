//! What an engine counts for its operators: the metrics of `velodrome_types::Metric`, as Prometheus text.
//!
//! ```text
//!  commit ──▶ Tally (what its lines tell) ─┐
//!         ──▶ Flows (what its moves tell) ─┤
//!  perform, handlers, timers, server ──────┼──▶ counters, histograms ─┐
//!  plans, registry, store: asked when      │                          ├──▶ GET /metrics
//!  somebody looks ─────────────────────────┴──▶ gauges ───────────────┘
//! ```
//!
//! The crate `prometheus` without its features, and a registry of the engine's own. Not `metrics` with its
//! exporter: that records to one recorder of the process, while a simulation has hundreds of engines in one, and
//! keeps each sample of a histogram until somebody looks. Not `prometheus-client`: it writes OpenMetrics, of which
//! `promtool check metrics` takes the counters for untyped. Here a counter is an atomic that is found once: for each
//! cycle ([`of_cycle`]), each connection and method ([`of_requests`]) and each version's exits (`flows.rs`); no label
//! is written or hashed where a lap passes.
//!
//! What is told of runs is counted when their commit has succeeded; after a restart counters begin at 0, as
//! Prometheus expects. Gauges cost what there are cycles, steps and connections, never what there are runs.

mod of_cycle;
mod of_requests;
mod process;
mod scrape;
mod tally;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Counter, CounterVec, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter,
    IntCounterVec, Opts, Registry,
};
use velodrome_spec::plan::Language;
use velodrome_types::{Code, ConnectionId, CycleId, Level, Metric, MetricKind};

pub(crate) use of_cycle::{CycleMetrics, Ended};
use of_requests::ConnectionMetrics;
pub(crate) use of_requests::Outcome;

/// How many codes are told apart: the list of errors has fewer, and what a connector's file makes up must not grow
/// without bound.
const CODES: usize = 200;

/// The metrics of one kind, with all their labels.
#[derive(Debug)]
enum Family {
    Counter(IntCounterVec),
    Seconds(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
    /// The store counts it and is asked when somebody looks.
    OfStore,
}

/// The metrics of one engine.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    /// By place in `Metric::ALL`.
    families: Vec<Family>,
    cycles: RwLock<HashMap<CycleId, Arc<CycleMetrics>>>,
    connections: RwLock<HashMap<ConnectionId, Arc<ConnectionMetrics>>>,
    codes: Mutex<HashSet<String>>,
    /// One look at a time: gauges are set anew for each.
    looking: Mutex<()>,
    levels: [IntCounter; 4],
    scripts: [ScriptMetrics; 2],
    commits: [IntCounter; 4],
    pub(crate) commit_duration: Histogram,
    pub(crate) timer_lateness: Histogram,
    cpu: Counter,
}

#[derive(Debug)]
struct ScriptMetrics {
    ok: IntCounter,
    failed: IntCounter,
    duration: Histogram,
}

/// What became of a unit that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Done,
    Conflict,
    Refused,
    Unknown,
}

impl Stored {
    const ALL: [Self; 4] = [Self::Done, Self::Conflict, Self::Refused, Self::Unknown];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
            Self::Unknown => "unknown",
        }
    }
}

/// What became of an attempt to tell of a failed run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoticeTold {
    Delivered,
    Failed,
    GivenUp,
}

const LEVELS: [Level; 4] = [Level::Debug, Level::Info, Level::Warn, Level::Error];
const LANGUAGES: [(Language, &str); 2] = [
    (Language::Rhai, "rhai"),
    (Language::JavaScript, "javascript"),
];

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::new();
        let families: Vec<Family> = Metric::ALL
            .iter()
            .map(|metric| family(&registry, *metric))
            .collect();
        let all = Families(&families);
        let script = |(_, language): (Language, &str)| ScriptMetrics {
            ok: all.counter(Metric::ScriptCalls, &[language, "ok"]),
            failed: all.counter(Metric::ScriptCalls, &[language, "failed"]),
            duration: all.histogram(Metric::ScriptDuration, &[language]),
        };
        let commit = |stored: Stored| all.counter(Metric::Commits, &[stored.as_str()]);
        let level = |level: Level| all.counter(Metric::LogLines, &[level.as_str()]);
        Self {
            levels: LEVELS.map(level),
            scripts: LANGUAGES.map(script),
            commits: Stored::ALL.map(commit),
            commit_duration: all.histogram(Metric::CommitDuration, &[]),
            timer_lateness: all.histogram(Metric::TimerLateness, &[]),
            cpu: match &families[Metric::ProcessCpu as usize] {
                Family::Seconds(vec) => vec.with_label_values::<&str>(&[]),
                other => unreachable!("it is in seconds: {other:?}"),
            },
            registry,
            families,
            cycles: RwLock::default(),
            connections: RwLock::default(),
            codes: Mutex::default(),
            looking: Mutex::default(),
        }
    }
}

/// Makes the metrics of one name and has the registry show them.
fn family(registry: &Registry, metric: Metric) -> Family {
    let def = metric.def();
    let labels: Vec<&str> = def.labels.iter().map(|label| label.as_str()).collect();
    let opts = Opts::new(def.name, def.help);
    let known = "the list of metrics is checked by a test";
    let shown = |collector: Box<dyn Collector>| registry.register(collector).expect(known);
    match (metric, def.kind) {
        (Metric::CommitBatch, _) => Family::OfStore,
        (Metric::ProcessCpu, _) => {
            let vec = CounterVec::new(opts, &labels).expect(known);
            shown(Box::new(vec.clone()));
            Family::Seconds(vec)
        }
        (_, MetricKind::Counter) => {
            let vec = IntCounterVec::new(opts, &labels).expect(known);
            shown(Box::new(vec.clone()));
            Family::Counter(vec)
        }
        (_, MetricKind::Gauge) => {
            let vec = GaugeVec::new(opts, &labels).expect(known);
            shown(Box::new(vec.clone()));
            Family::Gauge(vec)
        }
        (_, MetricKind::Histogram(buckets)) => {
            let opts = HistogramOpts::from(opts).buckets(buckets.to_vec());
            let vec = HistogramVec::new(opts, &labels).expect(known);
            shown(Box::new(vec.clone()));
            Family::Histogram(vec)
        }
    }
}

/// Finds counters by their labels: where something is met first, or is rare.
#[derive(Clone, Copy, Debug)]
struct Families<'a>(&'a [Family]);

impl Families<'_> {
    fn counter(self, metric: Metric, labels: &[&str]) -> IntCounter {
        match &self.0[metric as usize] {
            Family::Counter(vec) => vec.with_label_values(labels),
            other => unreachable!("`{metric}` is a counter: {other:?}"),
        }
    }

    fn histogram(self, metric: Metric, labels: &[&str]) -> Histogram {
        match &self.0[metric as usize] {
            Family::Histogram(vec) => vec.with_label_values(labels),
            other => unreachable!("`{metric}` is a histogram: {other:?}"),
        }
    }

    fn gauges(self, metric: Metric) -> GaugeVec {
        match &self.0[metric as usize] {
            Family::Gauge(vec) => vec.clone(),
            other => unreachable!("`{metric}` is a gauge: {other:?}"),
        }
    }
}

impl Metrics {
    fn all(&self) -> Families<'_> {
        Families(&self.families)
    }

    /// A counter of several labels, for what happens rarely.
    fn counter(&self, metric: Metric, labels: &[&str]) -> IntCounter {
        debug_assert_eq!(metric.def().labels.len(), labels.len(), "{metric}");
        self.all().counter(metric, labels)
    }

    /// A cycle's own, found once for each thing that concerns it.
    pub(crate) fn of_cycle(&self, cycle: &CycleId) -> Arc<CycleMetrics> {
        let known = self.cycles.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = known.get(cycle) {
            return Arc::clone(metrics);
        }
        drop(known);
        let mut known = self.cycles.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(CycleMetrics::new(self, cycle));
        Arc::clone(known.entry(cycle.clone()).or_insert_with(new))
    }

    /// A code as a label.
    fn code(&self, code: &Code) -> String {
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        if codes.contains(code.as_str()) {
            return code.to_string();
        }
        if codes.len() >= CODES {
            return "other".to_owned();
        }
        codes.insert(code.to_string());
        code.to_string()
    }

    /// Where a step's exit is counted.
    pub(crate) fn exit(&self, cycle: &str, step: &str, exit: &str) -> IntCounter {
        self.counter(Metric::StepExits, &[cycle, step, exit])
    }

    /// A script has been called.
    pub(crate) fn script_called(&self, language: Language, well: bool, took: Duration) {
        let at = LANGUAGES.iter().position(|(known, _)| *known == language);
        let metrics = &self.scripts[at.unwrap_or_default()];
        match well {
            true => metrics.ok.inc(),
            false => metrics.failed.inc(),
        }
        metrics.duration.observe(took.as_secs_f64());
    }

    /// A unit was given to the store.
    pub(crate) fn committed(&self, stored: Stored, took: Duration) {
        self.commits[stored as usize].inc();
        self.commit_duration.observe(took.as_secs_f64());
    }

    /// An attempt was made to tell of a failed run.
    pub(crate) fn notice(&self, told: NoticeTold) {
        let result = match told {
            NoticeTold::Delivered => "delivered",
            NoticeTold::Failed => "failed",
            NoticeTold::GivenUp => "given_up",
        };
        self.counter(Metric::Notices, &[result]).inc();
    }
}

/// The class of an HTTP status, as a label.
fn class(status: u16) -> (usize, &'static str) {
    match status {
        ..200 => (0, "1xx"),
        200..300 => (1, "2xx"),
        300..400 => (2, "3xx"),
        400..500 => (3, "4xx"),
        500.. => (4, "5xx"),
    }
}

#[cfg(test)]
mod tests {
    use velodrome_types::Label;

    use super::*;

    #[test]
    fn codes_past_the_most_are_one() {
        let metrics = Metrics::default();
        for at in 0..CODES {
            let code = Code::from_text(format!("made.up_{at}"));
            assert_eq!(metrics.code(&code), code.as_str());
        }
        assert_eq!(metrics.code(&Code::new("one.more")), "other");
        assert_eq!(metrics.code(&Code::new("made.up_7")), "made.up_7");
    }

    #[test]
    fn labels_are_those_of_the_list() {
        let metrics = Metrics::default();
        metrics.exit("a", "b", "then").inc();
        let label = Metric::StepExits.def().labels.iter();
        let named: Vec<&str> = label.map(|label| Label::as_str(*label)).collect();
        let shown = metrics.registry.gather();
        let exits = shown
            .iter()
            .find(|family| family.name() == Metric::StepExits.def().name)
            .expect("it is shown");
        let mut told: Vec<&str> = exits.get_metric()[0]
            .get_label()
            .iter()
            .map(prometheus::proto::LabelPair::name)
            .collect();
        told.sort_by_key(|name| named.iter().position(|known| known == name));
        assert_eq!(told, named);
    }
}
