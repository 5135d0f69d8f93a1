//! Cyclr's functions that need nothing but their arguments: base64, signatures, CSV and XML.
//!
//! They work on JSON, whatever the language of the script: [`call`] is the one entry. Nothing here reads
//! a clock, a file or the network; what they make stays within the limits of a script's values.

mod base64_text;
mod bounds;
mod charset;
mod csv_parse;
mod entry;
mod sign;
mod utf7;
mod xml_name;
mod xml_read;
mod xml_write;

pub(crate) use entry::{FUNCTIONS, FunctionFault, call};
