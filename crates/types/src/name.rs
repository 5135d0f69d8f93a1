//! Names that people write: cycles, steps and connections.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// Why a text cannot name a cycle or a step.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// It is not `[a-z][a-z0-9_]*`, or is longer than 100 characters.
    #[error(
        "a name begins with a letter a to z and goes on with a to z, 0 to 9 and `_`, 100 at the most"
    )]
    Form,
    /// References or scripts use this word for something else.
    #[error("`{word}` is reserved: {by} uses it")]
    Reserved {
        /// The word itself.
        word: String,
        /// Who uses it.
        by: &'static str,
    },
}

/// Words that `${…}` references begin with.
const REFERENCE_WORDS: &[&str] = &[
    "run", "cycle", "item", "index", "var", "env", "secret", "hook", "file",
];

/// Reserved words and keywords of Rhai (rhai.rs, *Keywords*).
const RHAI_WORDS: &[&str] = &[
    "true",
    "false",
    "let",
    "const",
    "if",
    "else",
    "switch",
    "do",
    "while",
    "until",
    "loop",
    "for",
    "in",
    "continue",
    "break",
    "return",
    "fn",
    "private",
    "import",
    "export",
    "as",
    "global",
    "throw",
    "try",
    "catch",
    "var",
    "static",
    "shared",
    "goto",
    "exit",
    "match",
    "case",
    "public",
    "protected",
    "new",
    "use",
    "with",
    "module",
    "package",
    "super",
    "spawn",
    "thread",
    "go",
    "sync",
    "async",
    "await",
    "yield",
    "default",
    "void",
    "null",
    "nil",
    "this",
    "is",
    "type_of",
    "print",
    "debug",
    "eval",
    "call",
    "curry",
    "is_def_fn",
    "is_def_var",
    "is_shared",
];

/// Reserved words of JavaScript (ECMA-262, *Keywords and Reserved Words*).
const JAVASCRIPT_WORDS: &[&str] = &[
    "await",
    "break",
    "case",
    "catch",
    "class",
    "const",
    "continue",
    "debugger",
    "default",
    "delete",
    "do",
    "else",
    "enum",
    "export",
    "extends",
    "false",
    "finally",
    "for",
    "function",
    "if",
    "import",
    "in",
    "instanceof",
    "let",
    "new",
    "null",
    "return",
    "static",
    "super",
    "switch",
    "this",
    "throw",
    "true",
    "try",
    "typeof",
    "undefined",
    "var",
    "void",
    "while",
    "with",
    "yield",
    "implements",
    "interface",
    "package",
    "private",
    "protected",
    "public",
];

/// Checks the rules that cycle and step ids share (SPEC §3, *Names*).
pub fn check_name(text: &str) -> Result<(), NameError> {
    let mut chars = text.chars();
    let first_ok = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    let rest_ok = chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if !first_ok || !rest_ok || text.len() > 100 {
        return Err(NameError::Form);
    }
    let reserved = |by| NameError::Reserved {
        word: text.to_owned(),
        by,
    };
    if REFERENCE_WORDS.contains(&text) {
        return Err(reserved("`${…}`"));
    }
    if RHAI_WORDS.contains(&text) {
        return Err(reserved("Rhai"));
    }
    if JAVASCRIPT_WORDS.contains(&text) {
        return Err(reserved("JavaScript"));
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is; the file checker has looked at it with [`check_name`].
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                Ok(Self(text.as_ref().into()))
            }
        }
    };
}

name!(
    /// The id of a cycle: what stands after `cycle:` and in its webhook's URL.
    CycleId
);
name!(
    /// The id of a step within its cycle.
    StepId
);
name!(
    /// The name of a connection: an installation of a connector, with its settings, credentials and
    /// script storage.
    ConnectionId
);

/// Whether a secret may have this name: letters, digits, `_`, `-` and `.`, at most 128 of them, and
/// neither `-` nor `.` at the beginning.
pub fn is_secret_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=128).contains(&name.len()) && !name.starts_with(['-', '.']) && name.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_words() {
        for good in ["a", "zoho_incremental", "x9", "page_2"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "9a", "_a", "Zoho", "a-b", "a b", "é"] {
            assert_eq!(check_name(bad), Err(NameError::Form), "{bad}");
        }
    }

    #[test]
    fn reserved_words_say_who_uses_them() {
        let by = |word| match check_name(word) {
            Err(NameError::Reserved { by, .. }) => by,
            other => panic!("{word}: {other:?}"),
        };
        assert_eq!(by("run"), "`${…}`");
        assert_eq!(by("switch"), "Rhai");
        assert_eq!(by("class"), "JavaScript");
    }
}
