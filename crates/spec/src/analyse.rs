//! How the checker asks about scripts, without knowing how any language runs.

use crate::plan::{Language, ScriptAnalysis};

/// A script that cannot be taken, with its place in the script's own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFault {
    /// The stable code, such as `script.syntax`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
    /// 1-based line within the script.
    pub line: u32,
    /// 1-based column, in characters.
    pub column: u32,
}

/// Reads scripts without running them. Implemented by the `script` crate.
pub trait ScriptAnalyser {
    /// Compiles the source and tells what is in it, or every fault.
    fn analyse(&self, language: Language, source: &str)
    -> Result<ScriptAnalysis, Vec<ScriptFault>>;
}
