//! Standard output: data and nothing else. A reader that has seen enough, such as `head`, ends the command
//! quietly instead of with a panic.

use std::io::{ErrorKind, Write as _};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::exit::Ended;
use crate::terminal::escape_json;

/// Prints a line.
pub(crate) fn line(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

/// Prints text as it stands.
pub(crate) fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Ended::EnoughRead.into()),
        Err(error) => Err(error).context("writing to standard output"),
    }
}

/// Prints JSON for programs: one document, indented.
pub(crate) fn json(value: &Value) -> Result<()> {
    json_text(&format!("{value:#}"))
}

/// Prints JSON as it was written. It says the same to a program, and nothing to a terminal.
pub(crate) fn json_text(text: &str) -> Result<()> {
    line(&escape_json(text))
}
