//! Numbers and texts packed behind each other. Reading never goes past the end and never panics.

/// Puts values behind each other.
#[derive(Debug, Default)]
pub(super) struct Packer {
    bytes: Vec<u8>,
}

impl Packer {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(capacity),
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Seven bits a byte, the lowest first.
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// Small in both directions.
    pub(super) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    pub(super) fn id(&mut self, id: &[u8; 16]) {
        self.bytes.extend_from_slice(id);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }
}

/// Takes them off again.
#[derive(Debug)]
pub(super) struct Unpacker<'a> {
    rest: &'a [u8],
}

const SHORT: &str = "it ends too early";

impl<'a> Unpacker<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn byte(&mut self) -> Result<u8, String> {
        let (&byte, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(byte)
    }

    pub(super) fn number(&mut self) -> Result<u64, String> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number in it is too large".to_owned())
    }

    pub(super) fn signed(&mut self) -> Result<i64, String> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -((number & 1).cast_signed()))
    }

    pub(super) fn id(&mut self) -> Result<[u8; 16], String> {
        let (id, rest) = self.rest.split_first_chunk().ok_or(SHORT)?;
        self.rest = rest;
        Ok(*id)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, String> {
        let length = usize::try_from(self.number()?).map_err(|_| SHORT)?;
        let (text, rest) = self.rest.split_at_checked(length).ok_or(SHORT)?;
        self.rest = rest;
        std::str::from_utf8(text).map_err(|_| "a text in it is no UTF-8".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_packed_comes_out() {
        let mut packer = Packer::default();
        let numbers = [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX];
        let signed = [0, -1, 1, i64::MIN, i64::MAX, -64, 64];
        numbers.iter().for_each(|n| packer.number(*n));
        signed.iter().for_each(|n| packer.signed(*n));
        packer.text("é");
        packer.id(&[9; 16]);
        packer.byte(7);
        let bytes = packer.into_bytes();
        let mut unpacker = Unpacker::new(&bytes);
        for number in numbers {
            assert_eq!(unpacker.number(), Ok(number));
        }
        for number in signed {
            assert_eq!(unpacker.signed(), Ok(number));
        }
        assert_eq!(unpacker.text(), Ok("é"));
        assert_eq!(unpacker.id(), Ok([9; 16]));
        assert_eq!(unpacker.byte(), Ok(7));
        assert!(unpacker.is_empty());
        assert!(unpacker.byte().is_err());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        assert!(Unpacker::new(&[0xff; 11]).number().is_err());
        assert!(Unpacker::new(&[0x80]).number().is_err());
        assert!(Unpacker::new(&[5, b'a']).text().is_err());
        assert!(Unpacker::new(&[1, 0xff]).text().is_err());
        assert!(Unpacker::new(&[0; 15]).id().is_err());
    }
}
