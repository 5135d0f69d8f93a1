//! The words of a text in JavaScript, with their places.
//!
//! Not a parser: it tells texts, templates, comments and regular expressions from the rest, and how deep in
//! brackets each word stands. That is enough to find names, literal keys, functions at the top level and
//! `throw`; whether the text is JavaScript at all is not asked here.

/// What a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A name or a keyword.
    Word,
    Number,
    /// In quotes.
    Text,
    /// A template, or the part of one up to `${`, from `}` on.
    Template,
    Regex,
    Sign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    pub(crate) text: &'a str,
    /// Byte offset.
    pub(crate) at: usize,
    /// Brackets that are open before it.
    pub(crate) depth: usize,
    /// Whether it is the first of its line.
    pub(crate) first_of_line: bool,
}

impl Token<'_> {
    pub(crate) fn is(&self, text: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Sign) && self.text == text
    }
}

/// Longest first.
const SIGNS: [&str; 26] = [
    ">>>=", "...", "===", "!==", "**=", "<<=", ">>=", "&&=", "||=", "??=", "=>", "==", "!=", "<=",
    ">=", "&&", "||", "??", "?.", "++", "--", "+=", "-=", "*=", "/=", "%=",
];

/// Keywords after which a value begins, so that `/` begins a regular expression.
const BEFORE_VALUE: [&str; 14] = [
    "return",
    "typeof",
    "case",
    "in",
    "of",
    "delete",
    "void",
    "throw",
    "new",
    "instanceof",
    "else",
    "do",
    "yield",
    "await",
];

/// The tokens of a text, in order.
pub(crate) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut reader = Reader {
        text,
        at: 0,
        // At each open `${`, how many brackets were open.
        templates: Vec::new(),
        depth: 0,
        first_of_line: true,
        found: Vec::new(),
    };
    while reader.step() {}
    reader.found
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    templates: Vec<usize>,
    depth: usize,
    first_of_line: bool,
    found: Vec<Token<'a>>,
}

impl<'a> Reader<'a> {
    fn step(&mut self) -> bool {
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else {
            return false;
        };
        if first.is_whitespace() || first == '\u{feff}' {
            self.first_of_line |= is_line_end(first);
            self.at += first.len_utf8();
        } else if rest.starts_with("//") {
            self.at += rest.find(is_line_end).unwrap_or(rest.len());
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let length = comment.find("*/").map_or(rest.len(), |end| end + 4);
            self.first_of_line |= rest[..length].contains(is_line_end);
            self.at += length;
        } else {
            let (kind, length) = self.token(rest, first);
            self.push(kind, length);
        }
        true
    }

    fn token(&mut self, rest: &'a str, first: char) -> (Kind, usize) {
        match first {
            '"' | '\'' => (Kind::Text, quoted(rest, first)),
            '`' => (Kind::Template, self.template(rest)),
            '}' if self.templates.last() == Some(&self.depth) => {
                self.templates.pop();
                self.depth = self.depth.saturating_sub(1);
                (Kind::Template, self.template(rest))
            }
            '/' => match self.regex(rest) {
                Some(length) => (Kind::Regex, length),
                None => (Kind::Sign, sign(rest, first)),
            },
            _ if first.is_ascii_digit() => (Kind::Number, run(rest, |c| is_word(c) || c == '.')),
            '.' if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => {
                (Kind::Number, 1 + run(&rest[1..], is_word))
            }
            _ if is_word(first) || first == '#' || first == '\\' => {
                let begin = first.len_utf8();
                (Kind::Word, begin + run(&rest[begin..], is_word))
            }
            _ => (Kind::Sign, sign(rest, first)),
        }
    }

    fn push(&mut self, kind: Kind, length: usize) {
        let text = &self.text[self.at..self.at + length];
        let opens = kind == Kind::Sign && matches!(text, "(" | "[" | "{");
        let closes = kind == Kind::Sign && matches!(text, ")" | "]" | "}");
        if closes {
            self.depth = self.depth.saturating_sub(1);
        }
        self.found.push(Token {
            kind,
            text,
            at: self.at,
            depth: self.depth,
            first_of_line: std::mem::take(&mut self.first_of_line),
        });
        if kind == Kind::Template && text.ends_with("${") {
            self.depth += 1;
            self.templates.push(self.depth);
        }
        if opens {
            self.depth += 1;
        }
        self.at += length;
    }

    /// The length of a template's part, from its `` ` `` or `}` to its `` ` `` or `${`.
    fn template(&self, rest: &str) -> usize {
        let bytes = rest.as_bytes();
        let mut at = 1;
        while at < bytes.len() {
            match bytes[at] {
                b'\\' => at += 1,
                b'`' => return at + 1,
                b'$' if bytes.get(at + 1) == Some(&b'{') => return at + 2,
                _ => {}
            }
            at += 1;
        }
        rest.len()
    }

    /// The length of a regular expression, if one can begin here.
    fn regex(&self, rest: &str) -> Option<usize> {
        let value_before = self.found.last().is_some_and(|last| match last.kind {
            Kind::Word => !BEFORE_VALUE.contains(&last.text),
            Kind::Sign => matches!(last.text, ")" | "]" | "++" | "--"),
            Kind::Template => !last.text.ends_with("${"),
            _ => true,
        });
        if value_before {
            return None;
        }
        let mut in_class = false;
        let mut escaped = false;
        for (at, letter) in rest.char_indices().skip(1) {
            match letter {
                _ if is_line_end(letter) => return None,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '[' => in_class = true,
                ']' => in_class = false,
                '/' if !in_class => return Some(at + 1 + run(&rest[at + 1..], is_word)),
                _ => {}
            }
        }
        None
    }
}

fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if letter == '\\' {
            escaped = true;
        } else if letter == quote {
            return at + 1;
        } else if letter == '\n' || letter == '\r' {
            return at;
        }
    }
    rest.len()
}

fn sign(rest: &str, first: char) -> usize {
    let long = SIGNS.into_iter().find(|sign| rest.starts_with(sign));
    long.map_or(first.len_utf8(), str::len)
}

fn run(rest: &str, fits: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !fits(c)).unwrap_or(rest.len())
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_' || letter == '$'
}

fn is_line_end(letter: char) -> bool {
    matches!(letter, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// What a text in quotes, or a template without parts, holds; `None` where that is not so simple.
pub(crate) fn literal(token: &Token<'_>) -> Option<String> {
    match token.kind {
        Kind::Text | Kind::Template => {
            let quote = token.text.chars().next()?;
            let inner = token.text.strip_prefix(quote)?.strip_suffix(quote)?;
            (matches!(quote, '"' | '\'' | '`') && !inner.contains('\\')).then(|| inner.to_owned())
        }
        Kind::Number => token
            .text
            .parse::<u64>()
            .ok()
            .map(|number| number.to_string()),
        _ => None,
    }
}

/// Line and column of a byte offset, both 1-based; the column in characters.
pub(crate) fn place(text: &str, at: usize) -> (u32, u32) {
    let (line, column) = byte_place(text, at);
    (line, in_characters(text, line, column))
}

/// As [`place`], with the column in bytes, as QuickJS counts.
pub(crate) fn byte_place(text: &str, at: usize) -> (u32, u32) {
    let before = &text[..at];
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    (number(line), number(at - start + 1))
}

/// Places of a text, asked for in its order: each is found from the one before.
pub(crate) struct Places<'t> {
    text: &'t str,
    at: usize,
    line: u32,
    /// Where the line begins.
    start: usize,
}

impl<'t> Places<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        Self {
            text,
            at: 0,
            line: 1,
            start: 0,
        }
    }

    /// As [`byte_place`]; not before the last one that was asked for.
    pub(crate) fn at(&mut self, at: usize) -> (u32, u32) {
        for (offset, _) in self.text[self.at..at].match_indices('\n') {
            self.line = self.line.saturating_add(1);
            self.start = self.at + offset + 1;
        }
        self.at = at;
        let column = u32::try_from(at - self.start + 1).unwrap_or(u32::MAX);
        (self.line, column)
    }
}

/// A column in characters, of one in bytes.
pub(crate) fn in_characters(text: &str, line: u32, column: u32) -> u32 {
    let before = (column as usize).saturating_sub(1);
    let line = text.lines().nth((line as usize).saturating_sub(1));
    let wide = line.map_or(0, |line| {
        let bytes = line.bytes().take(before);
        // All bytes of a character but its first.
        bytes
            .filter(|byte| byte & 0b1100_0000 == 0b1000_0000)
            .count()
    });
    column
        .saturating_sub(u32::try_from(wide).unwrap_or(0))
        .max(1)
}

/// Where something was put into a text, so that places in it can be told as they were before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shifts(Vec<Shift>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Shift {
    line: u32,
    /// The column before it was put in, in bytes.
    column: u32,
    length: u32,
}

impl Shifts {
    /// Notes that so many bytes were put in here; called in the order of the text.
    pub(crate) fn note(&mut self, (line, column): (u32, u32), length: usize) {
        self.0.push(Shift {
            line,
            column,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        });
    }

    /// A place, as it was before.
    pub(crate) fn back(
        &self,
        line: Option<u32>,
        column: Option<u32>,
    ) -> (Option<u32>, Option<u32>) {
        let (Some(on), Some(mut at)) = (line, column) else {
            return (line, column);
        };
        for shift in self.0.iter().filter(|shift| shift.line == on) {
            if at > shift.column {
                at = at.saturating_sub(shift.length).max(shift.column);
            }
        }
        (line, Some(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: &[(Kind, &str)]) {
        let found: Vec<_> = tokens(text)
            .into_iter()
            .map(|token| (token.kind, token.text))
            .collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn tells_regular_expressions_from_divisions() {
        use Kind::{Number, Regex, Sign, Word};
        check(
            "a / b / c",
            &[
                (Word, "a"),
                (Sign, "/"),
                (Word, "b"),
                (Sign, "/"),
                (Word, "c"),
            ],
        );
        check(
            "x = /[/'\"]\\//g",
            &[(Word, "x"), (Sign, "="), (Regex, "/[/'\"]\\//g")],
        );
        check("return /a'b/", &[(Word, "return"), (Regex, "/a'b/")]);
        check(
            "(1)/2",
            &[
                (Sign, "("),
                (Number, "1"),
                (Sign, ")"),
                (Sign, "/"),
                (Number, "2"),
            ],
        );
    }

    #[test]
    fn reads_what_stands_inside_templates() {
        let text = "`a${ {b: `c${d}`} }e` f";
        let words: Vec<_> = tokens(text)
            .into_iter()
            .filter(|token| token.kind == Kind::Word)
            .map(|token| (token.text, token.depth))
            .collect();
        assert_eq!(words, [("b", 2), ("d", 3), ("f", 0)]);
    }

    #[test]
    fn ends_on_any_text() {
        for text in [
            "\"", "'\\", "/*", "/", "//", "é", "===", "`a\n${", "}", "}}`", "/[", "\\u",
        ] {
            assert!(tokens(text).len() <= text.len() + 1, "{text}");
        }
    }

    #[test]
    fn places_come_back() {
        let mut shifts = Shifts::default();
        shifts.note((2, 6), 10);
        shifts.note((2, 20), 10);
        let check = |column, expect| {
            assert_eq!(
                shifts.back(Some(2), Some(column)),
                (Some(2), Some(expect)),
                "{column}"
            );
        };
        check(3, 3);
        check(6, 6);
        check(17, 7);
        check(30, 20);
        check(42, 22);
        assert_eq!(shifts.back(Some(1), Some(42)), (Some(1), Some(42)));
    }
}
