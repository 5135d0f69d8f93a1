//! The SQLite file: its tables, its settings, and how rows become columns and back.

mod error;
mod log_record;
mod meta;
mod names;
mod namespace_key;
mod numbers;
mod packed;
mod schema;

pub(crate) use error::{damaged, of_sqlite};
pub(crate) use log_record::{StretchHead, pack, unpack};
pub(crate) use meta::{Counters, Meta};
pub(crate) use names::{NameId, NameTable};
pub(crate) use namespace_key::{decode_namespace, encode_namespace};
pub(crate) use numbers::{
    cycle_state, cycle_state_number, loop_status, loop_status_number, run_status, run_status_number,
};
pub(crate) use schema::{
    JOURNAL_FILE, copy_into, empty_log, loop_parts_key, open_reader, open_writer,
};
