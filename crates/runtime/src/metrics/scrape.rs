//! One look at all metrics: gauges are set from what the engine has in memory, then all is written.

use prometheus::proto::{Bucket, Histogram, Metric as Shown, MetricFamily, MetricType};
use prometheus::{GaugeVec, TextEncoder};
use std::sync::PoisonError;
use velodrome_store::StoreStats;
use velodrome_types::{BATCH_UNITS, CycleState, Metric};

use super::Metrics;
use super::process::Process;
use crate::shared::Shared;

impl Metrics {
    /// All metrics of an engine in Prometheus' text format 0.0.4; so many follow its log.
    pub(crate) fn text(&self, shared: &Shared, viewers: usize) -> String {
        let _one = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        self.of_cycles(shared);
        self.of_connections(shared);
        let stats = shared.store.stats();
        self.of_store(&stats);
        self.of_process(shared);
        self.set(Metric::LogViewers, viewers as f64);
        self.set(Metric::LoopsInMemory, shared.registry.len() as f64);
        self.set(Metric::RequestsQueued, shared.connect.queued() as f64);
        let workers = shared.handlers.host.workers();
        self.set(Metric::ScriptWorkers, workers as f64);
        self.set(Metric::NoticesPending, shared.flows.notices() as f64);
        let mut families = self.registry.gather();
        families.push(batches(&stats));
        families.sort_by(|a, b| a.name().cmp(b.name()));
        TextEncoder::new()
            .encode_to_string(&families)
            .inspect_err(|error| tracing::error!(%error, "the metrics cannot be written"))
            .unwrap_or_default()
    }

    fn set(&self, metric: Metric, value: f64) {
        self.all()
            .gauges(metric)
            .with_label_values::<&str>(&[])
            .set(value);
    }

    /// Gauges of what may be gone the next time.
    fn anew(&self, metric: Metric) -> GaugeVec {
        let gauges = self.all().gauges(metric);
        gauges.reset();
        gauges
    }

    fn of_cycles(&self, shared: &Shared) {
        let [loops, at_step, states] =
            [Metric::Loops, Metric::RunsAtStep, Metric::CycleState].map(|metric| self.anew(metric));
        for cycle in shared.plans.ids() {
            // Its counters are there from the first look on, at 0.
            self.of_cycle(&cycle);
            let name = cycle.as_str();
            let state = shared.state_of(&cycle);
            for known in CycleState::ALL {
                let is = f64::from(u8::from(*known == state));
                states.with_label_values(&[name, known.as_str()]).set(is);
            }
            for (status, count) in shared.flows.loops(&cycle) {
                let of = loops.with_label_values(&[name, status.as_str()]);
                of.set(count as f64);
            }
            let Some(plan) = shared.plans.current(&cycle) else {
                continue;
            };
            for step in shared.flows.view(&plan).steps {
                let id = step.step.as_str();
                for (state, runs) in [("running", step.running), ("waiting", step.waiting)] {
                    let of = at_step.with_label_values(&[name, id, state]);
                    of.set(runs as f64);
                }
            }
        }
    }

    fn of_connections(&self, shared: &Shared) {
        let ready = self.anew(Metric::ConnectionReady);
        for (connection, is) in shared.connections.all() {
            let of = ready.with_label_values(&[connection.id.as_str()]);
            of.set(f64::from(u8::from(is)));
        }
    }

    fn of_store(&self, stats: &StoreStats) {
        self.set(Metric::CommitQueue, stats.queued as f64);
        self.set(Metric::JournalBytes, stats.journal_bytes as f64);
        self.set(Metric::JournalLogBytes, stats.log_bytes as f64);
    }

    fn of_process(&self, shared: &Shared) {
        let now = Process::now();
        let gauges = [
            (Metric::ProcessResident, now.resident),
            (Metric::ProcessVirtual, now.virt),
            (Metric::ProcessOpenFds, now.open_fds),
            (Metric::ProcessMaxFds, now.max_fds),
        ];
        for (metric, value) in gauges {
            if let Some(value) = value {
                self.set(metric, value as f64);
            }
        }
        if let Some(seconds) = now.cpu_seconds {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        let began = shared.clock.began().as_millis();
        self.set(Metric::ProcessStart, began as f64 / 1e3);
        self.all()
            .gauges(Metric::BuildInfo)
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1.0);
    }
}

/// The store's own histogram.
fn batches(stats: &StoreStats) -> MetricFamily {
    let mut below = 0;
    let buckets = BATCH_UNITS.iter().zip(stats.batches).map(|(bound, count)| {
        below += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(*bound);
        bucket.set_cumulative_count(below);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(stats.transactions);
    histogram.set_sample_sum(stats.units as f64);
    let mut shown = Shown::default();
    shown.set_histogram(histogram);
    let def = Metric::CommitBatch.def();
    let mut family = MetricFamily::default();
    family.set_name(def.name.to_owned());
    family.set_help(def.help.to_owned());
    family.set_field_type(MetricType::HISTOGRAM);
    family.set_metric(vec![shown]);
    family
}
