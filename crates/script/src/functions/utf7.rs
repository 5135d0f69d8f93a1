//! UTF-7 (RFC 2152): text in which all that is not plain ASCII stands as the base64 of its UTF-16.

/// The base64 alphabet, which UTF-7 uses without padding.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Whether a character stands for itself: RFC 2152's sets D and O, space, tab, and line ends.
fn is_direct(letter: char) -> bool {
    matches!(letter, ' '..='}' | '\t' | '\r' | '\n') && !matches!(letter, '+' | '\\')
}

fn digit(letter: u8) -> Option<u32> {
    let at = ALPHABET.iter().position(|known| *known == letter)?;
    u32::try_from(at).ok()
}

/// The bytes of a text.
pub(super) fn encode(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut shifted = Shifted::default();
    let mut open = false;
    for letter in text.chars() {
        if is_direct(letter) || (letter == '+' && !open) {
            if open {
                shifted.end(&mut out);
                // The `-` may only be left out where what follows cannot be taken for base64.
                if letter == '-' || u8::try_from(letter).is_ok_and(|byte| digit(byte).is_some()) {
                    out.push(b'-');
                }
                open = false;
            }
            match letter {
                '+' => out.extend_from_slice(b"+-"),
                plain => out.extend(u8::try_from(plain)),
            }
            continue;
        }
        if !open {
            out.push(b'+');
            open = true;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            shifted.put(*unit, &mut out);
        }
    }
    if open {
        shifted.end(&mut out);
        out.push(b'-');
    }
    out
}

/// Bits that have not made a digit yet.
#[derive(Default)]
struct Shifted {
    bits: u32,
    count: u32,
}

impl Shifted {
    fn put(&mut self, unit: u16, out: &mut Vec<u8>) {
        self.bits = (self.bits << 16) | u32::from(unit);
        self.count += 16;
        while self.count >= 6 {
            self.count -= 6;
            out.push(ALPHABET[((self.bits >> self.count) & 0x3f) as usize]);
        }
        self.bits &= (1 << self.count) - 1;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.count > 0 {
            out.push(ALPHABET[((self.bits << (6 - self.count)) & 0x3f) as usize]);
        }
        *self = Self::default();
    }
}

/// The text of the bytes; `None` where they are no UTF-7.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'+' {
            text.push(first.is_ascii().then_some(char::from(first))?);
            continue;
        }
        let length = rest
            .iter()
            .take_while(|byte| digit(**byte).is_some())
            .count();
        let (digits, after) = rest.split_at(length);
        rest = after.strip_prefix(b"-").unwrap_or(after);
        if digits.is_empty() {
            // `+-` is a plus; a `+` before anything else begins nothing.
            text.push(after.starts_with(b"-").then_some('+')?);
        } else {
            shifted_text(digits, &mut text)?;
        }
    }
    Some(text)
}

/// The text that a stretch of base64 stands for. What is left over at its end are zero bits, fewer
/// than a digit has.
fn shifted_text(digits: &[u8], text: &mut String) -> Option<()> {
    let mut units = Vec::with_capacity(digits.len() * 6 / 16);
    let (mut bits, mut count) = (0_u32, 0);
    for &byte in digits {
        bits = (bits << 6) | digit(byte)?;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from((bits >> count) & 0xffff).ok()?);
        }
        bits &= (1 << count) - 1;
    }
    if count >= 6 || bits != 0 {
        return None;
    }
    for letter in char::decode_utf16(units) {
        text.push(letter.ok()?);
    }
    Some(())
}
