//! The crate through its public border, against servers on loopback.

#![expect(
    clippy::unwrap_used,
    clippy::result_large_err,
    reason = "helpers of tests fail as tests do; the error is the crate's own"
)]

mod build;
mod credentials;
mod egress;
mod hostile;
mod lost_records;
mod notice;
mod outcomes;
mod paging;
mod refresh;
mod shown;
mod sign_in;
mod support;
mod turns;
mod wire;
mod zoho;
