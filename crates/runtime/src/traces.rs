//! Distributed traces: which one a loop is part of, and who outside is told.
//!
//! Every id follows from what is stored anyway: the spans of loops and runs from their ids, the trace from the run
//! at the very beginning, so that all laps, and the loops that one hands off to, share it before and after a crash.
//! Only where a caller sent a `traceparent` is something kept for it: with the loop, and with each loop behind it.
//! Spans themselves are made outside the engine, from the run log.

use sha2::{Digest as _, Sha256};
use url::Url;
use velodrome_core::{Delivery, Origin};
use velodrome_store::StoreError;
use velodrome_types::{Json, JsonMap, LoopId, RunId, TraceContext, TraceParent};

use crate::engine::Engine;
use crate::records::{loop_of, run_of};
use crate::shared::Shared;

/// What is done about distributed traces.
#[derive(Clone, Debug, Default)]
pub struct TraceRules {
    /// Whether a loop becomes part of the trace that the request says which begins it.
    pub accept: bool,
    /// Which requests to others say their trace.
    pub send_to: SendTo,
    /// Of the traces that begin here so many of 2^56 are recorded; `None` is all.
    pub sampled: Option<u64>,
    /// Whether a trace that came from elsewhere is recorded where the caller records it; else it is chosen as
    /// one's own.
    pub as_parent: bool,
}

/// Who is told of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum SendTo {
    /// Nobody.
    #[default]
    Nobody,
    /// These hosts, each `host` or `host:port`, in lower case.
    Hosts(Vec<String>),
    /// Every API that a cycle asks.
    All,
}

impl SendTo {
    /// Whether a request to this URL says its trace.
    fn allows(&self, url: &str) -> bool {
        match self {
            Self::Nobody => false,
            Self::All => true,
            Self::Hosts(hosts) => {
                let Ok(url) = Url::parse(url) else {
                    return false;
                };
                let Some(host) = url.host_str().map(str::to_ascii_lowercase) else {
                    return false;
                };
                let at = url
                    .port_or_known_default()
                    .map(|port| format!("{host}:{port}"));
                hosts
                    .iter()
                    .any(|known| *known == host || Some(known) == at.as_ref())
            }
        }
    }
}

/// The trace of a loop, as spans of it say it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoopTrace {
    /// The trace.
    pub trace: [u8; 16],
    /// What is above the loop in it: the caller's span, or that of the loop that handed off.
    pub above: Option<[u8; 8]>,
    /// Whether that is a span of somebody else.
    pub from_elsewhere: bool,
    /// Whether it is recorded.
    pub sampled: bool,
    /// The caller's `tracestate`.
    pub state: Option<String>,
}

/// The span of a loop.
pub fn span_of_loop(id: LoopId) -> [u8; 8] {
    hashed("loop", id.as_bytes())
}

/// The span of a run.
pub fn span_of_run(id: RunId) -> [u8; 8] {
    hashed("run", id.as_bytes())
}

/// The trace that begins with this run.
fn trace_of(root: RunId) -> [u8; 16] {
    hashed("trace", root.as_bytes())
}

/// As many bytes of a hash as are wanted, which are never all zero.
fn hashed<const N: usize>(what: &str, id: &[u8; 16]) -> [u8; N] {
    let hash = Sha256::new().chain_update(what).chain_update(id).finalize();
    let mut bytes = *hash.first_chunk().expect("it is longer");
    if bytes == [0; N] {
        bytes[N - 1] = 1;
    }
    bytes
}

/// The place of a trace among all, by its seven random bytes.
fn place_of(trace: &[u8; 16]) -> u64 {
    trace[9..]
        .iter()
        .fold(0, |place, byte| place << 8 | u64::from(*byte))
}

impl TraceRules {
    /// Whether a trace is recorded: one that came as its caller says, if that is asked for.
    fn records(&self, trace: &[u8; 16], came: Option<&TraceContext>) -> bool {
        match came {
            Some(came) if self.as_parent => came.parent.is_sampled(),
            _ => self.sampled.is_none_or(|most| place_of(trace) < most),
        }
    }
}

impl Shared {
    /// The trace of a loop that a request begins, or a hand-off by request.
    pub(crate) fn trace_of_new(
        &self,
        delivery: &Delivery,
        origin: Option<&Origin>,
    ) -> Option<TraceContext> {
        let rules = self.traces.as_ref()?;
        match origin {
            Some(origin) => match self.store.loop_row(origin.loop_id) {
                Ok(row) => loop_of(&self.vault, &row?).ok()?.trace,
                Err(error) => {
                    tracing::warn!(%error, "the trace of a loop cannot be read: another one begins");
                    None
                }
            },
            None if rules.accept => came(&delivery.headers),
            None => None,
        }
    }

    /// What a request of this run tells another host of its trace; `None` where that host is told nothing.
    pub(crate) fn trace_for(&self, url: &str, run: RunId, loop_id: LoopId) -> Option<TraceContext> {
        let rules = self.traces.as_ref()?;
        if !rules.send_to.allows(url) {
            return None;
        }
        let told = self.loop_trace(run, loop_id).unwrap_or_else(|error| {
            tracing::warn!(%error, "the trace of a run cannot be read: its request says none");
            None
        })?;
        Some(TraceContext {
            parent: TraceParent::new(told.trace, span_of_run(run), told.sampled),
            state: told.state,
        })
    }

    fn loop_trace(&self, run: RunId, loop_id: LoopId) -> Result<Option<LoopTrace>, StoreError> {
        let Some(rules) = &self.traces else {
            return Ok(None);
        };
        let (Some(run), Some(looped)) = (self.store.run(run)?, self.store.loop_row(loop_id)?)
        else {
            return Ok(None);
        };
        let looped = loop_of(&self.vault, &looped)?;
        let root = run_of(&self.vault, &run)?.root;
        let came = looped.trace.as_ref();
        let trace = came.map_or_else(|| trace_of(root), |came| came.parent.trace);
        let above = match looped.parent {
            Some(parent) => Some(span_of_loop(parent)),
            None => came.map(|came| came.parent.span),
        };
        Ok(Some(LoopTrace {
            above,
            from_elsewhere: looped.parent.is_none() && came.is_some(),
            sampled: rules.records(&trace, came),
            state: came.and_then(|came| came.state.clone()),
            trace,
        }))
    }
}

/// What the headers of a request say, if they say a trace.
fn came(headers: &JsonMap) -> Option<TraceContext> {
    let text = |name: &str| headers.get(name).and_then(Json::as_str);
    TraceContext::of_headers(text("traceparent")?, text("tracestate"))
}

impl Engine {
    /// The trace of a loop, of which this is a run; `None` where nothing is done about traces, or where one of
    /// the two is no longer stored.
    ///
    /// # Errors
    ///
    /// The store cannot be read.
    pub fn loop_trace(&self, run: RunId, loop_id: LoopId) -> Result<Option<LoopTrace>, StoreError> {
        self.shared.loop_trace(run, loop_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_that_are_named_are_told() {
        let named = SendTo::Hosts(vec![
            "api.test".into(),
            "10.0.0.7:8080".into(),
            "b.test:443".into(),
        ]);
        let check = |to: &SendTo, url: &str, told: bool| assert_eq!(to.allows(url), told, "{url}");
        check(&named, "https://API.test/x?y", true);
        check(&named, "https://api.test:8443/", true);
        check(&named, "https://b.test/", true);
        check(&named, "https://b.test:444/", false);
        check(&named, "http://10.0.0.7:8080/", true);
        check(&named, "http://10.0.0.7/", false);
        check(&named, "https://api.test.evil.test/", false);
        check(&named, "https://api.test@evil.test/", false);
        check(&named, "no url", false);
        check(&SendTo::Nobody, "https://api.test/", false);
        check(&SendTo::All, "https://any.test/", true);
    }

    #[test]
    fn a_caller_decides_over_its_own_trace_only() {
        let rules = TraceRules {
            sampled: Some(1 << 55),
            as_parent: true,
            ..TraceRules::default()
        };
        let (low, high) = ([0x7f; 16], [0x80; 16]);
        assert!(rules.records(&low, None));
        assert!(!rules.records(&high, None));
        let came = |sampled| TraceContext {
            parent: TraceParent::new(high, [1; 8], sampled),
            state: None,
        };
        assert!(rules.records(&high, Some(&came(true))));
        assert!(!rules.records(&low, Some(&came(false))));
        let own = TraceRules {
            as_parent: false,
            ..rules
        };
        assert!(!own.records(&high, Some(&came(true))));
    }
}
