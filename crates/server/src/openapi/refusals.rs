//! Answers that many operations share: problem details, by their status.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Content, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::schemas::Problem;

/// An answer with problem details.
pub(super) fn problem(status: u16, description: &str) -> Response {
    let schema = Ref::from_schema_name(Problem::name());
    let mut response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", Content::new(Some(schema)));
    let header = |what: &str, of: Type| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(of)))
            .description(Some(what))
            .build()
    };
    if status == 503 || status == 429 {
        let what = "Seconds after which to ask again.";
        response = response.header("Retry-After", header(what, Type::Integer));
    }
    if status == 401 {
        let what = "How to authenticate.";
        response = response.header("WWW-Authenticate", header(what, Type::String));
    }
    response.build()
}

macro_rules! refusals {
    ($($(#[doc = $what:literal])+ $name:ident = $status:literal;)+) => {$(
        $(#[doc = $what])+
        #[derive(Debug)]
        pub(crate) struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                let what = concat!($($what),+).trim();
                BTreeMap::from([($status.to_string(), problem($status, what).into())])
            }
        }
    )+};
}

refusals! {
    /// A parameter, or the body, is not what it must be; `parameter` names the first.
    BadRequest = 400;
    /// The caller is not authenticated.
    NotAuthenticated = 401;
    /// The address or the origin may not call.
    NotAllowed = 403;
    /// What the path names is not there.
    NotFound = 404;
    /// The body took too long to come.
    Slow = 408;
    /// It does not fit how things are now; `code` says why.
    Conflict = 409;
    /// The body is over `body_limit`.
    TooLarge = 413;
    /// The media type is not taken.
    MediaType = 415;
    /// The body can be read, and is not acceptable as it is.
    Unacceptable = 422;
    /// The cycle's queue is full.
    QueueFull = 429;
    /// Another server, which was asked for this, did not answer as it should.
    BadGateway = 502;
    /// Whoever was to answer did not in time; what was begun goes on.
    NoAnswer = 504;
}

/// What reading a body may come to.
#[derive(Debug)]
pub(crate) struct OfBody;

impl IntoResponses for OfBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = BadRequest::responses();
        all.extend(Slow::responses());
        all.extend(TooLarge::responses());
        all
    }
}
