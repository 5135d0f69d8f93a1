//! Reading a map by its keys: unknown ones are refused with a guess at what was meant.

use velodrome_types::{Code, DurationError, parse_duration};

use crate::diagnostic::{Diagnostic, Severity, Span};
use crate::format::{self, Table};
use crate::yaml::{Entry, Node, Value};

/// Collects what is wrong with a file.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Diagnostic>);

impl Faults {
    pub(crate) fn error(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Error, code, span, message.into())
    }

    pub(crate) fn warning(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.add(Severity::Warning, code, span, message.into())
    }

    fn add(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: Span,
        message: String,
    ) -> &mut Diagnostic {
        self.0.push(Diagnostic {
            severity,
            code: Code::new(code),
            message,
            span,
            hint: None,
        });
        self.0.last_mut().expect("just pushed")
    }

    /// A feature that SPEC names and that does not run yet.
    pub(crate) fn not_yet(&mut self, span: Span, what: &str) {
        let message = format!("{what} does not run yet");
        self.error("feature.not_yet", span, message).hint =
            Some("the changelog says when it does; leave it out until then".to_owned());
    }

    pub(crate) fn is_fatal(&self) -> bool {
        self.0
            .iter()
            .any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl Diagnostic {
    pub(crate) fn hint(&mut self, hint: impl Into<String>) {
        self.hint = Some(hint.into());
    }
}

/// A map whose keys are read one by one; what no table has, or was left unread, is unknown.
#[derive(Debug)]
pub(crate) struct Keys<'a> {
    entries: &'a [Entry],
    /// What may stand here; empty where the reader alone knows.
    tables: Vec<&'static Table>,
    read: Vec<&'static str>,
    pub(crate) span: Span,
}

impl<'a> Keys<'a> {
    /// The node as a map; anything else is an error that says what `what` must be.
    pub(crate) fn of(node: &'a Node, what: &str, faults: &mut Faults) -> Option<Self> {
        match &node.value {
            Value::Map(entries) => Some(Self {
                entries,
                tables: Vec::new(),
                read: Vec::new(),
                span: node.span,
            }),
            _ => {
                let message = format!("{what} must be a map, not {}", node.kind());
                faults.error("value.type", node.span, message);
                None
            }
        }
    }

    /// The node as a map with the keys of this table.
    pub(crate) fn in_table(
        node: &'a Node,
        table: &'static Table,
        what: &str,
        faults: &mut Faults,
    ) -> Option<Self> {
        let mut keys = Self::of(node, what, faults)?;
        keys.tables.push(table);
        Some(keys)
    }

    /// The keys of this table may stand here too.
    pub(crate) fn also(&mut self, table: &'static Table) {
        self.tables.push(table);
    }

    /// The entry of a key.
    pub(crate) fn entry(&mut self, key: &'static str) -> Option<&'a Entry> {
        debug_assert!(
            self.tables.is_empty() || self.tables.iter().any(|table| table.key(key).is_some()),
            "`{key}` is in no table of {:?}",
            self.tables
                .iter()
                .map(|table| table.name)
                .collect::<Vec<_>>()
        );
        self.read.push(key);
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// Where a key stands.
    pub(crate) fn span_of(&self, key: &str) -> Option<Span> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(entry.key_span)
    }

    /// The value of a key.
    pub(crate) fn get(&mut self, key: &'static str) -> Option<&'a Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The value of a key that must be there.
    pub(crate) fn need(
        &mut self,
        key: &'static str,
        of: &str,
        faults: &mut Faults,
    ) -> Option<&'a Node> {
        let found = self.get(key);
        if found.is_none() {
            faults.error("field.missing", self.span, format!("{of} has no `{key}`"));
        }
        found
    }

    /// Whatever was not read is unknown here.
    pub(crate) fn finish(self, of: &str, faults: &mut Faults) {
        for entry in self.entries {
            let known = match self.tables.is_empty() {
                true => self.read.contains(&entry.key.as_str()),
                false => self
                    .tables
                    .iter()
                    .any(|table| table.key(&entry.key).is_some()),
            };
            if !known {
                self.unknown(entry, of, faults);
            }
        }
    }

    fn unknown(&self, entry: &Entry, of: &str, faults: &mut Faults) {
        let message = format!("{of} has no key `{}`", entry.key);
        let fault = faults.error("field.unknown", entry.key_span, message);
        let known: Vec<&str> = if self.tables.is_empty() {
            self.read.clone()
        } else {
            let keys = self.tables.iter().flat_map(|table| table.keys);
            keys.map(|key| key.name).collect()
        };
        let snake = snake_case(&entry.key);
        let elsewhere = format::owners(&snake);
        match closest(&snake, known.iter().copied()) {
            Some(meant) if meant == snake || elsewhere.is_empty() => {
                fault.hint(format!("did you mean `{meant}`?"));
            }
            _ if !self.tables.is_empty() && !elsewhere.is_empty() => {
                fault.hint(format!("`{snake}` belongs to {}", elsewhere.join(" and ")));
            }
            _ => fault.hint(format!("it takes {}", list(&known))),
        }
    }
}

pub(crate) fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The known word nearest to this one, if it is near.
pub fn closest<'w>(word: &str, known: impl Iterator<Item = &'w str>) -> Option<&'w str> {
    let limit = (word.chars().count() / 3).max(1) + 1;
    known
        .map(|other| (distance(word, other), other))
        .filter(|(far, _)| *far <= limit)
        .min()
        .map(|(_, other)| other)
}

/// `maxLaps` and `max-laps` as `max_laps`.
fn snake_case(word: &str) -> String {
    let mut snake = String::new();
    for c in word.chars() {
        if c.is_ascii_uppercase() && !snake.is_empty() && !snake.ends_with('_') {
            snake.push('_');
        }
        snake.push(if c == '-' {
            '_'
        } else {
            c.to_ascii_lowercase()
        });
    }
    snake
}

/// What other tools call the words of a file.
const SYNONYMS: &[(&str, &str)] = &[
    ("int", "integer"),
    ("long", "integer"),
    ("float", "number"),
    ("double", "number"),
    ("decimal", "number"),
    ("string", "text"),
    ("str", "text"),
    ("bool", "boolean"),
    ("array", "list"),
    ("map", "object"),
    ("dict", "object"),
    ("json", "object"),
    ("date", "datetime"),
    ("timestamp", "datetime"),
    ("success", "succeeded"),
    ("ok", "succeeded"),
    ("failure", "failed"),
    ("error", "failed"),
    ("stop", "stop_run"),
    ("continue", "ignore"),
    ("eq", "equals"),
    ("==", "equals"),
    ("!=", "not_equals"),
    (">", "greater_than"),
    ("<", "less_than"),
    (">=", "greater_or_equal"),
    ("<=", "less_or_equal"),
    ("js", "javascript"),
];

/// Edits between two words: insertions, deletions, replacements and neighbours exchanged.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// A scalar as text; a boolean or a number is refused where text is meant only if it would be lost.
pub(crate) fn text(node: &Node, what: &str, faults: &mut Faults) -> Option<String> {
    match node.scalar() {
        Some(scalar) if !node.to_json().is_null() => Some(scalar.text.clone()),
        _ => {
            faults.error(
                "value.type",
                node.span,
                format!("{what} must be text, not {}", node.kind()),
            );
            None
        }
    }
}

/// A list of texts, each with its node.
pub(crate) fn texts<'a>(
    node: &'a Node,
    what: &str,
    faults: &mut Faults,
) -> Vec<(&'a Node, String)> {
    let Value::List(items) = &node.value else {
        let message = format!("{what} must be a list, not {}", node.kind());
        faults.error("value.type", node.span, message);
        return Vec::new();
    };
    let what = format!("an item of {what}");
    items
        .iter()
        .filter_map(|item| Some((item, text(item, &what, faults)?)))
        .collect()
}

pub(crate) fn whole(node: &Node, what: &str, least: u64, faults: &mut Faults) -> Option<u64> {
    match node.to_json().as_u64() {
        Some(number) if number >= least => Some(number),
        _ => {
            let shown = node.scalar().map_or_else(
                || node.kind().to_owned(),
                |scalar| format!("`{}`", scalar.text),
            );
            faults.error(
                "value.type",
                node.span,
                format!("{what} must be a whole number from {least}, not {shown}"),
            );
            None
        }
    }
}

pub(crate) fn truth(node: &Node, what: &str, faults: &mut Faults) -> Option<bool> {
    let found = node.to_json().as_bool();
    if found.is_none() {
        let fault = faults.error(
            "value.type",
            node.span,
            format!("{what} must be true or false, not {}", node.kind()),
        );
        if node
            .scalar()
            .is_some_and(|scalar| matches!(scalar.text.as_str(), "yes" | "on" | "no" | "off"))
        {
            fault.hint("`yes`, `no`, `on` and `off` are text in YAML 1.2");
        }
    }
    found
}

pub(crate) fn duration(
    node: &Node,
    what: &str,
    faults: &mut Faults,
) -> Option<std::time::Duration> {
    let text = text(node, what, faults)?;
    match parse_duration(&text) {
        Ok(duration) => Some(duration),
        Err(error) => {
            let hint = match &error {
                DurationError::BareNumber { text } => Some(format!("write `{text} seconds`")),
                _ => None,
            };
            let fault = faults.error("value.duration", node.span, format!("{what}: {error}"));
            fault.hint = hint;
            None
        }
    }
}

/// One of a few words.
pub(crate) fn choice<T: Copy>(
    node: &Node,
    what: &str,
    words: &[(&str, T)],
    faults: &mut Faults,
) -> Option<T> {
    let text = text(node, what, faults)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let fault = faults.error(
        "value.choice",
        node.span,
        format!("{what} is one of {}, not `{text}`", list(&known)),
    );
    let synonym = SYNONYMS
        .iter()
        .filter(|(other, _)| *other == text)
        .map(|(_, word)| *word)
        .find(|word| known.contains(word));
    if let Some(meant) = synonym.or_else(|| closest(&text, known.iter().copied())) {
        fault.hint(format!("did you mean `{meant}`?"));
    }
    None
}
