//! TypeIDs: a type prefix and a UUIDv7 in 26 characters of Crockford base32.
//!
//! `run_01h455vb4pex5vsknk084sn02q`. The alphabet, the 26 characters and the leading-digit limit
//! follow the TypeID specification 0.3. Order never comes from an id: the time inside is for
//! people and for locality in an index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;
use uuid::Uuid;

use crate::Timestamp;

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const TEXT_LEN: usize = 26;

/// Why a text is no id of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The part before the underscore is another one.
    #[error("`{text}` is not a {prefix} id: it must begin with `{prefix}_`")]
    Prefix {
        /// What was given.
        text: String,
        /// What an id of this type begins with.
        prefix: &'static str,
    },
    /// The part after the underscore is not 26 characters of base32 or does not fit 128 bits.
    #[error("`{text}` is not a {prefix} id: 26 base32 characters must follow `{prefix}_`")]
    Suffix {
        /// What was given.
        text: String,
        /// What an id of this type begins with.
        prefix: &'static str,
    },
}

fn encode(uuid: Uuid) -> [u8; TEXT_LEN] {
    let mut value = uuid.as_u128();
    let mut text = [0; TEXT_LEN];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(value & 31) as usize];
        value >>= 5;
    }
    text
}

fn decode(text: &str) -> Option<Uuid> {
    let bytes = text.as_bytes();
    if bytes.len() != TEXT_LEN || bytes[0] > b'7' {
        return None;
    }
    let mut value: u128 = 0;
    for byte in bytes {
        let digit = ALPHABET.iter().position(|c| c == byte)?;
        value = (value << 5) | digit as u128;
    }
    Some(Uuid::from_u128(value))
}

/// The form people are shown: the prefix, an ellipsis and the last seven characters.
pub fn short_id(id: &str) -> String {
    let tail = id.get(id.len().saturating_sub(7)..).unwrap_or(id);
    match id.split_once('_') {
        Some((prefix, _)) => format!("{prefix}_…{tail}"),
        None => format!("…{tail}"),
    }
}

macro_rules! type_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What the text form begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A UUIDv7 of the given time and random bits.
            pub fn new(at: Timestamp, random: [u8; 10]) -> Self {
                let millis = u64::try_from(at.as_millis()).unwrap_or(0);
                Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
            }

            /// The time inside: when it was made. For people; order never comes from it.
            pub fn made_at(&self) -> Timestamp {
                let millis = self.0.as_u128() >> 80;
                Timestamp::from_millis(i64::try_from(millis).expect("48 bits"))
            }

            /// The 16 bytes, as stores keep them.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// The id of 16 stored bytes; any 16 bytes are one.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// The last seven characters behind an ellipsis: `…84sn02q`.
            pub fn tail(&self) -> String {
                let text = self.to_string();
                format!("…{}", &text[text.len() - 7..])
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = encode(self.0);
                f.write_str(concat!($prefix, "_"))?;
                f.write_str(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let suffix = text
                    .strip_prefix(concat!($prefix, "_"))
                    .ok_or_else(|| IdError::Prefix { text: text.to_owned(), prefix: $prefix })?;
                decode(suffix)
                    .map(Self)
                    .ok_or_else(|| IdError::Suffix { text: text.to_owned(), prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

type_id!(
    /// One traversal of a cycle (Cyclr: a transaction).
    RunId,
    "run"
);
type_id!(
    /// The chain of runs that a cycle makes by posting to its own webhook.
    LoopId,
    "loop"
);
type_id!(
    /// A token for the API.
    TokenId,
    "token"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_published_example() {
        // The valid vector `prefix_01h455vb4pex5vsknk084sn02q` of the TypeID specification.
        let id: RunId = "run_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        assert_eq!(
            Uuid::from_bytes(*id.as_bytes()).to_string(),
            "01890a5d-ac96-774b-bcce-b302099a8057"
        );
        assert_eq!(id.to_string(), "run_01h455vb4pex5vsknk084sn02q");
        assert_eq!(id.tail(), "…84sn02q");
    }

    #[test]
    fn refuses_what_is_no_id() {
        for bad in [
            "",
            "run_",
            "loop_01h455vb4pex5vsknk084sn02q",
            "run_81h455vb4pex5vsknk084sn02q",
            "run_01h455vb4pex5vsknk084sn02u",
            "run_01H455VB4PEX5VSKNK084SN02Q",
        ] {
            assert!(bad.parse::<RunId>().is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn is_a_version_7_uuid_of_its_time() {
        let id = LoopId::new(Timestamp::from_millis(0x0123_4567_89ab), [0xff; 10]);
        let uuid = Uuid::from_bytes(*id.as_bytes());
        assert_eq!(uuid.get_version_num(), 7);
        assert!(uuid.to_string().starts_with("01234567-89ab-7"));
        assert_eq!(id.made_at().as_millis(), 0x0123_4567_89ab);
    }
}
