//! The link by which a run that waits for a request goes on: `/hooks/{cycle}/{step}/resume_…`.
//!
//! It names the run and a signature over it, the cycle and the step, so that nothing is stored for it and it can
//! be sent before the run waits. Whoever has it may answer: it is a secret, and redacted where things are told.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use velodrome_types::{CycleId, RunId, StepId};

/// What its last part begins with.
pub(crate) const RESUME: &str = "resume_";
/// Characters behind that.
pub(crate) const LENGTH: usize = 43;
/// Bytes of the signature that are kept.
const SIGNED: usize = 16;

/// The key that links are signed with.
#[derive(Clone)]
pub(crate) struct LinkKey(pub(crate) [u8; 32]);

impl std::fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LinkKey(…)")
    }
}

impl LinkKey {
    /// The last part of a link.
    pub(crate) fn token(&self, cycle: &CycleId, step: &StepId, run: RunId) -> String {
        let signature = self.mac(cycle.as_str(), step.as_str(), run).finalize();
        let mut bytes = run.as_bytes().to_vec();
        bytes.extend_from_slice(&signature.into_bytes()[..SIGNED]);
        format!("{RESUME}{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// The run that a link names; `None` if it was not made here for this step.
    pub(crate) fn run_of(&self, cycle: &str, step: &str, token: &str) -> Option<RunId> {
        let bytes = URL_SAFE_NO_PAD.decode(token.strip_prefix(RESUME)?).ok()?;
        let (run, signature) = bytes.split_first_chunk::<16>()?;
        let run = RunId::from_bytes(*run);
        if signature.len() != SIGNED {
            return None;
        }
        let mac = self.mac(cycle, step, run);
        mac.verify_truncated_left(signature).ok()?;
        Some(run)
    }

    /// A key of its own for another use, told by this one.
    pub(crate) fn derived(&self, purpose: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        // No name of a cycle begins so: what a link's signature covers is never the same.
        mac.update(b"\0velodrome\0");
        mac.update(purpose.as_bytes());
        mac.finalize().into_bytes().into()
    }

    fn mac(&self, cycle: &str, step: &str, run: RunId) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        // Names hold no slash.
        mac.update(format!("{cycle}/{step}/").as_bytes());
        mac.update(run.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_use_has_a_key_of_its_own() {
        let key = LinkKey([7; 32]);
        assert_eq!(key.derived("sessions"), key.derived("sessions"));
        assert_ne!(key.derived("sessions"), key.derived("other"));
        assert_ne!(
            key.derived("sessions"),
            LinkKey([8; 32]).derived("sessions")
        );
    }

    #[test]
    fn only_its_own_links_are_taken_for_their_own_step() {
        let key = LinkKey([7; 32]);
        let (cycle, step) = (CycleId::from("orders"), StepId::from("asked"));
        let run = RunId::from_bytes([3; 16]);
        let token = key.token(&cycle, &step, run);
        assert_eq!(token.len(), RESUME.len() + LENGTH);
        assert_eq!(key.run_of("orders", "asked", &token), Some(run));
        assert_eq!(key.run_of("orders", "other", &token), None);
        assert_eq!(key.run_of("order", "sasked", &token), None);
        assert_eq!(LinkKey([8; 32]).run_of("orders", "asked", &token), None);
        let other = key.token(&cycle, &step, RunId::from_bytes([4; 16]));
        let mixed = format!("{}{}", &token[..30], &other[30..]);
        for bad in [
            "",
            RESUME,
            "resume_AAAA",
            &token[RESUME.len()..],
            &token[..token.len() - 1],
            &format!("{token}A"),
            &token.replace("resume_", "RESUME_"),
            &mixed,
        ] {
            assert_eq!(key.run_of("orders", "asked", bad), None, "{bad}");
        }
    }
}
