//! What a terminal is shown: log lines in columns, nothing that a value could control.

use std::borrow::Cow;

mod colour;
mod line;
mod live;

pub(crate) use colour::Colour;
pub(crate) use line::Layout;
pub(crate) use live::Live;

/// So many of something: `1 lap`, `3 laps`.
pub(crate) fn count(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// A text without control characters: each stands as an escape.
pub(crate) fn escape(text: &str) -> String {
    if !text.chars().any(is_control) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_control(c) && (c as u32) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", c as u32))
            }
            c if is_control(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    out
}

/// JSON without control characters: JSON itself leaves those above ASCII as they are, and its escapes say the same.
pub(crate) fn escape_json(text: &str) -> Cow<'_, str> {
    let is_left = |c: char| c >= '\u{7f}' && is_control(c);
    if !text.contains(is_left) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match is_left(c) {
            true => out.push_str(&format!("\\u{:04x}", c as u32)),
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, and those that turn the direction of what follows or begin a line. All are of the basic
/// plane.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}'
                | '\u{200e}'
                | '\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(escape("plain é 日本"), "plain é 日本");
        assert_eq!(escape("\u{1b}[31mred\u{7}\r\n"), "\\x1b[31mred\\x07\\r\\n");
        assert_eq!(escape("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\x9bc");
        assert_eq!(escape("a\u{2028}b\u{61c}"), "a\\u{2028}b\\u{61c}");
    }

    #[test]
    fn json_says_the_same_without_controlling_it() {
        let value = serde_json::json!({"a\u{9b}": "\u{1b}[2J é \u{202e}\u{7f}"});
        for text in [value.to_string(), format!("{value:#}")] {
            let shown = escape_json(&text);
            assert!(
                !shown.chars().any(|c| c != '\n' && is_control(c)),
                "{shown}"
            );
            assert_eq!(
                serde_json::from_str::<serde_json::Value>(&shown).unwrap(),
                value
            );
        }
        assert!(matches!(escape_json("{\"a\": \"é\"}"), Cow::Borrowed(_)));
    }
}
