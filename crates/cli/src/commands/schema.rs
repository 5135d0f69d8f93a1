//! `schema`: the JSON Schema of a kind of file, for editors.

use anyhow::Result;
use velodrome_spec::format::schema;

use crate::args::SchemaOf;
use crate::out;

pub(super) fn run(file: SchemaOf) -> Result<()> {
    out::line(&text(file)?)
}

/// A schema as text.
pub(super) fn text(file: SchemaOf) -> Result<String> {
    let schema = match file {
        SchemaOf::Cycle => schema::cycle(),
        SchemaOf::Velodrome => schema::settings(),
        SchemaOf::Connector => schema::connector(),
    };
    Ok(serde_json::to_string_pretty(&schema)?)
}
