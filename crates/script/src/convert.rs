//! JSON values to the script's and back.
//!
//! On the way back a value is merged into the JSON it came from: what the script left alone keeps its
//! order of fields and its spelling of numbers, which the script's own objects (sorted by name) and
//! numbers (`i64`, `f64`) do not have.

use rhai::{Array, Dynamic, Map};
use serde_json::Number;
use thiserror::Error;
use velodrome_types::{Json, JsonMap};

use crate::limits::MAX_NESTING;

/// Why a value of a script is no JSON.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ConvertError {
    /// A function, a range or the like.
    #[error("a value of type `{kind}` is no JSON")]
    Kind {
        /// The engine's name for it.
        kind: String,
    },
    /// Lists or objects within each other, too often.
    #[error("a value is nested more than {MAX_NESTING} levels deep")]
    Nested,
}

/// The script's value for a JSON value. Whole numbers past `i64` become floats.
pub(crate) fn to_dynamic(value: &Json) -> Dynamic {
    match value {
        Json::Null => Dynamic::UNIT,
        Json::Bool(flag) => Dynamic::from_bool(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Dynamic::from_int(whole),
            (None, Some(float)) => Dynamic::from_float(float),
            (None, None) => Dynamic::UNIT,
        },
        Json::String(text) => text.as_str().into(),
        Json::Array(items) => Dynamic::from_array(items.iter().map(to_dynamic).collect()),
        Json::Object(fields) => Dynamic::from_map(to_map(fields)),
    }
}

/// The script's object for a JSON object.
pub(crate) fn to_map(fields: &JsonMap) -> Map {
    fields
        .iter()
        .map(|(name, value)| (name.as_str().into(), to_dynamic(value)))
        .collect()
}

/// The JSON of a script's value.
pub(crate) fn to_json(value: &Dynamic) -> Result<Json, ConvertError> {
    let mut json = Json::Null;
    merge(&mut json, value)?;
    Ok(json)
}

/// Makes `json` what the script left in `value`, keeping what is the same.
pub(crate) fn merge(json: &mut Json, value: &Dynamic) -> Result<(), ConvertError> {
    merge_at(json, value, MAX_NESTING)
}

/// As [`merge`], for a variable that is always an object.
pub(crate) fn merge_fields(fields: &mut JsonMap, map: &Map) -> Result<(), ConvertError> {
    merge_map(fields, map, MAX_NESTING)
}

fn merge_at(json: &mut Json, value: &Dynamic, levels: usize) -> Result<(), ConvertError> {
    if let Ok(text) = value.as_immutable_string_ref() {
        if json.as_str() != Some(text.as_str()) {
            *json = Json::String(text.as_str().to_owned());
        }
    } else if let Ok(whole) = value.as_int() {
        if json.as_i64() != Some(whole) {
            *json = whole.into();
        }
    } else if let Ok(flag) = value.as_bool() {
        *json = Json::Bool(flag);
    } else if value.is_unit() {
        *json = Json::Null;
    } else if let Ok(float) = value.as_float() {
        let same = json.as_i64().is_none() && json.as_f64() == Some(float);
        if !same {
            // As `JSON.stringify` has it: JSON knows neither infinities nor NaN.
            *json = Number::from_f64(float).map_or(Json::Null, Json::Number);
        }
    } else if let Ok(map) = value.as_map_ref() {
        let levels = levels.checked_sub(1).ok_or(ConvertError::Nested)?;
        match json {
            Json::Object(fields) => merge_map(fields, &map, levels)?,
            other => {
                let mut fields = JsonMap::with_capacity(map.len());
                merge_map(&mut fields, &map, levels)?;
                *other = Json::Object(fields);
            }
        }
    } else if let Ok(array) = value.as_array_ref() {
        let levels = levels.checked_sub(1).ok_or(ConvertError::Nested)?;
        match json {
            Json::Array(items) => merge_array(items, &array, levels)?,
            other => {
                let mut items = Vec::with_capacity(array.len());
                merge_array(&mut items, &array, levels)?;
                *other = Json::Array(items);
            }
        }
    } else if let Ok(letter) = value.as_char() {
        *json = Json::String(letter.to_string());
    } else if let Ok(bytes) = value.as_blob_ref() {
        *json = bytes.iter().copied().collect();
    } else {
        return Err(ConvertError::Kind {
            kind: value.type_name().to_owned(),
        });
    }
    Ok(())
}

fn merge_map(fields: &mut JsonMap, map: &Map, levels: usize) -> Result<(), ConvertError> {
    fields.retain(|name, _| map.contains_key(name.as_str()));
    for (name, value) in map {
        match fields.get_mut(name.as_str()) {
            Some(field) => merge_at(field, value, levels)?,
            None => {
                let mut field = Json::Null;
                merge_at(&mut field, value, levels)?;
                fields.insert(name.as_str().to_owned(), field);
            }
        }
    }
    Ok(())
}

fn merge_array(items: &mut Vec<Json>, array: &Array, levels: usize) -> Result<(), ConvertError> {
    items.resize(array.len(), Json::Null);
    for (item, value) in items.iter_mut().zip(array) {
        merge_at(item, value, levels)?;
    }
    Ok(())
}
