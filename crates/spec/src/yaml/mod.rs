//! YAML text as a tree of nodes with spans.
//!
//! The grammar is `granit-parser`'s; this keeps where everything stands and refuses what a cycle file
//! must not have: tags, anchors, aliases, merge keys, duplicate keys, a second document, deep nesting.
//! Only plain `true`, `false`, `null` and JSON numbers have a type; everything else is text (SPEC §3).

mod node;
mod pitfalls;
mod place;
mod read;

pub(crate) use node::{Entry, Node, Style, Value};
pub(crate) use read::parse;
