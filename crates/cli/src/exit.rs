//! Exit codes: 0 done · 1 it failed · 2 wrong usage · 3 a file or setting is invalid · 4 the server cannot
//! be reached · 5 not allowed (SPEC §10). Clap itself exits with 2.

use std::process::ExitCode;

use thiserror::Error;

/// What ends a command with a code of its own. Anything else is 1.
#[derive(Debug, Error)]
pub(crate) enum Ended {
    /// The command did its work and what it watched failed; everything has been said.
    #[error("")]
    Failed,
    /// It ended with this code; what there is to say has been said.
    #[error("")]
    Told(u8),
    /// Wrong usage that clap cannot see.
    #[error("{0}")]
    Usage(String),
    /// A file or a setting is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The server cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The server refused what was asked, for a reason of its own.
    #[error("{0}")]
    Refused(String),
    /// The server is there and cannot answer now: it shuts down, or its disk refuses.
    #[error("{0}")]
    Unavailable(String),
    /// The server said no.
    #[error("{0}")]
    NotAllowed(String),
    /// Whoever read the output has read enough; nothing went wrong.
    #[error("")]
    EnoughRead,
}

impl Ended {
    fn number(&self) -> u8 {
        match self {
            Self::EnoughRead => 0,
            Self::Told(code) => *code,
            Self::Failed | Self::Refused(_) | Self::Unavailable(_) => 1,
            Self::Usage(_) => 2,
            Self::Invalid(_) => 3,
            Self::Unreachable(_) => 4,
            Self::NotAllowed(_) => 5,
        }
    }
}

/// Says what went wrong and gives the exit code.
pub(crate) fn code(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let text = format!("{error:#}");
    if !text.is_empty() {
        let marked = text.starts_with("error");
        eprintln!("{}{text}", if marked { "" } else { "error: " });
    }
    ExitCode::from(number(&error))
}

/// The exit code of an error; context around what ended the command does not change it.
pub(crate) fn number(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Ended>().map_or(1, Ended::number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ending_has_its_number() {
        let number = |ended: Ended| number(&ended.into());
        assert_eq!(number(Ended::EnoughRead), 0);
        assert_eq!(number(Ended::Failed), 1);
        assert_eq!(number(Ended::Refused(String::new())), 1);
        assert_eq!(number(Ended::Unavailable(String::new())), 1);
        assert_eq!(number(Ended::Usage(String::new())), 2);
        assert_eq!(number(Ended::Invalid(String::new())), 3);
        assert_eq!(number(Ended::Unreachable(String::new())), 4);
        assert_eq!(number(Ended::NotAllowed(String::new())), 5);
    }

    #[test]
    fn context_keeps_the_number_and_anything_else_has_failed() {
        let ended = anyhow::Error::from(Ended::Unreachable("gone".to_owned()));
        assert_eq!(number(&ended.context("while following")), 4);
        assert_eq!(number(&anyhow::anyhow!("something else")), 1);
    }
}
