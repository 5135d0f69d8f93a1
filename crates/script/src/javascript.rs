//! Recognises JavaScript in a place where Rhai is wanted.

use crate::words::{Word, words};

/// Words that a Rhai script has no use for.
const WORDS: [&str; 9] = [
    "function",
    "var",
    "null",
    "undefined",
    "typeof",
    "new",
    "async",
    "await",
    "===",
];

/// The first sign of JavaScript in a text that does not parse.
pub(crate) fn sign(text: &str) -> Option<Word<'_>> {
    let words = words(text);
    let arrow = words
        .windows(2)
        .find(|pair| pair[0].text == ")" && pair[1].text == "=>")
        .map(|pair| pair[1]);
    let word = words
        .iter()
        .copied()
        .find(|word| WORDS.contains(&word.text) || word.text == "!==" || is_quoted_text(word.text));
    match (word, arrow) {
        (Some(word), Some(arrow)) if (arrow.line, arrow.column) < (word.line, word.column) => {
            Some(arrow)
        }
        (None, arrow) => arrow,
        (word, _) => word,
    }
}

/// Text in single quotes; in Rhai those hold one character.
fn is_quoted_text(word: &str) -> bool {
    let inner = word
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''));
    inner.is_some_and(|inner| !inner.starts_with('\\') && inner.chars().count() > 1)
}

/// What to do about it.
pub(crate) fn hint(sign: &str) -> String {
    format!(
        "this looks like JavaScript (`{sign}`): in Rhai write `fn`, `let`, `==`, `()` for null and \
         \"text\" in double quotes; or say `language: javascript`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_sign() {
        let check = |text: &str, wanted: Option<&str>| {
            assert_eq!(sign(text).map(|word| word.text), wanted, "{text}");
        };
        check(
            "function after_webhook() { return true; }",
            Some("function"),
        );
        check("fn a() { if x === 1 { } }", Some("==="));
        check("fn a() { if x !== 1 { } }", Some("!=="));
        check("fn a() { items.map((x) => x.id) }", Some("=>"));
        check(
            "fn a() { cyclr_storage_get('pageNumber') }",
            Some("'pageNumber'"),
        );
        check("fn a() { switch x { 1 => 2 } 'c' '\\n' \"null\" }", None);
        check("// function\nfn a() { 1 + }", None);
    }
}
