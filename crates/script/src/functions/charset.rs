//! Text to the bytes of a charset and back. What a charset cannot hold, and bytes that are no text in
//! it, are faults: nothing is replaced by a question mark.

use super::utf7;

/// A charset that `btoa` and `atob` know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
    Ascii,
    Latin1,
    Utf7,
    Utf8,
    /// Little-endian without a mark when written, as .NET has it; when read a mark decides.
    Utf16,
    Utf16Le,
    Utf16Be,
    /// As [`Charset::Utf16`].
    Utf32,
    Utf32Le,
    Utf32Be,
}

/// Which byte of a unit comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Charset {
    /// The names, for people.
    pub(super) const NAMES: &str = "ASCII, ISO-8859-1, UTF-7, UTF-8, UTF-16, UTF-16LE, UTF-16BE, \
                                    UTF-32, UTF-32LE, UTF-32BE";

    /// By its name, in any case of letters.
    pub(super) fn of(name: &str) -> Option<Self> {
        Some(match name.trim().to_ascii_uppercase().as_str() {
            "ASCII" | "US-ASCII" => Self::Ascii,
            "ISO-8859-1" => Self::Latin1,
            "UTF-7" => Self::Utf7,
            "UTF-8" => Self::Utf8,
            "UTF-16" => Self::Utf16,
            "UTF-16LE" => Self::Utf16Le,
            "UTF-16BE" => Self::Utf16Be,
            "UTF-32" => Self::Utf32,
            "UTF-32LE" => Self::Utf32Le,
            "UTF-32BE" => Self::Utf32Be,
            _ => return None,
        })
    }

    /// The bytes of a text, or why there are none.
    pub(super) fn encode(self, text: &str) -> Result<Vec<u8>, String> {
        Ok(match self {
            Self::Ascii => single_bytes(text, 0x7f, "ASCII")?,
            Self::Latin1 => single_bytes(text, 0xff, "ISO-8859-1")?,
            Self::Utf7 => utf7::encode(text),
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16 | Self::Utf16Le => units16(text, u16::to_le_bytes),
            Self::Utf16Be => units16(text, u16::to_be_bytes),
            Self::Utf32 | Self::Utf32Le => units32(text, u32::to_le_bytes),
            Self::Utf32Be => units32(text, u32::to_be_bytes),
        })
    }

    /// The text of the bytes, or why there is none.
    pub(super) fn decode(self, bytes: &[u8]) -> Result<String, String> {
        match self {
            Self::Ascii if bytes.is_ascii() => Ok(bytes.iter().copied().map(char::from).collect()),
            Self::Ascii => Err(no_text("ASCII")),
            Self::Latin1 => Ok(bytes.iter().copied().map(char::from).collect()),
            Self::Utf7 => utf7::decode(bytes).ok_or_else(|| no_text("UTF-7")),
            Self::Utf8 => std::str::from_utf8(bytes)
                .map(str::to_owned)
                .map_err(|_| no_text("UTF-8")),
            Self::Utf16 => {
                let (order, bytes) = marked(bytes, &[0xff, 0xfe], &[0xfe, 0xff]);
                decode16(bytes, order).ok_or_else(|| no_text("UTF-16"))
            }
            Self::Utf16Le => decode16(bytes, Order::Little).ok_or_else(|| no_text("UTF-16LE")),
            Self::Utf16Be => decode16(bytes, Order::Big).ok_or_else(|| no_text("UTF-16BE")),
            Self::Utf32 => {
                let (order, bytes) = marked(bytes, &[0xff, 0xfe, 0, 0], &[0, 0, 0xfe, 0xff]);
                decode32(bytes, order).ok_or_else(|| no_text("UTF-32"))
            }
            Self::Utf32Le => decode32(bytes, Order::Little).ok_or_else(|| no_text("UTF-32LE")),
            Self::Utf32Be => decode32(bytes, Order::Big).ok_or_else(|| no_text("UTF-32BE")),
        }
    }
}

fn no_text(charset: &str) -> String {
    format!("what is encoded is no {charset} text")
}

fn single_bytes(text: &str, last: u32, charset: &str) -> Result<Vec<u8>, String> {
    text.chars()
        .map(|letter| match u8::try_from(u32::from(letter)) {
            Ok(byte) if u32::from(byte) <= last => Ok(byte),
            _ => Err(format!(
                "{charset} has no `{}`: use UTF-8, or replace it before",
                letter.escape_debug()
            )),
        })
        .collect()
}

fn units16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn units32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars()
        .flat_map(|letter| bytes(u32::from(letter)))
        .collect()
}

/// The order that a mark at the beginning tells, and what follows it; without one little-endian.
fn marked<'a>(bytes: &'a [u8], little: &[u8], big: &[u8]) -> (Order, &'a [u8]) {
    if let Some(rest) = bytes.strip_prefix(big) {
        return (Order::Big, rest);
    }
    (Order::Little, bytes.strip_prefix(little).unwrap_or(bytes))
}

fn decode16(bytes: &[u8], order: Order) -> Option<String> {
    let (pairs, []) = bytes.as_chunks::<2>() else {
        return None;
    };
    let units = pairs.iter().map(|pair| match order {
        Order::Little => u16::from_le_bytes(*pair),
        Order::Big => u16::from_be_bytes(*pair),
    });
    char::decode_utf16(units).collect::<Result<_, _>>().ok()
}

fn decode32(bytes: &[u8], order: Order) -> Option<String> {
    let (units, []) = bytes.as_chunks::<4>() else {
        return None;
    };
    let units = units.iter().map(|unit| match order {
        Order::Little => u32::from_le_bytes(*unit),
        Order::Big => u32::from_be_bytes(*unit),
    });
    units.map(char::from_u32).collect()
}
