//! A namespace as bytes, in the journal's `storage` table and before each key in sled.
//!
//! Lengths stand before the texts, so that no namespace's bytes begin another's: a key's place in sled
//! is the namespace's bytes and the key behind them.

use velodrome_store::{Namespace, StoreError};
use velodrome_types::{ConnectionId, CycleId, LoopId};

use super::error::damaged;
use super::packed::{Packer, Unpacker};

const CONNECTION: u8 = 0;
const CYCLE: u8 = 1;
const LOOP: u8 = 2;

pub(crate) fn encode_namespace(namespace: &Namespace) -> Vec<u8> {
    let mut packer = Packer::with_capacity(48);
    match namespace {
        Namespace::Connection(connection) => {
            packer.byte(CONNECTION);
            packer.text(connection.as_str());
        }
        Namespace::Cycle(connection, cycle) => {
            packer.byte(CYCLE);
            packer.text(connection.as_str());
            packer.text(cycle.as_str());
        }
        Namespace::Loop(connection, id) => {
            packer.byte(LOOP);
            packer.text(connection.as_str());
            packer.id(id.as_bytes());
        }
    }
    packer.into_bytes()
}

pub(crate) fn decode_namespace(bytes: &[u8]) -> Result<Namespace, StoreError> {
    let read = || {
        let mut unpacker = Unpacker::new(bytes);
        let kind = unpacker.byte()?;
        let connection = ConnectionId::new(unpacker.text()?);
        let namespace = match kind {
            CONNECTION => Namespace::Connection(connection),
            CYCLE => Namespace::Cycle(connection, CycleId::new(unpacker.text()?)),
            LOOP => Namespace::Loop(connection, LoopId::from_bytes(unpacker.id()?)),
            other => return Err(format!("its kind is {other}")),
        };
        if unpacker.is_empty() {
            Ok(namespace)
        } else {
            Err("it goes on behind its end".to_owned())
        }
    };
    read().map_err(|why: String| damaged("namespace", why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_lead_back_and_none_begins_another() {
        let texts = ["", "a", "aa", "a\0", "ab"];
        let mut all = Vec::new();
        for a in texts {
            all.push(Namespace::Connection(a.into()));
            all.push(Namespace::Loop(a.into(), LoopId::from_bytes([97; 16])));
            for b in texts {
                all.push(Namespace::Cycle(a.into(), b.into()));
            }
        }
        let encoded: Vec<_> = all.iter().map(encode_namespace).collect();
        for (at, bytes) in encoded.iter().enumerate() {
            assert_eq!(decode_namespace(bytes).unwrap(), all[at]);
            let begun = encoded.iter().filter(|other| other.starts_with(bytes));
            assert_eq!(begun.count(), 1);
        }
        assert!(decode_namespace(&[3, 0]).is_err());
        assert!(decode_namespace(&[0, 1]).is_err());
        assert!(decode_namespace(&[0, 0, 0]).is_err());
    }
}
