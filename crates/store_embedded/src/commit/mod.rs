//! From a unit to the disk: the queue, the one thread that commits, and what a unit does to the tables.

mod committer;
mod forget;
mod lines;
mod queue;
mod storage;
mod tables;
mod unit;

pub(crate) use committer::{Committer, CommitterParts};
pub(crate) use queue::{Pending, Queue};
