//! Traces for an OpenTelemetry collector: a feature of the build, `otel`, and off unless the environment says where
//! they go.
//!
//! ```text
//!  run log ──▶ send (reads behind the engine) ──▶ Spans (lines to spans) ──▶ exporter ──▶ collector
//!                └─▶ position: how far all is sent
//! ```
//!
//! Spans are made of what was committed, by a task that reads the run log as any follower does: no commit waits for
//! a collector, and what could not be sent is read again, also after a crash. Ids of spans follow from ids and
//! numbers that are stored, so that what is sent twice is the same twice. What travels between processes is the
//! engine's (`crates/runtime/src/traces.rs`).

#[cfg(feature = "otel")]
mod position;
#[cfg(feature = "otel")]
mod send;
#[cfg(feature = "otel")]
mod settings;
#[cfg(feature = "otel")]
mod spans;

#[cfg(feature = "otel")]
pub(crate) use send::Traces;

/// Nothing is done about traces in a build without the feature.
#[cfg(not(feature = "otel"))]
#[derive(Debug)]
pub(crate) enum Traces {}

#[cfg(not(feature = "otel"))]
impl Traces {
    pub(crate) fn of_environment(_data: &std::path::Path) -> anyhow::Result<Option<Self>> {
        Ok(None)
    }

    pub(crate) fn rules(&self) -> velodrome_runtime::TraceRules {
        match *self {}
    }

    #[expect(clippy::unused_async, reason = "with the feature it waits")]
    pub(crate) async fn send(
        self,
        _engine: velodrome_runtime::Engine,
        _stop: tokio_util::sync::CancellationToken,
    ) {
        match self {}
    }
}
