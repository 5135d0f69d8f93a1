//! The parameters of paths and queries, each with its bounds. An empty value in a query counts as none, as forms send it.

use utoipa::IntoParams;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{
    ArrayBuilder, KnownFormat, ObjectBuilder, OneOfBuilder, Schema, SchemaFormat, Type,
};
use utoipa::openapi::{Ref, RefOr, Required};
use utoipa::{ToSchema, openapi};
use velodrome_types::{CycleState, Event, Level, LoopStatus, RunStatus};

use crate::api::{DEFAULT_LIMIT, MAX_LIMIT};

/// A whole id, the last six or more characters of one, or `last`.
const ANY_ID: &str = "^(last|([^/]*[_…])?[0-9a-z]{6,})$";
/// The same in a query, where an empty value counts as none.
const ANY_ID_OR_NONE: &str = "^(last|([^/]*[_…])?[0-9a-z]{6,})?$";
/// What a duration looks like that counts back from now.
const DURATION: &str = "^[0-9]{1,6} ?(ms|s|m|h|d|w|seconds?|minutes?|hours?|days?|weeks?)$";
/// An empty value in a query.
const NONE: &str = "^$";
/// `seq` and the places of listings.
const NUMBER: &str = "^([0-9]{1,19})?$";

fn text() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// A name: something.
fn name() -> ObjectBuilder {
    text().min_length(Some(1))
}

fn whole(least: usize, most: usize) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(least))
        .maximum(Some(most))
}

fn any_id() -> ObjectBuilder {
    text().pattern(Some(ANY_ID))
}

fn any_id_or_none() -> ObjectBuilder {
    text().pattern(Some(ANY_ID_OR_NONE))
}

fn moment() -> OneOfBuilder {
    let date = text().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    OneOfBuilder::new()
        .item(date)
        .item(text().pattern(Some(DURATION)))
}

/// The same in a query.
fn moment_or_none() -> OneOfBuilder {
    moment().item(text().pattern(Some(NONE)))
}

/// When something expires: a moment, for so long from now, or never.
pub(crate) fn expiry() -> OneOfBuilder {
    let never = ObjectBuilder::new().schema_type(Type::Null);
    moment().item(never).description(Some(
        "From when on it is of no use: a date that is still to come, or a duration from now, such as `30 days`; never, where it is left out.",
    ))
}

/// Several, repeated or with commas between.
fn several<T: ToSchema>() -> ArrayBuilder {
    ArrayBuilder::new().items(Ref::from_schema_name(T::name()))
}

fn one<T: ToSchema>() -> Ref {
    Ref::from_schema_name(T::name())
}

fn flag() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::Boolean)
}

fn parameter(
    name: &str,
    of: ParameterIn,
    what: &str,
    schema: impl Into<RefOr<Schema>>,
) -> Vec<Parameter> {
    let required = match of {
        ParameterIn::Path => Required::True,
        _ => Required::False,
    };
    let built = ParameterBuilder::new()
        .name(name)
        .parameter_in(of)
        .required(required)
        .description(Some(what))
        .schema(Some(schema));
    vec![built.build()]
}

macro_rules! parameters {
    ($($type:ident = $name:literal in $of:ident, $what:literal, $schema:expr;)+) => {$(
        #[doc = $what]
        #[derive(Debug)]
        pub(crate) struct $type;

        impl IntoParams for $type {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<openapi::path::Parameter> {
                parameter($name, ParameterIn::$of, $what, $schema)
            }
        }
    )+};
}

parameters! {
    OfCycle = "cycle" in Query, "Of this cycle.", text();
    OfLoop = "loop" in Query, "Of this loop: its id, the last six or more characters of it, or `last`.", any_id_or_none();
    OfRun = "run" in Query, "Of this run: its id, the last six or more characters of it, or `last`.", any_id_or_none();
    OfStep = "step" in Query, "Of this step.", text();
    OfConnection = "connection" in Query, "Of this connection.", text();
    CycleStates = "status" in Query, "In one of these states.", several::<CycleState>();
    RunStates = "status" in Query, "In one of these states.", several::<RunStatus>();
    LoopStates = "status" in Query, "In one of these states.", several::<LoopStatus>();
    Since = "since" in Query, "Since this moment (RFC 3339), or for so long, such as `2h`. Of runs and loops counts when they were accepted.", moment_or_none();
    Limit = "limit" in Query, "At most so many.", whole(1, MAX_LIMIT).default(Some(DEFAULT_LIMIT.into()));
    Place = "cursor" in Query, "The `next` of the answer before.", text().pattern(Some(NUMBER));
    PlaceByName = "cursor" in Query, "The `next` of the answer before.", text();
    AfterKey = "after" in Query, "Keys behind this one; another name of `cursor`, of which only one is taken.", text();
    AtLeast = "level" in Query, "At least this level.", one::<Level>();
    OfEvent = "event" in Query, "This event.", one::<Event>();
    After = "after" in Query, "Lines behind this `seq`.", whole(0, usize::MAX >> 1);
    Tail = "tail" in Query, "The last so many matching lines.", whole(0, MAX_LIMIT);
    Follow = "follow" in Query, "Whether the answer goes on with what is yet to come; so it does by default where events are asked for.", flag();
    LastEvent = "Last-Event-ID" in Header, "The `seq` of the last line seen: the answer goes on behind it, whatever else is said.", whole(0, usize::MAX >> 1);

    CycleInPath = "id" in Path, "The cycle.", name();
    CycleOfPath = "cycle" in Path, "The cycle.", name();
    StepInPath = "step" in Path, "The step.", name();
    RunInPath = "id" in Path, "The run: its id, the last six or more characters of it, or `last`.", any_id();
    LoopInPath = "id" in Path, "The loop: its id, the last six or more characters of it, or `last`.", any_id();
    TokenInPath = "id" in Path, "The token: its name or id, the last six or more characters of the id, or `last`.", name();
    ConnectionInPath = "id" in Path, "The connection.", name();
    ConnectionOfPath = "connection" in Path, "The connection.", name();
    KeyInPath = "key" in Path, "The key; a slash is written `%2F`.", name();
    SecretInPath = "name" in Path, "The secret's name.", text().pattern(Some("^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$"));
    CommandInPath = "command" in Path, "What is done.", text().enum_values(Some(["start", "pause", "stop", "finish", "purge"]));
    LinkInPath = "link" in Path, "The last part of a run's `resume_url`.", name();
    IdempotencyKey = "Idempotency-Key" in Header, "Names the request: one with the same key and body gets the first answer and starts nothing.", text();
}
