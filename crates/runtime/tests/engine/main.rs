//! The engine over the in-memory store, with a list API made up here: what is committed when, and what
//! survives.

mod fixture;
mod flows;
mod forks;
mod laps;
mod levels;
mod limits;
mod outbox;
mod payloads;
mod schedules;
mod signing_in;
mod simulated;
mod turns;
