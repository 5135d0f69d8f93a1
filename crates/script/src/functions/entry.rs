//! The one entry to all functions: a name, arguments as JSON, a result as JSON or a fault.

use thiserror::Error;
use velodrome_types::Json;

use super::bounds::Bounds;
use super::{base64_text, csv_parse, sign, xml_read, xml_write};
use crate::errors::{FAILED, MEMORY};
use crate::limits::ScriptLimits;

/// Every function, with the least and the most arguments that it takes.
pub(crate) const FUNCTIONS: [(&str, usize, usize); 6] = [
    ("btoa", 1, 2),
    ("atob", 1, 2),
    ("cyclr_sign", 3, 4),
    ("cyclr_csv_parse", 1, 3),
    ("cyclr_xml_serialize", 1, 1),
    ("cyclr_xml_deserialize", 1, 1),
];

/// Why a function gave no result.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum FunctionFault {
    /// What it was given cannot be used. The message names the function and says what to do.
    #[error("{0}")]
    Refused(String),
    /// The result would hold more text than `script_limits.text` allows.
    #[error("a value holds more text than `script_limits.text` allows")]
    Text,
    /// The result would hold more items than `script_limits.list` allows.
    #[error("a value holds more items than `script_limits.list` allows")]
    List,
    /// The result would take more than `script_limits.memory` allows.
    #[error("the script holds more than `script_limits.memory` allows")]
    Memory,
}

impl FunctionFault {
    /// The stable code.
    pub(crate) const fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) => FAILED,
            Self::Text | Self::List | Self::Memory => MEMORY,
        }
    }
}

/// Calls the function of this name; `None` where there is none. Arguments that were left out may be
/// missing or null, and what stands behind the last one that a function takes is not looked at.
pub(crate) fn call(
    name: &str,
    args: &[Json],
    limits: &ScriptLimits,
) -> Option<Result<Json, FunctionFault>> {
    let args = Args { name, values: args };
    let bounds = Bounds::of(limits);
    Some(match name {
        "btoa" => base64_text::btoa(args, bounds),
        "atob" => base64_text::atob(args, bounds),
        "cyclr_sign" => sign::sign(args),
        "cyclr_csv_parse" => csv_parse::parse(args, bounds),
        "cyclr_xml_serialize" => xml_write::serialize(args, bounds),
        "cyclr_xml_deserialize" => xml_read::deserialize(args, bounds),
        _ => return None,
    })
}

/// The arguments of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Args<'a> {
    name: &'a str,
    values: &'a [Json],
}

impl<'a> Args<'a> {
    /// A fault of this call.
    pub(super) fn refused(&self, why: impl std::fmt::Display) -> FunctionFault {
        FunctionFault::Refused(format!("`{}`: {why}", self.name))
    }

    /// The argument in this place; `None` where it is missing or null.
    pub(super) fn get(&self, at: usize) -> Option<&'a Json> {
        self.values.get(at).filter(|value| !value.is_null())
    }

    /// A text that must be there.
    pub(super) fn text(&self, at: usize, what: &str) -> Result<&'a str, FunctionFault> {
        let wrong =
            |given: &str| self.refused(format_args!("`{what}` must be a text, not {given}"));
        match self.values.get(at) {
            Some(Json::String(text)) => Ok(text),
            Some(Json::Null) | None => Err(wrong("nothing: give a value for that case")),
            Some(other) => Err(wrong(kind(other))),
        }
    }

    /// A text that may be left out.
    pub(super) fn text_or(
        &self,
        at: usize,
        what: &str,
        default: &'a str,
    ) -> Result<&'a str, FunctionFault> {
        match self.get(at) {
            Some(_) => self.text(at, what),
            None => Ok(default),
        }
    }
}

/// What a value is, for people.
pub(super) const fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "nothing",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}
