//! The end of an id, as people type it: the last characters of its text form.
//!
//! The 26 characters of an id are its 128 bits in fives, so its last characters are its lowest bits.
//! That lets a backend compare stored bytes without writing every id out as text.

const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const ID_CHARS: usize = 26;

/// What an id must end with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdSuffix {
    bits: u128,
    mask: u128,
}

impl IdSuffix {
    /// Reads the end of an id whose text form begins with `prefix` and an underscore. `None` when no
    /// id of that type can end so.
    pub fn parse(prefix: &str, suffix: &str) -> Option<Self> {
        let chars = match suffix.rsplit_once('_') {
            // The underscore stands before all 26 characters, and what is before it is the prefix.
            Some((before, chars)) => {
                if chars.len() != ID_CHARS || !prefix.ends_with(before) {
                    return None;
                }
                chars
            }
            None => suffix,
        };
        if chars.len() > ID_CHARS || (chars.len() == ID_CHARS && chars.as_bytes()[0] > b'7') {
            return None;
        }
        let mut bits: u128 = 0;
        for byte in chars.bytes() {
            let digit = ALPHABET.iter().position(|c| *c == byte)?;
            bits = (bits << 5) | digit as u128;
        }
        let mask = match chars.len() * 5 {
            known @ 0..128 => (1_u128 << known) - 1,
            _ => u128::MAX,
        };
        Some(Self { bits, mask })
    }

    /// Whether an id of these bytes ends so.
    pub fn matches(&self, id: &[u8; 16]) -> bool {
        u128::from_be_bytes(*id) & self.mask == self.bits
    }

    /// The whole bytes at the end of every matching id, for a backend that compares bytes first.
    /// They may be none.
    pub fn last_bytes(&self) -> Vec<u8> {
        let whole = (self.mask.trailing_ones() / 8) as usize;
        self.bits.to_be_bytes()[16 - whole..].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use velodrome_types::RunId;

    use super::*;

    #[test]
    fn agrees_with_the_text_form() {
        let id: RunId = "run_01h455vb4pex5vsknk084sn02q".parse().unwrap();
        let other: RunId = "run_01h455vb4pex5vsknk184sn02q".parse().unwrap();
        let text = id.to_string();
        for start in 0..=text.len() {
            let suffix = &text[start..];
            let parsed = IdSuffix::parse("run", suffix).unwrap();
            assert!(parsed.matches(id.as_bytes()), "{suffix}");
            assert!(id.as_bytes().ends_with(&parsed.last_bytes()), "{suffix}");
            let both = other.to_string().ends_with(suffix);
            assert_eq!(parsed.matches(other.as_bytes()), both, "{suffix}");
        }
    }

    #[test]
    fn refuses_what_no_id_ends_with() {
        for bad in [
            "84SN02Q",
            "loop_01h455vb4pex5vsknk084sn02q",
            "run_4sn02q",
            "u",
            "é",
            "x01h455vb4pex5vsknk084sn02q",
        ] {
            assert_eq!(IdSuffix::parse("run", bad), None, "{bad}");
        }
    }
}
