//! `/openapi.json`: what this server answers, as an OpenAPI 3.1 document.
//!
//! Each operation is described where its handler stands; here is what they have in common: parameters, refusals,
//! who may ask. `docs/openapi.json` is this document, and a test holds the router against it.

mod accepted;
mod document;
#[cfg(test)]
mod equal;
mod hooks;
mod parameters;
mod refusals;
mod schemas;

pub(crate) use accepted::Accepted;
pub use document::document;
pub(crate) use document::routes;
pub(crate) use hooks::Open;
pub(crate) use parameters::*;
pub(crate) use refusals::*;
pub(crate) use schemas::{AnyJson, LogLines};
