//! What the HTTP API's document says of these types: texts of closed lists, ids, dates.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::{
    Code, ConnectionId, CycleId, CycleState, Event, Level, LoopId, LoopStatus, Role, RunId,
    RunStatus, StepId, Timestamp, TokenId,
};

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

macro_rules! described {
    ($($type:ident, $what:literal, $schema:expr;)+) => {$(
        impl PartialSchema for $type {
            fn schema() -> RefOr<Schema> {
                $schema.description(Some($what)).into()
            }
        }

        impl ToSchema for $type {}
    )+};
}

/// One of a closed list.
fn one_of(names: impl Iterator<Item = &'static str>) -> ObjectBuilder {
    text().enum_values(Some(names))
}

/// A TypeID: the prefix and 26 characters of base32.
fn id(prefix: &str) -> ObjectBuilder {
    text().pattern(Some(format!("^{prefix}_[0-7][0-9a-hjkmnp-tv-z]{{25}}$")))
}

described! {
    CycleState, "What a cycle is doing.", one_of(CycleState::ALL.iter().map(|one| one.as_str()));
    RunStatus, "Where a run is.", one_of(RunStatus::ALL.iter().map(|one| one.as_str()));
    LoopStatus, "Where a loop is.", one_of(LoopStatus::ALL.iter().map(|one| one.as_str()));
    Role, "What a token allows, each all that stands before it.", one_of(Role::ALL.iter().map(|one| one.as_str()));
    Event, "What a log line tells.", one_of(Event::ALL.iter().map(|one| one.as_str()));
    Level, "How much a log line matters.", one_of(Level::ALL.iter().map(|one| one.as_str()));
    RunId, "The id of a run.", id(RunId::PREFIX);
    TokenId, "The id of a token.", id(TokenId::PREFIX);
    LoopId, "The id of a loop.", id(LoopId::PREFIX);
    CycleId, "The id of a cycle: what stands behind `cycle:` in its file.", text();
    StepId, "The id of a step within its cycle.", text();
    ConnectionId, "The name of a connection.", text();
    Code, "A stable code, `area.reason`; each has a page in the documentation.", text();
    Timestamp, "A moment: RFC 3339, in UTC, with milliseconds.", text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
}
