//! Cycle files and connector definitions: from YAML text to a checked, immutable [`Plan`].
//!
//! Nothing here runs anything. Scripts are asked about through [`ScriptAnalyser`].

mod analyse;
pub mod connector;
mod diagnostic;
pub mod expr;
pub mod plan;

pub use analyse::{ScriptAnalyser, ScriptFault};
pub use diagnostic::{Diagnostic, Severity, Span};
pub use plan::Plan;
