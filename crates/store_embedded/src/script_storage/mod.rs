//! sled: what scripts read (DESIGN, I7). It holds nothing that the journal does not.
//!
//! ```text
//!            opens, right owner, closed or same boot, not behind what is forgotten
//!  start ──▶ yes: catch up from its commit ──▶ ready ──(answers wrongly)──▶ distrusted
//!        └─▶ no: move it aside ──▶ rebuilding ──(has everything)──▶ ready
//! ```
//!
//! Unless it is ready, reads go to the journal. The committer is the only one that writes to it, so a
//! rebuild, done in slices between commits, never meets a newer value.

mod opening;
mod rebuild;
mod side;
mod writes;

pub(crate) use opening::{HowLeft, open_side};
pub(crate) use rebuild::Rebuild;
pub(crate) use side::SledSide;
pub(crate) use writes::{SledValue, SledWrites, sled_key};
