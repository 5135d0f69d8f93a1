//! Cyclr's variables as JSON, and what a script in JavaScript left of them.
//!
//! What it left alone keeps its order of fields and its spelling of numbers, which JavaScript's own do not
//! always have: values are merged into those that they came from.

use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use velodrome_types::{Code, Json, JsonMap, Timestamp};

use crate::errors::{FAILED, MEMORY, ScriptError};
use crate::host::RUN;
use crate::js::frame::{Given, LeftValue};
use crate::limits::ScriptLimits;
use crate::vars::{Var, Vars};

/// What a call is given of a variable.
pub(crate) fn given(var: Var, vars: &Vars) -> serde_json::Result<Given> {
    Ok(Given {
        name: var.as_str().to_owned(),
        value: value(var, vars)?,
        writable: var.is_writable(),
    })
}

fn value(var: Var, vars: &Vars) -> serde_json::Result<Box<RawValue>> {
    match var {
        Var::MethodRequest => body(&vars.method_request),
        Var::MethodRequestHeaders => to_raw_value(&vars.method_request_headers),
        Var::MethodRequestParameters => to_raw_value(&vars.method_request_parameters),
        Var::MethodRequestMergefields => to_raw_value(&vars.method_request_mergefields),
        Var::MethodResponse => to_raw_value(&vars.method_response),
        Var::MethodResponseHeaders => to_raw_value(&vars.method_response_headers),
        Var::MethodEndpoint => to_raw_value(&vars.method_endpoint),
        Var::StatusCode => to_raw_value(&vars.status_code),
        Var::ReasonPhrase => to_raw_value(&vars.reason_phrase),
        Var::MethodError => to_raw_value(&vars.method_error),
        Var::ActionData => body(&vars.action_data),
        Var::ScriptParameters => to_raw_value(&vars.script_parameters),
        Var::CycleVariables => to_raw_value(&vars.cycle_variables),
        Var::CycleId => to_raw_value(&vars.cycle_id),
        Var::CycleStepId => to_raw_value(&vars.cycle_step_id),
        Var::TransactionId => to_raw_value(&vars.transaction_id),
        Var::LastSuccessfulRunDate => date(vars.last_successful_run_date),
        Var::NextLastSuccessfulRunDate => date(vars.next_last_successful_run_date),
        Var::ScriptExecutionContext => to_raw_value(&vars.script_execution_context),
        Var::MethodResponseFieldsInUse => to_raw_value(&vars.method_response_fields_in_use),
    }
}

fn body(value: &Json) -> serde_json::Result<Box<RawValue>> {
    match value {
        Json::Null => to_raw_value(&JsonMap::new()),
        value => to_raw_value(value),
    }
}

fn date(moment: Option<Timestamp>) -> serde_json::Result<Box<RawValue>> {
    let text = moment.map(|moment| moment.to_string());
    to_raw_value(&text)
}

/// Takes back what a script left in a variable.
pub(crate) fn take(
    var: Var,
    left: &LeftValue,
    vars: &mut Vars,
    limits: &ScriptLimits,
) -> Result<(), ScriptError> {
    if let LeftValue::Json(raw) = left
        && items(raw.get()) > limits.list
    {
        // As a tree it may take a hundred times its text: one that came as large may come back.
        let came = given(var, vars).map_or(0, |given| items(given.value.get()));
        if items(raw.get()) > came {
            return Err(too_many());
        }
    }
    let json = parsed(left).map_err(|why| wrong(var, format!("cannot be taken over: {why}")))?;
    store(var, json, vars, limits)
}

/// What a step's function returned.
pub(crate) fn returned(left: &LeftValue, limits: &ScriptLimits) -> Result<Json, ScriptError> {
    if let LeftValue::Json(raw) = left
        && items(raw.get()) > limits.list
    {
        return Err(too_many());
    }
    let json = parsed(left).map_err(|why| ScriptError {
        code: Code::new(FAILED),
        message: format!("what `{RUN}` returns cannot be kept: {why}"),
        hint: None,
        line: None,
        column: None,
    })?;
    within(&Json::Null, &json, limits)?;
    Ok(json)
}

/// Items of lists and fields of objects in a text of JSON, all levels together, without building any.
pub(crate) fn items(json: &str) -> usize {
    let bytes = json.as_bytes();
    let (mut at, mut count) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at += 1;
                while let Some(byte) = bytes.get(at).filter(|byte| **byte != b'"') {
                    at += if *byte == b'\\' { 2 } else { 1 };
                }
            }
            b',' => count += 1,
            b'[' | b'{' if !matches!(bytes.get(at + 1), Some(b']' | b'}')) => count += 1,
            _ => {}
        }
        at += 1;
    }
    count
}

fn too_many() -> ScriptError {
    ScriptError {
        code: Code::new(MEMORY),
        message: MORE_ITEMS.to_owned(),
        hint: Some("keep less of it, or raise the limit in `script_limits`".to_owned()),
        line: None,
        column: None,
    }
}

/// What is said of a value past `script_limits.list`.
pub(crate) const MORE_ITEMS: &str = "a value holds more items than `script_limits.list` allows";

fn parsed(left: &LeftValue) -> Result<Json, String> {
    let LeftValue::Json(left) = left else {
        return Err("a function is no JSON".to_owned());
    };
    serde_json::from_str(left.get()).map_err(|error| {
        let text = error.to_string();
        if text.starts_with("recursion limit") {
            "a value is nested more than 128 levels deep".to_owned()
        } else {
            text
        }
    })
}

fn store(var: Var, left: Json, vars: &mut Vars, limits: &ScriptLimits) -> Result<(), ScriptError> {
    let any = |json: &mut Json, left: Json| {
        within(json, &left, limits)?;
        merge(json, left);
        Ok(())
    };
    let fields = |fields: &mut JsonMap, left: Json| {
        let Json::Object(new) = left else {
            return Err(wrong(var, "must be an object: write `{name: value}`"));
        };
        within(fields, &new, limits)?;
        merge_fields(fields, new);
        Ok(())
    };
    // Null was shown as an empty object, and one left alone stays null.
    let body = |json: &mut Json, left: Json| {
        let untouched = json.is_null() && left.as_object().is_some_and(JsonMap::is_empty);
        if untouched { Ok(()) } else { any(json, left) }
    };
    let text = |text: &mut String, left: Json| match left {
        Json::String(new) => {
            within(text, &new, limits)?;
            *text = new;
            Ok(())
        }
        Json::Null => {
            text.clear();
            Ok(())
        }
        _ => Err(wrong(var, "must be text")),
    };
    match var {
        Var::MethodRequest => body(&mut vars.method_request, left),
        Var::MethodRequestHeaders => fields(&mut vars.method_request_headers, left),
        Var::MethodRequestParameters => fields(&mut vars.method_request_parameters, left),
        Var::MethodRequestMergefields => fields(&mut vars.method_request_mergefields, left),
        Var::MethodResponse => any(&mut vars.method_response, left),
        Var::MethodResponseHeaders => fields(&mut vars.method_response_headers, left),
        Var::MethodEndpoint => text(&mut vars.method_endpoint, left),
        Var::StatusCode => {
            vars.status_code = status(&left)?;
            Ok(())
        }
        Var::ReasonPhrase => text(&mut vars.reason_phrase, left),
        Var::MethodError => any(&mut vars.method_error, left),
        Var::ActionData => body(&mut vars.action_data, left),
        Var::ScriptParameters => fields(&mut vars.script_parameters, left),
        Var::CycleVariables => fields(&mut vars.cycle_variables, left),
        Var::NextLastSuccessfulRunDate => {
            vars.next_last_successful_run_date = moment(&left)?;
            Ok(())
        }
        Var::CycleId
        | Var::CycleStepId
        | Var::TransactionId
        | Var::LastSuccessfulRunDate
        | Var::ScriptExecutionContext
        | Var::MethodResponseFieldsInUse => Ok(()),
    }
}

fn status(left: &Json) -> Result<Option<u16>, ScriptError> {
    if left.is_null() {
        return Ok(None);
    }
    left.as_u64()
        .filter(|code| (100..=999).contains(code))
        .and_then(|code| u16::try_from(code).ok())
        .map(Some)
        .ok_or_else(|| wrong(Var::StatusCode, "must be a whole number from 100 to 999"))
}

fn moment(left: &Json) -> Result<Option<Timestamp>, ScriptError> {
    let var = Var::NextLastSuccessfulRunDate;
    match left {
        Json::Null => Ok(None),
        Json::String(text) => Timestamp::parse(text)
            .map(Some)
            .map_err(|error| wrong(var, format!("is wrong: {error}"))),
        _ => Err(wrong(var, "must be a date as text, such as `now()` gives")),
    }
}

fn wrong(var: Var, what: impl std::fmt::Display) -> ScriptError {
    ScriptError {
        code: Code::new(FAILED),
        message: format!("`{}` {what}", var.as_str()),
        hint: None,
        line: None,
        column: None,
    }
}

/// Text and items of a value, all levels together, as `script_limits` count them.
#[derive(Default)]
struct Size {
    text: usize,
    items: usize,
}

impl Size {
    fn add(&mut self, json: &Json) {
        match json {
            Json::String(text) => self.text += text.len(),
            Json::Array(items) => {
                self.items += items.len();
                items.iter().for_each(|item| self.add(item));
            }
            Json::Object(fields) => {
                self.items += fields.len();
                fields.values().for_each(|field| self.add(field));
            }
            _ => {}
        }
    }
}

/// What is measured.
trait Measured: Serialize {
    fn size(&self) -> Size;
}

impl Measured for Json {
    fn size(&self) -> Size {
        let mut size = Size::default();
        size.add(self);
        size
    }
}

impl Measured for JsonMap {
    fn size(&self) -> Size {
        let mut size = Size {
            text: 0,
            items: self.len(),
        };
        self.values().for_each(|field| size.add(field));
        size
    }
}

impl Measured for String {
    fn size(&self) -> Size {
        Size {
            text: self.len(),
            items: 0,
        }
    }
}

/// Whether a value keeps the limits of text and list. One that came larger may stay as large.
fn within<T: Measured>(came: &T, left: &T, limits: &ScriptLimits) -> Result<(), ScriptError> {
    let new = left.size();
    if new.text <= limits.text && new.items <= limits.list {
        return Ok(());
    }
    let old = came.size();
    let what = if new.text > limits.text.max(old.text) {
        "a value holds more text than `script_limits.text` allows"
    } else if new.items > limits.list.max(old.items) {
        MORE_ITEMS
    } else {
        return Ok(());
    };
    Err(ScriptError {
        code: Code::new(MEMORY),
        message: what.to_owned(),
        hint: Some("keep less of it, or raise the limit in `script_limits`".to_owned()),
        line: None,
        column: None,
    })
}

fn merge(json: &mut Json, left: Json) {
    match (json, left) {
        (Json::Object(fields), Json::Object(new)) => merge_fields(fields, new),
        (Json::Array(items), Json::Array(new)) => {
            items.resize(new.len(), Json::Null);
            for (item, new) in items.iter_mut().zip(new) {
                // Items may have moved: one is the same only where all of it is.
                if !looks_same(item, &new) {
                    *item = new;
                }
            }
        }
        (Json::Number(old), Json::Number(new)) if old.as_f64() == new.as_f64() => {}
        (json, left) => *json = left,
    }
}

/// Whether two values are the same to JavaScript, to which all numbers are of one kind.
fn looks_same(old: &Json, new: &Json) -> bool {
    match (old, new) {
        (Json::Number(old), Json::Number(new)) => old.as_f64() == new.as_f64(),
        (Json::Array(old), Json::Array(new)) => {
            old.len() == new.len() && old.iter().zip(new).all(|(old, new)| looks_same(old, new))
        }
        (Json::Object(old), Json::Object(new)) => {
            let same = |(name, old): (&String, &Json)| {
                new.get(name).is_some_and(|new| looks_same(old, new))
            };
            old.len() == new.len() && old.iter().all(same)
        }
        (old, new) => old == new,
    }
}

fn merge_fields(fields: &mut JsonMap, new: JsonMap) {
    fields.retain(|name, _| new.contains_key(name));
    for (name, value) in new {
        match fields.get_mut(&name) {
            Some(field) => merge(field, value),
            None => {
                fields.insert(name, value);
            }
        }
    }
}
