//! The file format as data: every key, what it takes, its default, where it may stand.
//!
//! Readers take their keys from these tables (a key that no table has cannot be read), the JSON Schema
//! and the reference in `docs/` are made from them. So a key is said once.

mod callers;
mod connector;
mod cycle;
pub mod schema;
mod settings;
mod step;
mod table;
mod test_file;
mod tool;

pub(crate) use callers::{AUTH, SIGNED_TIME};
pub use connector::CONNECTOR;
pub(crate) use connector::{
    CALLBACK_KEEP, ERROR_FIELDS, INCREMENTAL, INPUT, METHOD, PAGE_HANDOFF, PAGE_SEND, PAGE_SIZE,
    PAGE_TOKEN, PAGE_WHEN, PAGING, RATE_LIMITS, RESPONSE, RESPONSE_FIELD,
};
pub use cycle::CYCLE;
pub(crate) use cycle::{LOG, LOOP, RETENTION, RETRY, SCHEDULE};
pub use settings::SETTINGS;
pub(crate) use settings::{CONNECTION, CONNECTION_AUTH, EGRESS, SCRIPT_LIMITS, WEBHOOKS};
pub use step::{COMMON, FIELD, KINDS, StepTable};
pub(crate) use step::{DEDUPE, LIST, SCRIPT, SEND, STORAGE, WATERMARK, WEBHOOK};
pub use table::{Key, Table, Takes};
pub use test_file::{
    ANSWER, DELIVERY, EXPECT, EXPECTED_ANSWER, EXPECTED_ERROR, EXPECTED_LINE, EXPECTED_LOOP,
    EXPECTED_REQUEST, LIMITS, TEST, TEST_FILE,
};
pub use tool::CONDITION;

/// Where a key of this name stands, as messages call the places.
pub(crate) fn owners(key: &str) -> Vec<&'static str> {
    let steps = KINDS.iter().map(|kind| kind.table);
    let inner = [&LOOP, &RETRY, &LOG, &RETENTION, &SCHEDULE, &FIELD];
    std::iter::once(&CYCLE)
        .chain(steps)
        .chain(inner)
        .filter(|table| table.key(key).is_some())
        .map(|table| table.name)
        .collect()
}
