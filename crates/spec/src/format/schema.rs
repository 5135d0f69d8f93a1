//! JSON Schema (draft 2020-12) of the file formats, made from the tables.
//!
//! For editors: it says as much as a schema can of one file. What needs more than that – whether a
//! step is there, whether a script compiles – `velodrome check` says.

use serde_json::{Value, json};

use super::table::{Key, Table, Takes};
use super::{COMMON, CONDITION, CONNECTOR, CYCLE, FIELD, KINDS, SETTINGS};

/// The schema of a cycle file.
pub fn cycle() -> Value {
    let mut schema = top(&CYCLE, "Velodrome cycle");
    let steps = KINDS
        .iter()
        .map(|kind| (step_name(kind.uses, kind.tool), step(kind.table)));
    let mut defs = json!({
        "condition": condition(),
        "field": {"anyOf": [of(&kind_of_field()), object(FIELD.keys)]},
        "step": {
            "type": "object",
            "required": ["use"],
            "properties": {"use": use_words()},
            "allOf": branches(),
        },
        "step_method": method(),
    });
    for (name, schema) in steps.filter(|(name, _)| name != "step_method") {
        defs[name] = schema;
    }
    schema["$defs"] = defs;
    schema
}

/// The schema of `velodrome.yaml`.
pub fn settings() -> Value {
    top(&SETTINGS, "Velodrome settings")
}

/// The schema of a connector definition.
pub fn connector() -> Value {
    top(&CONNECTOR, "Velodrome connector")
}

fn top(table: &Table, title: &str) -> Value {
    let mut schema = object(table.keys);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// A map with these keys and no others.
fn object(keys: &[Key]) -> Value {
    let properties: serde_json::Map<String, Value> = keys
        .iter()
        .map(|key| (key.name.to_owned(), described(key)))
        .collect();
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut schema = json!({
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema
}

fn described(key: &Key) -> Value {
    let mut schema = of(&key.takes);
    let mut text = key.doc.to_owned();
    if !key.default.is_empty() {
        text.push_str(&format!(" Default: {}.", key.default));
    }
    schema["description"] = json!(text);
    schema
}

/// Text that is written without quotes may look like a number or a truth value to an editor.
fn text() -> Value {
    json!({"type": ["string", "number", "boolean"]})
}

fn of(takes: &Takes) -> Value {
    match takes {
        Takes::Text => text(),
        Takes::Name | Takes::Step => json!({"type": "string", "pattern": "^[a-z][a-z0-9_]*$"}),
        Takes::Integer(least) => json!({"type": "integer", "minimum": least}),
        Takes::Number => json!({"type": "number"}),
        Takes::Boolean => json!({"type": "boolean"}),
        Takes::Duration => {
            json!({"type": "string", "pattern": "^\\s*(\\d|P)", "examples": ["2 seconds", "1h30m"]})
        }
        Takes::Size => json!({"type": ["integer", "string"], "examples": ["1 MiB"]}),
        Takes::Date => json!({"type": "string", "pattern": "^\\d{4}-\\d{2}-\\d{2}"}),
        Takes::Choice(words) => json!({"enum": words}),
        Takes::Value | Takes::Literal => json!({}),
        Takes::List(inner) => json!({"type": "array", "items": of(inner)}),
        Takes::Map(inner) => json!({"type": "object", "additionalProperties": of(inner)}),
        Takes::Keys(table) => object(table.keys),
        Takes::Either(kinds) => json!({"anyOf": kinds.iter().map(of).collect::<Vec<_>>()}),
        Takes::Steps => json!({
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"},
            "additionalProperties": {"$ref": "#/$defs/step"},
        }),
        Takes::Condition => json!({"$ref": "#/$defs/condition"}),
        Takes::Field => json!({"$ref": "#/$defs/field"}),
    }
}

fn kind_of_field() -> Takes {
    FIELD.key("type").map_or(Takes::Text, |key| key.takes)
}

/// One comparison, a group of such, or an inline script.
fn condition() -> Value {
    let forms: [(&[&str], &[&str]); 4] = [
        (&["left", "is", "right"], &["left", "is"]),
        (&["all"], &["all"]),
        (&["any"], &["any"]),
        (&["not"], &["not"]),
    ];
    let mut any: Vec<Value> = forms
        .iter()
        .map(|(names, required)| {
            let keys: Vec<Key> = CONDITION
                .keys
                .iter()
                .filter(|key| names.contains(&key.name))
                .copied()
                .collect();
            let mut schema = object(&keys);
            schema["required"] = json!(required);
            schema
        })
        .collect();
    any.push(json!({"type": "string", "pattern": "^="}));
    json!({"anyOf": any})
}

fn step_name(uses: &str, tool: bool) -> String {
    if tool {
        format!("step_{uses}")
    } else {
        "step_method".to_owned()
    }
}

fn step(table: &Table) -> Value {
    let keys: Vec<Key> = COMMON.keys.iter().chain(table.keys).copied().collect();
    object(&keys)
}

/// A method may be of any kind: which, only its connector says.
fn method() -> Value {
    let mut keys: Vec<Key> = COMMON.keys.to_vec();
    for kind in KINDS.iter().filter(|kind| !kind.tool) {
        keys.extend(kind.table.keys.iter().map(|key| Key {
            required: false,
            ..*key
        }));
    }
    object(&keys)
}

fn use_words() -> Value {
    let tools: Vec<&str> = KINDS
        .iter()
        .filter(|kind| kind.tool)
        .map(|kind| kind.uses)
        .collect();
    json!({
        "description": "A tool, or `<connection>.<method>`.",
        "anyOf": [{"enum": tools}, {"type": "string", "pattern": "^[^.]+\\..+$"}],
    })
}

/// The schema of a step follows from its `use`.
fn branches() -> Vec<Value> {
    let tools = KINDS.iter().filter(|kind| kind.tool).map(|kind| {
        json!({
            "if": {"properties": {"use": {"const": kind.uses}}, "required": ["use"]},
            "then": {"$ref": format!("#/$defs/{}", step_name(kind.uses, true))},
        })
    });
    let method = json!({
        "if": {"properties": {"use": {"type": "string", "pattern": "\\."}}, "required": ["use"]},
        "then": {"$ref": "#/$defs/step_method"},
    });
    tools.chain([method]).collect()
}
