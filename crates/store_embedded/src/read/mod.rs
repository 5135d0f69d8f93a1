//! Reading: a few read-only connections, and the store's traits over them.

mod listing;
mod log;
mod loops;
mod outbox;
mod pool;
mod retention;
mod runs;
mod small;
mod standing;
mod storage;
mod waits;

pub(crate) use pool::Readers;
