//! The keys of the cycle itself.

use velodrome_types::{CycleId, Json, OnError, RetryPolicy, RetryTimes, Zone, check_name};

use super::schedule;
use crate::format;

use crate::keys::{Faults, Keys, choice, duration, text, truth, whole};
use crate::plan::{
    Language, LogPolicy, LoopLimits, Payloads, Plan, Retention, Sources, Step, StepIx,
};
use crate::yaml::{Node, Value};

/// The cycle's keys, with their defaults.
pub(super) struct Header {
    pub(super) cycle: Option<CycleId>,
    name: Option<String>,
    concurrency: Option<u32>,
    queue_limit: u32,
    pub(super) on_error: OnError,
    pub(super) retry: RetryPolicy,
    limits: LoopLimits,
    pub(super) variables: Vec<(String, Json)>,
    autostart: bool,
    log: LogPolicy,
    retention: Retention,
    pub(super) language: Language,
    pub(super) zone: Zone,
    pub(super) split: Split,
}

/// `split:` of a cycle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Split {
    /// No step that does not say so itself.
    #[default]
    None,
    /// The trigger.
    FirstStep,
    /// Every list step that does not say otherwise.
    AllSteps,
}

pub(super) fn read(keys: &mut Keys<'_>, faults: &mut Faults) -> Header {
    let cycle = keys.need("cycle", "the file", faults).and_then(|node| {
        let id = text(node, "`cycle`", faults)?;
        match check_name(&id) {
            Ok(()) => Some(CycleId::from(id.as_str())),
            Err(error) => {
                faults.error(
                    "name.invalid",
                    node.span,
                    format!("`{id}` cannot name a cycle: {error}"),
                );
                None
            }
        }
    });
    let name = keys
        .get("name")
        .and_then(|node| text(node, "`name`", faults));
    keys.get("description")
        .and_then(|node| text(node, "`description`", faults));
    let concurrency = keys
        .get("concurrency")
        .and_then(|node| whole(node, "`concurrency`", 1, faults))
        .map(clamp);
    let queue_limit = keys
        .get("queue_limit")
        .and_then(|node| whole(node, "`queue_limit`", 0, faults))
        .map_or(10_000, clamp);
    let on_error = keys
        .get("on_error")
        .and_then(|node| on_error(node, faults))
        .unwrap_or_default();
    let retry = keys
        .get("retry")
        .and_then(|node| retry(node, faults))
        .unwrap_or_default();
    let limits = keys
        .get("loop")
        .map_or_else(LoopLimits::default, |node| limits(node, faults));
    let variables = keys
        .get("variables")
        .map_or_else(Vec::new, |node| match &node.value {
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
            _ => {
                faults.error(
                    "value.type",
                    node.span,
                    format!("`variables` must be a map, not {}", node.kind()),
                );
                Vec::new()
            }
        });
    let autostart = keys
        .get("autostart")
        .and_then(|node| truth(node, "`autostart`", faults))
        .unwrap_or(true);
    let log = keys
        .get("log")
        .map_or_else(LogPolicy::default, |node| log(node, faults));
    let splits = [
        ("none", Split::None),
        ("first_step", Split::FirstStep),
        ("all_steps", Split::AllSteps),
    ];
    let split = keys
        .get("split")
        .and_then(|node| choice(node, "`split`", &splits, faults))
        .unwrap_or_default();
    let languages = [
        ("rhai", Language::Rhai),
        ("javascript", Language::JavaScript),
    ];
    let language = keys
        .get("script_language")
        .and_then(|node| choice(node, "`script_language`", &languages, faults))
        .unwrap_or(Language::Rhai);
    let zone = keys
        .get("time_zone")
        .and_then(|node| schedule::zone(node, faults))
        .unwrap_or(Zone::UTC);
    let retention = keys
        .get("retention")
        .map_or_else(Retention::default, |node| retention(node, faults));
    Header {
        cycle,
        name,
        concurrency,
        queue_limit,
        on_error,
        retry,
        limits,
        variables,
        autostart,
        log,
        retention,
        language,
        zone,
        split,
    }
}

/// `retention:`, of a cycle or of all.
pub(crate) fn retention(node: &Node, faults: &mut Faults) -> Retention {
    let Some(mut keys) = Keys::in_table(node, &format::RETENTION, "`retention`", faults) else {
        return Retention::default();
    };
    let succeeded = keys
        .get("succeeded")
        .and_then(|node| duration(node, "`succeeded`", faults));
    let failed = keys
        .get("failed")
        .and_then(|node| duration(node, "`failed`", faults));
    let laps = keys
        .get("laps")
        .and_then(|node| whole(node, "`laps`", 1, faults));
    keys.finish("`retention`", faults);
    Retention {
        succeeded,
        failed,
        laps,
    }
}

fn clamp(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

pub(super) fn on_error(node: &Node, faults: &mut Faults) -> Option<OnError> {
    let words = [
        ("stop_run", OnError::StopRun),
        ("ignore", OnError::Ignore),
        ("stop_cycle", OnError::StopCycle),
    ];
    choice(node, "`on_error`", &words, faults)
}

/// `retry: 0`, `retry: 3`, `retry: cyclr` or `{times, first, factor, max}`.
pub(super) fn retry(node: &Node, faults: &mut Faults) -> Option<RetryPolicy> {
    let mut policy = RetryPolicy::default();
    if let Some(scalar) = node.scalar() {
        if scalar.text == "cyclr" {
            return Some(RetryPolicy {
                times: RetryTimes::Cyclr,
                ..policy
            });
        }
        let times = whole(node, "`retry`", 0, faults)?;
        return Some(RetryPolicy {
            times: RetryTimes::Backoff(clamp(times)),
            ..policy
        });
    }
    let mut keys = Keys::in_table(node, &format::RETRY, "`retry`", faults)?;
    if let Some(times) = keys
        .get("times")
        .and_then(|node| whole(node, "`times`", 0, faults))
    {
        policy.times = RetryTimes::Backoff(clamp(times));
    }
    if let Some(first) = keys
        .get("first")
        .and_then(|node| duration(node, "`first`", faults))
    {
        policy.first = first;
    }
    if let Some(max) = keys
        .get("max")
        .and_then(|node| duration(node, "`max`", faults))
    {
        policy.max = max;
    }
    if let Some(node) = keys.get("factor") {
        match node.to_json().as_f64() {
            Some(factor) if factor >= 1.0 => policy.factor = factor,
            _ => {
                faults.error("value.type", node.span, "`factor` must be a number from 1");
            }
        }
    }
    keys.finish("`retry`", faults);
    Some(policy)
}

fn limits(node: &Node, faults: &mut Faults) -> LoopLimits {
    let mut limits = LoopLimits::default();
    let Some(mut keys) = Keys::in_table(node, &format::LOOP, "`loop`", faults) else {
        return limits;
    };
    let or_none = |node: &Node, what: &str, faults: &mut Faults| match node.scalar() {
        Some(scalar) if scalar.text == "none" => Some(None),
        _ => whole(node, what, 1, faults).map(Some),
    };
    if let Some(found) = keys
        .get("max_laps")
        .and_then(|node| or_none(node, "`max_laps`", faults))
    {
        limits.max_laps = found;
    }
    if let Some(found) = keys
        .get("max_hops")
        .and_then(|node| or_none(node, "`max_hops`", faults))
    {
        limits.max_hops = found;
    }
    if let Some(found) = keys
        .get("same_page_limit")
        .and_then(|node| or_none(node, "`same_page_limit`", faults))
    {
        limits.same_page_limit = found.map(clamp);
    }
    if let Some(fork) = keys
        .get("fork")
        .and_then(|node| truth(node, "`fork`", faults))
    {
        limits.fork = fork;
    }
    if let Some(remember) = keys
        .get("remember")
        .and_then(|node| whole(node, "`remember`", 0, faults))
    {
        limits.remember = remember;
    }
    keys.finish("`loop`", faults);
    limits
}

fn log(node: &Node, faults: &mut Faults) -> LogPolicy {
    let mut policy = LogPolicy::default();
    let Some(mut keys) = Keys::in_table(node, &format::LOG, "`log`", faults) else {
        return policy;
    };
    let words = [
        ("preview", Payloads::Preview),
        ("full", Payloads::Full),
        ("none", Payloads::None),
    ];
    if let Some(found) = keys
        .get("payloads")
        .and_then(|node| choice(node, "`payloads`", &words, faults))
    {
        policy.payloads = found;
    }
    if let Some(node) = keys.get("redact") {
        match &node.value {
            Value::List(items) => {
                policy.redact = items
                    .iter()
                    .filter_map(|item| text(item, "a name in `redact`", faults))
                    .collect();
            }
            _ => {
                faults.error(
                    "value.type",
                    node.span,
                    "`redact` must be a list of field names",
                );
            }
        }
    }
    keys.finish("`log`", faults);
    policy
}

impl Header {
    /// The name for people, if one is given.
    pub(super) fn title(&self) -> Option<&str> {
        self.name.as_deref()
    }

    pub(super) fn plan(
        self,
        hash: String,
        trigger: StepIx,
        steps: Vec<Step>,
        sources: Sources,
    ) -> Plan {
        let cycle = self.cycle.expect("a cycle without an id has an error");
        Plan {
            name: self.name.unwrap_or_else(|| cycle.to_string()),
            cycle,
            hash,
            trigger,
            steps,
            concurrency: self.concurrency,
            queue_limit: self.queue_limit,
            limits: self.limits,
            variables: self.variables,
            autostart: self.autostart,
            log: self.log,
            retention: self.retention,
            error_webhook: None,
            schedule: None,
            sources,
        }
    }
}
