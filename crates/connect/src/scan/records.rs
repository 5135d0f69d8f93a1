//! Records: counted, hashed and keyed as slices of the body.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use velodrome_types::Json;

/// What was found of the records so far.
#[derive(Debug, Default)]
pub(super) struct Records<'a> {
    pub(super) count: u64,
    pub(super) hash: u64,
    pub(super) built: Vec<Json>,
    pub(super) keys: Vec<[u8; 12]>,
    /// The names that make a record's key; `None` where no keys are wanted.
    pub(super) key_of: Option<&'a [String]>,
    pub(super) build: bool,
    /// The last record, where it is wanted.
    pub(super) last: Option<Json>,
    pub(super) want_last: bool,
}

impl Records<'_> {
    /// Begins anew: of two lists under one name the later counts, as in any JSON reader.
    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.hash = 0;
        self.built.clear();
        self.keys.clear();
        self.last = None;
    }

    /// Takes one record.
    pub(super) fn take(&mut self, record: &RawValue) -> Result<(), serde_json::Error> {
        self.count += 1;
        if self.build {
            self.built.push(serde_json::from_str(record.get())?);
        }
        if let Some(names) = self.key_of {
            self.keys.push(key(record.get(), names));
        }
        Ok(())
    }
}

/// 12 bytes of SHA-256 over the JSON texts of these fields, a zero byte behind each; over the whole
/// text where the record has not got all of them, so that such records are repeats only when equal.
pub(super) fn key(record: &str, names: &[String]) -> [u8; 12] {
    let mut found: Vec<Option<&str>> = vec![None; names.len()];
    let fields = Fields {
        names,
        found: &mut found,
    };
    // The walk has parsed the record already, so an error only says that the rest was not read.
    let _ = fields.deserialize(&mut serde_json::Deserializer::from_str(record));
    let whole = found.is_empty() || found.contains(&None);
    let mut hasher = Sha256::new();
    if whole {
        hasher.update(record.as_bytes());
    } else {
        for text in found.into_iter().flatten() {
            hasher.update(text.as_bytes());
            hasher.update([0]);
        }
    }
    let mut key = [0; 12];
    key.copy_from_slice(&hasher.finalize()[..12]);
    key
}

/// Picks the texts of some fields out of a record.
struct Fields<'n, 'f, 'de> {
    names: &'n [String],
    found: &'f mut [Option<&'de str>],
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut missing = self.names.len();
        while missing > 0
            && let Some(at) = map.next_key_seed(Place(self.names))?
        {
            match at {
                Some(at) => {
                    let text = map.next_value::<&RawValue>()?.get();
                    missing -= usize::from(self.found[at].replace(text).is_none());
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The place of a field's name in a list.
struct Place<'n>(&'n [String]);

impl<'de> DeserializeSeed<'de> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| known == name))
    }
}
