//! Cycle files, connector definitions and `velodrome.yaml`: from text to something checked.
//!
//! Nothing here runs anything. Scripts are asked about through [`ScriptAnalyser`], connections and
//! other cycles through [`Lookup`]. Every fault of a file is told at once, with a code, a place and a
//! hint; a plan exists only where there is none.

mod analyse;
pub mod callers;
mod condition;
mod config;
mod config_value;
pub mod connector;
mod connector_file;
mod cycle;
mod diagnostic;
pub mod expr;
pub mod format;
pub mod graph;
mod keys;
pub mod plan;
mod reference;
mod render;
pub mod schedule;
mod script_text;
mod step_scripts;
pub mod test_file;
mod values;
mod yaml;

pub use analyse::{ScriptAnalyser, ScriptFault};
pub use config::{Config, ConnectionConfig, EgressConfig, LogFormat, check_config};
pub use config_value::{Unset, with_environment, with_secrets};
pub use connector_file::{ConnectorInput, check_connector, check_connector_file};
pub use cycle::{
    Checked, ConnectionLookup, CycleInput, Lookup, check_cycle, check_named_cycle, error_hook,
    shared_keys,
};
pub use diagnostic::{Diagnostic, Severity, Span};
pub use keys::closest;
pub use plan::Plan;
pub use render::render;

/// A YAML file as plain JSON, references and all: what an editor holds against the schema.
///
/// # Errors
///
/// What is wrong with its YAML.
pub fn plain(source: &str) -> Result<velodrome_types::Json, Vec<Diagnostic>> {
    yaml::parse(source).map(|root| root.to_json())
}
