//! Made-up records, put where a list's method looks for them.

use velodrome_spec::connector::MethodDef;
use velodrome_types::{Json, JsonMap, Timestamp};

/// The body with so many records in it. Their ids rise through the whole test, so that no two pages are
/// alike; what else tells one state of a record from another is the present time.
pub(crate) fn with_records(
    body: Option<&Json>,
    method: &MethodDef,
    many: u64,
    made: &mut u64,
    now: Timestamp,
) -> Json {
    let record = |number: u64| {
        let mut fields = JsonMap::new();
        fields.insert("id".to_owned(), Json::String(number.to_string()));
        let keys = method.incremental.iter().flat_map(|found| &found.key);
        for key in keys {
            fields
                .entry(key.clone())
                .or_insert_with(|| Json::String(now.to_iso8601_offset_seconds()));
        }
        Json::Object(fields)
    };
    let records: Vec<Json> = (0..many)
        .map(|_| {
            *made += 1;
            record(*made)
        })
        .collect();
    if method.response.records.as_deref() == Some("[]") {
        return Json::Array(records);
    }
    let mut whole = match body {
        Some(Json::Object(fields)) => fields.clone(),
        _ => JsonMap::new(),
    };
    if let Some(path) = &method.response.records {
        put(&mut whole, path, Json::Array(records));
    }
    Json::Object(whole)
}

fn put(into: &mut JsonMap, path: &str, value: Json) {
    match path.split_once('.') {
        None => {
            into.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let inner = into
                .entry(name.to_owned())
                .or_insert_with(|| Json::Object(JsonMap::new()));
            if let Json::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
