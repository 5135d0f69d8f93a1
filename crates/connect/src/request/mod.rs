//! Requests as they are built and committed, before anything is sent.

mod build;
mod date;
mod header;
mod input;
mod page;
mod url;

use std::fmt;

use serde::{Deserialize, Serialize};
use velodrome_types::{Json, JsonMap, Timestamp};

use crate::paging::PageAt;
pub(crate) use build::build;
pub(crate) use header::checked_header;
pub use page::{asked_page, page_asks_token};
pub(crate) use url::{add_query, parse_target, shown};

/// What a step says of one request.
#[derive(Clone, Debug, Default)]
pub struct MethodCall {
    /// The method's inputs; of a method with an open body also the body's fields.
    pub inputs: JsonMap,
    /// The whole URL, where the method takes one.
    pub url: Option<String>,
    /// Further query parameters; these win over the method's.
    pub query: Vec<(String, Json)>,
    /// Further headers; these win over the method's.
    pub headers: Vec<(String, Json)>,
    /// The filter date of an incremental list.
    pub filter: Option<Timestamp>,
    /// The token that takes the page number's place (`page_asks_token`).
    pub page_token: Option<String>,
    /// Where a list that the engine pages stands; nothing is the first page.
    pub page: Option<PageAt>,
}

/// A request as built. Committed as it is and sent as it was committed, so it holds no credentials.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `POST` …
    pub verb: String,
    /// The URL; may hold a query of its own, before `query`.
    pub url: String,
    /// Query parameters. A list is sent as one parameter an item, null is left out.
    pub query: JsonMap,
    /// Headers. Null is left out.
    pub headers: JsonMap,
    /// The body: JSON, unless `content-type` says a form, or something else and it is a text.
    pub body: Option<Json>,
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A step may map a secret into a header or a body: only names are shown.
        f.debug_struct("HttpRequest")
            .field("verb", &self.verb)
            .field("url", &shown(&self.url))
            .field("query", &self.query.keys().collect::<Vec<_>>())
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("has_body", &self.body.is_some())
            .finish()
    }
}
