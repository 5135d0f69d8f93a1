//! The words of a script's text with their places, comments and texts left out.
//!
//! Only for what the syntax tree cannot tell: where a function's name stands, and what a text that does
//! not parse was meant to be.

/// A word, a sign or a text in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    /// 1-based.
    pub(crate) line: u32,
    /// 1-based, in characters.
    pub(crate) column: u32,
}

/// Signs of several characters that are looked for; all others are taken one character at a time.
const SIGNS: [&str; 3] = ["===", "!==", "=>"];

/// The words of a text, in order.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut reader = Reader {
        rest: text,
        line: 1,
        column: 1,
    };
    let mut found = Vec::new();
    while let Some(first) = reader.rest.chars().next() {
        let length = length_at(reader.rest, first);
        let (text, after) = reader.rest.split_at(length);
        let comment = text.starts_with("//") || text.starts_with("/*");
        if !first.is_whitespace() && !comment {
            found.push(Word {
                text,
                line: reader.line,
                column: reader.column,
            });
        }
        reader.pass(text);
        reader.rest = after;
    }
    found
}

struct Reader<'a> {
    rest: &'a str,
    line: u32,
    column: u32,
}

impl Reader<'_> {
    fn pass(&mut self, text: &str) {
        for letter in text.chars() {
            if letter == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
    }
}

/// How many bytes the word at the beginning of `rest` has: at least one character.
fn length_at(rest: &str, first: char) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if let Some(comment) = rest.strip_prefix("/*") {
        return comment.find("*/").map_or(rest.len(), |at| at + 4);
    }
    if matches!(first, '"' | '\'' | '`') {
        return quoted_length(rest, first);
    }
    if first.is_alphabetic() || first == '_' {
        return rest
            .find(|c: char| !c.is_alphanumeric() && c != '_')
            .unwrap_or(rest.len());
    }
    SIGNS
        .into_iter()
        .find(|sign| rest.starts_with(sign))
        .map_or(first.len_utf8(), str::len)
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == quote {
            return at + 1;
        }
    }
    rest.len()
}

/// Where a function of this name is defined.
pub(crate) fn definition(text: &str, name: &str) -> Option<(u32, u32)> {
    let words = words(text);
    words
        .windows(2)
        .find(|pair| pair[0].text == "fn" && pair[1].text == name)
        .map(|pair| (pair[1].line, pair[1].column))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_out_comments_and_keeps_texts_whole() {
        let text = "// fn a\nfn b(){ /* fn\nc */ \"fn \\\" d\" }";
        let found: Vec<_> = words(text)
            .into_iter()
            .map(|word| (word.text, word.line, word.column))
            .collect();
        assert_eq!(found[0], ("fn", 2, 1));
        assert_eq!(found[1], ("b", 2, 4));
        assert_eq!(found[5], ("\"fn \\\" d\"", 3, 6));
        assert_eq!(definition(text, "b"), Some((2, 4)));
        assert_eq!(definition(text, "a"), None);
    }

    #[test]
    fn ends_on_any_text() {
        for text in ["\"", "'\\", "/*", "/", "//", "é", "===", "`a\n"] {
            assert!(words(text).len() <= text.len(), "{text}");
        }
    }
}
