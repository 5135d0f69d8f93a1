//! What a table of keys is made of.

/// The keys of one place in a file.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// The place, as messages call it: `a cycle`, `retry`.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
}

/// A key that a file may have.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// What may stand behind it.
    pub takes: Takes,
    /// What holds where it is not written, as people read it; empty if nothing does.
    pub default: &'static str,
    /// Whether it must be there.
    pub required: bool,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

/// What may stand behind a key.
#[derive(Clone, Copy, Debug)]
pub enum Takes {
    /// Text of one or more lines.
    Text,
    /// A name: `[a-z][a-z0-9_]*`.
    Name,
    /// A whole number, from this one on.
    Integer(u64),
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `2 seconds`, `1h30m`, `PT2S`.
    Duration,
    /// `1 MiB`, or a number of bytes.
    Size,
    /// RFC 3339.
    Date,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The id of a step.
    Step,
    /// A value, references and all.
    Value,
    /// A value that stands as it is.
    Literal,
    /// A list of such.
    List(&'static Takes),
    /// A map from names to such.
    Map(&'static Takes),
    /// A map with these keys.
    Keys(&'static Table),
    /// One of these.
    Either(&'static [Takes]),
    /// The steps of a cycle.
    Steps,
    /// A decision's condition; such conditions stand inside one another.
    Condition,
    /// A declared field of a body; such fields stand inside one another.
    Field,
}

impl Key {
    /// A key that may be left out.
    pub(super) const fn new(name: &'static str, takes: Takes, doc: &'static str) -> Self {
        Self {
            name,
            takes,
            default: "",
            required: false,
            doc,
        }
    }

    /// The same, with what holds where it is not written.
    pub(super) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    /// The same; it must be there.
    pub(super) const fn required(self) -> Self {
        Self {
            required: true,
            ..self
        }
    }
}

impl Table {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }
}
