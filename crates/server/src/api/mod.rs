//! `/api/v1`, one file a resource.

mod connections;
mod cycles;
mod json_body;
mod listing;
mod log;
mod loops;
pub(crate) mod parameters;
mod routes;
mod runs;
mod secrets;
mod segments;
mod server;
mod sign_in_links;
mod steps;
mod storage;
mod tokens;
mod watermarks;

pub(crate) use cycles::command_of;
pub(crate) use listing::part;
pub(crate) use parameters::{DEFAULT_LIMIT, MAX_LIMIT, Parameters, bad_parameter};
pub(crate) use routes::{operations, routes};
pub(crate) use segments::Segments;
