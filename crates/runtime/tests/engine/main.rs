//! The engine over the in-memory store, with a list API made up here: what is committed when, and what
//! survives.

mod fixture;
mod forks;
mod laps;
mod limits;
mod outbox;
mod schedules;
mod simulated;
mod turns;
