//! The guard: which addresses a request may reach.
//!
//! Two looks at every hop, because one is not enough. Before a request leaves, its URL is held
//! against the rules and a literal address is judged. When a name is resolved, every address is
//! judged again at the moment it is connected to, so that no second answer of a name server can slip
//! between. Which resolver a request gets is decided by the first look, so a permission for
//! `host:port` never spreads to another port of the host.
//!
//! Through a proxy (`egress.proxy`) it is the proxy that resolves and connects. The first look is the same;
//! a name that this machine can resolve is judged by its addresses too.

mod address;
mod guard;
mod machine;
mod resolve;
mod rules;

pub use address::is_public;
pub(crate) use guard::{Guard, Passage};
pub(crate) use resolve::{GuardedResolver, RefusedAddress, SystemLookup};
pub use resolve::{Looking, Lookup};
pub use rules::EgressRules;
