//! The second look: every address of a name, as it is about to be connected to.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::guard::{Guard, Passage};

/// A name has addresses, and none may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no address of `{host}` may be reached: `egress.allow` may name it")]
pub(crate) struct RefusedAddress {
    pub(crate) host: String,
}

/// Resolves with the system's resolver and leaves out what the guard does not take.
#[derive(Clone, Debug)]
pub(crate) struct GuardedResolver {
    pub(crate) guard: Guard,
    pub(crate) passage: Passage,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let taken: Vec<SocketAddr> = found
                .filter(|at| this.guard.takes(at.ip(), this.passage))
                .collect();
            if taken.is_empty() {
                return Err(RefusedAddress { host }.into());
            }
            Ok(Box::new(taken.into_iter()) as Addrs)
        })
    }
}
