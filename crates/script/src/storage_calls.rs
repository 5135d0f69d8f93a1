//! A storage function called with a list of JSON values, as languages in other processes call it.

use velodrome_types::Json;

use crate::errors::FAILED;
use crate::storage::{Family, StorageFault, StorageView};

/// Calls `<family>_storage_<operation>`. Where it gives nothing the value is null.
pub(crate) fn perform(
    storage: &mut dyn StorageView,
    family: Family,
    operation: &str,
    args: &[Json],
) -> Result<Json, StorageFault> {
    let key = || key_text(args.first());
    let value = || args.get(1).cloned().unwrap_or(Json::Null);
    match operation {
        "get" => Ok(storage.get(family, &key()?)?.unwrap_or(Json::Null)),
        "set" => storage.set(family, &key()?, value()).map(|()| Json::Null),
        "append" => storage
            .append(family, &key()?, value())
            .map(|()| Json::Null),
        "delete" => storage.delete(family, &key()?).map(|()| Json::Null),
        "delete_all" => storage.delete_all(family).map(|()| Json::Null),
        "list_keys" => Ok(storage.list_keys(family)?.into()),
        "list_values" => Ok(storage.list_values(family)?.into()),
        "increment" => storage.increment(family, &key()?, amount(args.get(1))?),
        "decrement" => storage.decrement(family, &key()?, amount(args.get(1))?),
        other => Err(failed(format!("storage has no `{other}`"))),
    }
}

/// Keys are text; a whole number is taken as its digits, as Cyclr's scripts expect.
pub(crate) fn key_text(key: Option<&Json>) -> Result<String, StorageFault> {
    match key {
        Some(Json::String(text)) => Ok(text.clone()),
        Some(Json::Number(number)) if !number.is_f64() => Ok(number.to_string()),
        Some(Json::Null) | None => Err(failed("a storage key must be text, and is missing")),
        Some(other) => Err(failed(format!("a storage key must be text, not `{other}`"))),
    }
}

fn amount(by: Option<&Json>) -> Result<f64, StorageFault> {
    match by {
        None => Ok(1.0),
        Some(Json::Number(number)) => number
            .as_f64()
            .ok_or_else(|| failed("an amount must be a number")),
        Some(other) => Err(failed(format!("an amount must be a number, not `{other}`"))),
    }
}

fn failed(message: impl Into<String>) -> StorageFault {
    StorageFault {
        code: FAILED,
        message: message.into(),
    }
}
