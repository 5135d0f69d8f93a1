//! `page_token`: an opaque text that carries its own place, life and binding.
//!
//! ```text
//!  hex( offset 4 | expires 8 | binding 8 | seal 12 )      64 characters; Zoho allows 96
//! ```
//!
//! The binding is a digest of every other query parameter; the seal makes a token of ours
//! recognisable, so garbage is garbage. A token holds a place, not a snapshot: Zoho does not
//! document one, and the simulator assumes the worse case.

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::errors::CrmError;
use crate::hex;

const OFFSET: usize = 4;
const EXPIRES: usize = 8;
const BINDING: usize = 8;
const SEAL: usize = 12;
const BODY: usize = OFFSET + EXPIRES + BINDING;

/// What a token is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Binding([u8; BINDING]);

impl Binding {
    /// Over the query's other parameters, in any order, and whatever else is bound.
    pub(crate) fn of<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut pairs: Vec<_> = pairs.collect();
        pairs.sort_unstable();
        let mut digest = Sha256::new();
        for (name, value) in pairs {
            for part in [name, value] {
                digest.update((part.len() as u64).to_be_bytes());
                digest.update(part);
            }
        }
        Self(front(&digest.finalize()))
    }
}

/// Makes and reads tokens; lives as long as the simulator.
pub(crate) struct PageTokens {
    key: [u8; 32],
}

impl std::fmt::Debug for PageTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PageTokens").finish_non_exhaustive()
    }
}

impl PageTokens {
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    pub(crate) fn make(&self, offset: u32, expires: Timestamp, binding: Binding) -> String {
        let mut bytes = Vec::with_capacity(BODY + SEAL);
        bytes.extend(offset.to_be_bytes());
        bytes.extend(expires.as_second().to_be_bytes());
        bytes.extend(binding.0);
        bytes.extend(self.seal(&bytes));
        hex::encode(&bytes)
    }

    /// The offset that the token stands for, if it is ours, alive and bound to this request.
    pub(crate) fn read(
        &self,
        token: &str,
        now: Timestamp,
        binding: Binding,
    ) -> Result<u32, CrmError> {
        let bytes = hex::decode(token).unwrap_or_default();
        let garbage = CrmError::InvalidParam("page_token");
        if bytes.len() != BODY + SEAL || self.seal(&bytes[..BODY]) != bytes[BODY..] {
            return Err(garbage);
        }
        let expires = i64::from_be_bytes(front(&bytes[OFFSET..]));
        if now.as_second() >= expires {
            return Err(CrmError::PageTokenExpired);
        }
        if Binding(front(&bytes[OFFSET + EXPIRES..])) != binding {
            return Err(CrmError::PageTokenMismatch);
        }
        Ok(u32::from_be_bytes(front(&bytes)))
    }

    fn seal(&self, body: &[u8]) -> [u8; SEAL] {
        front(
            &Sha256::new()
                .chain_update(self.key)
                .chain_update(body)
                .finalize(),
        )
    }
}

/// The first bytes of a slice that is long enough; zeros where it is not.
fn front<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.first_chunk().copied().unwrap_or([0; N])
}
