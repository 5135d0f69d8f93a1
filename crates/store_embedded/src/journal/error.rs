//! What SQLite says, in the store's terms.

use rusqlite::{Error, ErrorCode};
use velodrome_store::StoreError;

pub(crate) fn damaged(what: &str, why: impl Into<String>) -> StoreError {
    StoreError::Damaged {
        what: what.to_owned(),
        why: why.into(),
    }
}

/// A read failed: what is stored is wrong, or reading it is.
pub(crate) fn of_sqlite(error: Error) -> StoreError {
    match &error {
        Error::FromSqlConversionFailure(..)
        | Error::IntegralValueOutOfRange(..)
        | Error::InvalidColumnType(..)
        | Error::Utf8Error(..) => damaged("record", error.to_string()),
        Error::SqliteFailure(failure, _)
            if matches!(
                failure.code,
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase
            ) =>
        {
            damaged("journal", error.to_string())
        }
        _ => StoreError::Backend(error.to_string()),
    }
}
