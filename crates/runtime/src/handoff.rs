//! `handoff: http`: the loop travels in a signed header, so that a real request to the own webhook is
//! the next lap of the same loop, exactly once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use velodrome_core::Origin;
use velodrome_spec::Plan;
use velodrome_spec::expr::HookTarget;
use velodrome_spec::plan::SendStep;
use velodrome_types::{CycleId, LoopId, RunId, StepId};

use crate::shared::Shared;
use crate::webhook;

/// Whether a step posts to a webhook at which runs wait: no run begins by it, and whose loop goes on is found out
/// by the request, so it is one, under the engine's own key.
pub(crate) fn is_to_waiting(shared: &Shared, plan: &Plan, send: &SendStep) -> bool {
    let Some(HookTarget {
        cycle,
        step: Some(step),
    }) = &send.target
    else {
        return false;
    };
    let waits = |plan: &Plan| plan.midway(step.as_str()).is_some();
    match *cycle == plan.cycle {
        true => waits(plan),
        false => shared.plans.current(cycle).is_some_and(|plan| waits(&plan)),
    }
}

/// Whether a hand-off asks and waits, as any caller would: for a run that waits there, or because the other cycle
/// says its answer by a `respond`. A lap of its own that responds is not waited for: the lap after it would wait in turn.
pub(crate) fn asks(shared: &Shared, plan: &Plan, send: &SendStep) -> bool {
    let Some(target) = &send.target else {
        return false;
    };
    let responds = || {
        let to = shared.plans.current(&target.cycle);
        to.is_some_and(|to| webhook::trigger(&to).is_some_and(|hook| hook.respond_within.is_some()))
    };
    is_to_waiting(shared, plan, send) || target.cycle != plan.cycle && responds()
}

/// The header's name.
pub const HANDOFF_HEADER: &str = "velodrome-handoff";

/// What the header says: who hands off. Its `(run, step)` is the engine's key: a repeat gets the first
/// answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SignedOrigin {
    /// The cycle that is posted to: the header opens no other one.
    pub(crate) to: CycleId,
    /// The run that posts.
    pub(crate) run: RunId,
    /// Its loop.
    #[serde(rename = "loop")]
    pub(crate) loop_id: LoopId,
    /// The run at the very beginning.
    pub(crate) root: RunId,
    /// Hand-offs to another cycle so far.
    pub(crate) hops: u64,
    /// The step that posts.
    pub(crate) step: StepId,
    /// The item of its `for_each`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) item: Option<u64>,
    /// Whether the run goes back to the notice of a failed one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) of_notice: bool,
}

impl SignedOrigin {
    /// As acceptance takes it.
    pub(crate) fn origin(&self) -> Origin {
        Origin {
            run: self.run,
            loop_id: self.loop_id,
            root: self.root,
            hops: self.hops,
            of_notice: self.of_notice,
        }
    }

    /// The engine's key.
    pub(crate) fn key(&self) -> String {
        match self.item {
            Some(item) => format!("handoff/{}/{}/{item}", self.run, self.step),
            None => format!("handoff/{}/{}", self.run, self.step),
        }
    }

    /// The header's value.
    pub(crate) fn sign(&self, key: &[u8; 32]) -> String {
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("plain fields"));
        let signature = URL_SAFE_NO_PAD.encode(mac(key, claims.as_bytes()).finalize().into_bytes());
        format!("{claims}.{signature}")
    }

    /// Reads a header; `None` if it was not signed with this key.
    pub(crate) fn verify(value: &str, key: &[u8; 32]) -> Option<Self> {
        let (claims, signature) = value.split_once('.')?;
        let given = URL_SAFE_NO_PAD.decode(signature).ok()?;
        mac(key, claims.as_bytes()).verify_slice(&given).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
    }
}

fn mac(key: &[u8; 32], message: &[u8]) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(message);
    mac
}

#[cfg(test)]
mod tests {
    use velodrome_types::Timestamp;

    use super::*;

    #[test]
    fn only_its_own_signature_is_taken() {
        let at = Timestamp::from_millis(1);
        let run = RunId::new(at, [1; 10]);
        let origin = SignedOrigin {
            to: "pages".into(),
            run,
            loop_id: LoopId::new(at, [2; 10]),
            root: run,
            hops: 3,
            step: "next".into(),
            item: None,
            of_notice: false,
        };
        let value = origin.sign(&[7; 32]);
        assert_eq!(SignedOrigin::verify(&value, &[7; 32]), Some(origin));
        assert_eq!(SignedOrigin::verify(&value, &[8; 32]), None);
        assert_eq!(SignedOrigin::verify(&format!("x{value}"), &[7; 32]), None);
        assert_eq!(SignedOrigin::verify("", &[7; 32]), None);
    }
}
