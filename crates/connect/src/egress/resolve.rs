//! The second look: every address of a name, as it is about to be connected to.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;

use super::guard::{Guard, Passage};

/// What [`Lookup::look_up`] gives back.
pub type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name.
pub trait Lookup: fmt::Debug + Send + Sync {
    /// The name's addresses, in the order in which they are to be tried.
    fn look_up(&self, name: &str) -> Looking;
}

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct SystemLookup;

impl Lookup for SystemLookup {
    fn look_up(&self, name: &str) -> Looking {
        let name = name.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(found.map(|at| at.ip()).collect())
        })
    }
}

/// A name has addresses, and none may be reached.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no address of `{host}` may be reached: `egress.allow` may name it")]
pub(crate) struct RefusedAddress {
    pub(crate) host: String,
}

/// Looks a name up once and leaves out what the guard does not take: what is left is connected to.
#[derive(Clone, Debug)]
pub(crate) struct GuardedResolver {
    pub(crate) guard: Guard,
    pub(crate) passage: Passage,
    pub(crate) lookup: Arc<dyn Lookup>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let this = self.clone();
        Box::pin(async move {
            let host = name.as_str().to_owned();
            let found = this.lookup.look_up(&host).await?;
            let taken: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| this.guard.takes(*address, this.passage))
                .map(|address| SocketAddr::new(address, 0))
                .collect();
            if taken.is_empty() {
                return Err(RefusedAddress { host }.into());
            }
            Ok(Box::new(taken.into_iter()) as Addrs)
        })
    }
}
