//! Shapes that no handler's type says whole.

use std::borrow::Cow;

use utoipa::openapi::schema::{
    AdditionalProperties, KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr, schema};
use utoipa::{PartialSchema, ToSchema};
use velodrome_types::{Code, LogLine};

/// Problem details (RFC 9457).
#[derive(Debug)]
pub(super) struct Problem;

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        let text = |what: &str| {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .description(Some(what))
        };
        let status = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(400))
            .maximum(Some(599))
            .description(Some("The HTTP status."));
        let mut object = ObjectBuilder::new()
            .description(Some(
                "What went wrong (RFC 9457). Further members say more, such as `errors`, `parameter`, `retry_after`.",
            ))
            .property("type", text("`about:blank`: `code` tells what it is.").enum_values(Some(["about:blank"])))
            .property("title", text("What the status means."))
            .property("status", status)
            .property("detail", text("What is wrong and what to do."))
            .property("code", Ref::from_schema_name(Code::name()))
            .additional_properties(Some(AdditionalProperties::FreeForm(true)));
        for name in ["type", "title", "status", "detail", "code"] {
            object = object.required(name);
        }
        object.into()
    }
}

impl ToSchema for Problem {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Code::name().into_owned(), Code::schema()));
    }
}

/// Any JSON.
#[derive(Debug)]
pub(crate) struct AnyJson;

impl PartialSchema for AnyJson {
    fn schema() -> RefOr<Schema> {
        schema::empty().into()
    }
}

impl ToSchema for AnyJson {
    fn name() -> Cow<'static, str> {
        "Json".into()
    }
}

/// The run log as JSON lines, each a `LogLine`, or as server-sent events whose data is one.
#[derive(Debug)]
pub(crate) struct LogLines;

impl PartialSchema for LogLines {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some("Lines, each a `LogLine` as JSON."))
            .into()
    }
}

impl ToSchema for LogLines {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((LogLine::name().into_owned(), LogLine::schema()));
        LogLine::schemas(schemas);
    }
}
