//! What a terminal is shown: log lines in columns, nothing that a value could control.

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

/// Control characters, and those that turn the direction of what follows.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_controls_the_terminal() {
        assert_eq!(escape("plain é 日本"), "plain é 日本");
        assert_eq!(escape("\u{1b}[31mred\u{7}\r\n"), "\\x1b[31mred\\x07\\r\\n");
        assert_eq!(escape("a\u{202e}b\u{9b}c"), "a\\u{202e}b\\x9bc");
    }
}
