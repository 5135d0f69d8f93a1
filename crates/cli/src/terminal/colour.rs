//! Colour, only on a terminal that wants it.

use std::io::IsTerminal;

/// Whether to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour(bool);

impl Colour {
    /// As standard output, `NO_COLOR` and `--no-color` say.
    pub(crate) fn of_stdout(no_color: bool) -> Self {
        Self(wanted(no_color) && std::io::stdout().is_terminal())
    }

    /// Whether standard error is coloured, for those who colour by themselves.
    pub(crate) fn is_on_stderr(no_color: bool) -> bool {
        wanted(no_color) && std::io::stderr().is_terminal()
    }

    /// Never.
    #[cfg(test)]
    pub(crate) const OFF: Self = Self(false);

    /// Always.
    #[cfg(test)]
    pub(crate) const ON: Self = Self(true);

    pub(crate) fn red(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.paint("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.paint("36", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

fn wanted(no_color: bool) -> bool {
    !no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
