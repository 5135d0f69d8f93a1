//! Makes runs go.
pub mod api;
mod engine;
pub use engine::{Engine, StartError, StartOptions, start};
