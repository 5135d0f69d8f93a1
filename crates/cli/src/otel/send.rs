//! The task that reads the run log behind the engine and sends its spans.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use velodrome_runtime::{Engine, LoopTrace, TraceRules};
use velodrome_store::{LogFilter, StoreError};
use velodrome_types::{LogLine, LoopId, RunId, RunStatus};

use super::position::Position;
use super::settings::{self, Said};
use super::spans::{Past, Spans};
use crate::exit::Ended;

/// Lines read in one go: what makes a batch or two.
const CHUNK: usize = 1_000;
/// The last lines of a run among which one is looked for that is not remembered.
const LOOKED_AT: usize = 256;
/// How long is waited after a collector did not take a batch: this, and longer each time up to the most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the last spans may take where the server stops; what is not sent then is sent by the next start.
const LAST: Duration = Duration::from_secs(2);

/// Where spans go.
#[derive(Debug)]
pub(crate) struct Traces {
    said: Said,
    exporter: SpanExporter,
    position: Position,
}

impl Traces {
    /// What the environment says; `None` where nobody is to be sent spans.
    ///
    /// # Errors
    ///
    /// [`Ended::Invalid`] where a variable is wrong.
    pub(crate) fn of_environment(data: &Path) -> Result<Option<Self>> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let Some(said) = settings::read(&variable).map_err(Ended::Invalid)? else {
            return Ok(None);
        };
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(said.timeout)
            .build()
            .context("a client for the collector")?;
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .build()
            .map_err(|error| Ended::Invalid(format!("the variables `OTEL_…`: {error}")))?;
        exporter.set_resource(&resource(&variable));
        Ok(Some(Self {
            said,
            exporter,
            position: Position::in_folder(data),
        }))
    }

    /// What the engine does about traces.
    pub(crate) fn rules(&self) -> TraceRules {
        self.said.rules.clone()
    }

    /// Sends until the server stops.
    pub(crate) async fn send(self, engine: Engine, stop: CancellationToken) {
        let newest = engine.store().last_seq();
        let sent = self.position.read().map_or(newest, |sent| sent.min(newest));
        let mut sending = Sending {
            traces: self,
            reader: Arc::new(Mutex::new(Reader {
                engine: engine.clone(),
                spans: Spans::new(),
            })),
            sent,
        };
        sending.kept();
        let mut changed = engine.log_changed();
        let running = async {
            loop {
                sending.all().await;
                if changed.changed().await.is_err() {
                    return;
                }
                tokio::time::sleep(sending.traces.said.delay).await;
            }
        };
        tokio::select! {
            () = running => return,
            () = stop.cancelled() => {}
        }
        // What is under way ends now; the store closes behind it.
        if tokio::time::timeout(LAST, sending.all()).await.is_err() {
            tracing::warn!("not all spans were sent: the next start sends them");
        }
    }
}

/// Who the spans are of: `velodrome` unless the environment says otherwise.
fn resource(variable: settings::Variable<'_>) -> Resource {
    let built = Resource::builder().with_attribute(opentelemetry::KeyValue::new(
        "service.version",
        env!("CARGO_PKG_VERSION"),
    ));
    let named = variable("OTEL_SERVICE_NAME").is_some()
        || variable("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|said| said.contains("service.name="));
    match named {
        true => built.build(),
        false => built.with_service_name("velodrome").build(),
    }
}

/// Sending, with how far it has come.
struct Sending {
    traces: Traces,
    reader: Arc<Mutex<Reader>>,
    /// The `seq` up to which all is sent.
    sent: u64,
}

impl Sending {
    /// Sends what the log holds that was not sent, as it stands now.
    async fn all(&mut self) {
        loop {
            let (reader, after) = (Arc::clone(&self.reader), self.sent);
            let read = spawn_blocking(move || {
                let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
                reader.read(after)
            });
            let (spans, searched) = match read.await {
                Ok(Ok(read)) => read,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the run log cannot be read: its spans are sent later");
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, "spans cannot be made of the run log");
                    return;
                }
            };
            if searched <= after {
                return;
            }
            for batch in spans.chunks(self.traces.said.batch) {
                self.batch(batch).await;
            }
            self.sent = searched;
            self.kept();
        }
    }

    /// Sends a batch until it is taken. The log holds what comes meanwhile.
    async fn batch(&self, batch: &[SpanData]) {
        let mut pause = FIRST_PAUSE;
        let mut told = false;
        loop {
            match self.traces.exporter.export(batch.to_vec()).await {
                Ok(()) if told => {
                    tracing::info!("the collector takes spans again");
                    return;
                }
                Ok(()) => return,
                Err(error) if is_refusal(&error) => {
                    let spans = batch.len();
                    tracing::warn!(%error, spans, "the collector refuses spans: they are left out");
                    return;
                }
                Err(error) if !told => {
                    tracing::warn!(%error, "the collector takes no spans: they are sent once it does");
                    told = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn kept(&self) {
        if let Err(error) = self.traces.position.write(self.sent) {
            tracing::warn!(%error, "how far spans are sent cannot be kept: the next start sends some again");
        }
    }
}

/// Whether the collector says that it will never take this: a status from 400 on that is not one of those after
/// which one tries again.
fn is_refusal(error: &OTelSdkError) -> bool {
    let told = error.to_string();
    let refusals = [400, 413, 415, 422];
    refusals
        .iter()
        .any(|status| told.ends_with(&format!("status code: {status}")))
}

/// Reads lines and makes spans of them, on a thread that may block.
struct Reader {
    engine: Engine,
    spans: Spans,
}

impl Reader {
    /// Spans of what comes behind this line, and up to which line that is.
    fn read(&mut self, after: u64) -> Result<(Vec<SpanData>, u64), StoreError> {
        let store = Arc::clone(self.engine.store());
        let (lines, searched) = store.log_after(after, &LogFilter::default(), CHUNK)?;
        let mut spans = Vec::new();
        for line in &lines {
            spans.extend(self.spans.of(line, &self.engine)?);
        }
        Ok((spans, searched))
    }
}

impl Past for Engine {
    fn trace(&self, run: RunId, loop_id: LoopId) -> Result<Option<LoopTrace>, StoreError> {
        self.loop_trace(run, loop_id)
    }

    fn before(&self, run: RunId, seq: u64) -> Result<Vec<LogLine>, StoreError> {
        let filter = LogFilter {
            run: Some(run),
            ..LogFilter::default()
        };
        let mut lines = self.store().log_tail(LOOKED_AT, &filter)?;
        lines.retain(|line| line.seq < seq);
        Ok(lines)
    }

    fn is_ignored(&self, run: RunId) -> Result<bool, StoreError> {
        let row = self.store().run(run)?;
        Ok(row.is_some_and(|row| row.status == RunStatus::Ignored))
    }
}
