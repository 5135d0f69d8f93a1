//! What goes into sled, and how a value lies there.

use velodrome_store::StoredValue;
use velodrome_types::LoopId;

/// Longer values stay in the journal; sled 0.34 writes long ones beside its log, and without any sync.
const LONGEST: usize = 64 << 10;

const FORMAT: u8 = 1;
const BY_NOBODY: u8 = 0;
const BY_LOOP: u8 = 1;
const IN_JOURNAL: u8 = 2;

/// Where a key lies: the namespace's bytes and the key behind them.
pub(crate) fn sled_key(namespace: &[u8], key: &str) -> Vec<u8> {
    [namespace, key.as_bytes()].concat()
}

/// Writes of one group of commits, in order.
#[derive(Debug, Default)]
pub(crate) struct SledWrites {
    writes: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl SledWrites {
    pub(crate) fn set(&mut self, namespace: &[u8], key: &str, text: &str, by: Option<LoopId>) {
        let value = encode(text, by);
        self.writes.push((sled_key(namespace, key), Some(value)));
    }

    pub(crate) fn delete(&mut self, namespace: &[u8], key: &str) {
        self.writes.push((sled_key(namespace, key), None));
    }

    pub(crate) fn len(&self) -> usize {
        self.writes.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Takes back what a refused unit had written.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.writes.truncate(len);
    }

    pub(crate) fn deletions(&self) -> u64 {
        self.writes.iter().filter(|write| write.1.is_none()).count() as u64
    }

    /// Writes all to sled, in order, and then the entries that only count when all of it is there.
    ///
    /// No batch: sled 0.34 hands two buffers to the disk around each batch and waits for neither, which
    /// takes more of the disk than the journal does. Its log keeps the order of writes, so after a
    /// crash it has some beginning of them; the commit in the last entry says how much is sure, and what
    /// is behind that is written again from the journal.
    pub(super) fn write(self, db: &sled::Db, last: &[(&[u8], &[u8])]) -> sled::Result<()> {
        for (key, value) in self.writes {
            match value {
                Some(value) => db.insert(key, value)?,
                None => db.remove(key)?,
            };
        }
        for (key, value) in last {
            db.insert(key, *value)?;
        }
        Ok(())
    }
}

fn encode(text: &str, by: Option<LoopId>) -> Vec<u8> {
    if text.len() > LONGEST {
        return vec![FORMAT, IN_JOURNAL];
    }
    let mut bytes = Vec::with_capacity(18 + text.len());
    bytes.push(FORMAT);
    match by {
        Some(id) => {
            bytes.push(BY_LOOP);
            bytes.extend_from_slice(id.as_bytes());
        }
        None => bytes.push(BY_NOBODY),
    }
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// A value as sled has it.
#[derive(Debug, PartialEq)]
pub(crate) enum SledValue {
    /// The value itself.
    Here(StoredValue),
    /// It is too long for sled.
    InJournal,
}

impl SledValue {
    /// Reads the bytes; the error says what is wrong with them.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, String> {
        let (written_by, text) = match bytes {
            [FORMAT, IN_JOURNAL] => return Ok(Self::InJournal),
            [FORMAT, BY_NOBODY, text @ ..] => (None, text),
            [FORMAT, BY_LOOP, rest @ ..] => {
                let (id, text) = rest.split_first_chunk().ok_or("it ends in its writer")?;
                (Some(LoopId::from_bytes(*id)), text)
            }
            _ => return Err("it begins with no known format".to_owned()),
        };
        let value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        Ok(Self::Here(StoredValue { value, written_by }))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_lead_back() {
        let by = Some(LoopId::from_bytes([3; 16]));
        for written_by in [None, by] {
            let here = SledValue::decode(&encode("{\"a\":[1,null]}", written_by)).unwrap();
            let value = json!({"a": [1, null]});
            assert_eq!(here, SledValue::Here(StoredValue { value, written_by }));
        }
        let long = format!("\"{}\"", "x".repeat(LONGEST));
        let stored = encode(&long, by);
        assert_eq!(SledValue::decode(&stored), Ok(SledValue::InJournal));
    }

    #[test]
    fn damaged_values_are_refused() {
        let by = Some(LoopId::from_bytes([3; 16]));
        for bytes in [&[][..], &[2, 0, b'1'], &[1, 9, b'1'], &[1, 0], &[1, 1, 0]] {
            assert!(SledValue::decode(bytes).is_err(), "{bytes:?}");
        }
        let whole = encode("[1]", by);
        assert!(SledValue::decode(&whole[..whole.len() - 1]).is_err());
    }
}
