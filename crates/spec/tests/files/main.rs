//! Cycle files, bad and good, against the checker: what is said of each bad one is a snapshot beside it.
//!
//! After a wanted change of a message: `INSTA_UPDATE=always cargo test -p velodrome-spec --test files`,
//! and read the difference.

mod bad;
mod connectors;
mod good;
mod graph;
mod mutations;
mod schema;
mod world;
