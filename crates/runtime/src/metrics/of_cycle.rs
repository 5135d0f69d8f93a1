//! The counters of one cycle.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use prometheus::{Histogram, IntCounter};
use velodrome_core::Finish;
use velodrome_types::{Code, CycleId, Metric};

use super::{Metrics, class};

/// How a run has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Succeeded,
    Ignored,
    Stopped,
    Failed,
}

impl Ended {
    const ALL: [Self; 4] = [Self::Succeeded, Self::Ignored, Self::Stopped, Self::Failed];

    pub(crate) fn of(how: &Finish) -> Self {
        match how {
            Finish::Succeeded => Self::Succeeded,
            Finish::Ignored => Self::Ignored,
            Finish::Stopped => Self::Stopped,
            Finish::Failed(_) => Self::Failed,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Ignored => "ignored",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// The counters of one cycle; those that are rare are made when they are met.
#[derive(Debug)]
pub(crate) struct CycleMetrics {
    name: String,
    pub(super) laps: IntCounter,
    pub(super) records: IntCounter,
    pub(super) handoffs: IntCounter,
    runs: [IntCounter; 4],
    webhooks: [OnceLock<IntCounter>; 5],
    webhook_duration: OnceLock<Histogram>,
}

impl CycleMetrics {
    pub(super) fn new(metrics: &Metrics, cycle: &CycleId) -> Self {
        let name = cycle.as_str();
        let of = |metric| metrics.counter(metric, &[name]);
        Self {
            laps: of(Metric::Laps),
            records: of(Metric::Records),
            handoffs: of(Metric::Handoffs),
            runs: Ended::ALL.map(|how| metrics.counter(Metric::Runs, &[name, how.as_str()])),
            webhooks: Default::default(),
            webhook_duration: OnceLock::new(),
            name: name.to_owned(),
        }
    }

    /// A lap was accepted.
    pub(crate) fn lap(&self) {
        self.laps.inc();
    }

    /// A run has ended, with this code if it failed.
    pub(crate) fn ended(&self, metrics: &Metrics, how: Ended, code: Option<&Code>) {
        self.runs[how as usize].inc();
        if let Some(code) = code {
            let labels = [self.name.as_str(), &metrics.code(code)];
            metrics.counter(Metric::RunFailures, &labels).inc();
        }
    }
}

impl Metrics {
    /// A request to a webhook was answered; `cycle` is none where there is no such cycle.
    pub(crate) fn webhook_answered(&self, cycle: Option<&CycleId>, status: u16, took: Duration) {
        let (at, class) = class(status);
        let Some(cycle) = cycle else {
            self.counter(Metric::Webhooks, &["", class]).inc();
            return;
        };
        let metrics: Arc<CycleMetrics> = self.of_cycle(cycle);
        let name = metrics.name.as_str();
        let answered = || self.counter(Metric::Webhooks, &[name, class]);
        metrics.webhooks[at].get_or_init(answered).inc();
        let duration = || self.all().histogram(Metric::WebhookDuration, &[name]);
        metrics
            .webhook_duration
            .get_or_init(duration)
            .observe(took.as_secs_f64());
    }
}
