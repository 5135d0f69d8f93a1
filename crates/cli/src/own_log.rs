//! The server's own log, on standard error: what to tell, and how it is written.
//!
//! It is not the run log. Whatever stands in a line, it controls no terminal, and what goes on behind a line break is
//! indented, so that nothing looks like a line that is none.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format::debug_fn;
use velodrome_runtime::Redactor;
use velodrome_spec::LogFormat;

use crate::terminal::escape;

/// What is told where [`VARIABLE`] does not say.
const TOLD: &str = "warn,velodrome_runtime=info,velodrome_server::access=info,velodrome::commands=info,velodrome::otel=info";
/// The environment variable that says otherwise: levels of all and of single parts.
const VARIABLE: &str = "VELODROME_LOG";
/// What stands before each further line of a text.
const GOES_ON: &str = "\n    ";

/// Begins to write it.
pub(crate) fn begin(format: LogFormat, colour: bool, redactor: &Redactor) {
    let redactor = redactor.clone();
    let asked = std::env::var(VARIABLE).ok().map(EnvFilter::try_new);
    let (filter, wrong) = match asked {
        Some(Ok(filter)) => (filter, None),
        Some(Err(error)) => (EnvFilter::new(TOLD), Some(error)),
        None => (EnvFilter::new(TOLD), None),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || redactor.writer(std::io::stderr()))
        .with_ansi(colour)
        .with_target(false);
    match format {
        LogFormat::Text => builder
            .fmt_fields(
                debug_fn(|writer, field, value| {
                    if field.name() != "message" {
                        write!(writer, "{field}=")?;
                    }
                    writer.write_str(&shown(&format!("{value:?}")))
                })
                .delimited(" "),
            )
            .init(),
        LogFormat::Json => builder.json().init(),
    }
    if let Some(error) = wrong {
        tracing::warn!(%error, "`{VARIABLE}` is not taken: write such as `warn,velodrome_server=debug`");
    }
}

fn shown(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(escape).collect();
    lines.join(GOES_ON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_forges_no_line() {
        assert_eq!(shown("one line"), "one line");
        assert_eq!(
            shown("a\u{1b}[2J\r\n2026  INFO stopped\n"),
            "a\\x1b[2J\\r\n    2026  INFO stopped\n    "
        );
    }
}
