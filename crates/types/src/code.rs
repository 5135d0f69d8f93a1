//! Stable codes, `area.reason`, one namespace for diagnostics, problem details, log lines and errors.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A stable code such as `request.status` or `loop.max_laps`. Each has a page in `docs/errors`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(Cow<'static, str>);

impl Code {
    /// A code known when the program is built; the usual case.
    pub const fn new(code: &'static str) -> Self {
        Self(Cow::Borrowed(code))
    }

    /// A code read back from a store or sent by a connector definition.
    pub fn from_text(code: impl Into<String>) -> Self {
        Self(Cow::Owned(code.into()))
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
