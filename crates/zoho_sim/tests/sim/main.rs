//! The simulator through its boundary: real HTTP, a frozen clock, no waiting.

mod changes;
mod client;
mod clock;
mod faults;
mod limits;
mod listing;
mod paging;
mod refusals;
mod sign_in;
mod tokens;
